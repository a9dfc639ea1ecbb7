//! Putting a node together: data folder, master keys, store, caches, engine, provider.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{AppError, rotation};
use crate::{
    cache::{CacheOptions, Cached, FeedOptions},
    config::{Config, Fault, create_master_key},
    crypto::{
        keyring::KeyRing,
        keys::{MasterKey, MasterKeys},
        opaque::Opaques,
        password::Params,
        random::Random,
        seal::Sealer,
    },
    http::routes::ROUTES,
    model::Secret,
    observe::{Labels, Metrics},
    protocol::{ErrorCode, Policy, key_rotation::Rotation, registration::MAX_ACCESS_LIFETIME},
    provider::{Provider, password::PasswordLane},
    resilience::Clock,
    store::{
        Store,
        sqlite::{Options, ServeLock, Sqlite, migrate_status, row_classes},
    },
};

/// How long a person may take to sign in and consent, in seconds.
const LOGIN_LIFETIME: u64 = 15 * 60;

/// A node: everything that stands behind the listeners.
pub struct Node {
    /// What it was made from.
    pub config: Config,
    /// The use cases.
    pub provider: Arc<Provider>,
    /// When signing keys change.
    pub rotation: Rotation,
    pub(super) store: Arc<Sqlite>,
    pub(super) cached: Arc<Cached<Sqlite>>,
    /// One server on a store, from before it is migrated to the end.
    _serving: Option<ServeLock>,
}

impl Node {
    /// A node that will serve: its reads go through the caches, which the change feed keeps true.
    /// Pending migrations are applied, unless another server runs on the store: then it is refused.
    pub fn open(config: Config, clock: Clock, random: Random) -> Result<Self, AppError> {
        Self::compose(config, (clock, random), true)
    }

    /// A node for one command: it reads the store itself, so that it needs no feed. A store that an
    /// older version made is refused, because its server may be running.
    pub fn open_for_command(config: Config) -> Result<Self, AppError> {
        Self::compose(config, (Clock::system(), Random::os()), false)
    }

    /// Opens only the store, for commands that need no keys.
    pub fn open_store(config: &Config) -> Result<Sqlite, AppError> {
        prepare_data_dir(&config.store.data_dir)?;
        let database = config.store.database();
        let is_new = migrate_status(&database)?.applied == 0;
        Ok(Sqlite::open(&database, options(config, is_new))?)
    }

    /// Keeps servers off the store for as long as the lock is held; refused while one runs.
    pub fn lock(config: &Config) -> Result<ServeLock, AppError> {
        Ok(Sqlite::lock_for_serving(folder(&config.store.database()))?)
    }

    /// The store itself, below the caches.
    pub fn store(&self) -> &Arc<Sqlite> {
        &self.store
    }

