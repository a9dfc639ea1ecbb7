//! The second tier: rows in Redis, sealed, that every node of the installation may use.
//!
//! A value is used only if it opens for its very place (cache and key), has not expired, was read in
//! the history of the feed this node follows, and not before the last change this node has applied for
//! its key. So a value that was forged, moved, put back, or filled in late is a miss, and so is
//! everything when Redis is away. Names in Redis are digests under a key: they tell nothing, and
//! installations that share a Redis do not meet.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use super::{
    history::Stamp,
    l1::LoadedRow,
    policy::{self, CachePolicy},
    redis::RedisClient,
    stats::{CacheCounters, CacheStats, Tier, one},
};
use crate::{
    crypto::seal::{Purpose, Sealer},
    model::*,
    resilience::Clock,
};

/// Writes on their way at once; what comes on top is not written.
const WRITES: usize = 64;
/// The form of what is sealed.
const FORM: u8 = 1;

/// See the module.
pub(super) struct L2 {
    redis: Arc<RedisClient>,
    sealer: Arc<Sealer>,
    clock: Clock,
    ttl: Duration,
    dice: RandomState,
    fills: AtomicU64,
    writes: Arc<Semaphore>,
    counts: [CacheCounters; policy::SHARED.len()],
}

/// A record that can be kept outside the process.
pub(super) trait Portable: Sized {
    /// As bytes.
    fn pack(&self) -> Option<Vec<u8>>;
    /// From the bytes of this or another version.
    fn unpack(bytes: &[u8]) -> Option<Self>;
}

/// A key as part of a place.
pub(super) trait PortableKey {
    fn name(&self) -> &[u8];
}

/// Where a value lies: what seals it to its place, and the name it has in Redis.
pub(super) struct SealedPlace {
    pub(super) sealed_to: Vec<u8>,
    pub(super) name: String,
}

impl L2 {
    pub(super) fn new(redis: Arc<RedisClient>, sealer: Arc<Sealer>, clock: Clock, ttl: Duration) -> Self {
        Self {
            redis,
            sealer,
            clock,
            ttl,
            dice: RandomState::new(),
            fills: AtomicU64::new(0),
            writes: Arc::new(Semaphore::new(WRITES)),
            counts: Default::default(),
        }
    }

    /// The place of a key in a cache.
    pub(super) fn place(&self, cache: &str, key: &[u8]) -> SealedPlace {
        let mut sealed_to = Vec::with_capacity(cache.len() + 1 + key.len());
        sealed_to.extend_from_slice(cache.as_bytes());
        // No name of a cache has a zero byte, so the two cannot be divided differently.
        sealed_to.push(0);
        sealed_to.extend_from_slice(key);
        let name = format!("chancery:{}", self.sealer.name(&sealed_to));
        SealedPlace { sealed_to, name }
    }

    /// The value at a place, if `believed` says so of its stamp.
    pub(super) async fn get<V: Portable>(
        &self,
        policy: &CachePolicy,
        place: &SealedPlace,
        believed: impl Fn(Stamp) -> bool,
    ) -> Option<LoadedRow<V>> {
        let counts = self.counts(policy)?;
        let sealed = match self.redis.get(&place.name).await {
            Ok(Some(sealed)) => sealed,
            Ok(None) => {
                counts.misses.add();
                return None;
            }
            Err(_) => {
                one(&counts.errors);
                return None;
            }
        };
        let Some((stamp, expires, value)) = self.open::<V>(place, &sealed) else {
            one(&counts.forged);
            counts.misses.add();
            return None;
        };
        let now = self.clock.millis();
        let refused = if now >= expires { &counts.evicted_ttl } else { &counts.overtaken };
        if now >= expires || !believed(stamp) || (value.is_none() && !policy.misses) {
            one(refused);
            counts.misses.add();
            return None;
        }
        counts.hits.add();
        let keeps = Duration::from_millis(expires - now).min(self.ttl);
        Some(LoadedRow { value: value.map(Arc::new), keeps })
    }

    /// Writes a value in the background, if there is room for one more.
    pub(super) fn put<V: Portable>(&self, place: SealedPlace, stamp: Stamp, value: Option<&V>) {
        let Some(keep) = self.lifetime() else { return };
        let expires = self.clock.millis() + u64::try_from(keep.as_millis()).unwrap_or(0);
        let Some(sealed) = self.seal(&place, stamp, expires, value) else { return };
        let redis = Arc::clone(&self.redis);
        self.in_background(async move {
            // A value that is not written is a miss for others, no more.
            let _ = redis.set(&place.name, &sealed, keep).await;
        });
    }

