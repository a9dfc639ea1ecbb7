//! Reading through the second tier: Redis, if what it has is believed, else the store.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use super::{
    Cached, Tail,
    history::Stamp,
    l1::{L1, LoadedRow},
    l2::{L2, Portable, PortableKey},
    policy::{self, touched},
    weigh::Weigh,
};
use crate::store::*;

impl<S: Store + ?Sized> Cached<S> {
    /// A row that is not in memory. `read` must not begin before it is awaited: the place in the feed
    /// that is written beside the row is the one from before the read.
    pub(super) async fn read_through<K, Q, V>(
        &self,
        cache: &L1<K, V>,
        key: &Q,
        read: impl Future<Output = Result<Option<Arc<V>>, StoreError>>,
    ) -> Result<LoadedRow<V>, StoreError>
    where
        K: Borrow<Q> + Weigh + Hash + Eq + Clone,
        Q: Hash + PortableKey + ?Sized,
        V: Portable + Weigh,
    {
        let Some(shared) = self.shared.as_ref().filter(|_| cache.policy.shared) else {
            return read.await.map(Into::into);
        };
        let place = shared.place(cache.policy.name, key.name());
        // Not even asked while nothing would be believed: after a commit of this node, for a moment.
        if self.tail.floor(cache, key).is_some() {
            let believed = |stamp| self.tail.believes(cache, key, stamp);
            if let Some(loaded) = shared.get(cache.policy, &place, believed).await {
                return Ok(loaded);
            }
        }
        let stamp = self.tail.history.stamp();
        let row = read.await?;
        if let Some(stamp) = stamp
            && (row.is_some() || cache.policy.misses)
        {
            shared.put(place, stamp, row.as_deref());
        }
        Ok(row.into())
    }

    /// Has Redis forget what changes made untrue. It saves others a look; nothing hangs on it.
    pub(super) fn forget_shared(&self, changes: &[Change]) {
        let Some(shared) = &self.shared else { return };
        let places: Vec<_> = changes.iter().flat_map(|change| places(shared, change)).collect();
        if !places.is_empty() {
            shared.delete(places);
        }
    }
}

fn places(shared: &L2, change: &Change) -> impl Iterator<Item = super::l2::SealedPlace> {
    let touched = touched(change);
    let place = |policy: &policy::CachePolicy, name: &[u8]| shared.place(policy.name, name);
    [
        touched.client_id.map(|id| place(&policy::CLIENT, id.name())),
        touched.client.map(|key| place(&policy::CLIENT_BY_KEY, key.name())),
        touched.resource.map(|uri| place(&policy::RESOURCE, uri.name())),
        touched.user.map(|id| place(&policy::USER, id.name())),
    ]
    .into_iter()
    .flatten()
}

impl<S: Store + ?Sized> Tail<S> {
    /// The least place a value of this key must have been read at; `None` if none is believed now.
    fn floor<K, Q, V>(&self, cache: &L1<K, V>, key: &Q) -> Option<u64>
    where
        K: Weigh + Hash + Eq + Clone,
        Q: Hash + ?Sized,
        V: Weigh,
    {
        self.history.stamp()?;
        cache.floor(key, self.ended.borrow().well)
    }

    /// Whether a row read at this place is what this node would read: the place lies in the history it
    /// follows, and no change of the key that it has applied came after it.
    fn believes<K, Q, V>(&self, cache: &L1<K, V>, key: &Q, stamp: Stamp) -> bool
    where
        K: Weigh + Hash + Eq + Clone,
        Q: Hash + ?Sized,
        V: Weigh,
    {
        self.history.holds(stamp) && self.floor(cache, key).is_some_and(|floor| stamp.seq >= floor)
    }
}
