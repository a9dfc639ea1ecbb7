//! What an authorization leaves behind: families, codes, refresh tokens, revocations.

use serde::{Deserialize, Serialize};

use super::{ClientKey, CommitId, Digest, FamilyId, Id, RowId, Scopes, SessionId, UnixTime, UserId};

/// The `claims` request parameter (OpenID Connect Core §5.5), reduced to the names asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedClaims {
    /// Names in the `userinfo` member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub userinfo: Vec<String>,
    /// Names in the `id_token` member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id_token: Vec<String>,
}

/// One authorization: its code and every token descended from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Row key; it is in each of the family's tokens.
    pub id: FamilyId,
    /// The client it was given to.
    pub client: ClientKey,
    /// The client's epoch when it began.
    pub client_epoch: u32,
    /// The person who gave it.
    pub user: UserId,
    /// The person's epoch when it began.
    pub user_epoch: u32,
    /// The sign-in it was given in.
    pub session: Option<SessionId>,
    /// The scopes granted.
    pub scopes: Scopes,
    /// The resources granted (RFC 8707); empty means the client's default audience.
    pub resources: Vec<String>,
    /// The `claims` parameter's members.
    pub claims: RequestedClaims,
    /// When the person signed in.
    pub auth_time: UnixTime,
    /// How the person signed in (RFC 8176).
    pub amr: Vec<String>,
    /// Whether refresh tokens are issued for it.
    pub refreshable: bool,
    /// When it began.
    pub created_at: UnixTime,
    /// No token of it lives past this moment.
    pub expires_at: UnixTime,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
}

/// An authorization code (RFC 6749 §4.1.2). Bound to everything its request said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Row key.
    pub id: RowId,
    /// Digest of the code.
    pub digest: Digest,
    /// The authorization it stands for.
    pub family: FamilyId,
    /// The client it was issued to.
    pub client: ClientKey,
    /// The exact `redirect_uri` it was sent to.
    pub redirect_uri: String,
    /// The S256 `code_challenge` (RFC 7636 §4.2).
    pub challenge: Option<String>,
    /// The `nonce` for the ID token.
    pub nonce: Option<String>,
    /// When it was issued.
    pub created_at: UnixTime,
    /// It cannot be redeemed from then on.
    pub expires_at: UnixTime,
    /// The commit that redeemed it.
    pub spent_by: Option<CommitId>,
}

/// What a refresh token says of itself (RFC 6749 §1.5): the row it names, and which it was of that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The authorization it belongs to, whose row it names.
    pub family: FamilyId,
    /// How many of the family's tokens came before it.
    pub generation: u64,
    /// Digest of the token.
    pub digest: Digest,
}

impl RefreshToken {
    /// The token that takes its place.
    pub fn successor(&self, digest: Digest) -> Self {
        Self { generation: self.generation + 1, digest, ..*self }
    }
}

/// Where the refresh tokens of a family stand: one row a family, however often they are rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The only token that can be used.
    pub current: RefreshToken,
    /// When it was issued, which is when the one before it was spent.
    pub issued_at: UnixTime,
    /// It cannot be used from then on: the earlier of idle and absolute lifetime.
    pub expires_at: UnixTime,
    /// Whether family, user and client stood in the primary when the row was read. Read, never written.
    pub stands: bool,
    /// How the current token came to be; `None` for the first one.
    pub last: Option<LastRotation>,
}

/// The last rotation of a family's refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRotation {
    /// Digest of the token that was spent.
    pub previous: Digest,
    /// Digest of the scope and resource that its request asked for.
    pub request: Digest,
    /// The commit that did it.
    pub by: CommitId,
    /// How many seconds ago that was, by the store's clock; `None` if that clock was set back since.
    pub age: Option<u64>,
    /// The answer that was given, sealed under a key derived from the spent token. Only read for that
    /// token, and kept for a minute.
    pub answer: Option<Vec<u8>>,
}

/// Seconds from a moment to now, for two readings of one clock that was not set back between them. It
/// may be adjusted by less than a second.
pub fn age(now: UnixTime, since: UnixTime) -> Option<u64> {
    now.plus(1).0.checked_sub(since.0).map(|age| age.saturating_sub(1))
}

/// What a row of `revocations` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RevocationKind {
    /// One access token.
    Token = 1,
    /// A whole family.
    Family = 2,
    /// Every token of a user below an epoch.
    User = 3,
    /// Every token of a client below an epoch.
    Client = 4,
}

impl RevocationKind {
    /// Reads the stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Token, Self::Family, Self::User, Self::Client].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One entry of the revocation index, and the row it is loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What `id` names.
    pub kind: RevocationKind,
    /// The token, family, user or client.
    pub id: Id,
    /// For users and clients: tokens below this epoch are dead. Otherwise 0.
    pub epoch: u32,
    /// The client concerned, for the cap on live entries; nil for users.
    pub client: ClientKey,
    /// The entry may be forgotten then: nothing it concerns is alive any more.
    pub expires_at: UnixTime,
}
