//! A store over a store: answers from memory what the policy allows, and delegates the rest.

use std::{
    borrow::Borrow,
    future::{Future, ready},
    hash::Hash,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::{
    caches::CacheSet,
    feed::{FeedOptions, Tail},
    l1::L1,
    redis::{ChangeNotifications, RedisClient},
    stats::CacheStats,
    weigh::Weigh,
};
use crate::{crypto::seal::Sealer, model::*, observe::Metrics, resilience::Clock, store::*};

/// How much is cached, how long, and how the feed is followed.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// The most bytes for all caches together (`cache.max_memory`).
    pub max_memory: u64,
    /// The longest an entry is used (`cache.ttl`).
    pub ttl: Duration,
    /// The feed that keeps the entries true.
    pub feed: FeedOptions,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { max_memory: 64 << 20, ttl: Duration::from_secs(300), feed: FeedOptions::default() }
    }
}

/// A store with caches in front. Nothing is answered from memory unless the feed proves it fresh; when
/// it cannot, reads of cached kinds fail like a store that cannot be reached.
pub struct Cached<S: ?Sized> {
    pub(super) store: Arc<S>,
    pub(super) tail: Arc<Tail<S>>,
    pub(super) notifications: Option<Arc<ChangeNotifications>>,
}

impl<S: Store + ?Sized> Cached<S> {
    /// Puts empty caches in front of a store. [`Tail::start`] and [`Tail::run`] are the caller's to call.
    pub fn new(store: Arc<S>, options: CacheOptions, clock: Clock) -> Self {
        let caches = CacheSet::new(options.max_memory, options.ttl);
        let tail = Arc::new(Tail::new(store.clone(), caches, options.feed, clock));
        Self { store, tail, notifications: None }
    }

    /// Notifies other nodes of changes, and is notified, by Redis. The channel is named under the master key:
    /// installations that share a Redis do not meet. [`RedisClient::run`] and [`ChangeNotifications::run`] are
    /// the caller's to call.
    pub fn with_redis(mut self, redis: Arc<RedisClient>, sealer: &Sealer) -> Self {
        let channel = format!("chancery:{}", sealer.name(b"change notifications"));
        let notifications = ChangeNotifications::new(redis, channel, self.tail.signal());
        self.notifications = Some(Arc::new(notifications));
        self
    }

    /// The change notifications between nodes, if there is a Redis.
    pub fn change_notifications(&self) -> Option<&Arc<ChangeNotifications>> {
        self.notifications.as_ref()
    }

    /// What follows the feed; it is this node's `RevocationIndex`.
    pub fn tail(&self) -> &Arc<Tail<S>> {
        &self.tail
    }

    /// What each cache did and holds in memory.
    pub fn stats(&self) -> Vec<CacheStats> {
        self.tail.caches.stats()
    }

    /// Has the time that each read takes which fills a cache recorded. Only the first call of this has an
    /// effect.
    pub fn measure(&self, metrics: &Arc<Metrics>) {
        self.tail.caches.measure(metrics);
    }

    /// What is in memory, if the node may answer from it now.
    fn hit<K, V, Q>(&self, cache: &L1<K, V>, key: &Q) -> Option<Option<Arc<V>>>
    where
        K: Weigh + Hash + Eq + Clone + Borrow<Q>,
        V: Weigh,
        Q: Hash + Eq + ?Sized,
    {
        cache.hit(key, self.tail.fresh.now()?)
    }

    /// From memory once the node is fresh, else read and kept.
    async fn read_through<K, V, Q, F>(
        &self,
        cache: &L1<K, V>,
        key: &Q,
        read: impl Fn() -> F,
    ) -> Result<Option<Arc<V>>, StoreError>
    where
        K: Weigh + Hash + Eq + Clone + Borrow<Q>,
        V: Weigh,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<Option<Arc<V>>, StoreError>>,
    {
        let now = self.fresh().await?;
        match cache.get(key, now) {
            Some(known) => Ok(known),
            None => cache.load(key, now, read).await,
        }
    }

    async fn fresh(&self) -> Result<Duration, StoreError> {
        let stale = |_| StoreError::new(StoreErrorKind::Connection, "the change feed cannot be read");
        self.tail.fresh().await.map_err(stale)
    }
}

/// What `async_trait` makes of an `async fn`. Written out where most answers are hits: those are small ones.
type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<Option<Arc<T>>, StoreError>> + Send + 'f>>;

