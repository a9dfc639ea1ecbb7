//! What Redis holds is believed only as far as the feed bears it out.

use std::time::Duration;

use super::{servers::until, *};
use crate::cache::{CacheStats, policy, watermarks::ChangeOrigin};

/// Somebody who may do with Redis what he likes, but has no key.
struct Attacker(redis::aio::MultiplexedConnection);

impl Attacker {
    async fn on(server: &servers::Redis) -> Self {
        let client = redis::Client::open(server.url()).expect("a good URL");
        Self(client.get_multiplexed_async_connection().await.expect("Redis answers"))
    }

    async fn get(&mut self, name: &str) -> Option<Vec<u8>> {
        redis::cmd("GET").arg(name).query_async(&mut self.0).await.expect("Redis answers")
    }

    async fn set(&mut self, name: &str, value: &[u8]) {
        redis::cmd("SET").arg(name).arg(value).exec_async(&mut self.0).await.expect("Redis answers");
    }

    /// Waits until something is written there.
    async fn written(&mut self, name: &str) -> Vec<u8> {
        until("the value to be written", async || self.get(name).await.is_some()).await;
        self.get(name).await.expect("nobody deletes it")
    }

    /// Waits until somebody has written something else there.
    async fn overwritten(&mut self, name: &str, value: &[u8]) {
        until("the value to be written anew", async || self.get(name).await.as_deref() != Some(value)).await;
    }

    /// Waits until it is deleted.
    async fn deleted(&mut self, name: &str) {
        until("the value to be deleted", async || self.get(name).await.is_none()).await;
    }
}

fn name(node: &One, n: u8) -> String {
    let shared = node.cached.shared.as_ref().expect("there is a Redis");
    shared.place(policy::CLIENT.name, format!("client-{n}").as_bytes()).name
}

impl One {
    /// Has a client go from memory, as if to make room.
    fn forget(&self, n: u8) {
        let client_id = format!("client-{n}");
        self.cached.tail().caches.client.invalidate(client_id.as_str(), ChangeOrigin::Feed(0));
    }
}

/// What the cache of clients did in Redis.
fn redis_stats(node: &One) -> CacheStats {
    node.cached.shared_stats()[0]
}

fn disable(n: u8) -> Effect {
    Effect::SetClientEnabled(client_key(n), false)
}

async fn three(server: &servers::Redis, store: &Arc<Fake>) -> (One, One, Attacker) {
    let node = async || node_over(store, CacheOptions::default(), Some(via(server).await)).await;
    (node().await, node().await, Attacker::on(server).await)
}

#[tokio::test]
async fn a_row_that_one_node_has_read_spares_the_next_the_store() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, next, mut attacker) = three(&server, &store).await;
    let first = one.client(0).await;
    let sealed = attacker.written(&name(&one, 0)).await;
    assert_eq!(name(&one, 0), name(&next, 0));
    let secret = first.client_id.as_bytes();
    assert!(!sealed.windows(secret.len()).any(|bytes| bytes == secret), "nothing is disclosed");
    let asked = next.link.rows.count();
    assert_eq!(next.client(0).await, first);
    assert_eq!(next.link.rows.count(), asked, "the store was not asked");
    let (hits, misses) = (redis_stats(&next).hits, redis_stats(&one).misses);
    assert_eq!((hits, misses), (1, 1));
}

/// F20
#[tokio::test]
async fn what_is_put_back_into_redis_brings_no_disabled_client_back() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, other, mut attacker) = three(&server, &store).await;
    one.client(0).await;
    let name = name(&one, 0);
    let enabled = attacker.written(&name).await;
    one.commit(disable(0)).await;
    attacker.deleted(&name).await;
    attacker.set(&name, &enabled).await;
    // Its place in the feed is not known here yet.
    assert!(!one.client(0).await.enabled, "on the node that disabled it");
    attacker.overwritten(&name, &enabled).await;
    one.read_feed().await;
    other.read_feed().await;
    let late = node_over(&store, CacheOptions::default(), Some(via(&server).await)).await;
    for node in [&one, &other, &late] {
        attacker.set(&name, &enabled).await;
        node.forget(0);
        let before = redis_stats(node).overtaken;
        assert!(!node.client(0).await.enabled);
        assert_eq!(redis_stats(node).overtaken, before + 1, "it was there, and refused");
        attacker.overwritten(&name, &enabled).await;
    }
}

