//! Redis that dies, hangs, or keeps news to itself: it makes nothing true, so nobody may notice
//! (F4, F5, F13, F20).

use std::time::Duration;

use crate::{
    faults::{
        check::{Promises, assert_holds},
        cluster::two_nodes,
        load::Load,
        propagation::propagation,
        rounds,
        site::{DEADLINE, Site},
    },
    say,
    servers::{self, Postgres, Proxy, Redis},
};

/// Two nodes over one Postgres and one Redis that can be cut off from them.
struct Shared {
    site: Site,
    redis: Redis,
    proxy: Proxy,
}

impl Shared {
    async fn start() -> Self {
        let database = Postgres::shared().await.database().await;
        let redis = Redis::start().await;
        let proxy = Proxy::before(redis.port());
        let url = proxy.url(&redis.url());
        let site = two_nodes(database.url(), &[("REDIS_URL", &url)]).await;
        servers::until("the nodes to use Redis", async || proxy.accepted() >= 2).await;
        Self { site, redis, proxy }
    }

    /// Not one request failed.
    async fn nobody_noticed(self, load: Load) {
        let summary = load.stop().await;
        summary.was_a_load(400);
        let failed = Load::failures(&self.site.driver, None, Duration::ZERO..Duration::MAX);
        assert!(failed.is_empty(), "of {} requests some failed: {failed:?}", summary.answered);
        assert_holds(&self.site.driver.recorder.events(), &Promises::default());
    }

    /// News travels at once again.
    async fn notifications_arrive(&self) {
        servers::until("change notifications to arrive again", async || {
            propagation(&self.site, 5, "once Redis is back").await[2] < Duration::from_millis(100)
        })
        .await;
    }
}

/// F4
#[tokio::test]
async fn redis_killed_under_load_and_restarted_empty_fails_no_request() {
    let mut shared = Shared::start().await;
    let load = Load::start(&shared.site.driver, 6);
    for _ in 0..rounds(2, 20) {
        load.until_answered(150, None, DEADLINE).await;
        shared.redis.kill().await;
        for node in 0..2 {
            load.until_answered(100, Some(node), DEADLINE).await;
        }
        shared.redis.restart().await;
        shared.notifications_arrive().await;
    }
    shared.nobody_noticed(load).await;
}

/// F5
#[tokio::test]
async fn redis_cut_off_under_load_fails_no_request() {
    let shared = Shared::start().await;
    let load = Load::start(&shared.site.driver, 6);
    load.until_answered(150, None, DEADLINE).await;
    let begun = shared.site.driver.recorder.now();
    // Nothing is reset: whoever waits, waits in vain.
    shared.proxy.stall();
    let dropped_for = Duration::from_secs(rounds(4, 60) as u64);
    servers::until("the partition to have lasted", async || {
        shared.site.driver.recorder.now() - begun >= dropped_for
    })
    .await;
    for node in 0..2 {
        load.until_answered(100, Some(node), DEADLINE).await;
    }
    shared.proxy.cut();
    shared.proxy.resume();
    shared.notifications_arrive().await;
    shared.nobody_noticed(load).await;
}

/// F13: R41
#[tokio::test]
async fn a_revocation_is_seen_at_the_other_node_within_100_ms_with_redis() {
    let shared = Shared::start().await;
    let load = Load::start(&shared.site.driver, 1);
    load.until_answered(50, None, DEADLINE).await;
    let seen = propagation(&shared.site, rounds(60, 500), "with Redis").await;
    let p95 = seen[seen.len() * 95 / 100];
    assert!(p95 <= Duration::from_millis(100), "p95 is {p95:?}");
    load.stop().await;
    assert_holds(&shared.site.driver.recorder.events(), &Promises::default());
}

/// F20: R41
#[tokio::test]
async fn news_lost_by_redis_is_heard_within_2_s_all_the_same() {
    let shared = Shared::start().await;
    shared.proxy.stall();
    let seen = propagation(&shared.site, rounds(10, 100), "with a Redis that keeps it to itself").await;
    assert!(*seen.last().expect("there were some") <= Duration::from_secs(2));
    shared.proxy.resume();
    assert_holds(&shared.site.driver.recorder.events(), &Promises::default());
    say("Redis kept its news to itself, and nobody missed it");
}