#[async_trait]
impl<S: Store + ?Sized> Clients for Cached<S> {
    fn client<'s, 'k, 'f>(&'s self, client_id: &'k str) -> Answer<'f, Client>
    where
        Self: 'f,
        's: 'f,
        'k: 'f,
    {
        let cache = &self.tail.caches.client;
        if let Some(known) = self.hit(cache, client_id) {
            return Box::pin(ready(Ok(known)));
        }
        Box::pin(async move { self.read_through(cache, client_id, || self.store.client(client_id)).await })
    }

    fn client_by_key<'s, 'f>(&'s self, key: ClientKey) -> Answer<'f, Client>
    where
        Self: 'f,
        's: 'f,
    {
        let cache = &self.tail.caches.client_by_key;
        if let Some(known) = self.hit(cache, &key) {
            return Box::pin(ready(Ok(known)));
        }
        Box::pin(async move { self.read_through(cache, &key, || self.store.client_by_key(key)).await })
    }

    async fn clients(&self, after: Option<ClientKey>, limit: usize) -> Result<Vec<Client>, StoreError> {
        self.store.clients(after, limit).await
    }

    async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError> {
        let cache = &self.tail.caches.resource;
        self.read_through(cache, uri, || self.store.resource(uri)).await
    }

    async fn resources(&self, after: Option<Id>, limit: usize) -> Result<Vec<Resource>, StoreError> {
        self.store.resources(after, limit).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Users for Cached<S> {
    fn user<'s, 'f>(&'s self, id: UserId) -> Answer<'f, User>
    where
        Self: 'f,
        's: 'f,
    {
        let cache = &self.tail.caches.user;
        if let Some(known) = self.hit(cache, &id) {
            return Box::pin(ready(Ok(known)));
        }
        Box::pin(async move { self.read_through(cache, &id, || self.store.user(id)).await })
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
        self.store.user_by_name(username).await
    }

    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.store.users(after, limit).await
    }

    async fn session(&self, digest: &Digest) -> Result<Option<Session>, StoreError> {
        self.store.session(digest).await
    }

    async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.store.session_by_id(id).await
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.store.sessions(user).await
    }

    async fn consent(&self, user: UserId, client: ClientKey) -> Result<Option<Consent>, StoreError> {
        self.store.consent(user, client).await
    }

    async fn consents(&self, user: UserId) -> Result<Vec<Consent>, StoreError> {
        self.store.consents(user).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Grants for Cached<S> {
    async fn code(&self, digest: &Digest) -> Result<Option<Code>, StoreError> {
        self.store.code(digest).await
    }

    async fn rotation(&self, token: &RefreshToken, now: UnixTime) -> Result<Option<Rotation>, StoreError> {
        self.store.rotation(token, now).await
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
        self.read_through(&self.tail.caches.family, &id, || self.store.family(id)).await
    }
}

delegate! { impl [S: Store + ?Sized] Keys, FeedReads for Cached<S> => { |this| this.store } }

#[async_trait]
impl<S: Store + ?Sized> RevocationIndex for Cached<S> {
    async fn is_revoked(&self, what: &Revocable, strict: bool) -> Result<bool, Stale> {
        self.tail.is_revoked(what, strict).await
    }

    async fn are_revoked(&self, what: &[Revocable], strict: bool) -> Result<Vec<bool>, Stale> {
        self.tail.are_revoked(what, strict).await
    }

    async fn confirm_fresh(&self) -> Result<(), Stale> {
        self.tail.confirm_fresh().await
    }

    fn is_fresh(&self) -> bool {
        self.tail.is_fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::*;

    #[tokio::test(start_paused = true)]
    async fn a_hit_performs_no_statement() {
        let node = node(CacheOptions::default()).await;
        node.cached.client("client-0").await.expect("loaded");
        node.cached.client_by_key(client_key(0)).await.expect("loaded");
        let before = node.store.statements();
        for _ in 0..100 {
            assert!(node.cached.client("client-0").await.expect("cached").is_some());
            assert!(node.cached.client_by_key(client_key(0)).await.expect("cached").is_some());
            assert!(!node.cached.is_revoked(&token(client_key(0), 7), false).await.expect("fresh"));
        }
        assert_eq!(node.store.statements(), before);
        let stats = node.cached.stats()[0];
        assert_eq!((stats.cache, stats.hits, stats.misses, stats.entries), ("client", 100, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_misses_are_one_statement() {
        let node = node(CacheOptions::default()).await;
        let before = node.store.statements();
        node.store.rows.close();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let cached = node.cached.clone();
                tokio::spawn(async move { cached.client("client-0").await })
            })
            .collect();
        tokio::task::yield_now().await;
        node.store.rows.open();
        for task in tasks {
            assert!(task.await.expect("no panic").expect("loaded").is_some());
        }
        assert_eq!(node.store.statements(), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_epoch_is_seen_under_every_name_of_the_client() {
        let node = node(CacheOptions::default()).await;
        node.cached.client("client-0").await.expect("loaded");
        node.cached.client_by_key(client_key(0)).await.expect("loaded");
        node.commit(Effect::RaiseClientEpoch { client: client_key(0), until: NOW.plus(600) }).await;
        let by_name = node.cached.client("client-0").await.expect("loaded").expect("it exists");
        let by_key = node.cached.client_by_key(client_key(0)).await.expect("loaded").expect("it exists");
        assert_eq!((by_name.epoch, by_key.epoch), (1, 1));
        assert_eq!(node.cached.is_revoked(&token(client_key(0), 7), false).await, Ok(true));
    }

    /// F20
    #[tokio::test(start_paused = true)]
    async fn a_late_fill_cannot_bring_a_disabled_client_back() {
        let node = node(CacheOptions::default()).await;
        node.store.rows.close();
        let cached = node.cached.clone();
        let late = tokio::spawn(async move { cached.client("client-0").await });
        node.store.rows.arrived(node.store.rows.count() + 1).await;
        // The row was read while the client was enabled; its delivery is still to come.
        node.commit(Effect::SetClientEnabled(client_key(0), false)).await;
        node.store.rows.open();
        let late = late.await.expect("no panic").expect("loaded").expect("it exists");
        assert!(!late.enabled, "it was read once more");
        assert!(!node.enabled().await);
        assert_eq!(node.cached.stats()[0].overtaken, 1);
    }

    /// F20
    #[tokio::test(start_paused = true)]
    async fn a_late_fill_overtaken_by_the_feed_is_dropped_too() {
        let node = node(CacheOptions::default()).await;
        node.store.rows.close();
        let cached = node.cached.clone();
        let late = tokio::spawn(async move { cached.client("client-0").await });
        node.store.rows.arrived(node.store.rows.count() + 1).await;
        // Another node commits, and this one applies it.
        let elsewhere = commit(Effect::SetClientEnabled(client_key(0), false));
        node.store.commit(elsewhere).await.expect("the store commits");
        node.cached.tail().start().await.expect("the feed is read");
        node.store.rows.open();
        assert!(!late.await.expect("no panic").expect("loaded").expect("it exists").enabled);
        assert!(!node.enabled().await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_resource_is_remembered_until_it_is_made() {
        let node = node(CacheOptions::default()).await;
        assert_eq!(node.cached.resource("https://r.example").await.expect("loaded"), None);
        let before = node.store.statements();
        assert_eq!(node.cached.resource("https://r.example").await.expect("cached"), None);
        assert_eq!(node.store.statements(), before);
        node.commit(Effect::InsertResource(resource("https://r.example"))).await;
        assert!(node.cached.resource("https://r.example").await.expect("loaded").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_client_is_asked_for_again() {
        let node = node(CacheOptions::default()).await;
        let before = node.store.statements();
        for _ in 0..3 {
            assert_eq!(node.cached.client("nobody").await.expect("loaded"), None);
        }
        assert_eq!(node.store.statements(), before + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_node_serves_no_cached_row() {
        let node = node(CacheOptions::default()).await;
        node.run();
        assert!(node.enabled().await);
        node.store.commit(commit(Effect::SetClientEnabled(client_key(0), false))).await.expect("committed");
        node.clock.advance(Duration::from_secs(60));
        assert!(!node.enabled().await, "it read the feed first");
        node.store.fail(true);
        node.clock.advance(Duration::from_secs(60));
        let error = node.cached.client("client-0").await.expect_err("nothing proves it fresh");
        assert_eq!(error.kind, StoreErrorKind::Connection);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_stand_where_a_store_and_an_index_are_wanted() {
        let node = node(CacheOptions::default()).await;
        let store: Arc<dyn Store> = node.cached.clone();
        let index: Arc<dyn RevocationIndex> = node.cached.tail().clone();
        assert!(store.client("client-0").await.expect("loaded").is_some());
        assert!(index.is_fresh());
        let again = Cached::new(store, CacheOptions::default(), node.clock.clone());
        again.tail().start().await.expect("a cache may stand on any store");
    }
}
