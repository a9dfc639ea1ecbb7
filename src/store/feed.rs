//! The change feed: what other nodes must hear of, in commit order.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::model::*;

/// A durable change that nodes must hear of. Stored as JSON in `changes.body`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A token, family, or the epoch of a user or client.
    Revoked {
        /// `RevocationKind` as a number.
        what: u8,
        /// The token, family, user or client.
        id: Id,
        /// For users and clients.
        epoch: u32,
        /// The client concerned; nil for users.
        client: ClientKey,
        /// When the entry may be forgotten.
        expires_at: UnixTime,
        /// When it was committed, for the propagation histogram.
        at: UnixTime,
    },
    /// A client was made, edited, enabled, disabled or deleted.
    Client {
        /// Its row key.
        key: ClientKey,
        /// Its public name.
        client_id: String,
    },
    /// A resource was made or deleted.
    Resource {
        /// Its URI.
        uri: String,
    },
    /// A user was made, edited, enabled, disabled or deleted.
    User {
        /// Who.
        id: UserId,
    },
    /// A session ended.
    Session {
        /// Which.
        id: SessionId,
    },
    /// A consent was withdrawn.
    Consent {
        /// Whose.
        user: UserId,
        /// For which client.
        client: ClientKey,
    },
    /// The set of signing keys changed.
    Keys,
}

impl Change {
    /// The change that makes a revocation heard.
    pub fn revoked(revocation: Revocation, at: UnixTime) -> Self {
        let Revocation { kind, id, epoch, client, expires_at } = revocation;
        Self::Revoked { what: kind as u8, id, epoch, client, expires_at, at }
    }
}

/// A place in the feed. `epoch` changes when history was rewritten (a restored backup).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedPosition {
    /// Which history.
    pub epoch: u64,
    /// The last change seen; 0 before the first.
    pub seq: u64,
}

/// What one read of the feed gives.
#[derive(Clone, Debug, Default)]
pub struct FeedPage {
    /// The head of the feed at the time of the read.
    pub head: FeedPosition,
    /// The oldest change still kept; a reader that stands before `oldest - 1` has missed some.
    pub oldest: u64,
    /// Changes after the position asked for, in commit order, with their `seq`; at most the limit.
    pub changes: Vec<(u64, Change)>,
}

/// Reading the feed. Always from the primary.
#[async_trait]
pub trait FeedReads: Send + Sync {
    /// Up to `limit` changes after `seq`, with the head, in one consistent read.
    async fn feed(&self, seq: u64, limit: usize) -> Result<FeedPage, StoreError>;

    /// Unexpired revocations in key order after a place: what the index is loaded from.
    async fn revocations(
        &self,
        after: Option<(RevocationKind, Id)>,
        limit: usize,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Which of these are revoked; asked only for clients whose entries are above the cap.
    async fn revocations_of(&self, ids: &[(RevocationKind, Id)]) -> Result<Vec<Revocation>, StoreError>;
}
