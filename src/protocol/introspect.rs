//! RFC 7662 — token introspection: what is said, and to whom.

use super::{
    access_token::{AccessClaims, Audience, Subject},
    json::Object,
};
use crate::model::*;

/// The answer about one token (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// Unknown, expired, revoked, foreign or mangled: nobody learns which.
    Inactive,
    /// A living access token.
    Access(Box<AccessClaims>),
    /// A living refresh token.
    Refresh(Box<RefreshFacts>),
}

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

/// DESIGN §9: an access token is visible to its client, to the owner of one of its audiences, and
/// to clients with `introspect_any`.
pub fn visible(token: &AccessClaims, caller: &Client, owners: &[ClientKey]) -> bool {
    token.client == caller.key || caller.introspect_any || owners.contains(&caller.key)
}

/// Whether a refresh token stands: unspent, unexpired, of this caller (a refresh token is visible
/// only to the client it was issued to), its authorization alive.
pub fn refresh_facts(
    token: &RefreshToken,
    family: &Family,
    user: &User,
    caller: &Client,
    now: UnixTime,
) -> Option<RefreshFacts> {
    let stands = token.client == caller.key
        && token.spent_by.is_none()
        && now < token.expires_at
        && now < family.expires_at
        && family.revoked_at.is_none()
        && family.client_epoch == caller.epoch
        && family.user_epoch == user.epoch
        && user.enabled;
    stands.then(|| RefreshFacts {
        client_id: caller.client_id.clone(),
        user: user.id,
        scopes: family.scopes.clone(),
        issued_at: token.created_at,
        expires_at: token.expires_at,
    })
}

impl Introspection {
    /// Whether the token is active.
    pub fn is_active(&self) -> bool {
        !matches!(self, Self::Inactive)
    }

    /// Appends the answer as JSON.
    pub fn write_json(&self, issuer: &str, out: &mut Vec<u8>) {
        match self {
            Self::Inactive => out.extend_from_slice(INACTIVE),
            Self::Access(claims) => claims.write_introspection(issuer, out),
            Self::Refresh(facts) => facts.write_introspection(issuer, out),
        }
    }
}

/// RFC 7662 §2.2: nothing else about an inactive token.
pub const INACTIVE: &[u8] = b"{\"active\":false}";

impl AccessClaims {
    /// Appends what is said about a living access token, as JSON.
    pub fn write_introspection(&self, issuer: &str, out: &mut Vec<u8>) {
        let mut said = Object::begin(out);
        said.yes("active");
        said.text("scope", self.scopes.as_str());
        said.text("client_id", &self.client_id);
        said.text("token_type", "Bearer");
        said.number("exp", self.expires_at.0);
        said.number("iat", self.issued_at.0);
        match self.subject() {
            Subject::User(user) => said.text("sub", user.0.encode(&mut [0; 36])),
            Subject::Client(client_id) => said.text("sub", client_id),
        }
        match Audience::of(&self.audience) {
            Audience::One(one) => said.text("aud", one),
            Audience::Many(many) => said.texts("aud", many.iter().map(String::as_str)),
        }
        said.text("iss", issuer);
        said.text("jti", self.token.0.encode(&mut [0; 36]));
        said.end();
    }
}

impl RefreshFacts {
    /// Appends what is said about a living refresh token, as JSON.
    pub fn write_introspection(&self, issuer: &str, out: &mut Vec<u8>) {
        let mut said = Object::begin(out);
        said.yes("active");
        said.text("scope", self.scopes.as_str());
        said.text("client_id", &self.client_id);
        said.text("token_type", "refresh_token");
        said.number("exp", self.expires_at.0);
        said.number("iat", self.issued_at.0);
        said.text("sub", self.user.0.encode(&mut [0; 36]));
        said.text("iss", issuer);
        said.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{access_token::tests::claims, grants::testing};

    fn json(introspection: &Introspection) -> serde_json::Value {
        let mut out = Vec::new();
        introspection.write_json("https://id.example", &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_active_access_token_is_described() {
        let said = json(&Introspection::Access(Box::new(claims())));
        let expected = serde_json::json!({
            "active": true, "scope": "openid read", "client_id": "example", "token_type": "Bearer",
            "exp": 1900, "iat": 1000, "sub": claims().user.unwrap().0.to_string(),
            "aud": ["urn:a", "https://id.example"], "iss": "https://id.example", "jti": claims().token.to_string(),
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn an_inactive_token_is_not_described() {
        assert_eq!(json(&Introspection::Inactive), serde_json::json!({"active": false}));
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
        let token =
            RefreshToken::unspent(RowId::default(), Digest([0; 32]), &family, UnixTime(990), UnixTime(2_000));
        let see = |token: &RefreshToken, caller: &Client, now| {
            refresh_facts(token, &family, &user, caller, UnixTime(now)).is_some()
        };
        assert!(see(&token, &client, 1_000));
        assert!(!see(&token, &client, 2_000), "expired");
        let trusted = Client { key: ClientKey::default(), introspect_any: true, ..client.clone() };
        assert!(!see(&token, &trusted, 1_000));
        let spent = RefreshToken { spent_by: Some(CommitId::default()), ..token };
        assert!(!see(&spent, &client, 1_000));
    }
}
