//! The caches of one node together, and what a change does to them.

use std::{sync::Arc, time::Duration};

use super::{
    l1::L1,
    policy::{self, touched},
    stats::{CacheStats, ChangeOrigin, LoadObserver},
};
use crate::{model::*, observe::Metrics, store::Change};

/// One cache per row of the policy table.
pub(super) struct CacheSet {
    pub(super) client: L1<String, Client>,
    pub(super) client_by_key: L1<ClientKey, Client>,
    pub(super) resource: L1<String, Resource>,
    pub(super) user: L1<UserId, User>,
    pub(super) family: L1<FamilyId, Family>,
}

impl CacheSet {
    /// Empty caches that share `max_memory` bytes.
    pub(super) fn new(max_memory: u64, ttl: Duration) -> Self {
        Self {
            client: L1::new(&policy::CLIENT, max_memory, ttl),
            client_by_key: L1::new(&policy::CLIENT_BY_KEY, max_memory, ttl),
            resource: L1::new(&policy::RESOURCE, max_memory, ttl),
            user: L1::new(&policy::USER, max_memory, ttl),
            family: L1::new(&policy::FAMILY, max_memory, ttl),
        }
    }

    /// Forgets what a change made untrue.
    pub(super) fn apply(&self, change: &Change, origin: ChangeOrigin) {
        let touched = touched(change);
        if let Some(client_id) = touched.client_id {
            self.client.invalidate(client_id, origin);
        } else if let Some(key) = touched.client {
            // A raised epoch names the key only. It is rare enough to look through all names.
            self.client.invalidate_where(origin, |client| client.key == key);
        }
        if let Some(key) = touched.client {
            self.client_by_key.invalidate(&key, origin);
        }
        if let Some(uri) = touched.resource {
            self.resource.invalidate(uri, origin);
        }
        if let Some(user) = touched.user {
            self.user.invalidate(&user, origin);
        }
        if let Some(family) = touched.family {
            self.family.invalidate(&family, origin);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.client.clear();
        self.client_by_key.clear();
        self.resource.clear();
        self.user.clear();
        self.family.clear();
    }

    /// Has the time that each load takes recorded.
    pub(super) fn measure(&self, metrics: &Arc<Metrics>) {
        let timer = |name| -> LoadObserver {
            let (metrics, cache) = (Arc::clone(metrics), metrics.cache(name));
            Box::new(move |took| cache.iter().for_each(|cache| metrics.cache_loaded(*cache, took)))
        };
        self.client.on_load(timer(self.client.policy.name));
        self.client_by_key.on_load(timer(self.client_by_key.policy.name));
        self.resource.on_load(timer(self.resource.policy.name));
        self.user.on_load(timer(self.user.policy.name));
        self.family.on_load(timer(self.family.policy.name));
    }

    /// What each of them did and holds.
    pub(super) fn stats(&self) -> Vec<CacheStats> {
        vec![
            self.client.stats(),
            self.client_by_key.stats(),
            self.resource.stats(),
            self.user.stats(),
            self.family.stats(),
        ]
    }
}