    fn compose(config: Config, (clock, random): (Clock, Random), serving: bool) -> Result<Self, AppError> {
        prepare_data_dir(&config.store.data_dir)?;
        let (store, lock) = if serving {
            let database = config.store.database();
            let lock = Self::lock(&config)?;
            (Sqlite::open(&database, options(&config, true))?, Some(lock))
        } else {
            (Self::open_store(&config)?, None)
        };
        let store = Arc::new(store);
        let masters = master_keys(&config, &random, &store)?;
        let cached = Arc::new(Cached::new(Arc::clone(&store), cache_options(&config), clock.clone()));
        let metrics = Metrics::new(labels(&cached));
        let passwords = password_lane(&config, &random, &metrics)?;
        let reads: Arc<dyn Store> = if serving { cached.clone() } else { store.clone() };
        let provider = Provider {
            store: reads,
            revocations: cached.tail().clone(),
            opaque: Opaques::new(&masters),
            sealer: Arc::new(Sealer::new(masters, random.clone())),
            keys: arc_swap::ArcSwap::from_pointee(KeyRing::default()),
            policy: policy(&config),
            random,
            clock,
            passwords,
            metrics,
        };
        let (rotation, provider) = (rotation(&config), Arc::new(provider));
        Ok(Self { rotation, provider, config, store, cached, _serving: lock })
    }
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

fn options(config: &Config, migrate: bool) -> Options {
    let readers = match config.store.readers {
        0 => cores(),
        readers => readers,
    };
    Options { readers, migrate, ..Options::default() }
}

/// Threads of this machine that the process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The configured master keys, or those of the data folder, which gets one if it has none.
fn master_keys(config: &Config, random: &Random, store: &Sqlite) -> Result<MasterKeys, AppError> {
    let data_dir = &config.store.data_dir;
    let refused = |fault| AppError::Configuration(vec![fault]);
    let keys = match config.keys.master_keys(data_dir).map_err(refused)? {
        Some(keys) => keys,
        None => {
            let path = config.keys.master_path(data_dir);
            // A new key would open nothing of what is there, and hide what is missing.
            if store.holds_sealed_keys()? {
                let message = format!(
                    "is missing, and {} was sealed with it; put it back (a backup does not contain it), or give the key in `[keys] master`",
                    config.store.database().display()
                );
                return Err(refused(Fault::new(path.display().to_string(), message)));
            }
            let made = create_master_key(&path, &Secret::new(random.bytes()));
            // Another process of ours may have made one just now; then that one counts.
            match config.keys.master_keys(data_dir).map_err(refused)? {
                Some(keys) => {
                    if made.is_ok() {
                        tracing::warn!(
                            path = %path.display(),
                            "no master key was given, so one was made, with mode 0600; keep a copy of it apart from the store's backups: without it they cannot be used"
                        );
                    }
                    keys
                }
                None => return Err(made.err().map_or_else(|| missing(&path), refused)),
            }
        }
    };
    let keys = keys.iter().map(|key| MasterKey::new(Zeroizing::new(*key.expose()))).collect();
    MasterKeys::new(keys).map_err(|error| refused(Fault::new("[keys] master", error.to_string())))
}

fn missing(path: &Path) -> AppError {
    AppError::io("find the master key", path, io::ErrorKind::NotFound.into())
}

fn cache_options(config: &Config) -> CacheOptions {
    CacheOptions {
        max_memory: config.cache.max_memory,
        ttl: config.cache.ttl,
        feed: FeedOptions {
            interval: config.feed.interval,
            max_staleness: config.feed.max_staleness,
            ..FeedOptions::default()
        },
    }
}

fn password_lane(config: &Config, random: &Random, metrics: &Arc<Metrics>) -> Result<PasswordLane, AppError> {
    let password = &config.password;
    let params = Params::new(password.memory_kib, password.iterations, password.parallelism);
    let params = params.ok_or_else(|| {
        let most =
            format!("may be at most {} KiB with {} passes", Params::MAX_MEMORY_KIB, Params::MAX_ITERATIONS);
        AppError::Configuration(vec![Fault::new("[password] memory_kib, iterations", most)])
    })?;
    let threads = match password.threads {
        0 => cores(),
        threads => threads,
    };
    PasswordLane::start((threads, password.queue), params, random.clone(), Arc::clone(metrics))
        .map_err(|error| AppError::Start(format!("the threads for passwords cannot be started: {error}")))
}

fn policy(config: &Config) -> Policy {
    Policy {
        issuer: config.server.issuer.as_str().to_owned(),
        code_lifetime: config.tokens.code_lifetime,
        id_token_lifetime: config.tokens.id_token_lifetime,
        retry_window: config.refresh.retry_window,
        // Any client may have been given the longest there is.
        longest_access_lifetime: MAX_ACCESS_LIFETIME,
        session_idle_lifetime: config.session.idle_lifetime,
        session_lifetime: config.session.lifetime,
        login_lifetime: LOGIN_LIFETIME,
        logout_revokes: config.session.logout_revokes,
        min_password_length: config.password.min_length,
    }
}

/// Everything that will ever be counted, from the tables of the layers that know it.
fn labels(cached: &Cached<Sqlite>) -> Labels {
    let errors = || ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let routes = ROUTES.iter().flat_map(|(path, methods)| methods.iter().map(|method| (*method, *path)));
    Labels {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("CHANCERY_REVISION").unwrap_or("unknown"),
        rustc: option_env!("CHANCERY_RUSTC").unwrap_or("unknown"),
        routes: routes.collect(),
        grants: super::grant_types(),
        token_errors: errors(),
        authorize_errors: errors(),
        tables: row_classes(),
        caches: cached.stats().iter().map(|figures| figures.cache).collect(),
        operations: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::sqlite::OpenError;

    /// Its schema must not change under the server that runs.
    #[test]
    fn a_second_server_is_refused_before_it_touches_the_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string());
        let config = Config::load(None, &BTreeMap::from([data_dir])).expect("a good configuration");
        let database = config.store.database();
        let running = Sqlite::lock_for_serving(folder.path()).expect("nobody else runs");
        let open = || Node::open(config.clone(), Clock::system(), Random::seeded(1)).map(drop);
        let refused = open().expect_err("another server runs");
        assert!(matches!(refused, AppError::Open(OpenError::Served { .. })), "{refused}");
        assert!(!database.exists());
        drop(running);
        open().expect("nobody else runs any more");
    }
}
