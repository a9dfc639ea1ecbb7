//! The store that the configuration names, opened.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{AppError, compose::cores, schema::migrate_status};
use crate::{
    config::{Config, Location, SecretUrl},
    observe::Metrics,
    store::{
        BatchOptions, Batched, Store,
        postgres::{self, PoolStatistics, Postgres},
        sqlite::{self, ServeLock, Sqlite},
    },
};

/// A store, below every decorator.
#[derive(Clone)]
pub enum Backend {
    /// The embedded store.
    Sqlite(Arc<Sqlite>),
    /// A store that several nodes share.
    Postgres(Arc<Postgres>),
}

/// The metrics, once there are any: their labels are those of what is measured.
pub(super) type Meter = Arc<OnceLock<Arc<Metrics>>>;

/// Who opens a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenedBy {
    /// A server: it brings the schema up to date.
    Server,
    /// A command. It makes a store where there is none, but leaves one that an older version made as it
    /// is, because its server may be running.
    Command,
}

impl Backend {
    /// Opens the configured store. The lock, if there is one, keeps a second server off it and must live
    /// as long as the server.
    pub(super) async fn open(
        config: &Config,
        opening: OpenedBy,
    ) -> Result<(Self, Option<ServeLock>), AppError> {
        let database = match config.store.location() {
            Location::File(database) => database,
            Location::Postgres(url) => {
                let migrate = opening == OpenedBy::Server || migrate_status(config).await?.applied == 0;
                let store = Postgres::open(postgres_options(config, &url, migrate)).await?;
                return Ok((Self::Postgres(Arc::new(store)), None));
            }
        };
        prepare_data_dir(&config.store.data_dir)?;
        let (lock, migrate) = match opening {
            OpenedBy::Server => (Some(lock(&database)?), true),
            OpenedBy::Command => (None, migrate_status(config).await?.applied == 0),
        };
        let readers = if config.store.readers == 0 { cores() } else { config.store.readers };
        let options = sqlite::Options { readers, migrate, ..sqlite::Options::default() };
        Ok((Self::Sqlite(Arc::new(Sqlite::open(&database, options)?)), lock))
    }

    /// The store as such.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// The store for a node that serves: concurrent commits go together. (The embedded store's writer
    /// gathers them itself.)
    pub(super) fn gathering(&self, config: &Config, meter: &Meter) -> Arc<dyn Store> {
        let of = Arc::clone(meter);
        let count = move |commits| {
            of.get().inspect(|metrics| metrics.batch_written(commits));
        };
        let store = match self {
            Self::Sqlite(store) => {
                store.on_batch(count);
                return self.store();
            }
            Self::Postgres(store) => store,
        };
        let of = Arc::clone(meter);
        store.on_connection(move |pool, waited| {
            of.get().inspect(|metrics| metrics.pool_waited(pool, waited));
        });
        if !config.postgres.group_commit {
            return self.store();
        }
        // A place in a batch is waited for as long as a connection is.
        let options = BatchOptions { wait: config.postgres.acquire_timeout, ..BatchOptions::default() };
        let batched = Batched::new(Arc::clone(store), options);
        batched.on_batch(count);
        Arc::new(batched)
    }

    /// What it is: the `backend` label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Statements since it was opened.
    pub fn statements(&self) -> u64 {
        match self {
            Self::Sqlite(store) => store.statements(),
            Self::Postgres(store) => store.statements(),
        }
    }

    /// How full its pools of connections are. The embedded store has none.
    pub fn pools(&self) -> Vec<PoolStatistics> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Postgres(store) => store.pool_statistics(),
        }
    }
}

/// What the driver is told.
pub(super) fn postgres_options(config: &Config, url: &SecretUrl, migrate: bool) -> postgres::Options {
    let of = &config.postgres;
    postgres::Options {
        url: url.expose().to_owned(),
        migration_url: config.store.migration_url.as_ref().map(|url| url.expose().to_owned()),
        replica_urls: config.store.replica_urls.iter().map(|url| url.expose().to_owned()).collect(),
        max_connections: of.max_connections,
        min_idle: of.min_idle,
        acquire_timeout: of.acquire_timeout,
        max_lifetime: of.max_lifetime,
        idle_timeout: of.idle_timeout.min(of.max_lifetime),
        statement_timeout: of.statement_timeout,
        prepared: of.prepared,
        read_connections: of.read_connections,
        root_file: of.root_file.clone(),
        // What it read was true then; what it answers with must not be older than the feed allows.
        max_replica_staleness: config.feed.max_staleness.min(Duration::from_secs(1)),
        migrate,
    }
}

/// Keeps servers off an embedded store for as long as the lock is held; refused while one runs.
pub(super) fn lock(database: &Path) -> Result<ServeLock, AppError> {
    Ok(Sqlite::lock_for_serving(folder(database))?)
}

/// The folder a database lies in; the current one for a bare name.
fn folder(database: &Path) -> &Path {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes the data folder, for this user only, if it is missing.
fn prepare_data_dir(folder: &Path) -> Result<(), AppError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| AppError::io("make the data folder", folder, error))
}
