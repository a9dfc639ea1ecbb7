//! How often memory has the answer under the mixed load: of a hundred requests thirty are for tokens,
//! sixty introspect and ten are for claims of a person. Counted, not timed. Signing keys are not looked
//! up at all: each node has every one of them in its key ring.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chancery::{
    cache::{CacheOptions, Cached},
    config::Config,
    model::*,
    resilience::Clock,
    store::{
        sqlite::{Options, Sqlite},
        *,
    },
};

use crate::{say, store::fixtures::*};

const CLIENTS: usize = 100;
const USERS: usize = 500;
/// Longer than an entry lives, so that each is read at least twice.
const SECONDS: u64 = 400;
/// A small part of what a node serves. The more there are, the higher the ratio.
const REQUESTS_PER_SECOND: u64 = 1_000;

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).expect("less than n")
    }

    /// One of `n`, the first of them much more often than the last.
    fn popular(&mut self, n: usize) -> usize {
        let most = self.below(n) + 1;
        self.below(most)
    }
}

#[tokio::test]
async fn memory_has_more_than_95_of_100_answers_about_clients_and_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(&folder.path().join("chancery.db"), Options::default()).expect("it opens");
    let store: Arc<dyn Store> = Arc::new(store);
    let clients: Vec<Client> = (0..CLIENTS).map(|n| client(&format!("client-{n}"))).collect();
    let users: Vec<User> = (0..USERS).map(|n| user(&format!("user-{n}"))).collect();
    given(&store, clients.iter().cloned().map(Box::new).map(Effect::InsertClient)).await;
    given(&store, users.iter().cloned().map(Box::new).map(Effect::InsertUser)).await;
    let clock = Clock::manual(NOW);
    let defaults = Config::load(None, &BTreeMap::new()).expect("the defaults are good").cache;
    assert!(SECONDS > defaults.ttl.as_secs(), "entries must expire");
    let options =
        CacheOptions { ttl: defaults.ttl, max_memory: defaults.max_memory, ..CacheOptions::default() };
    let cached = Cached::new(Arc::clone(&store), options, clock.clone());
    cached.tail().start().await.expect("the feed is read");
    let mut dice = Dice(42);
    for second in 0..SECONDS {
        clock.advance(Duration::from_secs(1));
        cached.tail().start().await.expect("the feed is read");
        if second % 10 == 0 {
            // Somebody edits something.
            let epoch = Effect::RaiseUserEpoch { user: users[dice.popular(USERS)].id, until: LATER };
            cached.commit(commit([epoch])).await.expect("it is committed");
        }
        if second % 60 == 0 {
            let client = &clients[dice.popular(CLIENTS)];
            let off = Effect::SetClientEnabled(client.key, second % 120 == 0);
            cached.commit(commit([off])).await.expect("it is committed");
        }
        for _ in 0..REQUESTS_PER_SECOND {
            request(&cached, &clients, &users, &mut dice).await;
        }
    }
    let asked = |name| cached.stats().iter().any(|stats| stats.cache == name && stats.hits > 0);
    assert!(["client", "client_by_key", "user", "resource"].into_iter().all(asked));
    for stats in cached.stats().iter().filter(|stats| stats.hits + stats.misses > 0) {
        let ratio = stats.hits as f64 / (stats.hits + stats.misses) as f64;
        say(&format!("{}: {:.2} of a thousand look-ups are misses", stats.cache, 1e3 * (1.0 - ratio)));
        assert!(ratio > 0.95, "{}: {ratio:.3}, {stats:?}", stats.cache);
    }
}

/// What each kind of request asks the caches.
async fn request(cached: &Cached<dyn Store>, clients: &[Client], users: &[User], dice: &mut Dice) {
    let caller = &clients[dice.popular(clients.len())].client_id;
    let issued_to = clients[dice.popular(clients.len())].key;
    match dice.below(100) {
        0..30 => {
            cached.client(caller).await.expect("the store answers");
        }
        30..90 => {
            cached.client(caller).await.expect("the store answers");
            cached.client_by_key(issued_to).await.expect("the store answers");
            cached.resource("https://api.example").await.expect("the store answers");
        }
        _ => {
            cached.client_by_key(issued_to).await.expect("the store answers");
            cached.user(users[dice.popular(users.len())].id).await.expect("the store answers");
        }
    }
}
