//! How Redis is reached (`[redis]`), and why it cannot be reached as configured.

use std::{path::PathBuf, time::Duration};

use redis::RedisError;

use crate::model::Secret;

/// Making a connection, in the background, may take so long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How commands come by a connection. A benchmark compares them; docs/decisions/0013-redis.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionStrategy {
    /// All share one connection, their commands one behind the other.
    #[default]
    Multiplexed,
    /// Each borrows a connection from a pool. For a single server.
    Pooled,
    /// Each makes a connection and closes it.
    Direct,
}

impl ConnectionStrategy {
    /// Every strategy there is.
    pub const ALL: [Self; 3] = [Self::Multiplexed, Self::Pooled, Self::Direct];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multiplexed => "multiplexed",
            Self::Pooled => "pooled",
            Self::Direct => "direct",
        }
    }
}

/// How Redis is reached (`[redis]`).
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Where; see the table in `target.rs` and docs/configuration.md.
    pub url: Secret<String>,
    /// How commands come by a connection.
    pub strategy: ConnectionStrategy,
    /// Connections of the pool, if there is one.
    pub pool_size: usize,
    /// A command that takes longer has failed.
    pub command_timeout: Duration,
    /// Certificates in PEM to trust in place of the system's.
    pub root_file: Option<PathBuf>,
}

impl RedisOptions {
    /// The defaults, for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            strategy: ConnectionStrategy::default(),
            pool_size: 16,
            command_timeout: Duration::from_millis(50),
            root_file: None,
        }
    }
}

/// Why Redis cannot be used as configured. Says nothing about the URL's parts: they may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisOpenError {
    /// The URL.
    #[error("the URL of Redis cannot be used: {0}")]
    Url(String),
    /// The file with certificates.
    #[error("the certificates in {path} cannot be used: {reason}")]
    Roots {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A pool for more than one server.
    #[error("the strategy `pooled` is for a single server; with Sentinel or a Cluster use `multiplexed`")]
    Pooled,
}

impl From<RedisError> for RedisOpenError {
    fn from(error: RedisError) -> Self {
        // The category is a fixed word; details may repeat what was configured.
        Self::Url(error.category().to_owned())
    }
}
