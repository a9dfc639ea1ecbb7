//! Answers about revocations: from memory while it is fresh, after a shared read of the feed when it is
//! not, and never from what may be out of date.

use std::{
    collections::HashSet,
    future::{Future, ready},
    pin::Pin,
    sync::atomic::Ordering,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use super::{
    feed::{Ended, Tail},
    index::Verdict,
};
use crate::{model::*, store::*};

/// How long a request waits for the shared read, or for the store.
const DEADLINE: Duration = Duration::from_millis(500);

impl<S: Store + ?Sized> Tail<S> {
    /// Waits for a read that all who wait share: any that makes the node fresh or, if `strict`, one
    /// begun after this call.
    pub(super) async fn confirm(&self, strict: bool) -> Result<(), Stale> {
        timeout(DEADLINE, self.await_read(strict)).await.unwrap_or(Err(Stale))
    }

    async fn await_read(&self, strict: bool) -> Result<(), Stale> {
        let mut ended = self.ended.subscribe();
        let arrived = self.begun.load(Ordering::SeqCst);
        let mut notified = false;
        loop {
            let Ended { well, badly } = *ended.borrow_and_update();
            let confirmed = well > arrived;
            if (confirmed || !strict) && self.is_fresh() {
                return Ok(());
            }
            if badly > arrived {
                return Err(Stale);
            }
            // Once is enough, unless a read succeeded and then the machine slept, or its clock was
            // set, before we could answer. A read that is under way may do for those not strict.
            let idle = self.begun.load(Ordering::SeqCst) == well.max(badly);
            if (!notified || confirmed) && (strict || idle) {
                self.signal.notify();
                notified = true;
            }
            ended.changed().await.map_err(|_| Stale)?;
        }
    }

    /// Which of these are revoked, for tokens of clients whose revocations are not all kept.
    async fn ask_revoked(&self, what: &[&Revocable]) -> Result<Vec<bool>, Stale> {
        let names = |what: &Revocable| {
            let token = what.token.map(|token| (RevocationKind::Token, token.0));
            let family = what.family.map(|family| (RevocationKind::Family, family.0));
            token.into_iter().chain(family)
        };
        let ids: Vec<_> = what.iter().flat_map(|what| names(what)).collect();
        let rows = timeout(DEADLINE, self.store.revocations_of(&ids)).await;
        let rows = rows.map_err(|_| Stale)?.map_err(|error| {
            tracing::warn!(%error, "looking up revocations in the store failed; returning 503");
            Stale
        })?;
        let revoked: HashSet<_> = rows.into_iter().map(|row| (row.kind, row.id)).collect();
        Ok(what.iter().map(|what| names(what).any(|name| revoked.contains(&name))).collect())
    }
}

#[async_trait]
impl<S: Store + ?Sized> RevocationIndex for Tail<S> {
    // What `async_trait` makes of an `async fn`: an answer from memory is a small future.
    fn is_revoked<'s, 'w, 'f>(
        &'s self,
        what: &'w Revocable,
        strict: bool,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Stale>> + Send + 'f>>
    where
        Self: 'f,
        's: 'f,
        'w: 'f,
    {
        if !strict && self.is_fresh() {
            match self.index.verdict(what) {
                Verdict::Revoked => return Box::pin(ready(Ok(true))),
                Verdict::Alive => return Box::pin(ready(Ok(false))),
                Verdict::AskStore => {}
            }
        }
        Box::pin(async move {
            if strict || !self.is_fresh() {
                self.confirm(strict).await?;
            }
            match self.index.verdict(what) {
                Verdict::Revoked => Ok(true),
                Verdict::Alive => Ok(false),
                Verdict::AskStore => Ok(self.ask_revoked(&[what]).await?.contains(&true)),
            }
        })
    }

    async fn are_revoked(&self, what: &[Revocable], strict: bool) -> Result<Vec<bool>, Stale> {
        if strict || !self.is_fresh() {
            self.confirm(strict).await?;
        }
        let verdicts: Vec<_> = what.iter().map(|what| self.index.verdict(what)).collect();
        let open = |verdict: &Verdict| *verdict == Verdict::AskStore;
        let ask: Vec<_> = what.iter().zip(&verdicts).filter(|(_, v)| open(v)).map(|(what, _)| what).collect();
        let mut asked = if ask.is_empty() { vec![] } else { self.ask_revoked(&ask).await? }.into_iter();
        let answers = verdicts.iter().map(|verdict| match verdict {
            Verdict::Revoked => true,
            Verdict::Alive => false,
            Verdict::AskStore => asked.next().expect("the store was asked about each"),
        });
        Ok(answers.collect())
    }

    async fn confirm_fresh(&self) -> Result<(), Stale> {
        self.fresh().await.map(drop)
    }

    fn is_fresh(&self) -> bool {
        self.fresh.now().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{CacheOptions, FeedOptions, testing::*},
        resilience::Clock,
    };

    async fn revoke_elsewhere(node: &Node, n: u8) {
        node.store.commit(commit(revoke(client_key(0), n))).await.expect("the store commits");
    }

    async fn revoked(node: &Node, n: u8) -> Result<bool, Stale> {
        node.cached.is_revoked(&token(client_key(0), n), false).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_requests_to_a_stale_node_share_one_read() {
        let node = node(CacheOptions::default()).await;
        node.run();
        node.store.feed.arrived(3).await;
        revoke_elsewhere(&node, 7).await;
        node.clock.advance(Duration::from_secs(10));
        let before = node.store.statements();
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let cached = node.cached.clone();
                tokio::spawn(async move { cached.is_revoked(&token(client_key(0), 7), false).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), Ok(true));
        }
        assert_eq!(node.store.statements(), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_node_whose_store_hangs_says_so_after_the_deadline() {
        let node = node(CacheOptions::default()).await;
        node.run();
        node.store.feed.arrived(3).await;
        node.store.feed.close();
        node.clock.advance(Duration::from_secs(10));
        let (before, start) = (node.store.statements(), tokio::time::Instant::now());
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let cached = node.cached.clone();
                tokio::spawn(async move { cached.is_revoked(&token(client_key(0), 7), false).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), Err(Stale));
        }
        assert_eq!(node.store.statements(), before + 1);
        assert!(start.elapsed() < Duration::from_millis(510));
        // The hanging query is given up, and the node recovers by itself.
        node.store.feed.open();
        assert_eq!(revoked(&node, 7).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_node_whose_store_fails_says_so_at_once() {
        let node = node(CacheOptions::default()).await;
        node.run();
        node.store.feed.arrived(3).await;
        node.store.fail(true);
        node.clock.advance(Duration::from_secs(10));
        let start = tokio::time::Instant::now();
        assert_eq!(revoked(&node, 7).await, Err(Stale));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!((node.cached.tail().staleness_seconds() - 10.0).abs() < 0.001);
    }

    type Event = fn(&Clock);

    #[tokio::test(start_paused = true)]
    async fn a_node_that_slept_or_whose_clock_was_set_does_not_answer_from_what_it_knew() {
        let events: [(&str, Event); 3] = [
            ("it slept", |clock| clock.advance_boot(Duration::from_secs(3_600))),
            ("its clock was set forward", |clock| clock.set_wall(NOW.plus(2))),
            ("its clock was set back", |clock| clock.set_wall(NOW.minus(2))),
        ];
        for (name, event) in events {
            let node = node(CacheOptions::default()).await;
            node.run();
            node.store.feed.arrived(3).await;
            revoke_elsewhere(&node, 7).await;
            assert_eq!(revoked(&node, 7).await, Ok(false), "{name}: not applied yet");
            event(&node.clock);
            assert_eq!(revoked(&node, 7).await, Ok(true), "{name}");
            assert!(node.cached.is_fresh(), "{name}: the read proved it fresh again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_strict_request_waits_for_a_read_begun_after_it_arrived() {
        let node = node(CacheOptions::default()).await;
        node.run();
        node.store.feed.arrived(3).await;
        node.store.feed.close();
        let reads = node.store.feed.count();
        node.cached.tail().signal().notify();
        node.store.feed.arrived(reads + 1).await;
        // A read is under way that has not seen this:
        revoke_elsewhere(&node, 7).await;
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let cached = node.cached.clone();
                tokio::spawn(async move { cached.is_revoked(&token(client_key(0), 7), true).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(revoked(&node, 7).await, Ok(false), "others are answered from memory");
        node.store.feed.open();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), Ok(true));
        }
        assert_eq!(node.store.feed.count(), reads + 2, "they shared the next read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_above_its_cap_is_answered_by_the_store() {
        let feed = FeedOptions { revocations_per_client: 2, ..FeedOptions::default() };
        let node = node(CacheOptions { feed, ..CacheOptions::default() }).await;
        for n in 1..=3 {
            node.commit(revoke(client_key(0), n)).await;
        }
        assert_eq!(node.cached.tail().index().overflowed_clients(), [client_key(0)]);
        let before = node.store.statements();
        let batch = [1, 3, 4].map(|n| token(client_key(0), n));
        assert_eq!(node.cached.are_revoked(&batch, false).await, Ok(vec![true, true, false]));
        assert_eq!(node.store.statements(), before + 1, "one statement for all");
        assert_eq!(node.cached.is_revoked(&token(client_key(1), 3), false).await, Ok(false));
        assert_eq!(node.store.statements(), before + 1, "other clients are answered from memory");
        node.store.fail(true);
        assert_eq!(revoked(&node, 3).await, Err(Stale));
        assert_eq!(revoked(&node, 1).await, Ok(true), "what is kept needs no store");
    }
}
