//! Opening the store: everything that can be wrong with a database is said here, with what to do.

use std::{fmt, path::PathBuf, time::Duration};

use crate::store::StoreError;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database?sslmode=…`
    pub url: String,
    /// Where migrations and locks go: past a PgBouncer, directly. `None`: `url`.
    pub migration_url: Option<String>,
    /// Standby servers, for reads that tolerate being a moment late.
    pub replica_urls: Vec<String>,
    /// Connections of the request path at most; 0 for four to each core.
    pub max_connections: usize,
    /// Connections of the request path that are kept open.
    pub min_idle: usize,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// A connection older than that is replaced.
    pub max_lifetime: Duration,
    /// A connection that was not used for so long is closed.
    pub idle_timeout: Duration,
    /// A statement that takes longer is cancelled.
    pub statement_timeout: Duration,
    /// Whether statements are prepared once per connection. Not through a PgBouncer before 1.21.
    pub prepared: bool,
    /// Connections that point reads share.
    pub read_connections: usize,
    /// Certificates (PEM) that sign the server's; `sslrootcert` of a URL goes before it.
    pub root_file: Option<PathBuf>,
    /// How long ago a replica may have said how far it is, to be read from.
    pub max_replica_staleness: Duration,
    /// Whether pending migrations are applied; otherwise a store that has some is refused.
    pub migrate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: String::new(),
            migration_url: None,
            replica_urls: Vec::new(),
            max_connections: 0,
            min_idle: 2,
            acquire_timeout: Duration::from_secs(1),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            statement_timeout: Duration::from_secs(5),
            prepared: true,
            read_connections: 4,
            root_file: None,
            max_replica_staleness: Duration::from_secs(1),
            migrate: true,
        }
    }
}

impl Options {
    /// How long the first connection may take, and those of commands: a request that waits must be
    /// answered, a server that starts need not be in such a hurry.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.acquire_timeout.max(Duration::from_secs(5))
    }

    /// Connections of the request path at most.
    pub(super) fn request_connections(&self) -> usize {
        match self.max_connections {
            0 => 4 * std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        }
    }
}

/// URLs hold passwords, so they are left out.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("replicas", &self.replica_urls.len())
            .field("max_connections", &self.max_connections)
            .field("read_connections", &self.read_connections)
            .field("prepared", &self.prepared)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened, and what to do about it. Never holds a URL or a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be understood.
    #[error("the URL of the {name} {problem}")]
    Url {
        /// `store`, `store for migrations` or `replica`.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The certificates cannot be read.
    #[error("cannot read certificates from {place}: {problem}")]
    Certificates {
        /// The file, or the system.
        place: String,
        /// Why not.
        problem: String,
    },
    /// No connection.
    #[error("cannot connect to Postgres at {place}: {source}")]
    Connect {
        /// Host, port and database.
        place: String,
        /// What was said.
        source: StoreError,
    },
    /// A database of something else.
    #[error("the database at {place} holds tables that Chancery did not make; choose an empty one")]
    Foreign {
        /// Host, port and database.
        place: String,
    },
    /// Made by a newer version.
    #[error(
        "the database at {place} has schema {found}, but this version knows only {known}; run the newer \
         version, or restore a backup that this one made"
    )]
    Newer {
        /// Host, port and database.
        place: String,
        /// Its schema.
        found: u32,
        /// The newest known schema.
        known: u32,
    },
    /// Made by an older version.
    #[error(
        "the database at {place} has schema {found}, this version needs {known}; run `chancery migrate up`"
    )]
    Outdated {
        /// Host, port and database.
        place: String,
        /// Its schema.
        found: u32,
        /// The schema needed.
        known: u32,
    },
    /// A migration failed; nothing of it was kept.
    #[error("the database at {place} cannot be migrated: {message}; it is as it was before")]
    Migration {
        /// Host, port and database.
        place: String,
        /// What Postgres said.
        message: String,
    },
}

impl OpenError {
    pub(super) fn connect(place: &str, error: impl Into<StoreError>) -> Self {
        Self::Connect { place: place.to_owned(), source: error.into() }
    }
}