#[tokio::test]
async fn what_is_moved_forged_or_damaged_is_a_miss() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, other, mut attacker) = three(&server, &store).await;
    one.client(0).await;
    one.client(1).await;
    let (first, second) = (name(&one, 0), name(&one, 1));
    let (of_first, of_second) = (attacker.written(&first).await, attacker.written(&second).await);
    let mut damaged = of_second.clone();
    *damaged.last_mut().expect("it is not empty") ^= 1;
    let foreign = sealer(8).seal(crate::crypto::seal::Purpose::Cache, b"client\0client-1", b"\x01");
    let cases = [of_first, damaged, foreign, of_second[..40].to_vec(), b"garbage".to_vec(), Vec::new()];
    for (n, value) in cases.into_iter().enumerate() {
        attacker.set(&second, &value).await;
        other.forget(1);
        let asked = other.link.rows.count();
        assert_eq!(other.client(1).await.client_id, "client-1");
        assert_eq!(other.link.rows.count(), asked + 1, "the store was asked");
        assert_eq!(redis_stats(&other).forged, n as u64 + 1);
        attacker.overwritten(&second, &value).await;
    }
}

/// F20: a node that is behind reads a row, another changes it, and only then is the row written.
#[tokio::test]
async fn a_late_fill_by_a_node_that_is_behind_is_refused_by_those_ahead() {
    let (server, store) = (servers::Redis::start().await, store());
    let (ahead, behind, mut attacker) = three(&server, &store).await;
    let name = name(&ahead, 0);
    attacker.set(&name, b"something to delete").await;
    let (read, late) = (behind.link.rows.count(), behind.cached.clone());
    behind.link.rows.close();
    let late = tokio::spawn(async move { late.client("client-0").await });
    behind.link.rows.arrived(read + 1).await;
    ahead.commit(disable(0)).await;
    attacker.deleted(&name).await;
    behind.link.rows.open();
    late.await.expect("no panic").expect("the store answers");
    let enabled = attacker.written(&name).await;
    ahead.read_feed().await;
    assert!(!ahead.client(0).await.enabled);
    assert_eq!(redis_stats(&ahead).overtaken, 1);
    behind.read_feed().await;
    attacker.set(&name, &enabled).await;
    assert!(!behind.client(0).await.enabled, "now it has heard, too");
}

/// A standby that lacked the last commits took over, and others have taken their numbers.
#[tokio::test]
async fn a_failover_that_rewinds_the_feed_is_caught() {
    let (server, store) = (servers::Redis::start().await, store());
    let revoke_some = async |n: u8| {
        store.commit(commit(revoke(client_key(0), n))).await.expect("the store commits");
    };
    revoke_some(1).await;
    let (one, other, mut attacker) = three(&server, &store).await;
    let behind = node_over(&store, CacheOptions::default(), Some(via(&server).await)).await;
    revoke_some(2).await;
    revoke_some(3).await;
    one.read_feed().await;
    other.read_feed().await;
    let name = name(&one, 0);
    one.client(0).await;
    let enabled = attacker.written(&name).await;
    {
        let mut state = store.state();
        state.changes.truncate(1);
        state.head.seq = 1;
    }
    // As many again, and more: nobody can see the feed go backwards.
    store.commit(commit(disable(0))).await.expect("the store commits");
    for n in 4..=6 {
        revoke_some(n).await;
    }
    for (node, who) in [(&one, "ahead"), (&other, "ahead, nothing in memory"), (&behind, "behind")] {
        attacker.set(&name, &enabled).await;
        node.read_feed().await;
        assert!(!node.client(0).await.enabled, "{who}");
        attacker.overwritten(&name, &enabled).await;
        for n in 4..=6 {
            let revoked = node.cached.is_revoked(&token(client_key(0), n), false).await;
            assert_eq!(revoked, Ok(true), "{who}: {n}");
        }
    }
}

