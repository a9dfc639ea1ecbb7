//! The composition root: from a configuration to a node that serves.
//!
//! [`Node::open`] puts the parts together, [`Node::serve`] runs them until the process is told to
//! stop. The demo is a node like any other, over a store that is thrown away.

mod backend;
mod compose;
pub mod demo;
mod labels;
mod listen;
mod performance;
pub mod schema;
mod serve;
mod statistics;
mod tasks;

use std::path::{Path, PathBuf};

pub use backend::Backend;
pub use compose::Node;
pub use listen::{Addresses, Listeners};
pub use serve::{ServeOptions, block_on};

use crate::{
    config::{Config, Fault},
    http::pages::PagesError,
    model::*,
    protocol::{grants::GRANTS, key_rotation::KeyRotation, registration::MAX_ACCESS_LIFETIME},
    provider::{KeyChangeError, ProviderError, admin::AdminError},
    store::{StoreError, postgres, sqlite::OpenError},
};

/// Why a node could not be put together, or stopped working. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is wrong: everything about it, a line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<Fault>),
    /// The page templates are wrong.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// Something asked for on the command line is not possible.
    #[error("{0}")]
    Usage(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Postgres cannot be used.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// The store could not do its work.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// A use case failed.
    #[error("{0}")]
    Provider(#[from] ProviderError),
    /// Signing keys could not be changed.
    #[error(transparent)]
    Key(#[from] KeyChangeError),
    /// A change could not be made.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An address cannot be listened on, or the server could not be started.
    #[error("{0}")]
    Start(String),
}

impl AppError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the way it was called or configured is to blame, rather than the work.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Configuration(_) | Self::Pages(_) | Self::Usage(_) | Self::Admin(AdminError::Refused(_))
        )
    }
}

/// The rules of key rotation that a configuration gives.
pub fn rotation(config: &Config) -> KeyRotation {
    KeyRotation {
        algorithms: config.keys.algorithms.clone(),
        period: config.keys.rotation,
        // R50: every cached key set has the next key, wherever it was fetched. The staleness is not
        // always whole seconds.
        lead: config.keys.jwks_max_age + config.feed.max_staleness.as_secs() + 1,
        keep: config.tokens.id_token_lifetime.max(MAX_ACCESS_LIFETIME),
    }
}

/// A client as it is when nothing else is asked for: the configured lifetimes, and no permissions.
pub fn default_client(config: &Config, client_id: &str) -> Client {
    let rs256 = config.keys.algorithms.contains(&SigningAlg::RS256);
    let first = config.keys.algorithms.first().copied().filter(|_| !rs256);
    Client {
        client_id: client_id.to_owned(),
        name: client_id.to_owned(),
        // OpenID Connect Core §15.1: RS256 is what every relying party can verify.
        id_token_alg: first.unwrap_or(SigningAlg::RS256),
        access_lifetime: config.tokens.access_lifetime,
        refresh_idle_lifetime: config.refresh.idle_lifetime,
        refresh_lifetime: config.refresh.lifetime,
        ..Client::default()
    }
}

/// The names of the grant types there are.
pub fn grant_types() -> Vec<&'static str> {
    GRANTS.iter().map(|grant| grant.grant_type()).collect()
}
