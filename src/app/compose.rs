//! Putting a node together: data folder, master keys, store, caches, engine, provider.

use std::{io, path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{
    AppError,
    backend::{Backend, Meter, OpenedBy, lock},
    labels::labels,
    rotation,
};
use crate::{
    cache::{self, CacheOptions, Cached, ConnectionStrategy, FeedOptions, RedisClient, RedisOptions},
    config::{self, Config, Fault, Location, create_master_key},
    crypto::{
        keyring::KeyRing,
        keys::{MasterKey, MasterKeys},
        opaque::Opaques,
        password::HashCost,
        random::Random,
        seal::Sealer,
    },
    model::Secret,
    observe::Metrics,
    protocol::{Policy, key_rotation::KeyRotation, registration::MAX_ACCESS_LIFETIME},
    provider::{IssuerContext, Provider, SigningLane, password::PasswordLane},
    resilience::{Breaker, BreakerOptions, Clock},
    store::{Guard, GuardOptions, Store, sqlite::ServeLock},
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
    pub rotation: KeyRotation,
    pub(super) backend: Backend,
    /// What stands before the store of a node that serves.
    pub(super) guard: Option<Arc<Guard<dyn Store>>>,
    pub(super) cached: Arc<Cached<dyn Store>>,
    /// Change notifications between nodes, if they have a Redis.
    pub(super) redis: Option<Arc<RedisClient>>,
    /// One server on an embedded store, from before it is migrated to the end.
    _serving: Option<ServeLock>,
}

impl Node {
    /// A node that will serve: its reads go through the caches, which the change feed keeps true.
    /// Pending migrations are applied, unless another server runs on the embedded store: then it is
    /// refused. Must be served by the runtime that it was opened in.
    pub async fn open(config: Config, clock: Clock, random: Random) -> Result<Self, AppError> {
        Self::compose(config, (clock, random), OpenedBy::Server).await
    }

    /// A node for one command: it reads the store itself, so that it needs no feed. A store that an
    /// older version made is refused, because its server may be running.
    pub async fn open_for_command(config: Config) -> Result<Self, AppError> {
        Self::compose(config, (Clock::system(), Random::os()), OpenedBy::Command).await
    }

    /// Opens only the store, for commands that need no keys.
    pub async fn open_store(config: &Config) -> Result<Backend, AppError> {
        Ok(Backend::open(config, OpenedBy::Command).await?.0)
    }

    /// Keeps servers off an embedded store for as long as the lock is held; refused while one runs.
    /// Nodes on Postgres hold no lock, since any number of them may run.
    pub fn lock(store: &Location) -> Result<Option<ServeLock>, AppError> {
        match store {
            Location::File(database) => lock(database).map(Some),
            Location::Postgres(_) => Ok(None),
        }
    }

    /// The store itself, below every decorator.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn compose(
        config: Config,
        (clock, random): (Clock, Random),
        opening: OpenedBy,
    ) -> Result<Self, AppError> {
        cache::prepare();
        let (backend, lock) = Backend::open(&config, opening).await?;
        let meter = Meter::default();
        let guarded = || Arc::new(Guard::new(backend.gathering(&config, &meter), guard_options(&config)));
        let guard = (opening == OpenedBy::Server).then(guarded);
        let store = match &guard {
            Some(guard) => Arc::clone(guard) as Arc<dyn Store>,
            None => backend.store(),
        };
        let masters = master_keys(&config, &random, &*store).await?;
        let sealer = Arc::new(Sealer::new(masters.clone(), random.clone()));
        let mut cached = Cached::new(Arc::clone(&store), cache_options(&config), clock.clone());
        // A command lives too short for it: nodes learn from the feed what it commits.
        let redis = if opening == OpenedBy::Server { open_redis(&config)? } else { None };
        if let Some(redis) = &redis {
            cached = cached.with_redis(Arc::clone(redis), &sealer);
        }
        let cached = Arc::new(cached);
        let pools = backend.pools().iter().map(|pool| pool.name).collect();
        let metrics = Metrics::new(labels(&config, &cached, (backend.kind(), pools)));
        config.metrics.memory_limit.iter().for_each(|bytes| metrics.set_memory_limit(*bytes));
        guard.iter().for_each(|guard| guard.measure(Arc::clone(&metrics)));
        let _ = meter.set(Arc::clone(&metrics));
        let passwords = password_lane(&config, &random, &metrics)?;
        let signing = SigningLane::start(cores()).map_err(|error| no_threads("signatures", &error))?;
        let reads: Arc<dyn Store> = if opening == OpenedBy::Server { cached.clone() } else { store };
        let context = IssuerContext {
            store: reads,
            opaque: Opaques::new(&masters),
            sealer,
            key_ring: arc_swap::ArcSwap::from_pointee(KeyRing::default()),
            policy: policy(&config),
            random,
            clock,
            metrics,
        };
        let provider = Provider::new(context, cached.tail().clone(), passwords, signing);
        let (rotation, provider) = (rotation(&config), Arc::new(provider));
        Ok(Self { rotation, provider, config, backend, guard, cached, redis, _serving: lock })
    }
}

