//! Reads, by role. `Ok(None)` means not there; lists page by key, never by offset.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use super::StoreError;
use crate::model::*;

/// Clients and resources.
#[async_trait]
pub trait Clients: Send + Sync {
    /// By public name.
    async fn client(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError>;
    /// By row key.
    async fn client_by_key(&self, key: ClientKey) -> Result<Option<Arc<Client>>, StoreError>;
    /// In key order, after a key.
    async fn clients(&self, after: Option<ClientKey>, limit: usize) -> Result<Vec<Client>, StoreError>;
    /// By URI.
    async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError>;
    /// In key order, after a key.
    async fn resources(&self, after: Option<Id>, limit: usize) -> Result<Vec<Resource>, StoreError>;
}

/// People, their sessions and consents.
#[async_trait]
pub trait Users: Send + Sync {
    /// By id.
    async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, StoreError>;
    /// By normalised name. Never cached: it decides sign-ins.
    async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError>;
    /// In key order, after a key.
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError>;
    /// By the digest of the cookie's value.
    async fn session(&self, digest: &Digest) -> Result<Option<Session>, StoreError>;
    /// By id.
    async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError>;
    /// Every session of a user, newest first.
    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError>;
    /// What a user agreed to for a client.
    async fn consent(&self, user: UserId, client: ClientKey) -> Result<Option<Consent>, StoreError>;
    /// Everything a user agreed to, newest first.
    async fn consents(&self, user: UserId) -> Result<Vec<Consent>, StoreError>;
}

/// Codes, refresh tokens and families.
#[async_trait]
pub trait Grants: Send + Sync {
    /// By digest; spent codes are found too.
    async fn code(&self, digest: &Digest) -> Result<Option<Code>, StoreError>;
    /// The row that a refresh token names, from the primary: never from a replica or a cache. The answer
    /// of the last rotation is among it if the token is the one that was spent then. `now` is for what is
    /// compared with the times of family and user.
    async fn rotation(&self, token: &RefreshToken, now: UnixTime) -> Result<Option<Rotation>, StoreError>;
    /// By id; revoked families are found too.
    async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError>;
}

/// Signing keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// All that are not gone, oldest first; with `gone`, those too.
    async fn signing_keys(&self, gone: bool) -> Result<Vec<SigningKey>, StoreError>;
}

/// Seconds after which the answer of a rotated refresh token is deleted: no `retry_window` may be
/// longer than this, or a client that retries inside it would be taken for a thief.
pub const RETRY_ANSWER_KEPT: u64 = 60;

/// Changes are kept for two hours: a node that was away for longer rebuilds its index.
pub const CHANGES_KEPT: u64 = 2 * 60 * 60;

/// What the sweeper deleted, by table.
pub type Swept = Vec<(&'static str, u64)>;

/// Rows and bytes, for metrics.
#[derive(Clone, Debug, Default)]
pub struct StorageStatistics {
    /// Rows by class (table).
    pub rows: Vec<(&'static str, u64)>,
    /// Bytes by file (`db`, `wal`).
    pub bytes: Vec<(&'static str, u64)>,
    /// Bytes by class, its indexes included; empty where a store cannot tell.
    pub class_bytes: Vec<(&'static str, u64)>,
}

/// Maintenance.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// A trivial read of the primary; `Err` if it cannot be reached.
    async fn probe(&self) -> Result<(), StoreError>;
    /// Deletes up to `limit` expired rows of each class.
    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Swept, StoreError>;
    /// Writes a consistent copy while serving.
    async fn backup(&self, to: &Path) -> Result<(), StoreError>;
    /// After restoring a backup: raises every epoch, and the feed's, in one transaction. They rise
    /// to `now` at least, because epochs may have been raised since the backup was made.
    async fn restored(&self, now: UnixTime, until: UnixTime) -> Result<(), StoreError>;
    /// The number of the last applied migration.
    async fn schema_version(&self) -> Result<u32, StoreError>;
    /// Rows and bytes.
    async fn statistics(&self) -> Result<StorageStatistics, StoreError>;
    /// Finishes what is queued and closes every connection; nothing works afterwards.
    async fn close(&self);
}
