//! The tail of the change feed: what keeps this node's knowledge true, and knows how fresh it is.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, watch},
    time::{sleep, timeout},
};

use super::{caches::CacheSet, fresh::Freshness, index::Index, stats::ChangeOrigin};
use crate::{model::*, resilience::Clock, store::*};

/// How the feed is followed.
#[derive(Clone, Copy, Debug)]
pub struct FeedOptions {
    /// The feed is read so often, whether or not a change notification comes (`feed.interval`).
    pub interval: Duration,
    /// Knowledge older than this is not answered from (`feed.max_staleness`).
    pub max_staleness: Duration,
    /// Rows asked for at once.
    pub page: usize,
    /// The most revoked tokens and families kept in memory for one client.
    pub revocations_per_client: usize,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            max_staleness: Duration::from_secs(2),
            page: 1_000,
            revocations_per_client: 100_000,
        }
    }
}

/// Wakes the tail: something was committed. A notification may be lost; the interval makes up for it.
#[derive(Clone, Debug, Default)]
pub struct ChangeSignal(Arc<Notify>);

impl ChangeSignal {
    /// Wakes the tail. Many notifications before it wakes are one.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    async fn notified(&self) {
        self.0.notified().await;
    }

    /// Discards notifications so far.
    async fn drain(&self) {
        tokio::select! {
            biased;
            () = self.notified() => {}
            () = std::future::ready(()) => {}
        }
    }
}

/// Follows the change feed and applies it to the caches and the revocation index of this node.
pub struct Tail<S: ?Sized> {
    pub(super) store: Arc<S>,
    options: FeedOptions,
    clock: Clock,
    pub(super) caches: CacheSet,
    pub(super) index: Index,
    pub(super) fresh: Freshness,
    pub(super) signal: ChangeSignal,
    /// Where this node stands; `None` until it has loaded. Held while the feed is read.
    place: Mutex<Option<FeedReader>>,
    /// Reads begun so far; each has a number.
    pub(super) begun: AtomicU64,
    pub(super) ended: watch::Sender<Ended>,
    /// Whether the signing keys in force may not be those of the store any more.
    keys_changed: AtomicBool,
    renew_keys: OnceLock<Box<dyn Fn() -> Renewal + Send + Sync>>,
    on_revocation_seen: OnceLock<Box<dyn Fn(f64) + Send + Sync>>,
}

/// Putting the signing keys of the store in force.
pub type Renewal = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The numbers of the last reads that ended well and badly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) well: u64,
    pub(super) badly: u64,
}

impl<S: Store + ?Sized> Tail<S> {
    /// Knows nothing and is not fresh until [`Tail::start`].
    pub(super) fn new(store: Arc<S>, caches: CacheSet, options: FeedOptions, clock: Clock) -> Self {
        Self {
            store,
            options,
            caches,
            index: Index::new(options.revocations_per_client),
            fresh: Freshness::new(clock.clone(), options.max_staleness),
            clock,
            signal: ChangeSignal::default(),
            place: Mutex::new(None),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(Ended::default()),
            keys_changed: AtomicBool::new(false),
            renew_keys: OnceLock::new(),
            on_revocation_seen: OnceLock::new(),
        }
    }

    /// Loads the index and reads the feed to its end. The node is ready when this returns `Ok`.
    pub async fn start(&self) -> Result<(), StoreError> {
        self.read().await
    }

