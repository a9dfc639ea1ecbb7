//! What the operations listener shows: metrics that are sampled, `/health`, `/api/cache/stats`.
//! (`/api/performance/metrics` is in `performance.rs`.)

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{Backend, Node};
use crate::{
    cache::{CacheStats, Cached, RedisClient},
    http::Operations,
    observe::{
        BreakerLevels, CacheResult, ChangeSource, Dependency, Eviction, LaneLabel, Metrics, PoolLevels,
    },
    provider::Provider,
    resilience::{BreakerState, BreakerStatistics},
    store::{Guard, RevocationIndex, Store, postgres::PoolStatistics},
};

/// What is found out about the store now and then, because asking is not free.
pub(super) struct NodeStatistics {
    pub(super) provider: Arc<Provider>,
    pub(super) backend: Backend,
    guard: Option<Arc<Guard<dyn Store>>>,
    cached: Arc<Cached<dyn Store>>,
    redis: Option<Arc<RedisClient>>,
    begun: Duration,
    store_up: AtomicBool,
    was_fresh: AtomicBool,
    schema: AtomicU32,
    draining: Arc<AtomicBool>,
}

impl NodeStatistics {
    pub(super) fn new(node: &Node, draining: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            provider: Arc::clone(&node.provider),
            backend: node.backend.clone(),
            guard: node.guard.clone(),
            cached: Arc::clone(&node.cached),
            redis: node.redis.clone(),
            begun: node.provider.clock.boot(),
            store_up: AtomicBool::new(false),
            was_fresh: AtomicBool::new(true),
            schema: AtomicU32::new(0),
            draining: Arc::clone(draining),
        })
    }

    /// Asks the store whether it is there.
    pub(super) async fn probe(&self) {
        let (store, metrics) = (&self.provider.store, &self.provider.metrics);
        let answer = store.probe().await;
        let up = answer.is_ok();
        match (self.store_up.swap(up, Ordering::Relaxed), answer) {
            (_, Err(error)) => {
                tracing::warn!(%error, "store unavailable; answering from memory where allowed, probing again in 5 s")
            }
            (false, Ok(())) => tracing::info!("store available"),
            (true, Ok(())) => {}
        }
        metrics.set_backend_up(Dependency::Sql, up);
    }

    /// Logs when the node begins or ceases to refuse what needs the truth: what `/health/ready` says.
    pub(super) fn log_readiness(&self) {
        let tail = self.cached.tail();
        let fresh = tail.is_fresh();
        if self.was_fresh.swap(fresh, Ordering::Relaxed) == fresh || self.draining.load(Ordering::Relaxed) {
            return;
        }
        let staleness_seconds = tail.staleness_seconds();
        if fresh {
            tracing::info!(staleness_seconds, "revocations are up to date again; serving requests");
        } else {
            tracing::warn!(
                staleness_seconds,
                "revocations may be out of date; returning 503 until the change feed can be read"
            );
        }
    }

    /// Asks the store how much it holds.
    pub(super) async fn refresh(&self) {
        let (store, metrics) = (&self.provider.store, &self.provider.metrics);
        match (store.schema_version().await, store.statistics().await) {
            (Ok(version), Ok(statistics)) => {
                self.schema.store(version, Ordering::Relaxed);
                metrics.set_schema_version(version);
                metrics.set_storage(&statistics.rows, &statistics.class_bytes, &statistics.bytes);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "reading the store's size and schema version failed; trying again in a minute")
            }
        }
    }

    /// Has gauges set at each scrape that cost nothing to read.
    pub(super) fn sample(self: &Arc<Self>) {
        self.provider.metrics.sample_rates();
        self.cached.measure(&self.provider.metrics);
        let (seen, statistics) = (Mutex::new(HashMap::new()), Arc::clone(self));
        self.provider.metrics.sample(move |metrics| {
            let staleness = Duration::try_from_secs_f64(statistics.cached.tail().staleness_seconds());
            metrics.set_feed_staleness(staleness.unwrap_or(Duration::MAX));
            let index = statistics.cached.tail().index();
            metrics.set_revocations(index.len(), index.overflowed_clients().len());
            statistics.provider.sign_in.passwords.sample();
            metrics.set_lane(LaneLabel::Signing, statistics.provider.tokens.signing.queued());
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for now in statistics.cached.stats() {
                let before = seen.insert(now.cache, now).unwrap_or_default();
                count_cache(metrics, &before, &now);
            }
            statistics.sample_dependencies(metrics);
        });
        if let Some(redis) = &self.redis {
            let metrics = Arc::clone(&self.provider.metrics);
            redis.on_command(move |command, took, _| metrics.redis_command(command.as_str(), took));
        }
        let metrics = Arc::clone(&self.provider.metrics);
        self.cached.tail().on_revocation_seen(move |seconds| {
            metrics.revocation_propagated(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        });
    }

    /// Pools and breakers, of the store and of Redis.
    fn sample_dependencies(&self, metrics: &Metrics) {
        if let Some(guard) = &self.guard {
            metrics.set_breaker(Dependency::Sql, breaker_levels(guard.breaker().statistics()));
        }
        for PoolStatistics { name, max, size, idle, timeouts, .. } in self.backend.pools() {
            let in_use = size.saturating_sub(idle);
            metrics.set_pool(name, PoolLevels { in_use, idle, max, timeouts });
        }
        if let Some(redis) = &self.redis {
            metrics.set_backend_up(Dependency::Redis, redis.is_up());
            metrics.set_breaker(Dependency::Redis, breaker_levels(redis.breaker_statistics()));
            metrics.set_redis_errors(&redis.failures().map(|(kind, count)| (kind.as_str(), count)));
        }
    }

    /// What the operations listener asks for.
    pub(super) fn operations(self: &Arc<Self>) -> Operations {
        let (metrics, stats) = (Arc::clone(&self.provider.metrics), Arc::clone(&self.cached));
        let (health, performance) = (Arc::clone(self), Arc::clone(self));
        Operations {
            metrics: Box::new(move || metrics.encode()),
            health: Box::new(move || health.health()),
            cache_stats: Box::new(move || json!({ "caches": stats.stats() })),
            performance: Box::new(move || performance.performance()),
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
        let keys = self.provider.key_ring.load();
        let key = |key: &crate::crypto::keyring::RingKey| json!({ "kid": key.kid, "alg": key.alg.as_str(), "state": key.state.as_str() });
        let tail = self.cached.tail();
        let store_breaker = self.guard.as_ref().map(|guard| breaker(guard.breaker().state()));
        let pools: Vec<_> = self.backend.pools().iter().map(pool).collect();
        json!({
            "status": status,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.uptime().as_secs(),
            "store": { "kind": self.backend.kind(), "up": up, "schema_version": self.schema.load(Ordering::Relaxed), "pools": pools, "breaker": store_breaker },
            "redis": self.redis.as_ref().map(|redis| self.redis_health(redis)),
            "feed": { "fresh": fresh, "staleness_seconds": tail.staleness_seconds() },
            "revocations": { "held": tail.index().len(), "clients_above_cap": tail.index().overflowed_clients().len() },
            "signing_keys": keys.keys().iter().map(key).collect::<Vec<_>>(),
        })
    }

    /// Since the node was made.
    pub(super) fn uptime(&self) -> Duration {
        self.provider.clock.boot().saturating_sub(self.begun)
    }

    fn redis_health(&self, redis: &RedisClient) -> Value {
        let subscribed = self.cached.change_notifications().is_some_and(|changes| changes.is_subscribed());
        json!({ "up": redis.is_up(), "breaker": breaker(redis.breaker_state()), "subscribed": subscribed })
    }
}

fn breaker_levels(statistics: BreakerStatistics) -> BreakerLevels {
    let BreakerStatistics { state, transitions, refused } = statistics;
    BreakerLevels { state: state as usize, transitions, refused }
}

fn breaker(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Open => "open",
    }
}

