//! OpenID Connect Core §5 — claims about the person, at userinfo and in ID tokens.

use serde_json::{Map, Value};

use super::{ErrorCode, OauthError, access_token::AccessClaims};
use crate::model::{Scopes, User};

/// What each scope makes visible (OpenID Connect Core §5.4). Discovery derives from this table.
pub const SCOPE_CLAIMS: &[(&str, &[&str])] = &[
    ("openid", &[]),
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
    ("offline_access", &[]),
];

/// Whether a claim is one of the standard claims a client may ask for by name (§5.5).
pub fn is_standard_claim(name: &str) -> bool {
    SCOPE_CLAIMS.iter().any(|(_, claims)| claims.contains(&name))
}

/// Whether the token opens userinfo (DESIGN §9: `openid`, and the issuer in `aud`).
pub fn permitted(token: &AccessClaims, issuer: &str) -> Result<(), OauthError> {
    if !token.audience.iter().any(|audience| audience == issuer) {
        return Err(OauthError::new(
            ErrorCode::InvalidToken,
            "The access token is not meant for this server.",
        ));
    }
    if token.user.is_none() || !token.scopes.contains("openid") {
        return Err(OauthError::new(
            ErrorCode::InsufficientScope,
            "The access token lacks the scope openid.",
        ));
    }
    Ok(())
}

/// The claims that scopes and the `claims` parameter make visible, `sub` first (§5.3.2).
pub fn claims(user: &User, scopes: &Scopes, asked: &[String]) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("sub".into(), Value::String(user.id.to_string()));
    let by_scope = SCOPE_CLAIMS
        .iter()
        .filter(|(scope, _)| scopes.contains(scope))
        .flat_map(|(_, claims)| claims.iter().copied());
    for name in by_scope.chain(asked.iter().map(String::as_str).filter(|name| is_standard_claim(name))) {
        // §5.3.2: claims that are not known are left out, never null.
        if let Some(value) = value_of(user, name) {
            shown.insert(name.to_owned(), value);
        }
    }
    shown
}

fn value_of(user: &User, name: &str) -> Option<Value> {
    match (user.claims.get(name), name) {
        (Some(Value::Null), _) => None,
        (Some(value), _) => Some(value.clone()),
        (None, "preferred_username") => Some(Value::String(user.username.clone())),
        (None, "updated_at") => Some(Value::from(user.updated_at.0)),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{access_token, grants::testing};

    fn alice() -> User {
        let claims = serde_json::json!({"name": "Alice", "email": "a@example.org", "phone_number": null});
        User { claims: claims.as_object().cloned().unwrap(), ..testing::user() }
    }

    fn names(scopes: &str, asked: &[&str]) -> Vec<String> {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        claims(&alice(), &Scopes::parse(scopes).unwrap(), &asked).keys().cloned().collect()
    }

    #[test]
    fn scopes_and_requested_claims_decide_what_is_shown() {
        assert_eq!(names("openid", &[]), ["sub"]);
        assert_eq!(names("openid email phone", &[]), ["email", "sub"]);
        assert_eq!(names("openid", &["name", "password", "epoch"]), ["name", "sub"]);
        assert_eq!(names("openid profile", &[]), ["name", "preferred_username", "sub", "updated_at"]);
    }

    #[test]
    fn a_token_must_be_meant_for_the_issuer_and_carry_openid() {
        let token = access_token::tests::claims();
        let code =
            |token: &AccessClaims| permitted(token, "https://id.example").err().map(|error| error.code);
        assert_eq!(code(&token), None);
        let elsewhere = AccessClaims { audience: vec!["urn:a".into()], ..token.clone() };
        assert_eq!(code(&elsewhere), Some(ErrorCode::InvalidToken));
        let narrow = AccessClaims { scopes: Scopes::parse("read").unwrap(), ..token };
        assert_eq!(code(&narrow), Some(ErrorCode::InsufficientScope));
    }
}
