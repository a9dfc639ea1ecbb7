//! OpenID Connect Core §5.5 — the `claims` request parameter.

use serde_json::Value;

use super::{ErrorCode, OauthError, id_token::ACR};
use crate::model::RequestedClaims;

/// The most bytes of the parameter, and the most levels of its JSON (R69).
const MAX_BYTES: usize = 2048;
const MAX_DEPTH: usize = 6;

/// Reduces the parameter to the names asked for, and the one subject if a `sub` value is.
pub fn parse(text: &str) -> Result<(RequestedClaims, Option<String>), OauthError> {
    let malformed =
        || OauthError::invalid_request("The claims parameter is not what OpenID Connect Core 5.5 says.");
    if text.len() > MAX_BYTES {
        return Err(OauthError::invalid_request("The claims parameter is longer than 2048 bytes."));
    }
    let value: Value = serde_json::from_str(text).map_err(|_| malformed())?;
    if depth(&value) > MAX_DEPTH {
        return Err(malformed());
    }
    let members = value.as_object().ok_or_else(malformed)?;
    let names = |member: &str| -> Result<Vec<String>, OauthError> {
        let Some(member) = members.get(member) else { return Ok(Vec::new()) };
        let claims = member.as_object().ok_or_else(malformed)?;
        // §5.5.1: null, or an object that says more about the claim.
        let well_formed = claims.values().all(|value| value.is_null() || value.is_object());
        if well_formed { Ok(claims.keys().cloned().collect()) } else { Err(malformed()) }
    };
    if !offers(value.pointer("/id_token/acr")) {
        let error = "None of the acr values that the claims parameter calls essential can be offered.";
        return Err(OauthError::new(ErrorCode::AccessDenied, error));
    }
    let claims = RequestedClaims { userinfo: names("userinfo")?, id_token: names("id_token")? };
    let subject = ["id_token", "userinfo"]
        .into_iter()
        .find_map(|member| value.pointer(&format!("/{member}/sub/value"))?.as_str())
        .map(str::to_owned);
    Ok((claims, subject))
}

/// Whether the `acr` asked for is the one there is. §5.5.1.1: an essential one that cannot be met is a
/// failed authentication; a voluntary one is only a wish.
fn offers(acr: Option<&Value>) -> bool {
    let Some(acr) = acr.filter(|acr| acr["essential"] == true) else { return true };
    match (acr.get("value"), acr.get("values").and_then(Value::as_array)) {
        (Some(value), _) => value == ACR,
        (None, Some(values)) => values.iter().any(|value| value == ACR),
        (None, None) => true,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_members_become_names() {
        let text = r#"{"userinfo":{"given_name":{"essential":true},"email":null,"http://x/y":null},
            "id_token":{"auth_time":{"essential":true},"acr":{"values":["a","b"]},"sub":{"value":"abc"}},"other":1}"#;
        let (claims, subject) = parse(text).unwrap();
        assert_eq!((claims.userinfo.len(), claims.id_token.len()), (3, 3));
        assert_eq!(subject.as_deref(), Some("abc"));
        assert_eq!(parse("{}"), Ok((RequestedClaims::default(), None)));
    }

    /// R69, T32
    #[test]
    fn what_is_malformed_or_too_large_is_refused() {
        let deep = format!(r#"{{"userinfo":{{"a":{{"value":{}1{}}}}}}}"#, "[".repeat(900), "]".repeat(900));
        let wide = format!(r#"{{"userinfo":{{"{}":null}}}}"#, "x".repeat(MAX_BYTES));
        for text in [
            "x",
            "[]",
            "1",
            "null",
            r#"{"userinfo":1}"#,
            r#"{"userinfo":[]}"#,
            r#"{"id_token":{"a":1}}"#,
            r#"{"id_token":null}"#,
            "{",
            &deep,
            &wide,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    /// OpenID Connect Core §5.5.1.1
    #[test]
    fn an_essential_acr_that_cannot_be_met_fails_the_authentication() {
        let code =
            |acr: &str| parse(&format!(r#"{{"id_token":{{"acr":{acr}}}}}"#)).err().map(|error| error.code);
        assert_eq!(code(r#"{"essential":true,"values":["gold","aal1"]}"#), None);
        assert_eq!(code(r#"{"essential":true,"value":"aal1"}"#), None);
        assert_eq!(code(r#"{"essential":true}"#), None);
        assert_eq!(code(r#"{"values":["gold"]}"#), None, "a wish only");
        let failed = Some(ErrorCode::AccessDenied);
        assert_eq!(code(r#"{"essential":true,"values":["gold"]}"#), failed);
        assert_eq!(code(r#"{"essential":true,"value":"gold"}"#), failed);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }
    }
}
