//! One cache in this process's memory: bounded in bytes, each entry in time, one flight per key.
//!
//! A fill that was overtaken by a change is not kept. Keys fall into stripes; a stripe counts the
//! changes applied to its keys. Who reads a row takes the count *before* the read, and the row is kept
//! only if the count is still the same, checked and inserted under the stripe's lock; a change counts
//! and removes under the same lock. So however late a fill arrives, it cannot bring back what a change
//! has removed. Hits take no stripe.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};
use tokio::sync::watch;

use super::{
    policy::CachePolicy,
    stats::{CacheCounters, CacheStats, ChangeOrigin, LoadObserver, one},
    weigh::Weigh,
};
use crate::store::StoreError;

const STRIPES: usize = 64;
/// What the cache itself needs for an entry: its slot, its place in the map, reference counts.
const OVERHEAD: usize = 128;

/// A row, or the knowledge that there is none; or why it could not be read.
type Row<V> = Result<Option<Arc<V>>, StoreError>;

/// One cache. Times are those of the boot clock.
pub(super) struct L1<K, V> {
    pub(super) policy: &'static CachePolicy,
    ttl: Duration,
    entries: Cache<K, CacheEntry<V>, ByBytes, DefaultHashBuilder, CountEvictions>,
    stripes: Box<[Mutex<Stripe<K, V>>]>,
    hasher: RandomState,
    fills: AtomicU64,
    counts: Arc<CacheCounters>,
}

struct CacheEntry<V> {
    value: Option<Arc<V>>,
    expires: Duration,
    weight: u64,
}

impl<V> Clone for CacheEntry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

/// Keys that share a count of the changes applied to them.
struct Stripe<K, V> {
    changes: u64,
    /// Reads under way that nothing has overtaken; later misses wait for them.
    flights: HashMap<K, watch::Receiver<Option<Row<V>>>>,
}

#[derive(Clone)]
struct ByBytes;

impl<K, V> Weighter<K, CacheEntry<V>> for ByBytes {
    fn weight(&self, _: &K, entry: &CacheEntry<V>) -> u64 {
        entry.weight
    }
}

#[derive(Clone)]
struct CountEvictions(Arc<CacheCounters>);

impl<K, V> Lifecycle<K, CacheEntry<V>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, _: &mut (), _: K, _: CacheEntry<V>) {
        one(&self.0.evicted_size);
    }
}

impl<K: Weigh + Hash + Eq + Clone, V: Weigh> L1<K, V> {
    /// An empty cache with its share of the memory. Entries live for at most `ttl`.
    pub(super) fn new(policy: &'static CachePolicy, max_memory: u64, ttl: Duration) -> Self {
        let counts = Arc::<CacheCounters>::default();
        let capacity = max_memory / 100 * policy.share;
        let items = usize::try_from(capacity / policy.typical).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(capacity)
            .estimated_items_capacity(items.max(1))
            .build()
            .expect("both capacities are given");
        let evictions = CountEvictions(counts.clone());
        let entries = Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), evictions);
        let stripe = || Mutex::new(Stripe { changes: 0, flights: HashMap::new() });
        let stripes = std::iter::repeat_with(stripe).take(STRIPES).collect();
        let (hasher, fills) = (RandomState::new(), AtomicU64::new(0));
        Self { policy, ttl, entries, stripes, hasher, fills, counts }
    }

    /// What is in memory: the row, or that there is none; the outer `None` if nothing is known.
    pub(super) fn get<Q>(&self, key: &Q, now: Duration) -> Option<Option<Arc<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known = self.look_up(key, now);
        let count = if known.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.add();
        known
    }

    /// The same, for who looks again with [`L1::get`] when nothing is known: only then it is a miss.
    pub(super) fn hit<Q>(&self, key: &Q, now: Duration) -> Option<Option<Arc<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_up(key, now).inspect(|_| self.counts.hits.add())
    }

    /// Reads a row and keeps it. Those who miss the same key meanwhile share the one read, and its
    /// failure; failures are not kept. A row overtaken by a change is read once more.
    pub(super) async fn load<Q, F>(&self, key: &Q, now: Duration, read: impl Fn() -> F) -> Row<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Row<V>>,
    {
        loop {
            match self.board(key, now) {
                Boarding::Arrived(value) => return Ok(value),
                Boarding::Lead(flight) => return flight.fly(now, read).await,
                Boarding::Follow(mut landing) => {
                    if let Ok(row) = landing.wait_for(Option::is_some).await {
                        return row.clone().expect("waited until it was there");
                    }
                    // Whoever was reading went away in the middle. Somebody else reads now.
                }
            }
        }
    }

    /// Forgets one key: its row has changed.
    pub(super) fn invalidate<Q>(&self, key: &Q, origin: ChangeOrigin)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.counts.changed(origin);
        let mut stripe = self.stripe(key);
        stripe.changes += 1;
        stripe.flights.remove(key);
        if self.entries.remove(key).is_some() {
            one(&self.counts.invalidated);
        }
    }

    /// Forgets every row of which `gone` is true; for changes that do not name the key.
    pub(super) fn invalidate_where(&self, origin: ChangeOrigin, gone: impl Fn(&V) -> bool) {
        self.counts.changed(origin);
        self.overtake_all();
        self.entries.retain(|_, entry| {
            let keep = !entry.value.as_deref().is_some_and(&gone);
            if !keep {
                one(&self.counts.invalidated);
            }
            keep
        });
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.overtake_all();
        self.counts.invalidated.fetch_add(self.entries.len() as u64, Ordering::Relaxed);
        self.entries.clear();
    }

    /// Has `on_load` told how long each load takes. Only the first call of this has an effect.
    pub(super) fn on_load(&self, on_load: LoadObserver) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.counts.on_load.set(on_load);
    }

    /// What the cache did, and what it holds.
    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.entries.len() as u64,
            weight: self.entries.weight(),
            capacity: self.entries.capacity(),
            ..self.counts.stats(self.policy.name)
        }
    }

    fn look_up<Q>(&self, key: &Q, now: Duration) -> Option<Option<Arc<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.entries.get(key)?;
        if now < entry.expires {
            return Some(entry.value);
        }
        if self.entries.remove_if(key, |entry| entry.expires <= now).is_some() {
            one(&self.counts.evicted_ttl);
        }
        None
    }

    fn board<Q>(&self, key: &Q, now: Duration) -> Boarding<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut stripe = self.stripe(key);
        if let Some(flight) = stripe.flights.get(key) {
            return Boarding::Follow(flight.clone());
        }
        // Somebody may have filled it since the caller looked.
        if let Some(value) = self.look_up(key, now) {
            return Boarding::Arrived(value);
        }
        let (outcome, landing) = watch::channel(None);
        stripe.flights.insert(key.to_owned(), landing);
        Boarding::Lead(Flight { l1: self, key: key.to_owned(), changes: stripe.changes, outcome })
    }

    /// No row whose reading has begun may be kept from here on.
    fn overtake_all(&self) {
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            stripe.changes += 1;
            stripe.flights.clear();
        }
    }

    fn entry(&self, key: &K, value: Option<Arc<V>>, now: Duration) -> CacheEntry<V> {
        let heap = value.as_deref().map_or(0, Weigh::weight);
        let weight = (OVERHEAD + key.weight() + heap) as u64;
        // Between four fifths and all of the lifetime, so that what was filled together does not
        // expire together.
        let dice = self.hasher.hash_one(self.fills.fetch_add(1, Ordering::Relaxed)) % 1024;
        let ttl = self.ttl - self.ttl / 5 * u32::try_from(dice).unwrap_or(0) / 1024;
        CacheEntry { value, expires: now + ttl, weight }
    }
}

