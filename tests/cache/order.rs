//! The feed of a real Postgres, with many who commit at once and some who take long or give up.

use std::{sync::Arc, time::Duration};

use chancery::{
    cache::{CacheOptions, Cached, FeedOptions},
    model::*,
    resilience::Clock,
    store::{
        postgres::{Options, Postgres},
        *,
    },
};

use crate::{servers, store::fixtures::*};

const NODES: usize = 3;
const COMMITTERS: usize = 4;
const COMMITS: usize = 25;

/// R41: whoever follows the feed meets every change, once and in order, however commits overlap.
#[tokio::test]
async fn no_change_is_missed_however_commits_overlap() {
    let cluster = servers::Postgres::shared().await;
    let database = cluster.database().await;
    let mut stores: Vec<Arc<dyn Store>> = vec![];
    for _ in 0..NODES {
        let options = Options { url: database.url().to_owned(), ..Options::default() };
        stores.push(Arc::new(Postgres::open(options).await.expect("the store opens")));
    }
    let nodes: Vec<_> = stores.iter().map(|store| node(Arc::clone(store))).collect();
    for node in &nodes {
        node.tail().start().await.expect("the feed is read");
        // No notifications between the nodes: only the interval is left.
        tokio::spawn(Arc::clone(node.tail()).run(std::future::pending()));
    }
    let client = client("client");
    given(&stores[0], [Effect::InsertClient(Box::new(client.clone()))]).await;
    let follower = tokio::spawn(follow(Arc::clone(&stores[1])));
    let slow = tokio::spawn(hesitate(database.url().to_owned()));
    let mut committers = vec![];
    for node in nodes.iter().cycle().take(NODES * COMMITTERS) {
        committers.push(tokio::spawn(revoke_many(Arc::clone(node), client.key)));
    }
    let mut revoked = vec![];
    for committer in committers {
        revoked.extend(committer.await.expect("no panic"));
    }
    slow.await.expect("no panic");
    // The last of all: the follower stops there.
    given(&stores[2], [Effect::SetClientEnabled(client.key, false)]).await;
    let followed = follower.await.expect("no panic");
    let places: Vec<u64> = followed.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(places, (1..=places.len() as u64).collect::<Vec<_>>());
    assert_eq!(revoked.len(), NODES * COMMITTERS * COMMITS);
    for token in &revoked {
        let is_it = |change: &Change| matches!(change, Change::Revoked { id, .. } if *id == token.0);
        assert_eq!(followed.iter().filter(|(_, change)| is_it(change)).count(), 1, "{token:?}");
    }
    for node in &nodes {
        for token in &revoked {
            let what = Revocable { token: Some(*token), family: None, client: (client.key, 0), user: None };
            assert_eq!(node.is_revoked(&what, true).await, Ok(true), "{token:?}");
        }
    }
}

fn node(store: Arc<dyn Store>) -> Arc<Cached<dyn Store>> {
    // Small pages and a long interval: nodes are often behind, and read in parts.
    let feed = FeedOptions { page: 10, interval: Duration::from_millis(200), ..FeedOptions::default() };
    Arc::new(Cached::new(store, CacheOptions { feed, ..CacheOptions::default() }, Clock::system()))
}

async fn revoke_many(node: Arc<Cached<dyn Store>>, client: ClientKey) -> Vec<TokenId> {
    let mut revoked = vec![];
    for _ in 0..COMMITS {
        let token = TokenId(id());
        let effect = Effect::RevokeToken { token, client, until: UnixTime(u64::from(u32::MAX)) };
        node.commit(commit([effect])).await.expect("it is committed");
        revoked.push(token);
    }
    revoked
}

/// Takes the next place in the feed, hesitates, and gives it back.
async fn hesitate(url: String) {
    let connection = servers::connect(&url).await;
    for _ in 0..20 {
        let script = "BEGIN; UPDATE feed SET seq = seq + 1; SELECT pg_sleep(0.005); ROLLBACK;";
        connection.batch_execute(script).await.expect("nobody waits for long");
    }
}

/// Reads the feed in small pages, as fast as it can, until a client is disabled.
async fn follow(store: Arc<dyn Store>) -> Vec<(u64, Change)> {
    let mut followed: Vec<(u64, Change)> = vec![];
    let mut at = 0;
    loop {
        let page = store.feed(at, 7).await.expect("the feed is read");
        for (seq, change) in page.changes {
            at = seq;
            let last = matches!(change, Change::Client { .. }) && seq > 1;
            followed.push((seq, change));
            if last {
                return followed;
            }
        }
    }
}
