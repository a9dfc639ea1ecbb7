//! Networks between the nodes and their database that stall or slow down (F6, F7).

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{
    faults::{
        check::{Promises, assert_holds},
        cluster::{Behind, failed},
        load::Load,
        rounds,
        site::{DEADLINE, Site},
    },
    say,
    servers::{self, Proxy},
};

/// What a loaded machine may add to a bound of the product.
const MARGIN: Duration = Duration::from_millis(1500);
const STALENESS: Duration = Duration::from_secs(2);

/// F6: R41, T09
#[tokio::test]
async fn a_node_cut_off_from_the_database_falls_silent_and_the_other_does_not_notice() {
    let Behind { site, proxies, .. } = Behind::two_proxies(&[]).await;
    let load = Load::start(&site.driver, 8);
    for round in 0..rounds(2, 10) {
        load.until_answered(200, None, DEADLINE).await;
        let token = site.driver.issue(1).await.expect("node 1 issues");
        assert_eq!(site.driver.probe(0, &token).await, Some(true), "node 0 is well");
        let from = site.driver.recorder.now();
        // Dropped at first, reset the next time.
        let cut: fn(&Proxy) = if round % 2 == 0 { Proxy::stall } else { Proxy::refuse };
        cut(&proxies[0]);
        let until_silent = site.until_ready(0, false, STALENESS + MARGIN).await;
        assert!(site.driver.revoke(1, &token).await, "node 1 revokes: {:?}", failed(&site, 1, from));
        assert!(!is_active(&site, &token).await);
        load.until_answered(150, Some(1), DEADLINE).await;
        let (status, retry_after) = site.driver.introspection(0, &token).await.expect("an answer");
        assert_eq!((status, retry_after.is_some()), (503, true));
        assert_eq!(site.driver.get(0, "/health/live").await.map(|(status, _)| status), Some(200));
        let failed = failed(&site, 1, from);
        assert!(failed.is_empty(), "the other node failed: {failed:?}");
        proxies[0].resume();
        let until_back = site.until_ready(0, true, Duration::from_secs(5)).await;
        assert!(!is_active(&site, &token).await);
        load.until_answered(30, Some(0), DEADLINE).await;
        say(&format!(
            "cut off from Postgres: not ready after {until_silent:?}, ready {until_back:?} after it"
        ));
    }
    load.stop().await.was_a_load(500);
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

async fn is_active(site: &Site, token: &str) -> bool {
    site.driver.probe(0, token).await == Some(true)
}

/// F7: T09
#[tokio::test]
async fn a_slow_database_slows_only_what_needs_it_and_nobody_answers_from_stale_knowledge() {
    let Behind { site, proxies, .. } = Behind::two_proxies(&[]).await;
    let load = Load::start(&site.driver, 6);
    load.until_answered(200, None, DEADLINE).await;
    let slow_down = |by: Duration| proxies.iter().for_each(|proxy| proxy.delay(by / 2));

    // 200 ms for each statement: everything works.
    let from = site.driver.recorder.now();
    slow_down(Duration::from_millis(200));
    load.until_answered(60, Some(0), DEADLINE).await;
    load.until_answered(60, Some(1), DEADLINE).await;
    let late = Load::failures(&site.driver, None, from..site.driver.recorder.now());
    assert!(!late.contains_key("timed out"), "{late:?}");

    // 2 s: what must be fresh is refused, and what needs no database goes on.
    slow_down(Duration::from_secs(2));
    for node in 0..2 {
        site.until_ready(node, false, STALENESS + MARGIN + Duration::from_secs(2)).await;
        let (status, retry_after) =
            site.driver.introspection(node, "chy_at_garbage").await.expect("an answer");
        assert!(status == 200 || (status == 503 && retry_after.is_some()), "{status}");
    }
    metadata_needs_no_statement(&site, Duration::from_secs(2)).await;
    let from = site.driver.recorder.now();
    let token = "chy_rt_".to_owned() + &"A".repeat(87);
    let asked = Instant::now();
    let answer = site.driver.introspection(0, &token).await;
    assert!(
        answer.is_some() && asked.elapsed() < crate::within(Duration::from_secs(5)),
        "waiting is bounded"
    );

    proxies.iter().for_each(Proxy::resume);
    for node in 0..2 {
        site.until_ready(node, true, Duration::from_secs(10)).await;
        load.until_answered(30, Some(node), DEADLINE).await;
    }
    let unclear = Load::failures(&site.driver, None, from..site.driver.recorder.now());
    say(&format!("Postgres slowed down by 2 s: not answered were {unclear:?}"));
    load.stop().await.was_a_load(300);
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

/// Keys and metadata come from memory: a statement would take as long as `delay`.
async fn metadata_needs_no_statement(site: &Site, delay: Duration) {
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration"] {
        for node in 0..2 {
            let mut waits = Vec::new();
            for _ in 0..20 {
                let asked = Instant::now();
                let status = site.driver.get(node, path).await.map(|(status, _)| status);
                assert_eq!(status, Some(200), "{path} at node {node}");
                waits.push(asked.elapsed());
            }
            waits.sort();
            assert!(waits[10] < delay / 2, "{path} at node {node}: {waits:?}");
        }
    }
}

/// F6: whoever commits holds the feed's row, and everybody else's writes wait for it.
#[tokio::test]
async fn a_node_cut_off_in_the_middle_of_a_commit_holds_the_other_up_for_moments_only() {
    let Behind { site, proxies, database } = Behind::two_proxies(&[]).await;
    let mut only_first = site.driver.clone();
    only_first.nodes.truncate(1);
    let load = Load::start(&only_first, 4);
    load.until_answered(50, None, DEADLINE).await;
    let watcher = database.connect().await;
    let holds = async || {
        let holders = "SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
                       WHERE datname = current_database() AND state = 'idle in transaction'
                         AND relation = 'feed'::regclass AND mode = 'RowExclusiveLock'";
        !watcher.query(holders, &[]).await.expect("an answer").is_empty()
    };
    // Slow, so that there is a middle.
    proxies[0].delay(Duration::from_millis(60));
    servers::until("a commit to be in its middle", async || {
        servers::until("a commit", &holds).await;
        proxies[0].stall();
        // What was under way has arrived by then.
        let stalled = Instant::now();
        while stalled.elapsed() < Duration::from_millis(100) {
            if !holds().await {
                proxies[0].resume();
                proxies[0].delay(Duration::from_millis(60));
                return false;
            }
        }
        true
    })
    .await;
    let begun = Instant::now();
    let token = site.driver.issue(1).await.expect("a token");
    assert!(site.driver.revoke(1, &token).await, "the other node writes");
    let waited = begun.elapsed();
    say(&format!("a node cut off in the middle of a commit: the other writes {waited:?} later"));
    assert!(waited < crate::within(Duration::from_millis(2500)), "{waited:?}");
    proxies[0].resume();
    site.until_ready(0, true, Duration::from_secs(5)).await;
    load.until_answered(30, None, DEADLINE).await;
    load.stop().await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

/// F6: what is in memory is answered for as long as it is fresh; what is not is refused in time, and in the
/// form that its reader can use.
#[tokio::test]
async fn a_database_that_hangs_costs_nobody_more_than_the_time_for_a_request() {
    const TIME: Duration = Duration::from_millis(3500);
    let settings = [
        ("CHANCERY_FEED_MAX_STALENESS", "60s"),
        ("CHANCERY_SERVER_REQUEST_TIMEOUT", "3500ms"),
        ("CHANCERY_POSTGRES_STATEMENT_TIMEOUT", "3s"),
    ];
    let Behind { site, proxies, .. } = Behind::two_proxies(&settings).await;
    let driver = &site.driver;
    let token = driver.issue(0).await.expect("a token");
    assert_eq!(driver.probe(0, &token).await, Some(true));
    let code = driver.code(0).await.expect("a code");
    let tokens = driver.redeem(0, &code).await.1.expect("tokens");
    let refresh = tokens.refresh.expect("a refresh token");
    proxies[0].stall();

    let begun = Instant::now();
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/health/live"] {
        assert_eq!(driver.get(0, path).await, Some((200, None)), "{path}");
    }
    assert_eq!(driver.probe(0, &token).await, Some(true));
    assert!(driver.issue(0).await.is_some(), "no row is written for it");
    assert!(begun.elapsed() < crate::within(MARGIN), "{:?}", begun.elapsed());

    let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let programs = [
        driver.post(0, "/oauth/revoke", &[("token", &token)]),
        driver.post(0, "/oauth/token", &grant),
        driver.post(0, "/oauth/introspect", &[("token", &refresh)]),
    ];
    let people = ["/login", "/account", &driver.authorize_path()].map(|path| driver.visit(0, path));
    let programs = programs.map(|call| (call, "application/json"));
    let calls = programs.into_iter().chain(people.map(|call| (call, "text/html; charset=utf-8")));
    join_all(calls.map(async |(call, form)| {
        let asked = Instant::now();
        let answer = call.timeout(DEADLINE).send().await.expect("an answer");
        let waited = asked.elapsed();
        assert!(waited < crate::within(TIME + MARGIN), "{answer:?} after {waited:?}");
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        assert_eq!(answer.headers()["content-type"], form, "{answer:?}");
        let body = answer.text().await.expect("a body");
        assert!(body.contains("Try again in a moment."), "{body}");
    }))
    .await;
    proxies[0].resume();
    site.until_ready(0, true, Duration::from_secs(5)).await;
    assert!(driver.revoke(0, &token).await);
    assert_holds(&driver.recorder.events(), &Promises::default());
}