impl<K, V> L1<K, V> {
    fn stripe<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Stripe<K, V>> {
        let hash = self.hasher.hash_one(key);
        lock(&self.stripes[usize::try_from(hash % STRIPES as u64).unwrap_or(0)])
    }
}

enum Boarding<'a, K: Hash + Eq, V> {
    Arrived(Option<Arc<V>>),
    Follow(watch::Receiver<Option<Row<V>>>),
    Lead(Flight<'a, K, V>),
}

/// One read under way. Dropped early, it lets the next who waits take over.
struct Flight<'a, K: Hash + Eq, V> {
    l1: &'a L1<K, V>,
    key: K,
    /// The stripe's count before the row was read.
    changes: u64,
    outcome: watch::Sender<Option<Row<V>>>,
}

impl<K: Weigh + Hash + Eq + Clone, V: Weigh> Flight<'_, K, V> {
    async fn fly<F>(mut self, now: Duration, read: impl Fn() -> F) -> Row<V>
    where
        F: Future<Output = Row<V>>,
    {
        let begun = Instant::now();
        let mut row = read().await;
        if let Ok(value) = &row
            && !self.keep(value, now)
        {
            one(&self.l1.counts.overtaken);
            self.changes = self.l1.stripe(&self.key).changes;
            row = read().await;
            if let Ok(value) = &row {
                self.keep(value, now);
            }
        }
        if row.is_err() {
            one(&self.l1.counts.errors);
        }
        self.l1.counts.loaded(begun.elapsed());
        self.outcome.send_replace(Some(row.clone()));
        row
    }

    /// Keeps a row unless a change has overtaken it; `false` then.
    fn keep(&self, value: &Option<Arc<V>>, now: Duration) -> bool {
        let stripe = self.l1.stripe(&self.key);
        if stripe.changes != self.changes {
            return false;
        }
        if value.is_some() || self.l1.policy.misses {
            let entry = self.l1.entry(&self.key, value.clone(), now);
            self.l1.entries.insert(self.key.clone(), entry);
        }
        true
    }
}

impl<K: Hash + Eq, V> Drop for Flight<'_, K, V> {
    fn drop(&mut self) {
        let mut stripe = self.l1.stripe(&self.key);
        let own = self.outcome.subscribe();
        if stripe.flights.get(&self.key).is_some_and(|flight| flight.same_channel(&own)) {
            stripe.flights.remove(&self.key);
        }
    }
}

/// A panic elsewhere leaves counts and flights usable: every change to them is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
