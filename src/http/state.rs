//! What the listeners are given: the state that all handlers share, and the limits.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::pages::PageTemplates;
use crate::{model::SigningAlg, provider::Provider};

/// Limits of the listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads of the public listener.
    pub workers: usize,
    /// A request's head must be there by then.
    pub head_timeout: Duration,
    /// A request's body must be there by then.
    pub body_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long requests under way may take when the server stops.
    pub shutdown_timeout: Duration,
    /// The most connections per worker.
    pub max_connections: usize,
    /// A request must be answered within this; what its client takes to send the body does not count.
    pub request_timeout: Duration,
    /// The most requests in flight, of all workers together; each has its share.
    pub max_in_flight: usize,
    /// Whether each request is logged.
    pub log_requests: bool,
}

/// Statistics of the operations listener, computed at each request.
pub type Statistics = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What the operations listener shows.
pub struct Operations {
    /// The Prometheus exposition.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The summary of `/health`.
    pub health: Statistics,
    /// Hits, misses, entries per cache.
    pub cache_stats: Statistics,
    /// Rates, latencies and resources of the node.
    pub performance: Statistics,
}

/// What all handlers share. Each worker has a copy, so that workers do not contend for the reference counts.
#[derive(Clone)]
pub struct AppState {
    /// The use cases.
    pub provider: Arc<Provider>,
    /// The pages.
    pub pages: Arc<PageTemplates>,
    /// Set when the server is about to stop: readiness fails first.
    pub draining: Arc<AtomicBool>,
    /// The algorithms a key is kept for.
    pub algorithms: Vec<SigningAlg>,
    /// `max-age` of JWKS and metadata, in seconds.
    pub jwks_max_age: u64,
    /// What the operations listener shows.
    pub operations: Arc<Operations>,
}
