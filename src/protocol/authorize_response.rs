//! RFC 6749 §4.1.2, RFC 9207 and OAuth 2.0 Form Post Response Mode — the authorization response.

use super::{
    OauthError,
    authorize::{ResponseMode, ReturnTo},
};

/// How the browser brings the answer to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizeResponse {
    /// To be put in `Location`.
    Redirect(String),
    /// A page with a form to be posted.
    FormPost {
        /// The form's `action`.
        redirect_uri: String,
        /// The form's fields.
        params: Vec<(&'static str, String)>,
    },
}

/// The answer with a code.
pub fn success(to: &ReturnTo, issuer: &str, code: &str) -> AuthorizeResponse {
    answer(to, issuer, vec![("code", code.to_owned())])
}

/// The answer with an error (RFC 6749 §4.1.2.1).
pub fn refusal(to: &ReturnTo, issuer: &str, error: &OauthError) -> AuthorizeResponse {
    let description = error.safe_description().into_owned();
    answer(to, issuer, vec![("error", error.code.as_str().to_owned()), ("error_description", description)])
}

fn answer(to: &ReturnTo, issuer: &str, mut params: Vec<(&'static str, String)>) -> AuthorizeResponse {
    params.extend(to.state.clone().map(|state| ("state", state)));
    // RFC 9207 §2: in every answer, success and error, so that answers cannot be mixed up.
    params.push(("iss", issuer.to_owned()));
    match to.response_mode {
        ResponseMode::FormPost => {
            AuthorizeResponse::FormPost { redirect_uri: to.redirect_uri.clone(), params }
        }
        ResponseMode::Query => AuthorizeResponse::Redirect(with_query(&to.redirect_uri, &params)),
    }
}

/// Adds parameters to a URI without fragment; a query it has is kept (RFC 6749 §3.1.2).
pub fn with_query<N: AsRef<str>, V: AsRef<str>>(uri: &str, params: &[(N, V)]) -> String {
    let mut url = String::from(uri);
    for (name, value) in params {
        let separator = match url.find('?') {
            None => "?",
            Some(_) if url.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        url.push_str(separator);
        url.extend(form_urlencoded::byte_serialize(name.as_ref().as_bytes()));
        url.push('=');
        url.extend(form_urlencoded::byte_serialize(value.as_ref().as_bytes()));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;

    const ISSUER: &str = "https://id.example";

    fn to(redirect_uri: &str, response_mode: ResponseMode, state: Option<&str>) -> ReturnTo {
        ReturnTo { redirect_uri: redirect_uri.into(), response_mode, state: state.map(str::to_owned) }
    }

    fn location(answer: AuthorizeResponse) -> String {
        match answer {
            AuthorizeResponse::Redirect(url) => url,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_registered_query_is_kept() {
        for (uri, start) in [
            ("https://app.example/cb", "https://app.example/cb?code=c"),
            ("https://app.example/cb?a=1", "https://app.example/cb?a=1&code=c"),
            ("https://app.example/cb?", "https://app.example/cb?code=c"),
            ("https://app.example", "https://app.example?code=c"),
            ("com.example.app:/cb", "com.example.app:/cb?code=c"),
        ] {
            let url = location(success(&to(uri, ResponseMode::Query, Some("s")), ISSUER, "c"));
            assert_eq!(url, format!("{start}&state=s&iss=https%3A%2F%2Fid.example"));
        }
    }

    /// R11, T43
    #[test]
    fn every_answer_says_who_gave_it_and_returns_the_state() {
        let error = OauthError::new(ErrorCode::AccessDenied, "No.");
        for state in [None, Some("a b&c=\u{e9}\"<")] {
            let query = to("https://app.example/cb", ResponseMode::Query, state);
            for answer in [success(&query, ISSUER, "c"), refusal(&query, ISSUER, &error)] {
                let url = url::Url::parse(&location(answer)).unwrap();
                let value = |name: &str| {
                    url.query_pairs().find(|(held, _)| held == name).map(|(_, value)| value.into_owned())
                };
                assert_eq!(value("iss").as_deref(), Some(ISSUER));
                assert_eq!(value("state").as_deref(), state);
            }
            let form = to("https://app.example/cb", ResponseMode::FormPost, state);
            for answer in [success(&form, ISSUER, "c"), refusal(&form, ISSUER, &error)] {
                let AuthorizeResponse::FormPost { redirect_uri, params } = answer else {
                    panic!("{answer:?}")
                };
                assert_eq!(redirect_uri, "https://app.example/cb");
                assert!(params.contains(&("iss", ISSUER.to_owned())));
                assert_eq!(
                    params.iter().find(|(name, _)| *name == "state").map(|(_, value)| value.as_str()),
                    state
                );
            }
        }
    }

    /// R16
    #[test]
    fn an_error_keeps_to_the_characters_of_the_specification() {
        let error = OauthError::invalid_request("a \"quoted\" <b>");
        let url = location(refusal(&to("https://app.example/cb", ResponseMode::Query, None), ISSUER, &error));
        assert_eq!(
            url,
            "https://app.example/cb?error=invalid_request&error_description=a+%3Fquoted%3F+%3Cb%3E&iss=https%3A%2F%2Fid.example"
        );
    }
}
