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

/// Whether the token opens userinfo (OpenID Connect Core §5.3: `openid`, and the issuer in `aud`).
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
    let shown = shown(user, scopes, asked).map(|(name, value)| (name.to_owned(), value.into_owned()));
    std::iter::once(("sub".to_owned(), Value::String(user.id.to_string()))).chain(shown).collect()
}

/// The same as an answer of userinfo, `sub` first (§5.3.2).
pub fn answer(user: &User, scopes: &Scopes, asked: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut object = Object::begin(&mut out);
    object.plain(name!("sub"), user.id.0.encode(&mut [0; 36]));
    shown(user, scopes, asked).for_each(|(name, value)| object.value(name, &value));
    object.end();
    out
}

/// The claims that are there and may be shown. §5.3.2: those that are not known are left out, never null.
fn shown<'a>(
    user: &'a User,
    scopes: &'a Scopes,
    asked: &'a [String],
) -> impl Iterator<Item = (&'a str, Cow<'a, Value>)> {
    let may_be_shown = move |name| {
        let scope = scope_of(name);
        scope.is_some_and(|scope| scopes.contains(scope) || asked.iter().any(|asked| asked == name))
    };
    let said = user.claims.iter().filter(|(_, value)| !value.is_null());
    let said = said.map(|(name, value)| (name.as_str(), Some(value)));
    let unsaid = OF_ACCOUNT.into_iter().filter(|name| !user.claims.contains_key(*name));
    let all = said.chain(unsaid.map(|name| (name, None))).filter(move |(name, _)| may_be_shown(name));
    all.map(|(name, said)| (name, said.map_or_else(|| Cow::Owned(of_account(user, name)), Cow::Borrowed)))
}

/// The claims that the account answers for, unless the person's own say otherwise.
const OF_ACCOUNT: [&str; 2] = ["preferred_username", "updated_at"];

fn of_account(user: &User, name: &str) -> Value {
    match name {
        "updated_at" => Value::from(user.updated_at.0),
        _ => Value::from(&*user.username),
    }
}

/// The scope that makes a claim visible; `None` if it is no standard claim, which are all that a client may
/// ask for by name (§5.5).
fn scope_of(claim: &str) -> Option<&'static str> {
    SCOPE_CLAIMS.iter().find(|(_, claims)| claims.contains(&claim)).map(|(scope, _)| *scope)
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
        assert_eq!(names("openid", &["updated_at"]), ["sub", "updated_at"]);
    }

    #[test]
    fn what_the_account_says_is_shown_unless_the_claims_say_otherwise() {
        let said = |claims: Value| {
            let user = User { claims: claims.as_object().cloned().unwrap(), ..testing::user() };
            super::claims(&user, &Scopes::parse("profile").unwrap(), &[]).remove("preferred_username")
        };
        assert_eq!(said(serde_json::json!({})), Some(testing::user().username.into()));
        assert_eq!(said(serde_json::json!({"preferred_username": "al"})), Some("al".into()));
        assert_eq!(said(serde_json::json!({"preferred_username": null})), None);
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
