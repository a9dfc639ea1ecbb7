//! Change notifications between nodes: effective at once, and lost without harm.

use std::time::Duration;

use redis::AsyncCommands;

use super::{servers::until, *};
use crate::cache::{ChangeNotifications, FeedOptions};

/// Nodes that would not read the feed by themselves while the test runs.
async fn node(server: &servers::Redis, store: &Arc<Fake>) -> One {
    let feed = FeedOptions { interval: Duration::from_secs(3_600), ..FeedOptions::default() };
    let options = CacheOptions { feed, ..CacheOptions::default() };
    let redis = via(server).await;
    tokio::spawn(redis.clone().run(std::future::pending()));
    let node = node_over(store, options, Some(redis)).await;
    node.run();
    tokio::spawn(node.notifications().run(std::future::pending()));
    until("the node to be subscribed", async || node.notifications().is_subscribed()).await;
    node
}

impl One {
    fn notifications(&self) -> Arc<ChangeNotifications> {
        self.cached.change_notifications().expect("there is a Redis").clone()
    }

    async fn knows(&self, n: u8) -> bool {
        self.cached.is_revoked(&token(client_key(0), n), false).await == Ok(true)
    }
}

#[tokio::test]
async fn a_commit_notifies_all_other_nodes_and_not_its_own() {
    let (server, store) = (servers::Redis::start().await, store());
    let nodes = [node(&server, &store).await, node(&server, &store).await, node(&server, &store).await];
    nodes[0].commit(revoke(client_key(0), 1)).await;
    for node in &nodes {
        until("the revocation to be known", async || node.knows(1).await).await;
    }
    // Another round trip by the same channel: its own notification would have come before it.
    nodes[1].commit(revoke(client_key(0), 2)).await;
    until("the revocation to be known", async || nodes[0].knows(2).await).await;
    assert_eq!(nodes[0].notifications().received(), 1);
}

#[tokio::test]
async fn nodes_notify_each_other_again_when_redis_comes_back() {
    let (mut server, store) = (servers::Redis::start().await, store());
    let (one, other) = (node(&server, &store).await, node(&server, &store).await);
    let both =
        |subscribed| [&one, &other].iter().all(|node| node.notifications().is_subscribed() == subscribed);
    server.kill().await;
    until("the loss to be noticed", async || both(false)).await;
    one.commit(revoke(client_key(0), 1)).await;
    server.restart().await;
    until("both to be subscribed", async || both(true)).await;
    until("what was missed meanwhile to be known", async || other.knows(1).await).await;
    until("Redis to be used again", async || notify(&one, &other).await).await;
}

/// Commits until the other knows: the connection for commands may come back later than the subscription.
async fn notify(one: &One, other: &One) -> bool {
    one.commit(revoke(client_key(0), 2)).await;
    other.knows(2).await
}

#[tokio::test]
async fn installations_that_share_a_redis_do_not_notify_each_other() {
    let server = servers::Redis::start().await;
    let (ours, theirs) = (store(), store());
    let one = node(&server, &ours).await;
    let link = Arc::new(Link::new(theirs.clone()));
    let stranger = Cached::new(link, CacheOptions::default(), Clock::manual(NOW))
        .with_redis(via(&server).await, &sealer(8));
    let stranger = Arc::new(stranger);
    stranger.tail().start().await.expect("the store answers");
    let notifications = stranger.change_notifications().expect("there is a Redis").clone();
    tokio::spawn(notifications.clone().run(std::future::pending()));
    until("the node to be subscribed", async || notifications.is_subscribed()).await;
    stranger.commit(commit(revoke(client_key(0), 1))).await.expect("the store commits");
    // Ours publishes too, after it, on the same server.
    let other = node(&server, &ours).await;
    other.commit(revoke(client_key(0), 2)).await;
    until("the revocation to be known", async || one.knows(2).await).await;
    assert_eq!((one.notifications().received(), notifications.received()), (1, 0));
}

/// Many nodes that commit all the time, or an attacker with access to Redis.
#[tokio::test]
async fn a_flood_of_notifications_neither_piles_up_nor_floods_the_store() {
    const NOTIFICATIONS: u64 = 50_000;
    let (server, store) = (servers::Redis::start().await, store());
    let one = node(&server, &store).await;
    let client = redis::Client::open(server.url()).expect("a good URL");
    let mut other = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let channel = format!("chancery:{}", sealer(7).name(b"change notifications"));
    let reads = one.link.feed.count();
    for _ in 0..NOTIFICATIONS / 1_000 {
        let mut thousand = redis::pipe();
        for _ in 0..1_000 {
            thousand.publish(&channel, "somebody").ignore();
        }
        thousand.exec_async(&mut other).await.expect("Redis answers");
    }
    // One after the other, with a pause after each, would take minutes.
    until("every one to be received", async || one.notifications().received() >= NOTIFICATIONS).await;
    let reads = one.link.feed.count() - reads;
    assert!(reads < 5_000, "{reads} reads of the feed for {NOTIFICATIONS} notifications");
    other.publish::<_, _, ()>(&channel, "somebody").await.expect("Redis answers");
    until("one more to be received", async || one.notifications().received() > NOTIFICATIONS).await;
}