#[tokio::test]
async fn a_value_is_used_for_its_lifetime_in_both_tiers_together() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, other, mut attacker) = three(&server, &store).await;
    one.client(0).await;
    let sealed = attacker.written(&name(&one, 0)).await;
    let advance = async |seconds| {
        for node in [&one, &other] {
            node.clock.advance(Duration::from_secs(seconds));
            node.read_feed().await;
        }
    };
    advance(200).await;
    other.client(0).await;
    assert_eq!(redis_stats(&other).hits, 1);
    advance(101).await;
    attacker.set(&name(&one, 0), &sealed).await;
    let asked = other.link.rows.count();
    other.client(0).await;
    assert_eq!(other.link.rows.count(), asked + 1, "neither memory nor Redis kept it for longer");
    assert_eq!(redis_stats(&other).evicted_ttl, 1);
}

#[tokio::test]
async fn an_unknown_resource_is_known_to_be_unknown_by_all_until_it_is_made() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, other, mut attacker) = three(&server, &store).await;
    let uri = "https://r.example";
    assert_eq!(one.cached.resource(uri).await.expect("loaded"), None);
    let shared = one.cached.shared.as_ref().expect("there is a Redis");
    let name = shared.place(policy::RESOURCE.name, uri.as_bytes()).name;
    let unknown = attacker.written(&name).await;
    let asked = other.link.rows.count();
    assert_eq!(other.cached.resource(uri).await.expect("from Redis"), None);
    assert_eq!(other.link.rows.count(), asked);
    one.commit(Effect::InsertResource(resource(uri))).await;
    attacker.deleted(&name).await;
    attacker.set(&name, &unknown).await;
    other.read_feed().await;
    assert!(other.cached.resource(uri).await.expect("loaded").is_some());
}

#[tokio::test]
async fn without_redis_every_request_succeeds() {
    let (mut server, store) = (servers::Redis::start().await, store());
    let (one, other, mut attacker) = three(&server, &store).await;
    one.client(0).await;
    attacker.written(&name(&one, 0)).await;
    server.kill().await;
    for n in 0..3 {
        assert!(other.client(n).await.enabled);
    }
    assert_eq!(redis_stats(&other).errors, 3);
}

#[tokio::test]
async fn a_node_that_starts_reads_the_clients_that_others_have_in_use() {
    let (server, store) = (servers::Redis::start().await, store());
    let (one, other, _) = three(&server, &store).await;
    one.client(2).await;
    one.client(0).await;
    one.cached.note_clients_in_use().await;
    assert_eq!(other.cached.warm_up().await.expect("the store answers"), 2);
    let asked = other.link.rows.count();
    other.client(0).await;
    other.client(2).await;
    other.cached.client_by_key(client_key(2)).await.expect("cached");
    assert_eq!(other.link.rows.count(), asked);
    // What nobody asks for any more is forgotten after some hours.
    other.clock.advance(Duration::from_secs(7 * 60 * 60));
    other.read_feed().await;
    other.forget(0);
    other.forget(2);
    other.client(1).await;
    other.cached.note_clients_in_use().await;
    let late = node_over(&store, CacheOptions::default(), Some(via(&server).await)).await;
    late.clock.advance(Duration::from_secs(7 * 60 * 60));
    late.read_feed().await;
    assert_eq!(late.cached.warm_up().await.expect("the store answers"), 1);
}

#[tokio::test]
async fn without_a_note_the_first_clients_of_the_store_are_read() {
    let store = store();
    let node = node_over(&store, CacheOptions::default(), None).await;
    assert_eq!(node.cached.warm_up().await.expect("the store answers"), 3);
    let asked = node.link.rows.count();
    node.client(1).await;
    assert_eq!(node.link.rows.count(), asked);
}
