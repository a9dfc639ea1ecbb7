//! The promises once more with Redis as the second tier and for change notifications, over every store: it may
//! make nodes faster, never other.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chancery::{
    cache::{CacheOptions, Cached, RedisClient, RedisOptions},
    crypto::{
        keys::{MasterKey, MasterKeys},
        random::Random,
        seal::Sealer,
    },
    resilience::{Breaker, BreakerOptions, Clock},
    store::{
        sqlite::{Options, Sqlite},
        *,
    },
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{
    servers,
    store::{fixtures::*, postgres::Installation, suite::each_promise},
};

/// What lies below the caches.
enum Below {
    /// A data folder.
    Sqlite(TempDir),
    /// A database, reached as its installation says; each node gathers its commits.
    Postgres(Installation),
}

/// An installation of a test's own. All tests share one Redis: names there are digests under the
/// master key, so that installations do not meet.
struct Shared {
    below: Below,
    sealer: Arc<Sealer>,
}

impl Shared {
    fn over(below: Below) -> Self {
        let random = Random::os();
        let masters = MasterKeys::new(vec![MasterKey::generate(&random)]).expect("a good key");
        Self { below, sealer: Arc::new(Sealer::new(masters, random)) }
    }

    fn sqlite() -> Self {
        Self::over(Below::Sqlite(tempfile::tempdir().expect("a temporary folder")))
    }

    async fn postgres() -> Self {
        Self::over(Below::Postgres(Installation::new().await))
    }

    async fn behind_pgbouncer() -> Self {
        Self::over(Below::Postgres(Installation::behind_pgbouncer().await))
    }

    async fn store(&self) -> Arc<dyn Store> {
        match &self.below {
            Below::Sqlite(folder) => {
                let path = folder.path().join("data/chancery.db");
                Arc::new(Sqlite::open(&path, Options::default()).expect("the store opens"))
            }
            Below::Postgres(installation) => {
                // A machine full of tests may take longer than a second for those before.
                let options = BatchOptions { wait: Duration::from_secs(30), ..BatchOptions::default() };
                Arc::new(Batched::new(Arc::new(installation.node().await), options))
            }
        }
    }

    async fn node(&self) -> Arc<Cached<dyn Store>> {
        let redis = connected().await;
        let cached = Cached::new(self.store().await, CacheOptions::default(), Clock::system());
        let cached = Arc::new(cached.with_redis(Arc::clone(&redis), Arc::clone(&self.sealer)));
        cached.tail().start().await.expect("the feed is read");
        let notifications = cached.change_notifications().expect("there is a Redis");
        tokio::spawn(cached.tail().clone().run(std::future::pending()));
        tokio::spawn(redis.run(std::future::pending()));
        tokio::spawn(Arc::clone(notifications).run(std::future::pending()));
        cached
    }
}

async fn connected() -> Arc<RedisClient> {
    static SERVER: OnceCell<servers::Redis> = OnceCell::const_new();
    let server = SERVER.get_or_init(servers::Redis::start).await;
    // A machine full of tests may stall for longer than Redis is given.
    let options =
        RedisOptions { command_timeout: Duration::from_secs(10), ..RedisOptions::new(server.url()) };
    let redis =
        RedisClient::open(&options, Arc::new(Breaker::new(BreakerOptions::default()))).expect("good options");
    redis.probe().await.expect("Redis answers");
    redis
}

#[async_trait]
impl Place for Shared {
    async fn open(&self) -> Arc<dyn Store> {
        self.node().await
    }

    fn staleness(&self) -> Duration {
        CacheOptions::default().feed.max_staleness
    }

    fn rounds(&self) -> usize {
        // What they race for is no row that is cached.
        3
    }
}

macro_rules! with_redis {
    ($($module:ident { $($promise:ident)* })*) => {$(
        mod $module {
            mod on_sqlite {
                $(#[tokio::test]
                async fn $promise() {
                    crate::store::suite::$module::$promise(&crate::store::shared::Shared::sqlite()).await;
                })*
            }

            mod on_postgres {
                $(#[tokio::test]
                async fn $promise() {
                    crate::store::suite::$module::$promise(&crate::store::shared::Shared::postgres().await).await;
                })*
            }

            mod behind_pgbouncer {
                $(#[tokio::test]
                async fn $promise() {
                    crate::store::suite::$module::$promise(&crate::store::shared::Shared::behind_pgbouncer().await).await;
                })*
            }
        }
    )*};
}

each_promise!(with_redis);

/// The suite would pass as well if Redis were never asked.
#[tokio::test]
async fn what_the_suite_runs_on_does_use_redis() {
    for place in [Shared::sqlite(), Shared::postgres().await, Shared::behind_pgbouncer().await] {
        let (one, other) = (place.node().await, place.node().await);
        let subscribed = async || {
            [&one, &other]
                .iter()
                .all(|node| node.change_notifications().expect("there is a Redis").is_subscribed())
        };
        servers::until("both nodes to be subscribed", subscribed).await;
        one.commit(commit([Effect::InsertClient(client("web").into())])).await.expect("a client");
        let received = async || other.change_notifications().expect("there is a Redis").received() > 0;
        servers::until("the other to be notified", received).await;
        let mut asked = 0;
        let from_redis = async || {
            // What one has just found out, the other finds in Redis a moment later.
            let uri = |n: u32| format!("https://{n}.example");
            asked += 1;
            one.resource(&uri(asked)).await.expect("the store answers");
            other.resource(&uri(asked - 1)).await.expect("the store answers");
            other.shared_stats().iter().any(|figures| figures.hits > 0)
        };
        servers::until("a row to come from Redis", from_redis).await;
    }
}
