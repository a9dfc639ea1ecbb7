//! Random numbers: from the operating system for what must be secret, from a generator of the thread's
//! own for what must only be unique.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::model::Id;

/// After so many ids a thread's generator takes a new seed, so that the copies of a cloned machine part.
const IDS_PER_SEED: u32 = 1024;

/// A source of random bytes; clones share it.
#[derive(Clone)]
pub struct Random(RandomSource);

#[derive(Clone)]
enum RandomSource {
    Os,
    Seeded(Arc<Mutex<ChaCha12Rng>>),
}

impl Random {
    /// The operating system's generator, asked at each use.
    pub fn os() -> Self {
        Self(RandomSource::Os)
    }

    /// A generator that repeats itself, for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(RandomSource::Seeded(Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed)))))
    }

    /// Fills a buffer with bytes fit for secrets.
    ///
    /// # Panics
    ///
    /// If the operating system has no random numbers: then nothing safe can be issued.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            RandomSource::Os => getrandom::fill(out).expect("the operating system supplies random numbers"),
            RandomSource::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out),
        }
    }

    /// An array of bytes fit for secrets. Panics as [`Random::fill`] does.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A new id. It is unique, not secret. Panics as [`Random::fill`] does.
    pub fn id(&self, unix_millis: u64) -> Id {
        let bytes = match &self.0 {
            RandomSource::Os => Unique::bytes(),
            RandomSource::Seeded(_) => self.bytes(),
        };
        Id::new(unix_millis, bytes)
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            RandomSource::Os => "Random(os)",
            RandomSource::Seeded(_) => "Random(seeded)",
        })
    }
}

thread_local! {
    static UNIQUE: RefCell<Unique> = RefCell::new(Unique::seed());
}

/// A thread's generator for ids: a system call per id costs thirty times as much.
struct Unique {
    rng: ChaCha12Rng,
    left: u32,
}

impl Unique {
    fn seed() -> Self {
        let seed = Zeroizing::new(Random::os().bytes::<32>());
        Self { rng: ChaCha12Rng::from_seed(*seed), left: IDS_PER_SEED }
    }

    fn bytes() -> [u8; 10] {
        UNIQUE.with_borrow_mut(|unique| {
            if unique.left == 0 {
                *unique = Self::seed();
            }
            unique.left -= 1;
            let mut bytes = [0; 10];
            unique.rng.fill_bytes(&mut bytes);
            bytes
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn equal_seeds_give_equal_bytes_and_clones_share_one_stream() {
        let (one, other) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(one.bytes::<40>(), other.bytes::<40>());
        assert_eq!(one.id(5), other.id(5));
        assert_ne!(one.clone().bytes::<16>(), one.bytes::<16>());
    }

    #[test]
    fn ids_of_many_threads_are_unique_across_new_seeds() {
        let ids: Vec<Id> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..3 * IDS_PER_SEED).map(|_| Random::os().id(1)).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_id_begins_with_its_time() {
        assert!(Random::os().id(1) < Random::os().id(2));
    }

    #[test]
    fn the_system_never_repeats_a_secret() {
        assert_ne!(Random::os().bytes::<32>(), Random::os().bytes::<32>());
    }
}
