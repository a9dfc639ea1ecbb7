//! The doorbell between nodes: heard at once, missed without harm.

use std::time::Duration;

use redis::AsyncCommands;

use super::{servers::until, *};
use crate::cache::FeedOptions;

/// Nodes that would not look at the feed by themselves while the test runs.
async fn node(server: &servers::Redis, store: &Arc<Fake>) -> One {
    let feed = FeedOptions { interval: Duration::from_secs(3_600), ..FeedOptions::default() };
    let options = CacheOptions { feed, ..CacheOptions::default() };
    let redis = via(server).await;
    tokio::spawn(redis.clone().run(std::future::pending()));
    let node = node_over(store, options, Some(redis)).await;
    node.run();
    tokio::spawn(node.bell().run(std::future::pending()));
    until("the doorbell to be heard", async || node.bell().is_listening()).await;
    node
}

impl One {
    fn bell(&self) -> Arc<super::super::RemoteDoorbell> {
        self.cached.remote_doorbell().expect("there is a Redis").clone()
    }

    async fn knows(&self, n: u8) -> bool {
        self.cached.is_revoked(&token(client_key(0), n), false).await == Ok(true)
    }
}

#[tokio::test]
async fn who_commits_wakes_all_others_and_not_himself() {
    let (server, store) = (servers::Redis::start().await, store());
    let nodes = [node(&server, &store).await, node(&server, &store).await, node(&server, &store).await];
    nodes[0].commit(revoke(client_key(0), 1)).await;
    for node in &nodes {
        until("the revocation to be known", async || node.knows(1).await).await;
    }
    // Another round trip by the same channel: what he said himself would have come before it.
    nodes[1].commit(revoke(client_key(0), 2)).await;
    until("the revocation to be known", async || nodes[0].knows(2).await).await;
    assert_eq!(nodes[0].bell().rings_heard(), 1);
}

#[tokio::test]
async fn nodes_find_each_other_again_when_redis_comes_back() {
    let (mut server, store) = (servers::Redis::start().await, store());
    let (one, other) = (node(&server, &store).await, node(&server, &store).await);
    server.kill().await;
    until("the silence to be noticed", async || !one.bell().is_listening() && !other.bell().is_listening())
        .await;
    one.commit(revoke(client_key(0), 1)).await;
    server.restart().await;
    until("the doorbell to be heard", async || one.bell().is_listening() && other.bell().is_listening())
        .await;
    until("what was missed meanwhile to be known", async || other.knows(1).await).await;
    until("Redis to be used again", async || one.cached.shared.is_some() && ring(&one, &other).await).await;
}

/// Rings until it is heard: the connection for commands may come back later than the one that listens.
async fn ring(one: &One, other: &One) -> bool {
    one.commit(revoke(client_key(0), 2)).await;
    other.knows(2).await
}

#[tokio::test]
async fn installations_that_share_a_redis_do_not_hear_each_other() {
    let server = servers::Redis::start().await;
    let (ours, theirs) = (store(), store());
    let one = node(&server, &ours).await;
    let link = Arc::new(Link::new(theirs.clone()));
    let stranger = Cached::new(link, CacheOptions::default(), Clock::manual(NOW))
        .with_redis(via(&server).await, sealer(8));
    let stranger = Arc::new(stranger);
    stranger.tail().start().await.expect("the store answers");
    let bell = stranger.remote_doorbell().expect("there is a Redis").clone();
    tokio::spawn(bell.clone().run(std::future::pending()));
    until("the doorbell to be heard", async || bell.is_listening()).await;
    stranger.commit(commit(revoke(client_key(0), 1))).await.expect("the store commits");
    // Ours rings too, after it, on the same server.
    let other = node(&server, &ours).await;
    other.commit(revoke(client_key(0), 2)).await;
    until("the revocation to be known", async || one.knows(2).await).await;
    assert_eq!((one.bell().rings_heard(), bell.rings_heard()), (1, 0));
}

/// Many nodes that commit all the time, or somebody who means us ill.
#[tokio::test]
async fn a_flood_of_rings_neither_piles_up_nor_floods_the_store() {
    const RINGS: u64 = 50_000;
    let (server, store) = (servers::Redis::start().await, store());
    let one = node(&server, &store).await;
    let client = redis::Client::open(server.url()).expect("a good URL");
    let mut other = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let channel = format!("chancery:{}", sealer(7).name(b"doorbell"));
    let reads = one.link.feed.count();
    for _ in 0..RINGS / 1_000 {
        let mut rings = redis::pipe();
        for _ in 0..1_000 {
            rings.publish(&channel, "somebody").ignore();
        }
        rings.exec_async(&mut other).await.expect("Redis answers");
    }
    // One after the other, with a pause after each, would take minutes.
    until("every ring to be heard", async || one.bell().rings_heard() >= RINGS).await;
    let reads = one.link.feed.count() - reads;
    assert!(reads < 5_000, "{reads} reads of the feed for {RINGS} rings");
    other.publish::<_, _, ()>(&channel, "somebody").await.expect("Redis answers");
    until("one more ring to be heard", async || one.bell().rings_heard() > RINGS).await;
}