    /// Deletes values in the background: their rows have changed. Nothing hangs on it.
    pub(super) fn delete(&self, places: Vec<SealedPlace>) {
        let redis = Arc::clone(&self.redis);
        self.in_background(async move {
            for place in places {
                // Who reads it will see that it is too old.
                let _ = redis.delete(&place.name).await;
            }
        });
    }

    /// What each cache did in Redis.
    pub(super) fn stats(&self) -> Vec<CacheStats> {
        let stats = policy::SHARED.iter().zip(&self.counts);
        stats.map(|(policy, counts)| counts.stats(policy.name, Tier::Redis)).collect()
    }

    /// Something sealed under a name of its own, without a stamp.
    pub(super) async fn note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let place = self.place(name, b"");
        let sealed = self.redis.get(&place.name).await.ok()??;
        let plaintext = self.sealer.open(Purpose::Cache, &place.sealed_to, &sealed)?;
        serde_json::from_slice(&plaintext).ok()
    }

    /// Writes what [`L2::note`] reads.
    pub(super) async fn write_note<T: Serialize>(&self, name: &str, note: &T, keep: Duration) {
        let place = self.place(name, b"");
        if let Ok(plaintext) = serde_json::to_vec(note) {
            let sealed = self.sealer.seal(Purpose::Cache, &place.sealed_to, &plaintext);
            // Without it the next start is a little slower.
            let _ = self.redis.set(&place.name, &sealed, keep).await;
        }
    }

    /// form ‖ epoch ‖ seq ‖ mark ‖ expiry ‖ row; without a row, there is none.
    fn seal<V: Portable>(
        &self,
        place: &SealedPlace,
        stamp: Stamp,
        expires: u64,
        value: Option<&V>,
    ) -> Option<Vec<u8>> {
        let mut plaintext = zeroize::Zeroizing::new(vec![FORM]);
        for number in [stamp.epoch, stamp.seq, stamp.mark, expires] {
            plaintext.extend_from_slice(&number.to_be_bytes());
        }
        if let Some(value) = value {
            plaintext.extend_from_slice(&zeroize::Zeroizing::new(value.pack()?));
        }
        Some(self.sealer.seal(Purpose::Cache, &place.sealed_to, &plaintext))
    }

    fn open<V: Portable>(&self, place: &SealedPlace, sealed: &[u8]) -> Option<(Stamp, u64, Option<V>)> {
        let plaintext = self.sealer.open(Purpose::Cache, &place.sealed_to, sealed)?;
        let (form, rest) = plaintext.split_first()?;
        let (numbers, row) = rest.split_first_chunk::<32>()?;
        let mut numbers =
            numbers.chunks_exact(8).map(|number| number.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let mut number = || numbers.next().unwrap_or_default();
        let stamp = Stamp { epoch: number(), seq: number(), mark: number() };
        let expires = number();
        let value = if row.is_empty() { None } else { Some(V::unpack(row)?) };
        (*form == FORM).then_some((stamp, expires, value))
    }

    /// Between four fifths and all of the lifetime, so that what was filled together does not expire
    /// together.
    fn lifetime(&self) -> Option<Duration> {
        let dice = self.dice.hash_one(self.fills.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) % 1024;
        let keep = self.ttl - self.ttl / 5 * u32::try_from(dice).unwrap_or(0) / 1024;
        (keep >= Duration::from_millis(1)).then_some(keep)
    }

    fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(room) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        tokio::spawn(async move {
            work.await;
            drop(room);
        });
    }

    fn counts(&self, policy: &CachePolicy) -> Option<&CacheCounters> {
        let place = policy::SHARED.iter().position(|shared| shared.name == policy.name)?;
        self.counts.get(place)
    }
}

macro_rules! json {
    ($($record:ident)*) => {$(
        impl Portable for $record {
            fn pack(&self) -> Option<Vec<u8>> {
                serde_json::to_vec(self).ok()
            }

            fn unpack(bytes: &[u8]) -> Option<Self> {
                serde_json::from_slice(bytes).ok()
            }
        }
    )*};
}

json! { Client Resource }

impl Portable for User {
    /// The password's hash is no part of the record's own form, which is made for showing.
    fn pack(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&(self, &self.password)).ok()
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let (user, password): (Self, _) = serde_json::from_slice(bytes).ok()?;
        Some(Self { password, ..user })
    }
}

impl PortableKey for str {
    fn name(&self) -> &[u8] {
        self.as_bytes()
    }
}

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl PortableKey for $id {
            fn name(&self) -> &[u8] {
                &self.0.0
            }
        }
    )*};
}

ids! { ClientKey UserId }