pub(super) fn pool(statistics: &PoolStatistics) -> Value {
    let PoolStatistics { name, max, size, idle, waiting, timeouts } = statistics;
    json!({ "name": name, "max": max, "size": size, "idle": idle, "waiting": waiting, "timeouts": timeouts })
}

/// Counts what happened in a cache since the last scrape.
fn count_cache(metrics: &Metrics, before: &CacheStats, now: &CacheStats) {
    let Some(series) = metrics.cache(now.cache) else { return };
    for (result, lookups) in [
        (CacheResult::Hit, now.hits.saturating_sub(before.hits)),
        (CacheResult::Miss, now.misses.saturating_sub(before.misses)),
        (CacheResult::Error, now.errors.saturating_sub(before.errors)),
    ] {
        metrics.cache_requests(series, result, lookups);
    }
    for (source, changes) in [
        (ChangeSource::Local, now.changed_here.saturating_sub(before.changed_here)),
        (ChangeSource::Feed, now.changed_by_feed.saturating_sub(before.changed_by_feed)),
    ] {
        metrics.cache_invalidated(series, source, changes);
    }
    for (reason, entries) in [
        (Eviction::Size, now.evicted_size.saturating_sub(before.evicted_size)),
        (Eviction::Ttl, now.evicted_ttl.saturating_sub(before.evicted_ttl)),
        (Eviction::Invalidated, now.invalidated.saturating_sub(before.invalidated)),
    ] {
        metrics.cache_evicted(series, reason, entries);
    }
    metrics.set_cache_size(series, now.entries, now.weight);
}
