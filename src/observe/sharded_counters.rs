//! Sharded counters: each thread adds to its own shard, a read sums all of them.
//!
//! A shared atomic costs hundreds of nanoseconds once two cores fight for its cache line; one's own costs
//! four. There are as many shards as cores; threads that share a shard are still counted right.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// More shards would only cost memory and time at each scrape.
const MAX_SHARDS: usize = 32;

/// Counters at the end of each shard that are never used, so that no two shards share a cache line (or a pair of
/// them, which processors fetch together).
const PADDING: usize = 16;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Relaxed);
}

/// Counters, in shards of the same length.
pub(super) struct ShardedCounters {
    shards: Box<[Box<[AtomicU64]>]>,
    /// Shards are a power of two, so that choosing one is an `and`.
    mask: usize,
}

impl ShardedCounters {
    pub(super) fn new(length: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let shards = cores.next_power_of_two().min(MAX_SHARDS);
        let shard = || (0..length + PADDING).map(|_| AtomicU64::new(0)).collect();
        Self { shards: (0..shards).map(|_| shard()).collect(), mask: shards - 1 }
    }

    /// Adds to a counter in this thread's shard; wraps.
    pub(super) fn add(&self, counter: usize, amount: u64) {
        let shard = THREAD.with(|thread| thread & self.mask);
        self.shards[shard][counter].fetch_add(amount, Relaxed);
    }

    /// The sum of a counter over all shards; wraps, so that what one thread added another may take away.
    pub(super) fn sum(&self, counter: usize) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard[counter].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_eight_threads_add_is_all_there() {
        let counters = ShardedCounters::new(3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counters.add(1, 2)));
            }
        });
        assert_eq!((counters.sum(0), counters.sum(1), counters.sum(2)), (0, 160_000, 0));
    }

    #[test]
    fn one_thread_may_take_away_what_another_added() {
        let counters = ShardedCounters::new(1);
        counters.add(0, 5);
        std::thread::scope(|scope| {
            scope.spawn(|| counters.add(0, 3_u64.wrapping_neg()));
        });
        assert_eq!(counters.sum(0), 2);
    }
}
