//! RFC 7662 — token introspection: what is said, and to whom.

use super::{
    access_token::{AccessClaims, Audience, Subject},
    grants::PresentedToken,
    json::{Object, name},
    standing,
};
use crate::model::*;

/// What is said of a token that is unknown, expired, revoked, foreign or mangled: the answer does not say
/// which (RFC 7662 §2.2).
pub const INACTIVE: &[u8] = b"{\"active\":false}";

/// What is said about a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFacts {
    /// The client it was issued to.
    pub client_id: String,
    /// The person.
    pub user: UserId,
    /// The scopes it can ask for.
    pub scopes: Scopes,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
}

/// An access token is visible to its client, to the owner of one of its audiences, and
/// to clients with `introspect_any`.
pub fn visible(token: &AccessClaims, caller: &Client, owners: &[ClientKey]) -> bool {
    token.client == caller.key || caller.introspect_any || owners.contains(&caller.key)
}

/// What is said about a refresh token, if it is the current one of its family, valid, and the caller's: a
/// refresh token is visible only to the client it was issued to.
pub fn refresh_facts(
    presented: &PresentedToken,
    family: &Family,
    user: &User,
    caller: &Client,
    now: UnixTime,
) -> Option<RefreshFacts> {
    let rotation = &presented.rotation;
    let valid = presented.is_current()
        && rotation.stands
        && now < rotation.expires_at
        && standing::authorization_is_valid(family, caller, user, now);
    valid.then(|| RefreshFacts {
        client_id: caller.client_id.clone(),
        user: user.id,
        scopes: family.scopes.clone(),
        issued_at: rotation.issued_at,
        expires_at: rotation.expires_at,
    })
}

impl AccessClaims {
    /// Appends what is said about a valid access token, as JSON.
    pub fn write_introspection(&self, issuer: &str, out: &mut Vec<u8>) {
        let times = (self.expires_at, self.issued_at);
        let mut said = active(out, &self.scopes, &self.client_id, "Bearer", times);
        match self.subject() {
            Subject::User(user) => said.plain(name!("sub"), user.0.encode(&mut [0; 36])),
            Subject::Client(client_id) => said.text(name!("sub"), client_id),
        }
        match Audience::of(&self.audience) {
            Audience::One(one) => said.text(name!("aud"), one),
            Audience::Many(many) => said.texts(name!("aud"), many.iter().map(String::as_str)),
        }
        said.text(name!("iss"), issuer);
        said.plain(name!("jti"), self.token.0.encode(&mut [0; 36]));
        said.end();
    }
}

impl RefreshFacts {
    /// Appends what is said about a valid refresh token, as JSON.
    pub fn write_introspection(&self, issuer: &str, out: &mut Vec<u8>) {
        let times = (self.expires_at, self.issued_at);
        let mut said = active(out, &self.scopes, &self.client_id, "refresh_token", times);
        said.plain(name!("sub"), self.user.0.encode(&mut [0; 36]));
        said.text(name!("iss"), issuer);
        said.end();
    }
}

/// The beginning of what is said about every valid token (RFC 7662 §2.2); the times are `exp` and `iat`.
fn active<'o>(
    out: &'o mut Vec<u8>,
    scopes: &Scopes,
    client_id: &str,
    token_type: &str,
    (expires_at, issued_at): (UnixTime, UnixTime),
) -> Object<'o> {
    let mut said = Object::begin(out);
    said.yes(name!("active"));
    said.plain(name!("scope"), scopes.as_str());
    said.text(name!("client_id"), client_id);
    said.plain(name!("token_type"), token_type);
    said.number(name!("exp"), expires_at.0);
    said.number(name!("iat"), issued_at.0);
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{access_token::tests::claims, grants::testing};

    #[test]
    fn an_active_access_token_is_described() {
        let mut said = Vec::new();
        claims().write_introspection("https://id.example", &mut said);
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let expected = serde_json::json!({
            "active": true, "scope": "openid read", "client_id": "example", "token_type": "Bearer",
            "exp": 1900, "iat": 1000, "sub": claims().user.unwrap().0.to_string(),
            "aud": ["urn:a", "https://id.example"], "iss": "https://id.example", "jti": claims().token.to_string(),
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn an_inactive_token_is_not_described() {
        let said: serde_json::Value = serde_json::from_slice(INACTIVE).unwrap();
        assert_eq!(said, serde_json::json!({"active": false}));
    }

    /// R40
    #[test]
    fn a_token_is_visible_to_its_client_the_owner_of_an_audience_and_the_trusted() {
        let stranger = Client { key: ClientKey(Id::new(9, [9; 10])), ..Client::example() };
        assert!(visible(&claims(), &Client::example(), &[]));
        assert!(!visible(&claims(), &stranger, &[]));
        assert!(visible(&claims(), &stranger, &[stranger.key]));
        assert!(visible(&claims(), &Client { introspect_any: true, ..stranger }, &[]));
    }

    /// R40
    #[test]
    fn a_refresh_token_is_visible_to_its_client_only() {
        let (family, user, client) = (testing::family(), testing::user(), Client::example());
        let token = RefreshToken { family: family.id, generation: 1, digest: Digest([1; 32]) };
        let rotation = Rotation {
            current: token,
            issued_at: UnixTime(990),
            expires_at: UnixTime(2_000),
            stands: true,
            last: None,
        };
        let token = PresentedToken { token, rotation };
        let see = |token: &PresentedToken, caller: &Client, now| {
            refresh_facts(token, &family, &user, caller, UnixTime(now)).is_some()
        };
        assert!(see(&token, &client, 1_000));
        assert!(!see(&token, &client, 2_000), "expired");
        let trusted = Client { key: ClientKey::default(), introspect_any: true, ..client.clone() };
        assert!(!see(&token, &trusted, 1_000));
        let other = |generation, digest| PresentedToken {
            token: RefreshToken { generation, digest: Digest([digest; 32]), ..token.token },
            ..token.clone()
        };
        for (generation, digest) in [(0, 0), (0, 1), (1, 0), (2, 2)] {
            assert!(
                !see(&other(generation, digest), &client, 1_000),
                "{generation}, {digest}: not the current one"
            );
        }
        let rotation = Rotation { stands: false, ..token.rotation.clone() };
        assert!(!see(&PresentedToken { rotation, ..token }, &client, 1_000), "its family has fallen");
    }
}
