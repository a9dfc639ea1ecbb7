//! OpenID Connect Core §5 — claims about the person, at userinfo and in ID tokens.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    ErrorCode, OauthError,
    access_token::AccessClaims,
    json::{Object, name},
};
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

/// The claims that scopes and the `claims` parameter make visible, for an ID token.
pub fn claims(user: &User, scopes: &Scopes, asked: &[String]) -> Map<String, Value> {
    let shown =
        visible(scopes, asked).filter_map(|name| Some((name.to_owned(), value_of(user, name)?.into_owned())));
    std::iter::once(("sub".to_owned(), Value::String(user.id.to_string()))).chain(shown).collect()
}

/// The same as an answer of userinfo, `sub` first (§5.3.2).
pub fn answer(user: &User, scopes: &Scopes, asked: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut object = Object::begin(&mut out);
    object.plain(name!("sub"), user.id.0.encode(&mut [0; 36]));
    for name in visible(scopes, asked) {
        if let Some(value) = value_of(user, name) {
            object.value(name, &value);
        }
    }
    object.end();
    out
}

/// The names of the claims that may be shown, each once.
fn visible<'a>(scopes: &'a Scopes, asked: &'a [String]) -> impl Iterator<Item = &'a str> {
    let by_scope =
        || SCOPE_CLAIMS.iter().filter(|(scope, _)| scopes.contains(scope)).flat_map(|(_, claims)| *claims);
    let by_name = asked.iter().enumerate().filter(move |(at, name)| {
        let before = asked[..*at].contains(name) || by_scope().any(|shown| shown == name);
        is_standard_claim(name) && !before
    });
    by_scope().copied().chain(by_name.map(|(_, name)| name.as_str()))
}

/// §5.3.2: claims that are not known are left out, never null.
fn value_of<'u>(user: &'u User, name: &str) -> Option<Cow<'u, Value>> {
    match (user.claims.get(name), name) {
        (Some(Value::Null), _) => None,
        (Some(value), _) => Some(Cow::Borrowed(value)),
        (None, "preferred_username") => Some(Cow::Owned(Value::String(user.username.clone()))),
        (None, "updated_at") => Some(Cow::Owned(Value::from(user.updated_at.0))),
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
    fn an_answer_says_what_the_claims_are_and_sub_first() {
        let asked = ["name", "email", "name", "phone_number", "password"].map(str::to_owned);
        for scopes in ["openid", "openid email", "openid profile email address phone"] {
            let scopes = Scopes::parse(scopes).unwrap();
            let answer = answer(&alice(), &scopes, &asked);
            assert!(answer.starts_with(b"{\"sub\":\""));
            let text = String::from_utf8(answer).unwrap();
            assert_eq!(text.matches("\"name\"").count(), 1, "{text}");
            let read: Map<String, Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, claims(&alice(), &scopes, &asked));
        }
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
