//! Tests of several nodes over one store: what binds them is the feed, and Redis if there is one.

#[path = "../../tests/servers/mod.rs"]
mod servers;

mod change_notifications;
mod promise;
mod strategies;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{CacheOptions, Cached, RedisClient, RedisOptions, testing::*};
use crate::{
    crypto::{
        keys::{MasterKey, MasterKeys},
        random::Random,
        seal::Sealer,
    },
    model::*,
    resilience::{Breaker, BreakerOptions, Clock},
    store::*,
};

/// One node's way to the store.
struct Link {
    store: Arc<Fake>,
    cut: AtomicBool,
    /// Answers to reads of rows.
    rows: Gate,
    /// Answers to reads of the feed.
    feed: Gate,
    /// Answers to commits.
    commits: Gate,
}

impl Link {
    fn new(store: Arc<Fake>) -> Self {
        let (rows, feed, commits) = Default::default();
        Self { store, cut: AtomicBool::new(false), rows, feed, commits }
    }

    fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), StoreError> {
        let cut = self.cut.load(Ordering::SeqCst);
        if cut { Err(StoreError::new(StoreErrorKind::Connection, "cut off")) } else { Ok(()) }
    }

    /// The store does its work at once; the answer is handed over when the gate is open.
    async fn pass<T>(
        &self,
        gate: &Gate,
        call: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reach()?;
        let done = call().await;
        gate.pass().await;
        self.reach().and(done)
    }
}

delegate! {
    impl [] Clients, Users, Grants, Keys, Upkeep for Link =>
    { |this| this.store, |call, _of| this.pass(&this.rows, async || call().await) }
}

delegate! {
    impl [] FeedReads for Link => { |this| this.store, |call, _of| this.pass(&this.feed, async || call().await) }
}

#[async_trait]
impl Commits for Link {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.reach()?;
        let done = self.store.commit(commit).await;
        self.commits.pass().await;
        self.reach()?;
        done
    }
}

/// A node that has started.
struct One {
    link: Arc<Link>,
    cached: Arc<Cached<Link>>,
    clock: Clock,
}

/// A store with three clients in it.
fn store() -> Arc<Fake> {
    let store = Arc::new(Fake::default());
    for n in 0..3 {
        store.state().clients.insert(client_key(n), client(n));
    }
    store
}

async fn node_over(store: &Arc<Fake>, options: CacheOptions, redis: Option<Arc<RedisClient>>) -> One {
    let (link, clock) = (Arc::new(Link::new(store.clone())), Clock::manual(NOW));
    let mut cached = Cached::new(link.clone(), options, clock.clone());
    if let Some(redis) = redis {
        cached = cached.with_redis(redis, &sealer(7));
    }
    let cached = Arc::new(cached);
    cached.tail().start().await.expect("the store answers");
    One { link, cached, clock }
}

impl One {
    async fn commit(&self, effect: Effect) {
        self.cached.commit(commit(effect)).await.expect("the store commits");
    }

    /// Reads the feed.
    async fn read_feed(&self) {
        self.cached.tail().start().await.expect("the store answers");
    }

    async fn client(&self, n: u8) -> Client {
        let client = self.cached.client(&format!("client-{n}")).await.expect("the store answers");
        Arc::unwrap_or_clone(client.expect("it exists"))
    }

    /// Follows the feed until the test ends.
    fn run(&self) {
        tokio::spawn(self.cached.tail().clone().run(std::future::pending()));
    }
}

fn sealer(key: u8) -> Sealer {
    let masters = MasterKeys::new(vec![MasterKey::new(Zeroizing::new([key; 32]))]).expect("a good key");
    Sealer::new(masters, Random::os())
}

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new(BreakerOptions::default()))
}

/// A connected Redis.
async fn connected(options: &RedisOptions) -> Arc<RedisClient> {
    let redis = RedisClient::open(options, breaker()).expect("good options");
    redis.probe().await.expect("Redis answers");
    redis
}

async fn via(server: &servers::Redis) -> Arc<RedisClient> {
    connected(&patient(server.url())).await
}

/// A machine full of tests may stall for longer than Redis is given.
fn patient(url: String) -> RedisOptions {
    RedisOptions { command_timeout: std::time::Duration::from_secs(10), ..RedisOptions::new(url) }
}