    /// Follows the feed until `stop` is ready. To be watched: if it panics, the process must end,
    /// because nothing else keeps revocations effective.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut failing = false;
        loop {
            let result = tokio::select! {
                biased;
                () = &mut stop => return,
                result = self.read() => result,
            };
            match &result {
                Err(error) if !failing => {
                    tracing::warn!(%error, "reading the change feed failed; will retry")
                }
                Ok(()) if failing => tracing::info!("reading the change feed works again"),
                _ => {}
            }
            failing = result.is_err();
            self.index.prune(self.clock.now());
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = self.signal.notified() => {}
                () = sleep(self.options.interval) => {}
            }
        }
    }

    /// What to notify when something was committed.
    pub fn signal(&self) -> ChangeSignal {
        self.signal.clone()
    }

    /// Calls `renew` whenever the set of signing keys may have changed, and is not fresh before that is
    /// done: what a withdrawn key signed is revoked too. Only the first call of this has an effect.
    pub fn on_keys_changed(&self, renew: impl Fn() -> Renewal + Send + Sync + 'static) {
        // A second one is a mistake in the wiring; the keys are renewed all the same.
        let _ = self.renew_keys.set(Box::new(renew));
    }

    /// Calls `seen` with the seconds from commit to effect of every revocation that takes effect
    /// here. Commits are dated in whole seconds. Only the first call of this has an effect.
    pub fn on_revocation_seen(&self, seen: impl Fn(f64) + Send + Sync + 'static) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.on_revocation_seen.set(Box::new(seen));
    }

    /// The revocations held in memory.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Seconds since the last successful read of the feed was sent (`chancery_feed_staleness_seconds`).
    pub fn staleness_seconds(&self) -> f64 {
        self.fresh.seconds()
    }

    /// The moment on the boot clock at which knowledge was fresh: now, or after a shared read.
    pub(super) async fn fresh(&self) -> Result<Duration, Stale> {
        if let Some(now) = self.fresh.now() {
            return Ok(now);
        }
        self.confirm(false).await?;
        Ok(self.clock.boot())
    }

    /// Makes a change that was committed here effective on this node.
    pub(super) fn apply(&self, change: &Change) {
        self.apply_from(change, ChangeOrigin::Local);
    }

    /// Makes a change effective on this node. Doing so twice does no harm.
    fn apply_from(&self, change: &Change, origin: ChangeOrigin) {
        if let Change::Revoked { what, id, epoch, client, expires_at, at } = *change {
            match RevocationKind::from_u8(what) {
                Some(kind) => {
                    let new = self.index.add(&Revocation { kind, id, epoch, client, expires_at });
                    if new && let Some(seen) = self.on_revocation_seen.get() {
                        let elapsed = self.clock.millis().saturating_sub(at.0.saturating_mul(1_000));
                        seen(Duration::from_millis(elapsed).as_secs_f64());
                    }
                }
                None => {
                    tracing::error!(
                        what,
                        "unknown kind of revocation in the change feed; this version cannot enforce it. Upgrade this node"
                    )
                }
            }
        }
        self.caches.apply(change, origin);
        if matches!(change, Change::Keys) {
            self.keys_changed.store(true, Ordering::SeqCst);
        }
    }

    /// One read of the feed, to its end.
    async fn read(&self) -> Result<(), StoreError> {
        let mut place = self.place.lock().await;
        // Notifications until here are served by this read.
        self.signal.drain().await;
        // Counted before the first query is sent: who saw a smaller number came before this read.
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let result = self.catch_up(&mut place).await;
        self.ended.send_modify(|ended| match result {
            Ok(()) => ended.well = number,
            Err(_) => ended.badly = number,
        });
        result
    }

    async fn catch_up(&self, place: &mut Option<FeedReader>) -> Result<(), StoreError> {
        if self.follow(place).await? || self.follow(place).await? {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Other,
            "the change feed was inconsistent twice in a row; revocations could not be loaded",
        ))
    }

    /// Reads up to the head, page by page; `false` if this node has missed something and must load anew.
    async fn follow(&self, place: &mut Option<FeedReader>) -> Result<bool, StoreError> {
        let mut reader = match *place {
            Some(reader) => reader,
            None => FeedReader { at: self.load().await?, last_change: None },
        };
        loop {
            let sent = self.clock.read();
            let at = reader.at;
            // The change at which this node stands is read once more: after a failover that lost it,
            // another may be in its place.
            let limit = self.options.page + 1;
            let mut page = self.ask(self.store.feed(at.seq.saturating_sub(1), limit)).await?;
            let last = page.changes.len() < limit;
            let own = page.changes.first().is_some_and(|(seq, _)| *seq == at.seq);
            let own = own.then(|| page.changes.remove(0).1);
            let same = own.is_none_or(|change| reader.confirms(&change));
            if let Some(reason) = broken(at, &page, last).or((!same).then_some("the last change differs")) {
                tracing::warn!(
                    reason,
                    epoch = at.epoch,
                    seq = at.seq,
                    head_epoch = page.head.epoch,
                    head_seq = page.head.seq,
                    "the change feed was interrupted by a failover, a restore or a long absence; reloading revocations and clearing the caches"
                );
                self.fresh.forget();
                *place = None;
                return Ok(false);
            }
            for (seq, change) in &page.changes {
                self.apply_from(change, ChangeOrigin::Feed);
                reader.advance(*seq, change);
            }
            if place.is_some() {
                *place = Some(reader);
            }
            if last {
                if self.index.finish() {
                    self.keys_changed.store(true, Ordering::SeqCst);
                }
                *place = Some(reader);
                self.renew_keys().await?;
                self.fresh.prove(sent);
                return Ok(true);
            }
        }
    }

    /// If it fails, the next read of the feed tries again.
    async fn renew_keys(&self) -> Result<(), StoreError> {
        let Some(renew) = self.renew_keys.get() else { return Ok(()) };
        if self.keys_changed.swap(false, Ordering::SeqCst) {
            let renewed = renew().await;
            self.keys_changed.fetch_or(renewed.is_err(), Ordering::SeqCst);
            return renewed;
        }
        Ok(())
    }

    /// Starts over: empties the caches and loads the index. The index begins before the head is read,
    /// so that whatever is committed from then on is either in the rows or after the head. The caches
    /// are emptied after it, so that no row read before the head stays: the changes it lacks would
    /// never come. Nobody is answered from them meanwhile.
    async fn load(&self) -> Result<FeedPosition, StoreError> {
        self.fresh.forget();
        self.index.begin();
        let head = self.ask(self.store.feed(0, 0)).await?.head;
        self.caches.clear();
        let mut after = None;
        loop {
            let rows = self.ask(self.store.revocations(after, self.options.page)).await?;
            self.index.load(&rows);
            match rows.last() {
                Some(last) if rows.len() == self.options.page => after = Some((last.kind, last.id)),
                _ => return Ok(head),
            }
        }
    }

    /// A query that takes longer than knowledge keeps proves nothing; it is given up.
    async fn ask<T>(&self, query: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_| Err(StoreError::new(StoreErrorKind::Connection, "the store did not answer in time"));
        timeout(self.options.max_staleness, query).await.unwrap_or_else(late)
    }
}

