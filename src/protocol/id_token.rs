//! OpenID Connect Core §2 — the ID token's claims.

use serde_json::{Map, Value, json};

use super::userinfo;
use crate::{
    crypto::digest::left_half,
    model::{Client, Family, Scopes, UnixTime, User},
};

/// The `typ` of ID tokens.
pub const JWT_TYPE: &str = "JWT";

/// The one authentication context class there is: a password, one factor.
pub const ACR: &str = "aal1";

/// What an ID token is made of.
#[derive(Clone, Copy, Debug)]
pub struct IdToken<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// Whom it is for.
    pub client: &'a Client,
    /// The person who signed in.
    pub user: &'a User,
    /// The authorization.
    pub family: &'a Family,
    /// `nonce`, in the answer to a code only.
    pub nonce: Option<&'a str>,
    /// The access token it comes with.
    pub access_token: &'a str,
    /// `iat`.
    pub now: UnixTime,
    /// Seconds.
    pub lifetime: u64,
}

impl IdToken<'_> {
    /// The claims as JSON.
    pub fn claims(&self) -> Vec<u8> {
        // §5.4: with an access token, the scopes' claims are at userinfo; only what the `claims`
        // parameter's id_token member asked for is here (§5.5).
        let mut claims: Map<String, Value> =
            userinfo::claims(self.user, &Scopes::default(), &self.family.claims.id_token);
        let own = json!({
            "iss": self.issuer,
            // The audience is this client alone, so `azp` is not due (§2).
            "aud": self.client.client_id,
            "exp": self.now.plus(self.lifetime).0,
            "iat": self.now.0,
            "auth_time": self.family.auth_time.0,
            "acr": ACR,
            "amr": self.family.amr,
            "at_hash": left_half(self.client.id_token_alg, self.access_token), // §3.1.3.6
        });
        claims.extend(own.as_object().cloned().unwrap_or_default());
        if let Some(nonce) = self.nonce {
            claims.insert("nonce".into(), nonce.into());
        }
        if let Some(session) = self.family.session {
            claims.insert("sid".into(), session.to_string().into());
        }
        serde_json::to_vec(&claims).expect("a JSON map becomes JSON")
    }
}

/// What a verified ID token hint says (OpenID Connect RP-Initiated Logout §2; Core §3.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Hint {
    /// `iss`.
    pub iss: String,
    /// `sub`.
    pub sub: String,
    /// The client it was issued to.
    pub aud: String,
    /// The session, if it had one.
    #[serde(default)]
    pub sid: Option<String>,
}

/// Reads the payload of a hint whose signature was verified. An expired hint is still a hint.
pub fn read_hint(payload: &[u8], issuer: &str) -> Option<Hint> {
    serde_json::from_slice::<Hint>(payload).ok().filter(|hint| hint.iss == issuer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::*,
        protocol::grants::testing::{family, user},
    };

    fn token(nonce: Option<&str>) -> Value {
        let (client, user) = (Client::example(), user());
        let claims = RequestedClaims { id_token: vec!["email".into()], userinfo: vec![] };
        let family = Family { session: Some(SessionId(Id::new(1, [6; 10]))), claims, ..family() };
        let user = User {
            claims: json!({"email": "a@example.org", "name": "Alice"}).as_object().cloned().unwrap(),
            ..user
        };
        let token = IdToken {
            issuer: "https://id.example",
            client: &client,
            user: &user,
            family: &family,
            nonce,
            // OpenID Connect Core Appendix A.3
            access_token: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
            now: UnixTime(1_000),
            lifetime: 900,
        };
        serde_json::from_slice(&token.claims()).unwrap()
    }

    #[test]
    fn it_says_who_signed_in_when_and_how() {
        let claims = token(Some("n-0S6"));
        assert_eq!(claims["iss"], "https://id.example");
        assert_eq!(claims["aud"], "example");
        assert_eq!(
            (&claims["iat"], &claims["exp"], &claims["auth_time"]),
            (&json!(1000), &json!(1900), &json!(900))
        );
        assert_eq!((&claims["nonce"], &claims["amr"]), (&json!("n-0S6"), &json!(["pwd"])));
        assert_eq!(claims["at_hash"], "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!((&claims["email"], claims.get("name")), (&json!("a@example.org"), None));
        assert!(claims["sid"].is_string());
    }

    #[test]
    fn a_hint_counts_for_its_issuer_only() {
        let payload = serde_json::to_vec(&token(None)).unwrap();
        assert!(read_hint(&payload, "https://id.example").is_some());
        assert!(read_hint(&payload, "https://other.example").is_none());
    }
}
