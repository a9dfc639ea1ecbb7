//! Writes as data: what a commit spends, and its effects.

use async_trait::async_trait;

use super::{Change, CommitError};
use crate::model::*;

/// One atomic write. Either all of it is durable when `commit` returns `Ok`, or nothing of it is.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Unique; what is spent is marked with it.
    pub id: CommitId,
    /// The moment of the decision.
    pub at: UnixTime,
    /// What may be used only once.
    pub spend: Option<Spend>,
    /// Applied in order, after the spend.
    pub effects: Vec<Effect>,
}

/// Something that can be used once. The store decides who was first.
#[derive(Clone, Debug)]
pub enum Spend {
    /// An authorization code.
    Code(RowId),
    /// A refresh token that is rotated. Nothing is written unless it is the current one of its family, not
    /// expired, and family, user and client stand in the primary in the same statement (`AlreadySpent`).
    Refresh {
        /// The token presented.
        token: RefreshToken,
        /// Digest of the token that takes its place, one generation higher.
        successor: Digest,
        /// When that expires.
        expires_at: UnixTime,
        /// Digest of the requested scope and resource.
        retry_request: Digest,
        /// The answer, sealed under a key derived from the presented token; `None`: no retry window.
        retry_answer: Option<Vec<u8>>,
    },
    /// A one-time value that has no row of its own (a login transaction).
    Once {
        /// Its id.
        id: Id,
        /// The record may be deleted then.
        expires_at: UnixTime,
    },
}

/// One change to the data.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A new client; `Conflict("client")` if its `client_id` is taken.
    InsertClient(Box<Client>),
    /// Replaces everything but key, `client_id`, `enabled`, `epoch` and `created_at`;
    /// `Changed("client")` if it is not what it was when it was read.
    UpdateClient {
        /// What was read.
        from: Box<Client>,
        /// What it becomes.
        to: Box<Client>,
    },
    /// Enables or disables a client.
    SetClientEnabled(ClientKey, bool),
    /// Raises a client's epoch by one: every token issued so far is dead.
    RaiseClientEpoch {
        /// Whose.
        client: ClientKey,
        /// When the last token below the new epoch has expired.
        until: UnixTime,
    },
    /// Deletes a client with its families, codes, refresh tokens and consents.
    /// Its tokens must die too: give `RaiseClientEpoch` first.
    DeleteClient(ClientKey),
    /// A new resource; `Conflict("resource")` if its URI is taken.
    InsertResource(Resource),
    /// Deletes a resource.
    DeleteResource(String),
    /// A new user; `Conflict("user")` if the name is taken.
    InsertUser(Box<User>),
    /// Sets a password (a PHC string).
    SetPassword {
        /// Whose.
        user: UserId,
        /// Argon2id PHC string.
        password: String,
    },
    /// Replaces a password's hash by one with raised parameters, if it is still `from`.
    RehashPassword {
        /// Whose.
        user: UserId,
        /// The PHC string that was verified.
        from: String,
        /// The new one.
        to: String,
    },
    /// Enables or disables a user.
    SetUserEnabled(UserId, bool),
    /// Raises a user's epoch by one: every token, family and session so far is dead.
    RaiseUserEpoch {
        /// Whose.
        user: UserId,
        /// When the last token below the new epoch has expired.
        until: UnixTime,
    },
    /// Deletes a user with everything that belongs to the user. Give `RaiseUserEpoch` first.
    DeleteUser(UserId),
    /// A new family.
    InsertFamily(Box<Family>),
    /// Revokes one family, by id. Revoking a revoked or unknown family is no error.
    RevokeFamily {
        /// Which.
        family: FamilyId,
        /// Its client.
        client: ClientKey,
        /// When its last access token has expired.
        until: UnixTime,
    },
    /// Revokes every live family of a user that matches.
    RevokeFamilies {
        /// Whose.
        user: UserId,
        /// Only those of this client.
        client: Option<ClientKey>,
        /// Only those begun in this session.
        session: Option<SessionId>,
        /// Spare those with `offline_access`.
        keep_offline: bool,
        /// When their last access token has expired.
        until: UnixTime,
    },
    /// Revokes one access token.
    RevokeToken {
        /// Which.
        token: TokenId,
        /// Its client.
        client: ClientKey,
        /// When it has expired.
        until: UnixTime,
    },
    /// A new code.
    InsertCode(Box<Code>),
    /// The first refresh token of a family; `Missing("family")` unless family, user and client stand.
    InsertRefreshToken {
        /// The token.
        token: RefreshToken,
        /// When it expires.
        expires_at: UnixTime,
    },
    /// A new session.
    InsertSession(Box<Session>),
    /// Moves a session's `seen_at`. Not a change other nodes hear of.
    TouchSession(SessionId, UnixTime),
    /// Ends a session. Ending an ended session is no error.
    EndSession(SessionId),
    /// Ends every session of a user.
    EndSessions(UserId),
    /// Remembers a consent; scopes and resources are added to what is remembered.
    PutConsent(Consent),
    /// Forgets a consent.
    DeleteConsent(UserId, ClientKey),
    /// A new signing key; `Conflict("key")` if the `kid` is taken, or if its algorithm already has
    /// a key in the state `next` or (for a new active key) `active`.
    InsertKey(SigningKey),
    /// Moves a key on; `Conflict("key")` if it is not in the state `from`.
    SetKeyState {
        /// Which.
        kid: String,
        /// The state it must be in.
        from: KeyState,
        /// The state it is in afterwards; the matching time column is set to the commit's time.
        to: KeyState,
    },
    /// Seals a signing key's private half anew, under another master key; `Changed("key")` if what is
    /// stored is no longer `from`. Tells nobody: it is the same key.
    ResealKey {
        /// Which.
        kid: String,
        /// The sealed value that was opened.
        from: Vec<u8>,
        /// The same key, sealed anew.
        to: Vec<u8>,
    },
}

/// What a commit did.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// The rows written to the change feed, for this node to apply before it answers.
    pub changes: Vec<Change>,
}

/// Writing.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Does a commit. It is durable when this returns `Ok`.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError>;
}
