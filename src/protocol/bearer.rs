//! RFC 6750 — bearer tokens at protected resources.

use super::{ErrorCode, OauthError, Params};

/// Finds the one access token of a request: header or form body, never the query (RFC 6750 §2.3
/// is refused, R43). `Ok(None)` if there is none.
pub fn token<'a>(
    authorization: Option<&'a str>,
    form: &'a Params<'_>,
    query: &Params,
) -> Result<Option<&'a str>, OauthError> {
    if query.get("access_token").is_some() {
        return Err(OauthError::invalid_request("Access tokens are not accepted in the query."));
    }
    match (authorization, form.get("access_token")) {
        // RFC 6750 §2: clients must not use more than one method.
        (Some(_), Some(_)) => Err(OauthError::invalid_request("The request has more than one access token.")),
        (Some(header), None) => {
            let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
            match (scheme.eq_ignore_ascii_case("bearer"), token) {
                // RFC 6750 §3.1: an unsupported method is answered like no authentication at all.
                (false, _) => Ok(None),
                (true, "") => Err(OauthError::invalid_request(
                    "The Authorization header is not of the form Bearer TOKEN.",
                )),
                (true, token) => Ok(Some(token)),
            }
        }
        (None, token) => Ok(token),
    }
}

/// RFC 6750 §3: the `WWW-Authenticate` value. Without an error when there was no token at all.
pub fn challenge(issuer: &str, error: Option<&OauthError>) -> String {
    match error {
        None => format!("Bearer realm=\"{issuer}\""),
        Some(error) => {
            let mut text = format!(
                "Bearer realm=\"{issuer}\", error=\"{}\", error_description=\"{}\"",
                error.code.as_str(),
                error.safe_description()
            );
            if error.code == ErrorCode::InsufficientScope {
                text.push_str(", scope=\"openid\"");
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: Option<&str>, body: &str, query: &str) -> Result<Option<String>, ErrorCode> {
        let (form, query) =
            (Params::parse(body.as_bytes()).unwrap(), Params::parse(query.as_bytes()).unwrap());
        token(header, &form, &query).map(|token| token.map(str::to_owned)).map_err(|error| error.code)
    }

    /// R43
    #[test]
    fn a_token_comes_from_the_header_or_the_body_and_never_from_the_query() {
        assert_eq!(read(Some("Bearer t"), "", ""), Ok(Some("t".into())));
        assert_eq!(read(Some("bearer t"), "", ""), Ok(Some("t".into())));
        assert_eq!(read(None, "access_token=t", ""), Ok(Some("t".into())));
        assert_eq!(read(None, "", ""), Ok(None));
        assert_eq!(read(None, "", "access_token=t"), Err(ErrorCode::InvalidRequest));
        assert_eq!(read(Some("Bearer t"), "access_token=t", ""), Err(ErrorCode::InvalidRequest));
        assert_eq!(read(Some("Bearer "), "", ""), Err(ErrorCode::InvalidRequest));
        assert_eq!(read(Some("Bearer"), "", ""), Err(ErrorCode::InvalidRequest));
    }

    /// RFC 6750 §3.1: an unsupported method is as if nothing had been sent.
    #[test]
    fn another_scheme_brings_no_token() {
        assert_eq!(read(Some("Basic t"), "", ""), Ok(None));
        assert_eq!(read(Some("Negotiate"), "", ""), Ok(None));
        assert_eq!(read(Some("Basic t"), "access_token=t", ""), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn a_request_without_a_token_is_challenged_without_an_error() {
        assert_eq!(challenge("https://id.example", None), "Bearer realm=\"https://id.example\"");
    }
}
