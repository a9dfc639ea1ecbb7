//! RFC 8707 — resource indicators.

use super::{ErrorCode, OauthError, Params};

/// The most `resource` parameters a request may have.
const MAX_RESOURCES: usize = 8;

/// Reads the `resource` parameters: absolute URIs without a fragment (RFC 8707 §2), once each.
pub fn requested(form: &Params) -> Result<Vec<String>, OauthError> {
    let mut resources = Vec::new();
    for value in form.all("resource") {
        if !is_absolute(value) {
            return Err(invalid("The parameter resource must be an absolute URI without a fragment."));
        }
        if !resources.iter().any(|held| held == value) {
            resources.push(value.to_owned());
        }
    }
    if resources.len() > MAX_RESOURCES {
        return Err(invalid("The request names more than 8 resources."));
    }
    Ok(resources)
}

/// RFC 8707 §2: a request may not go beyond what is allowed, and an unknown resource is an error.
pub fn within(asked: &[String], allowed: &[String]) -> Result<(), OauthError> {
    match asked.iter().find(|resource| !allowed.contains(resource)) {
        None => Ok(()),
        Some(_) => Err(invalid("The resource is unknown, or this client may not ask for it.")),
    }
}

/// `invalid_target`.
pub fn invalid(description: &'static str) -> OauthError {
    OauthError::new(ErrorCode::InvalidTarget, description)
}

/// Whether the text is an absolute URI (RFC 3986 §4.3) without a fragment, in ASCII.
pub fn is_absolute(text: &str) -> bool {
    text.len() <= 512
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains(['#', '"', '<', '>', '\\'])
        && url::Url::parse(text).is_ok_and(|url| url.has_host() || !url.path().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<String>, ErrorCode> {
        requested(&Params::parse(body.as_bytes()).unwrap()).map_err(|error| error.code)
    }

    /// R28
    #[test]
    fn resources_are_absolute_uris_without_a_fragment() {
        assert_eq!(
            read("resource=https://a.example/x&resource=urn:b"),
            Ok(vec!["https://a.example/x".into(), "urn:b".into()])
        );
        for bad in ["resource=/x", "resource=a.example", "resource=https://a.example/%23f"] {
            assert_eq!(read(bad), Err(ErrorCode::InvalidTarget), "{bad}");
        }
    }

    /// R69
    #[test]
    fn a_request_names_eight_resources_at_most() {
        let body = |count| (0..count).map(|n| format!("&resource=urn:{n}")).collect::<String>();
        assert_eq!(read(&body(8)).map(|read| read.len()), Ok(8));
        assert_eq!(read(&body(9)), Err(ErrorCode::InvalidTarget));
        assert_eq!(read(&format!("{}&resource=urn:0", body(8))).map(|read| read.len()), Ok(8), "once each");
    }

    /// R28
    #[test]
    fn what_is_not_allowed_is_an_invalid_target() {
        let allowed = vec!["urn:a".to_owned()];
        assert!(within(&["urn:a".into()], &allowed).is_ok() && within(&[], &allowed).is_ok());
        assert_eq!(within(&["urn:b".into()], &allowed).unwrap_err().code, ErrorCode::InvalidTarget);
    }
}
