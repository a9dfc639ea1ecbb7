//! Metrics, logs and traces. `metrics.rs` is the only file that names a metric.

mod asked;
mod cells;
mod labels;
pub mod log;
mod memory;
mod metrics;
mod process;
#[cfg(feature = "profiling")]
pub mod profile;
mod pulse;
mod read;
mod record;
mod registry;
pub mod request_id;
mod shape;
pub mod trace;
pub mod unanswered;

pub use asked::Asked;
pub use labels::{
    BreakerLevels, Cache, CacheResult, Dependency, Endpoint, Eviction, Grant, HashOperation, JwtFailure,
    JwtUse, Labels, Lane, Login, Logout, Operation, PoolLevels, Rejection, RevocationCause, Revoked, Route,
    Source, TokenType,
};
pub use metrics::Metrics;
pub use process::Figures;
pub use pulse::Rates;
pub use read::RouteFigures;
pub use registry::Described;

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
