//! Commits through the caches: a change is effective on this node before its commit is answered, then the other
//! nodes are notified.
//!
//! A commit whose caller goes away in the middle, or whose outcome stays unknown, may still become durable. Its
//! effect on this node then comes with the feed, as it does on every other node: that covers what waiting for
//! the commit in a task of its own would not, namely an error after COMMIT was sent. The tail is woken at once
//! and looks again after its interval; the caller was not told that it was done.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use super::{cached::Cached, feed::ChangeSignal, redis::ChangeNotifications};
use crate::{model::*, store::*};

impl<S: Store + ?Sized> Cached<S> {
    /// Wakes this tail and those of other nodes when dropped, unless that turns out not to be needed.
    fn notify_on_drop(&self) -> NotifyOnDrop {
        NotifyOnDrop { signal: self.tail.signal(), notifications: self.notifications.clone(), needed: true }
    }
}

#[async_trait]
impl<S: Store + ?Sized> Commits for Cached<S> {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let mut notify = self.notify_on_drop();
        let outcome = self.store.commit(commit).await;
        if let Ok(committed) = &outcome {
            committed.changes.iter().for_each(|change| self.tail.apply(change));
        }
        notify.needed = match &outcome {
            Ok(committed) => !committed.changes.is_empty(),
            // It may have been done all the same.
            Err(CommitError::Store(_)) => true,
            Err(_) => false,
        };
        outcome
    }
}

/// Notifies unless `needed` was cleared; also when the commit's future is dropped half-way.
struct NotifyOnDrop {
    signal: ChangeSignal,
    notifications: Option<Arc<ChangeNotifications>>,
    needed: bool,
}

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        if self.needed {
            self.signal.notify();
            if let Some(notifications) = &self.notifications {
                notifications.publish();
            }
        }
    }
}

#[async_trait]
impl<S: Store + ?Sized> Upkeep for Cached<S> {
    async fn probe(&self) -> Result<(), StoreError> {
        self.store.probe().await
    }

    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Swept, StoreError> {
        self.store.sweep(now, limit).await
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.store.backup(to).await
    }

    async fn restored(&self, now: UnixTime, until: UnixTime) -> Result<(), StoreError> {
        let _notify = self.notify_on_drop();
        self.store.restored(now, until).await?;
        // Effective on this node before it answers. A node that cannot read the feed is stale, and
        // answers nothing from memory.
        let _ = self.tail.confirm(true).await;
        Ok(())
    }

    async fn schema_version(&self) -> Result<u32, StoreError> {
        self.store.schema_version().await
    }

    async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
        self.store.statistics().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{cached::CacheOptions, testing::*};

    /// R41
    #[tokio::test(start_paused = true)]
    async fn a_revocation_is_effective_before_the_commit_returns() {
        let node = node(CacheOptions::default()).await;
        node.cached.client("client-0").await.expect("loaded");
        node.commit(revoke(client_key(0), 7)).await;
        assert_eq!(node.cached.is_revoked(&token(client_key(0), 7), false).await, Ok(true));
        assert!(node.enabled().await);
        node.commit(Effect::SetClientEnabled(client_key(0), false)).await;
        assert!(!node.enabled().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_whose_caller_went_away_takes_effect_with_the_feed() {
        let node = node(CacheOptions::default()).await;
        node.run();
        node.store.feed.arrived(2).await;
        node.store.commits.close();
        let cached = node.cached.clone();
        let caller = tokio::spawn(async move { cached.commit(commit(revoke(client_key(0), 7))).await });
        node.store.commits.arrived(1).await;
        let reads = node.store.feed.count();
        caller.abort();
        node.store.feed.arrived(reads + 1).await;
        assert_eq!(node.cached.is_revoked(&token(client_key(0), 7), true).await, Ok(true));
    }
}