/// Threads of this machine that the process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The configured master keys, or those of the data folder, which gets one if it has none.
async fn master_keys(config: &Config, random: &Random, store: &dyn Store) -> Result<MasterKeys, AppError> {
    let refused = |fault| AppError::Configuration(vec![fault]);
    let keys = match config.master_keys().map_err(refused)? {
        Some(keys) => keys,
        None => {
            let path = config.keys.master_path(&config.store.data_dir);
            // A new key would open nothing of what is there, and hide what is missing.
            if !store.signing_keys(false).await?.is_empty() {
                let message = format!(
                    "is missing, and {} was sealed with it; put it back (a backup does not contain it), or give the key in `[keys] master`",
                    config.store.location().shown()
                );
                return Err(refused(Fault::new(path.display().to_string(), message)));
            }
            let made = create_master_key(&path, &Secret::new(random.bytes()));
            // Another process of ours may have made one just now; then that one counts.
            match config.master_keys().map_err(refused)? {
                Some(keys) => {
                    if made.is_ok() {
                        tracing::warn!(
                            path = %path.display(),
                            "no master key configured; created one with mode 0600. Keep a copy of it apart from the store's backups: they cannot be restored without it"
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

/// Reads the options; nothing waits for Redis to be there.
pub(super) fn open_redis(config: &Config) -> Result<Option<Arc<RedisClient>>, AppError> {
    let Some(url) = &config.redis.url else { return Ok(None) };
    let options = RedisOptions {
        url: Secret::new(url.expose().to_owned()),
        strategy: match config.redis.strategy {
            config::RedisStrategy::Multiplexed => ConnectionStrategy::Multiplexed,
            config::RedisStrategy::Pooled => ConnectionStrategy::Pooled,
            config::RedisStrategy::Direct => ConnectionStrategy::Direct,
        },
        pool_size: config.redis.pool_size,
        command_timeout: config.redis.command_timeout,
        root_file: config.redis.root_file.clone(),
    };
    let breaker = Arc::new(Breaker::new(BreakerOptions::default()));
    RedisClient::open(&options, breaker)
        .map(Some)
        .map_err(|error| AppError::Configuration(vec![Fault::new("[redis]", error.to_string())]))
}

/// What an answer to a client leaves time for.
fn guard_options(config: &Config) -> GuardOptions {
    let options = GuardOptions::default();
    let statement = config.postgres.statement_timeout;
    GuardOptions {
        read_timeout: options.read_timeout.min(statement),
        commit_timeout: options.commit_timeout.min(config.server.request_timeout),
        given_up_after: options.given_up_after.min(config.server.request_timeout / 2),
        ..options
    }
}

fn password_lane(config: &Config, random: &Random, metrics: &Arc<Metrics>) -> Result<PasswordLane, AppError> {
    let password = &config.password;
    let params = HashCost::new(password.memory_kib, password.iterations, password.parallelism);
    let params = params.ok_or_else(|| {
        let most = format!(
            "may be at most {} KiB with {} passes",
            HashCost::MAX_MEMORY_KIB,
            HashCost::MAX_ITERATIONS
        );
        AppError::Configuration(vec![Fault::new("[password] memory_kib, iterations", most)])
    })?;
    let threads = match password.threads {
        0 => cores(),
        threads => threads,
    };
    PasswordLane::start((threads, password.queue), params, random.clone(), Arc::clone(metrics))
        .map_err(|error| no_threads("passwords", &error))
}

fn no_threads(what: &str, error: &io::Error) -> AppError {
    AppError::Start(format!("the threads for {what} cannot be started: {error}"))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::sqlite::{OpenError, Sqlite};

    /// Its schema must not change under the server that runs.
    #[tokio::test]
    async fn a_second_server_is_refused_before_it_touches_the_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string());
        let config = Config::load(None, &BTreeMap::from([data_dir])).expect("a good configuration");
        let running = Sqlite::lock_for_serving(folder.path()).expect("nobody else runs");
        let open = || Node::open(config.clone(), Clock::system(), Random::seeded(1));
        let refused = open().await.map(drop).expect_err("another server runs");
        assert!(matches!(refused, AppError::Open(OpenError::Served { .. })), "{refused}");
        assert!(!folder.path().join("chancery.db").exists());
        drop(running);
        open().await.map(drop).expect("nobody else runs any more");
    }
}
