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

/// A refresh token (RFC 6749 §1.5), single-use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Row key.
    pub id: RowId,
    /// Digest of the token.
    pub digest: Digest,
    /// The authorization it belongs to.
    pub family: FamilyId,
    /// The client it was issued to.
    pub client: ClientKey,
    /// When it was issued.
    pub created_at: UnixTime,
    /// It cannot be used from then on: the earlier of idle and absolute lifetime.
    pub expires_at: UnixTime,
    /// The commit that rotated it.
    pub spent_by: Option<CommitId>,
    /// When it was rotated.
    pub spent_at: Option<UnixTime>,
    /// The token that took its place.
    pub successor: Option<RowId>,
    /// Whether the successor is itself spent. Read, never written.
    pub successor_spent: bool,
    /// Digest of the scope and resource that the rotating request asked for.
    pub retry_request: Option<Digest>,
    /// The answer given at rotation, sealed under a key derived from the token itself.
    pub retry_answer: Option<Vec<u8>>,
}

impl RefreshToken {
    /// A token that was not used yet.
    pub fn unspent(
        id: RowId,
        digest: Digest,
        family: &Family,
        created_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self {
            id,
            digest,
            family: family.id,
            client: family.client,
            created_at,
            expires_at,
            spent_by: None,
            spent_at: None,
            successor: None,
            successor_spent: false,
            retry_request: None,
            retry_answer: None,
        }
    }
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
