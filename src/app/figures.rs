//! What the operations listener shows: metrics that are sampled, `/health`, `/api/cache/stats`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::Node;
use crate::{
    cache::{CacheFigures, Cached},
    http::Operations,
    observe::{CacheResult, Eviction, Metrics},
    provider::Provider,
    store::{RevocationIndex, sqlite::Sqlite},
};

/// What is found out about the store now and then, because asking is not free.
pub(super) struct Figures {
    provider: Arc<Provider>,
    cached: Arc<Cached<Sqlite>>,
    begun: Duration,
    store_up: AtomicBool,
    schema: AtomicU32,
    draining: Arc<AtomicBool>,
}

impl Figures {
    pub(super) fn new(node: &Node, draining: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            provider: Arc::clone(&node.provider),
            cached: Arc::clone(&node.cached),
            begun: node.provider.clock.boot(),
            store_up: AtomicBool::new(false),
            schema: AtomicU32::new(0),
            draining: Arc::clone(draining),
        })
    }

    /// Asks the store how it is.
    pub(super) async fn refresh(&self) {
        let (store, metrics) = (&self.provider.store, &self.provider.metrics);
        let up = match store.probe().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the store does not answer");
                metrics.store_error(error.kind.as_str());
                false
            }
        };
        self.store_up.store(up, Ordering::Relaxed);
        metrics.set_store_up(up);
        match (store.schema_version().await, store.figures().await) {
            (Ok(version), Ok(figures)) => {
                self.schema.store(version, Ordering::Relaxed);
                metrics.set_schema_version(version);
                metrics.set_storage(&figures.rows, &figures.bytes);
            }
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the store gives no figures"),
        }
    }

    /// Has gauges set at each scrape that cost nothing to read.
    pub(super) fn sample(self: &Arc<Self>) {
        let (seen, figures) = (Mutex::new(HashMap::new()), Arc::clone(self));
        self.provider.metrics.sample(move |metrics| {
            let staleness = Duration::try_from_secs_f64(figures.cached.tail().staleness_seconds());
            metrics.set_feed_staleness(staleness.unwrap_or(Duration::MAX));
            let index = figures.cached.tail().index();
            metrics.set_revocations(index.len(), index.overflowed_clients().len());
            figures.provider.passwords.sample();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for now in figures.cached.stats() {
                let before = seen.insert(now.cache, now).unwrap_or_default();
                count_cache(metrics, &before, &now);
            }
        });
        let metrics = Arc::clone(&self.provider.metrics);
        self.cached.tail().on_revocation_seen(move |seconds| {
            metrics.revocation_heard(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        });
    }

    /// What the operations listener asks for.
    pub(super) fn operations(self: &Arc<Self>) -> Operations {
        let (metrics, health, stats) =
            (Arc::clone(&self.provider.metrics), Arc::clone(self), Arc::clone(&self.cached));
        Operations {
            metrics: Box::new(move || metrics.encode()),
            health: Box::new(move || health.health()),
            cache_stats: Box::new(move || json!({ "caches": stats.stats() })),
        }
    }

    fn health(&self) -> Value {
        let (fresh, up) = (self.cached.tail().is_fresh(), self.store_up.load(Ordering::Relaxed));
        let draining = self.draining.load(Ordering::Relaxed);
        let status = match (draining, fresh && up) {
            (true, _) => "stopping",
            (false, true) => "ready",
            (false, false) => "not ready",
        };
        let keys = self.provider.keys.load();
        let key = |key: &crate::crypto::keyring::RingKey| json!({ "kid": key.kid, "alg": key.alg.as_str(), "state": key.state.as_str() });
        let tail = self.cached.tail();
        json!({
            "status": status,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": (self.provider.clock.boot().saturating_sub(self.begun)).as_secs(),
            "store": { "up": up, "schema_version": self.schema.load(Ordering::Relaxed) },
            "feed": { "fresh": fresh, "staleness_seconds": tail.staleness_seconds() },
            "revocations": { "held": tail.index().len(), "clients_above_cap": tail.index().overflowed_clients().len() },
            "signing_keys": keys.keys().iter().map(key).collect::<Vec<_>>(),
        })
    }
}

/// Counts what happened in a cache since the last scrape.
fn count_cache(metrics: &Metrics, before: &CacheFigures, now: &CacheFigures) {
    let Some(cache) = metrics.cache(now.cache) else { return };
    for (result, lookups) in [
        (CacheResult::Hit, now.hits.saturating_sub(before.hits)),
        (CacheResult::Miss, now.misses.saturating_sub(before.misses)),
        (CacheResult::Error, now.errors.saturating_sub(before.errors)),
    ] {
        metrics.cache_requests(cache, result, lookups);
    }
    for (reason, entries) in [
        (Eviction::Size, now.evicted_size.saturating_sub(before.evicted_size)),
        (Eviction::Ttl, now.evicted_ttl.saturating_sub(before.evicted_ttl)),
        (Eviction::Invalidated, now.invalidated.saturating_sub(before.invalidated)),
    ] {
        metrics.cache_evicted(cache, reason, entries);
    }
    metrics.set_cache_size(cache, now.entries, now.weight);
}
