//! A stuck transaction that nobody can write past (F17).

use std::time::{Duration, Instant};

use crate::{
    faults::{
        check::{Promises, assert_holds},
        cluster::two_nodes,
        load::Load,
        site::{DEADLINE, Site},
    },
    say,
    servers::{self, Postgres},
};

/// F17
#[tokio::test]
async fn a_stuck_transaction_in_postgres_holds_up_writes_only_and_not_for_long() {
    let database = Postgres::shared().await.database().await;
    let quick = [("CHANCERY_POSTGRES_STATEMENT_TIMEOUT", "1s")];
    let site = two_nodes(database.url(), &quick).await;
    let load = Load::start(&site.driver, 6);
    load.until_answered(200, None, DEADLINE).await;
    let mut client = database.connect().await;
    let stuck = client.transaction().await.expect("a transaction");
    stuck.execute("SELECT FROM feed FOR UPDATE", &[]).await.expect("a lock");
    held_up(&site, 2, Duration::from_secs(1)).await;
    stuck.rollback().await.expect("it lets go");
    recovered(&site, load).await;
}

/// F17
#[tokio::test]
async fn a_stuck_transaction_in_the_embedded_store_holds_up_writes_only_and_not_for_long() {
    let site = Site::embedded(&[]).await;
    let load = Load::start(&site.driver, 6);
    load.until_answered(200, None, DEADLINE).await;
    let database = site.nodes[0].path("data/chancery.db");
    let stuck = rusqlite::Connection::open(database).expect("the database");
    servers::until("its turn to write", async || stuck.execute_batch("BEGIN IMMEDIATE").is_ok()).await;
    // The limit is not configured.
    held_up(&site, 1, Duration::from_secs(5)).await;
    stuck.execute_batch("ROLLBACK").expect("it lets go");
    recovered(&site, load).await;
}

/// Reads go on; a write is refused in time, and says when to come back. `limit`: how long a statement may
/// wait for a lock. Nobody does so twice, but behind others who do.
async fn held_up(site: &Site, nodes: usize, limit: Duration) {
    for node in 0..nodes {
        let token = site.driver.issue(node).await.expect("no row is written for it");
        assert_eq!(site.driver.probe(node, &token).await, Some(true));
        let asked = Instant::now();
        let (status, retry_after) = site.driver.revocation(node, &token).await.expect("an answer");
        assert_eq!((status, retry_after.is_some()), (503, true), "after {:?}", asked.elapsed());
        assert!(
            asked.elapsed() < crate::within(limit + Duration::from_millis(1_500)),
            "{:?}",
            asked.elapsed()
        );
        say(&format!("a stuck transaction: a revocation is refused after {:?}", asked.elapsed()));
        assert_eq!(
            site.driver.get(node, "/.well-known/jwks.json").await.map(|(status, _)| status),
            Some(200)
        );
        assert!(site.driver.probe(node, &token).await.is_some(), "who only reads is answered");
    }
}

async fn recovered(site: &Site, load: Load) {
    let released = Instant::now();
    for node in 0..site.nodes.len() {
        loop {
            let token = site.driver.issue(node).await;
            if let Some(token) = token
                && site.driver.revoke(node, &token).await
            {
                break;
            }
            assert!(
                released.elapsed() < crate::within(Duration::from_secs(5)),
                "node {node} does not recover"
            );
        }
        load.until_answered(20, Some(node), Duration::from_secs(5)).await;
    }
    say(&format!("a stuck transaction: writes go on {:?} after it is gone", released.elapsed()));
    load.stop().await.was_a_load(200);
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}
