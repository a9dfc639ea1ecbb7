//! Metrics, logs and traces. `metrics.rs` is the only file that names a metric.

mod cells;
mod labels;
pub mod log;
mod metrics;
mod process;
#[cfg(feature = "profiling")]
pub mod profile;
mod record;
mod registry;
pub mod request_id;
pub mod trace;
pub mod unanswered;

pub use labels::{
    BreakerLevels, Cache, CacheResult, Dependency, Eviction, Grant, HashOperation, JwtFailure, JwtUse,
    Labels, Login, Logout, Operation, PoolLevels, Rejection, RevocationCause, Revoked, Route, Tier,
    TokenType,
};
pub use metrics::Metrics;

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
