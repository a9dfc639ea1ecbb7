//! Metrics, logs and traces. `metrics.rs` is the only file that names a metric.

mod client_requests;
mod labels;
pub mod log;
mod memory;
mod metrics;
mod process;
#[cfg(feature = "profiling")]
pub mod profile;
mod rates;
mod read;
mod record;
mod registry;
pub mod request_id;
mod shape;
mod sharded_counters;
pub mod trace;
pub mod unavailable;

pub use client_requests::CountedRequest;
pub use labels::{
    BreakerLevels, CacheLabel, CacheResult, ChangeSource, Dependency, Endpoint, Eviction, GrantLabel,
    HashOperation, JwtFailure, JwtUse, Labels, LaneLabel, LoginResult, LogoutKind, OperationLabel,
    PoolLevels, Rejection, RevocationCause, Revoked, RouteLabel, TokenType,
};
pub use metrics::Metrics;
pub use process::ProcessStatistics;
pub use rates::Rates;
pub use read::RouteStatistics;
pub use registry::Described;

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