/// Where a reader of the feed stands, and a digest of the change there.
///
/// A position in the feed is a number, and after a failover that lost the last commits the same numbers come
/// again for other changes; the digest tells them apart. Its strength does not matter: only a commit can choose
/// changes.
#[derive(Clone, Copy, Debug)]
struct FeedReader {
    at: FeedPosition,
    /// `None` if the change was not read yet.
    last_change: Option<u64>,
}

impl FeedReader {
    /// The change at the reader's position, read once more; `false` if it is another than before.
    fn confirms(&mut self, change: &Change) -> bool {
        let digest = digest(change);
        self.last_change.replace(digest).is_none_or(|before| before == digest)
    }

    /// The next change was applied.
    fn advance(&mut self, seq: u64, change: &Change) {
        self.at.seq = seq;
        self.last_change = Some(digest(change));
    }
}

fn digest(change: &Change) -> u64 {
    let mut hasher = DefaultHasher::new();
    change.hash(&mut hasher);
    hasher.finish()
}

/// Why a reader that stands at `at` cannot go on from there. `end`: the page is the last.
fn broken(at: FeedPosition, page: &FeedPage, end: bool) -> Option<&'static str> {
    let last = page.changes.last().map_or(at.seq, |(seq, _)| *seq);
    if page.head.epoch != at.epoch {
        Some("its history was rewritten")
    } else if page.head.seq < at.seq {
        Some("it went backwards")
    } else if at.seq + 1 < page.oldest || (end && last < page.head.seq) {
        Some("changes were deleted before they were read")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
