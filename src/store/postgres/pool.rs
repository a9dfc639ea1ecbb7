//! The pools: connections that one transaction at a time has to itself.
//!
//! The request path, the feed and upkeep each have their own, so that none can starve another.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use deadpool_postgres::{PoolConfig, QueueMode, Timeouts};

use super::{connect::PostgresConnector, open::Options};
use crate::store::{StoreError, StoreErrorKind};

/// How full a pool is, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// `request`, `upkeep`, `feed`, `read` or `replica`.
    pub name: &'static str,
    /// Connections it may have.
    pub max: usize,
    /// Connections it has.
    pub size: usize,
    /// Connections nobody uses.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Callers that waited in vain so far.
    pub timeouts: u64,
}

impl PoolStatistics {
    /// Two pools of one name, as one.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            name: self.name,
            max: self.max + other.max,
            size: self.size + other.size,
            idle: self.idle + other.idle,
            waiting: self.waiting + other.waiting,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

/// How large a pool is, and how long its connections live.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) max: usize,
    pub(super) min_idle: usize,
    pub(super) acquire_timeout: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) idle_timeout: Duration,
}

impl Size {
    pub(super) fn new(options: &Options, max: usize, min_idle: usize) -> Self {
        let Options { acquire_timeout, max_lifetime, idle_timeout, .. } = *options;
        Self { max, min_idle: min_idle.min(max), acquire_timeout, max_lifetime, idle_timeout }
    }
}

/// A pool, and the task that keeps it warm and young.
pub(super) struct Pool {
    name: &'static str,
    size: Size,
    pool: deadpool_postgres::Pool,
    timeouts: Arc<AtomicU64>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Pool {
    pub(super) fn start(name: &'static str, connector: &PostgresConnector, size: Size) -> Self {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(connector.config().clone(), connector.clone(), recycling);
        let mut config = PoolConfig::new(size.max.max(1));
        config.timeouts = Timeouts {
            wait: Some(size.acquire_timeout),
            create: Some(size.acquire_timeout),
            recycle: Some(size.acquire_timeout),
        };
        // The last used goes out first, so that what is not needed is seen to be idle.
        config.queue_mode = QueueMode::Lifo;
        let (making, lending) = (connector.clone(), connector.clone());
        let pool = deadpool_postgres::Pool::builder(manager)
            .config(config)
            .post_create(Hook::async_fn(move |client, _| {
                let connector = making.clone();
                Box::pin(async move {
                    let checked = connector.check(client).await;
                    checked.map_err(|error| HookError::message(error.message))
                })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| match lending.is_past(metrics.created) {
                true => Err(HookError::message(
                    "this server is a former primary: another one has taken its place",
                )),
                false => Ok(()),
            }))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is named");
        let keeper = connector.runtime().spawn(keep(pool.clone(), size));
        Self { name, size, pool, timeouts: Arc::default(), keeper }
    }

    /// A connection of one's own, until it is dropped.
    pub(super) async fn get(&self) -> Result<Object, StoreError> {
        match tokio::time::timeout(self.size.acquire_timeout, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error.into()),
            Ok(Err(PoolError::Closed)) => Err(closed()),
            Ok(Err(PoolError::PostCreateHook(error))) => {
                Err(StoreError::new(StoreErrorKind::Connection, error.to_string()))
            }
            Ok(Err(PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle))) => {
                Err(self.in_vain("Postgres did not answer when connecting"))
            }
            Ok(Err(_)) | Err(_) => Err(self.in_vain("every connection is in use")),
        }
    }

    fn in_vain(&self, why: &str) -> StoreError {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
        let message = format!(
            "no connection of the pool `{}` within {:?}: {why} ({} of {})",
            self.name,
            self.size.acquire_timeout,
            self.pool.status().size,
            self.size.max
        );
        StoreError::new(StoreErrorKind::Connection, message)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let status = self.pool.status();
        PoolStatistics {
            name: self.name,
            max: status.max_size,
            size: status.size,
            idle: status.available,
            waiting: status.waiting,
            timeouts: self.timeouts.load(Ordering::Relaxed),
        }
    }

    /// Lends nothing any more and closes what is idle; what is lent is closed when it comes back.
    pub(super) fn close(&self) {
        self.keeper.abort();
        self.pool.close();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Connection, "the store is closed")
}

/// deadpool itself knows neither a minimum, nor a lifetime, nor an idle timeout.
async fn keep(pool: deadpool_postgres::Pool, size: Size) {
    let pause = (size.idle_timeout.min(size.max_lifetime) / 20)
        .clamp(Duration::from_millis(50), Duration::from_secs(5));
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut left = pool.status().size;
        pool.retain(|client, metrics| {
            let old = metrics.age() > lifetime(metrics.created, size.max_lifetime);
            let unused = metrics.last_used() > size.idle_timeout && left > size.min_idle;
            let stays = !(client.is_closed() || old || unused);
            left -= usize::from(!stays);
            stays
        });
        warm(&pool, size.min_idle).await;
    }
}

/// Opens connections until there are as many as are to be kept. While it does, it holds those that
/// are idle, because the pool makes a new one only when none is.
async fn warm(pool: &deadpool_postgres::Pool, min_idle: usize) {
    let mut held = Vec::new();
    while pool.status().size < min_idle {
        match pool.get().await {
            Ok(connection) => held.push(connection),
            Err(error) => {
                tracing::debug!(%error, "opening idle connections of a pool failed; will retry");
                return;
            }
        }
    }
}

/// Between nine tenths of the lifetime and all of it, so that connections that were made together
/// are not replaced together.
fn lifetime(created: Instant, most: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    created.hash(&mut hasher);
    let tenth = u32::try_from(hasher.finish() % 1000).expect("below 1000");
    most - most / 10_000 * tenth
}
