//! People, their sign-ins and what they agreed to.

use serde::{Deserialize, Serialize};

use super::{ClientKey, Digest, Id, Scopes, SessionId, UnixTime, UserId};

/// A person who can sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// When the user was made.
    pub created_at: UnixTime,
    /// When the user was last changed.
    pub updated_at: UnixTime,
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
