//! What a node knows of revocations, and how fresh that knowledge is.

use async_trait::async_trait;

use crate::model::*;

/// Everything about a token that a revocation can hit.
#[derive(Clone, Copy, Debug)]
pub struct Revocable {
    /// The access token itself; `None` for families and refresh tokens.
    pub token: Option<TokenId>,
    /// Its family; `None` for tokens without one (client_credentials).
    pub family: Option<FamilyId>,
    /// The client and the epoch the token was issued under.
    pub client: (ClientKey, u32),
    /// The user and the epoch the token was issued under.
    pub user: Option<(UserId, u32)>,
}

impl Revocable {
    /// A family: what its code and its refresh tokens stand and fall with.
    pub fn of_family(family: &Family) -> Self {
        Self {
            token: None,
            family: Some(family.id),
            client: (family.client, family.client_epoch),
            user: Some((family.user, family.user_epoch)),
        }
    }
}

/// The node cannot prove that its knowledge is fresh. Answered with 503 and Retry-After.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node cannot confirm revocations right now")]
pub struct Stale;

/// The revocation index of this node, kept up by the change feed.
#[async_trait]
pub trait RevocationIndex: Send + Sync {
    /// Whether any of it is revoked. Fast path: in memory, when the index is fresh enough.
    /// Otherwise waits for one shared feed read; `Stale` if that fails. With `strict`, always waits
    /// for a feed read begun after this call.
    async fn is_revoked(&self, what: &Revocable, strict: bool) -> Result<bool, Stale>;

    /// The same for many, with one freshness check.
    async fn are_revoked(&self, what: &[Revocable], strict: bool) -> Result<Vec<bool>, Stale>;

    /// Waits until the node may answer from memory; `Stale` if it cannot. What hangs on other knowledge
    /// that the feed brings, such as the signing keys, is looked at after this.
    async fn confirm_fresh(&self) -> Result<(), Stale>;

    /// Whether the node may answer from memory right now; readiness depends on it.
    fn is_fresh(&self) -> bool;
}
