//! Starts and migrations that meet each other, or end half-way (F18, F19).

use std::{collections::BTreeSet, time::Duration};

use crate::{
    faults::{
        cluster::two_nodes,
        driver::{Credentials, Driver},
        rounds,
        site::Node,
    },
    servers::{self, Postgres},
};

/// F19
#[tokio::test]
async fn two_nodes_that_start_at_once_on_an_empty_database_agree_on_schema_and_keys() {
    for _ in 0..rounds(3, 30) {
        let database = Postgres::shared().await.database().await;
        let nodes = [(); 2].map(|()| Node::prepare(&[("DATABASE_URL", database.url())]));
        tokio::join!(nodes[0].start(), nodes[1].start());
        let addresses = nodes.iter().map(Node::address).collect();
        let driver = Driver::new(addresses, Credentials::default());
        servers::until("both to publish the same key", async || {
            let mut sets = BTreeSet::new();
            for node in 0..2 {
                let set = driver.key_set(node).await.expect("a key set");
                sets.insert(set["keys"].to_string());
                assert_eq!(set["keys"].as_array().map(Vec::len), Some(1), "one key: {set}");
            }
            sets.len() == 1
        })
        .await;
        let listed = nodes[0].run(&["keys", "list", "--all", "--json"]).await.with_code(0).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "no key was made in vain: {listed}");
    }
}

/// F18
#[tokio::test]
async fn a_migration_killed_half_way_is_done_by_the_next_one() {
    for _ in 0..rounds(1, 10) {
        let database = Postgres::shared().await.database().await;
        let node = Node::prepare(&[("DATABASE_URL", database.url())]);
        // A table that somebody is about to make stops the migration in its middle.
        let mut client = database.connect().await;
        let about = client.transaction().await.expect("a transaction");
        about.batch_execute("CREATE TABLE changes (seq bigint)").await.expect("a table");
        let mut migration = node.spawn(&["migrate", "up"]);
        let watcher = database.connect().await;
        servers::until("the migration to be in its middle", async || {
            let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            !watcher.query(waits, &[]).await.expect("an answer").is_empty()
        })
        .await;
        migration.kill().expect("it runs");
        migration.wait().expect("it ends");
        about.rollback().await.expect("it lets go");
        let status = node.run(&["migrate", "status", "--json"]).await.with_code(0).json();
        assert_ne!(status["pending"].as_array().map(Vec::len), Some(0), "{status}");
        node.run(&["migrate", "up"]).await.with_code(0);
        let status = node.run(&["migrate", "status", "--json"]).await.with_code(0).json();
        assert_eq!(status["pending"].as_array().map(Vec::len), Some(0), "{status}");
        node.start().await;
    }
}

/// F18
#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_in_one_sentence() {
    let database = Postgres::shared().await.database().await;
    let site = two_nodes(database.url(), &[]).await;
    let client = database.connect().await;
    client.batch_execute(NEWER).await.expect("a row");
    refused(&site.nodes[0]).await;
    // Who runs already goes on: the nodes are replaced one after the other.
    let token = site.driver.issue(0).await.expect("a token");
    assert!(site.driver.revoke(1, &token).await);
    client.batch_execute("DELETE FROM refinery_schema_history WHERE version = 999").await.expect("as before");
    site.nodes[0].kill().await;
    site.nodes[0].start().await;
    assert_eq!(site.driver.probe(0, &token).await, Some(false));
}

/// F18
#[tokio::test]
async fn an_embedded_store_of_a_newer_version_is_refused_in_one_sentence() {
    let node = Node::prepare(&[]);
    node.run(&["migrate", "up"]).await.with_code(0);
    let database = rusqlite::Connection::open(node.path("data/chancery.db")).expect("the database");
    database.execute_batch(NEWER).expect("a row");
    drop(database);
    refused(&node).await;
}

const NEWER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                     VALUES (999, 'of_the_future', '2020-01-01T00:00:00Z', '0')";

async fn refused(node: &Node) {
    let said = tokio::time::timeout(Duration::from_secs(30), node.run(&["serve"])).await;
    let said = said.expect("it does not serve").with_code(1);
    assert!(said.err.contains("999") && said.err.contains("newer"), "{said:?}");
    let sentences = said.err.lines().filter(|line| line.starts_with("chancery: ")).count();
    assert_eq!(sentences, 1, "{said:?}");
}
