//! What caches count: counters that many threads raise at once without sharing a cache line.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

const SHARDS: usize = 16;

/// What one cache did since the start, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CacheStats {
    /// The policy's name.
    pub cache: &'static str,
    /// Look-ups answered from memory.
    pub hits: u64,
    /// Look-ups that the store had to answer.
    pub misses: u64,
    /// Loads that failed.
    pub errors: u64,
    /// Entries held.
    pub entries: u64,
    /// Their bytes, estimated.
    pub weight: u64,
    /// The most bytes it may hold.
    pub capacity: u64,
    /// Entries dropped to make room.
    pub evicted_size: u64,
    /// Entries dropped because of their age.
    pub evicted_ttl: u64,
    /// Entries dropped because of a change.
    pub invalidated: u64,
    /// Changes that concern it, whether or not it held the row: those that this node committed…
    pub changed_here: u64,
    /// … and those that came with the feed; the own ones are among these again.
    pub changed_by_feed: u64,
    /// Reads of the store that ended, well or not.
    pub loads: u64,
    /// The time they took together.
    pub load_seconds: f64,
    /// Rows not kept because a change came while they were read.
    pub overtaken: u64,
}

/// How this node learned of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeOrigin {
    /// It was committed here.
    Local,
    /// It came with the feed.
    Feed,
}

/// Called with how long each load took.
pub(super) type LoadObserver = Box<dyn Fn(Duration) + Send + Sync>;

/// The counters of one cache; see [`CacheStats`].
#[derive(Default)]
pub(super) struct CacheCounters {
    pub(super) hits: ShardedCounter,
    pub(super) misses: ShardedCounter,
    pub(super) errors: AtomicU64,
    pub(super) evicted_size: AtomicU64,
    pub(super) evicted_ttl: AtomicU64,
    pub(super) invalidated: AtomicU64,
    changed_here: AtomicU64,
    changed_by_feed: AtomicU64,
    loads: AtomicU64,
    load_nanos: AtomicU64,
    pub(super) on_load: OnceLock<LoadObserver>,
    pub(super) overtaken: AtomicU64,
}

impl CacheCounters {
    /// A change concerns this cache.
    pub(super) fn changed(&self, origin: ChangeOrigin) {
        one(match origin {
            ChangeOrigin::Local => &self.changed_here,
            ChangeOrigin::Feed => &self.changed_by_feed,
        });
    }

    /// A load has ended.
    pub(super) fn loaded(&self, took: Duration) {
        one(&self.loads);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.load_nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(on_load) = self.on_load.get() {
            on_load(took);
        }
    }

    /// The counts; what is held is left at 0.
    pub(super) fn stats(&self, cache: &'static str) -> CacheStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            cache,
            hits: self.hits.total(),
            misses: self.misses.total(),
            errors: of(&self.errors),
            evicted_size: of(&self.evicted_size),
            evicted_ttl: of(&self.evicted_ttl),
            invalidated: of(&self.invalidated),
            changed_here: of(&self.changed_here),
            changed_by_feed: of(&self.changed_by_feed),
            loads: of(&self.loads),
            load_seconds: Duration::from_nanos(of(&self.load_nanos)).as_secs_f64(),
            overtaken: of(&self.overtaken),
            ..CacheStats::default()
        }
    }
}

/// Adds one to a counter that is not on the path of a hit.
pub(super) fn one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A sharded counter: each thread has a shard, which it shares with few others.
#[derive(Debug, Default)]
pub(super) struct ShardedCounter([Padded; SHARDS]);

/// Two cache lines wide: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl ShardedCounter {
    /// Adds one.
    pub(super) fn add(&self) {
        self.0[shard()].0.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        own.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_threads_count_is_lost() {
        let counter = ShardedCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add()));
            }
        });
        assert_eq!(counter.total(), 4_000);
    }
}
