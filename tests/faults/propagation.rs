//! How long a revocation at one node takes to be seen at the other (F13).

use std::time::{Duration, Instant};

use crate::{
    faults::{
        check::{Promises, assert_holds},
        cluster::two_nodes,
        load::Load,
        rounds,
        site::{DEADLINE, Site},
    },
    say,
    servers::Postgres,
};

/// F13: R41
#[tokio::test]
async fn a_revocation_is_seen_at_the_other_node_within_2_s_without_redis() {
    let database = Postgres::shared().await.database().await;
    let site = two_nodes(database.url(), &[]).await;
    let load = Load::start(&site.driver, 2);
    load.until_answered(50, None, DEADLINE).await;
    let seen = propagation(&site, rounds(20, 200), "without Redis").await;
    assert!(*seen.last().expect("there were some") <= Duration::from_secs(2));
    load.stop().await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

/// Revokes at node 0, and asks node 1 every 10 ms. Gives in order how long after each acknowledgement it was
/// last asked and said that the token is active: how long an answer takes to come is the machine's.
pub async fn propagation(site: &Site, times: usize, how: &str) -> Vec<Duration> {
    let mut seen = Vec::new();
    for _ in 0..times {
        let token = site.driver.issue(0).await.expect("a token");
        assert_eq!(site.driver.probe(1, &token).await, Some(true));
        assert!(site.driver.revoke(0, &token).await);
        let acknowledged = Instant::now();
        let mut active_until = Duration::ZERO;
        loop {
            let asked = acknowledged.elapsed();
            match site.driver.probe(1, &token).await {
                Some(false) => break,
                Some(true) => active_until = asked,
                None => {}
            }
            assert!(asked < crate::within(Duration::from_secs(5)), "it was not seen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        seen.push(active_until);
        // Never undone, on either.
        for node in [0, 1, 0, 1] {
            assert_eq!(site.driver.probe(node, &token).await, Some(false));
        }
    }
    seen.sort();
    let at = |percent: usize| seen[(seen.len() * percent / 100).min(seen.len() - 1)];
    let (p50, p95, p100) = (at(50), at(95), at(100));
    say(&format!(
        "a revoked token is last called active at the other node {how} when asked after: p50 {p50:?}, p95 {p95:?}, p100 {p100:?}"
    ));
    seen
}
