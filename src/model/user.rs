//! People, their sign-ins and what they agreed to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ClientKey, Digest, Id, Scopes, SessionId, UnixTime, UserId};

/// A person who can sign in.
///
/// The store keeps it as one JSON document. What an older document lacks is as in [`User::default`], and
/// what a newer version added stays in [`unknown_fields`](Self::unknown_fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Row key and, as text, the `sub` claim.
    pub id: UserId,
    /// The name used to sign in, NFKC and lower case.
    pub username: String,
    /// Argon2id PHC string; `None` if the user has no password yet.
    #[serde(skip)]
    pub password: Option<String>,
    /// Disabled users cannot sign in and their tokens are dead.
    pub enabled: bool,
    /// Raised when everything issued so far must die.
    pub epoch: u32,
    /// The standard claims (OpenID Connect Core §5.1) that are known, `sub` excepted.
    pub claims: Map<String, Value>,
    /// When the user was made.
    pub created_at: UnixTime,
    /// When the user was last changed.
    pub updated_at: UnixTime,
    /// Fields of a newer version's document, which an edit by this version must not drop.
    #[serde(flatten)]
    pub unknown_fields: Map<String, Value>,
}

/// A user without a name, a password or a claim: where every record begins, and what a stored document
/// means by a field that it does not have. A new field's value here must grant nothing.
impl Default for User {
    fn default() -> Self {
        Self {
            id: UserId::default(),
            username: String::new(),
            password: None,
            enabled: true,
            epoch: 0,
            claims: Map::new(),
            created_at: UnixTime::default(),
            updated_at: UnixTime::default(),
            unknown_fields: Map::new(),
        }
    }
}

/// A browser's sign-in. The cookie holds 256 random bits, the store their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Row key and, as text, the `sid` claim.
    pub id: SessionId,
    /// Digest of the cookie's value.
    pub digest: Digest,
    /// Who signed in.
    pub user: UserId,
    /// The user's epoch at sign-in.
    pub user_epoch: u32,
    /// When the person proved who they are (`auth_time`).
    pub auth_time: UnixTime,
    /// How (RFC 8176), for example `pwd`.
    pub amr: Vec<String>,
    /// The browser's `User-Agent`, shortened, so that people recognise their sessions.
    pub user_agent: String,
    /// When it was last used; moved at most once a minute.
    pub seen_at: UnixTime,
    /// It ends then in any case.
    pub expires_at: UnixTime,
}

/// A consent: user + client + scopes, remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Row key.
    pub id: Id,
    /// Who agreed.
    pub user: UserId,
    /// To what the client may do.
    pub client: ClientKey,
    /// The scopes agreed to.
    pub scopes: Scopes,
    /// The resources agreed to.
    pub resources: Vec<String>,
    /// When it was first given.
    pub created_at: UnixTime,
    /// When it was last widened.
    pub updated_at: UnixTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    /// The document of a user as the first version stored it. It is never changed: stores hold such rows.
    const FIRST: &str = r#"{"id":"00000000-0001-0707-0707-070707070707","username":"alice","enabled":true,
        "epoch":3,"claims":{"email":"alice@example.org","email_verified":true},"created_at":1,"updated_at":2}"#;

    #[test]
    fn the_first_versions_document_is_still_read() {
        let user: User = serde_json::from_str(FIRST).expect("a user");
        let claims = serde_json::json!({ "email": "alice@example.org", "email_verified": true });
        let expected = User {
            id: UserId(Id::new(1, [7; 10])),
            username: "alice".into(),
            epoch: 3,
            claims: claims.as_object().cloned().expect("an object"),
            created_at: UnixTime(1),
            updated_at: UnixTime(2),
            ..User::default()
        };
        assert_eq!(User { id: expected.id, ..user }, expected);
    }

    #[test]
    fn a_newer_versions_field_is_stored_again_as_it_was() {
        let user: User = serde_json::from_str(r#"{"username":"alice","must_change":true}"#).expect("a user");
        let stored = serde_json::to_value(&user).expect("a document");
        assert_eq!(stored["must_change"], true);
    }
}
