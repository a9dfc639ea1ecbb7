//! Two nodes over one Postgres that fails (F1, F2, F3).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    faults::{
        check::{Promises, assert_holds},
        history::What,
        load::Load,
        rounds,
        site::{DEADLINE, Node, Site},
    },
    say,
    servers::{self, Postgres, Proxy, Standby, connect},
};

/// Two nodes straight on a database.
pub async fn two_nodes(database: &str, more: &[(&str, &str)]) -> Site {
    two_nodes_for(database, more, &[]).await
}

/// The same, with more arguments for the making of the client.
pub async fn two_nodes_for(database: &str, more: &[(&str, &str)], client: &[&str]) -> Site {
    let variables = [&[("DATABASE_URL", database)], more].concat();
    Site::open_with(vec![Node::prepare(&variables), Node::prepare(&variables)], client).await
}

/// Two nodes, each with a proxy before the database.
pub struct Behind {
    pub site: Site,
    pub proxies: [Proxy; 2],
    pub database: servers::Database,
}

impl Behind {
    pub async fn two_proxies(more: &[(&str, &str)]) -> Self {
        let postgres = Postgres::shared().await;
        let database = postgres.database().await;
        let proxies = [Proxy::before(postgres.port()), Proxy::before(postgres.port())];
        let nodes = proxies.iter().map(|proxy| {
            let url = proxy.url(database.url());
            Node::prepare(&[&[("DATABASE_URL", url.as_str())], more].concat())
        });
        Self { site: Site::open(nodes.collect()).await, proxies, database }
    }
}

/// Calls to a node that got no answer since then.
pub fn failed(site: &Site, node: usize, from: Duration) -> BTreeMap<String, usize> {
    Load::failures(&site.driver, Some(node), from..site.driver.recorder.now())
}

/// F1: R41, T09
#[tokio::test]
async fn a_node_killed_under_load_breaks_no_promise_and_does_not_touch_the_other() {
    let database = Postgres::shared().await.database().await;
    let site = two_nodes(database.url(), &[]).await;
    let load = Load::start(&site.driver, 6);
    let mut users = Vec::new();
    for round in 0..rounds(3, 50) {
        load.until_answered(150 + 37 * round, None, DEADLINE).await;
        users.push(format!("user {round}"));
        site.write_user(users.last().expect("just pushed")).await;
        let (dies, lives) = (round % 2, (round + 1) % 2);
        let from = site.driver.recorder.now();
        site.nodes[dies].kill().await;
        load.until_answered(50, Some(lives), DEADLINE).await;
        site.nodes[dies].start().await;
        load.until_answered(20, Some(dies), DEADLINE).await;
        let failed = failed(&site, lives, from);
        assert!(failed.is_empty(), "the other node failed: {failed:?}");
    }
    load.stop().await.was_a_load(500);
    site.read_users(users.iter().map(String::as_str)).await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

/// F2: R41, T09
#[tokio::test]
async fn postgres_killed_under_load_loses_nothing_and_both_nodes_recover_within_5_s() {
    let folder = tempfile::Builder::new().prefix("chancery-pg-").tempdir().expect("a folder");
    let mut postgres = Postgres::start(folder.path()).await;
    let database = postgres.database().await;
    let site = two_nodes(database.url(), &[]).await;
    let load = Load::start(&site.driver, 6);
    for _ in 0..rounds(2, 20) {
        load.until_answered(200, None, DEADLINE).await;
        site.write_user("bob").await;
        postgres.kill().await;
        // Nobody answers for long from what it remembers.
        for node in 0..2 {
            site.until_ready(node, false, Duration::from_secs(4)).await;
        }
        postgres.restart().await;
        let begun = Instant::now();
        for node in 0..2 {
            site.until_ready(node, true, Duration::from_secs(5)).await;
            load.until_answered(20, Some(node), Duration::from_secs(5)).await;
        }
        say(&format!("Postgres killed: both nodes work {:?} after it is back", begun.elapsed()));
        assert!(begun.elapsed() < crate::within(Duration::from_secs(5)));
    }
    load.stop().await.was_a_load(400);
    site.read_users(["bob"].into_iter()).await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());
    let client = database.connect().await;
    let open = client
        .query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()", &[])
        .await
        .expect("a count");
    let (open, cores) = (open.get::<_, i64>(0), std::thread::available_parallelism().map_or(1, usize::from));
    let most = 2 * (4 * cores as i64 + 16);
    assert!(open <= most, "{open} connections are open, at most {most} were expected");
}

/// F3: R41, T09
#[tokio::test]
async fn a_failover_to_a_synchronous_standby_undoes_nothing() {
    let folders: Vec<_> = (0..2)
        .map(|_| tempfile::Builder::new().prefix("chancery-pg-").tempdir().expect("a folder"))
        .collect();
    let mut primary = Postgres::start(folders[0].path()).await;
    let database = primary.database().await;
    let standby = Standby::of(&primary, &folders[1].path().join("standby")).await;
    let client = connect(&primary.url("postgres")).await;
    for setting in ["synchronous_standby_names = '*'", "synchronous_commit = remote_apply"] {
        client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.expect("a setting");
    }
    client.batch_execute("SELECT pg_reload_conf()").await.expect("a signal");
    servers::until("the standby to be synchronous", async || {
        let rows = client.query("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'", &[]).await;
        rows.is_ok_and(|rows| rows.len() == 1)
    })
    .await;

    let proxies = [Proxy::before(primary.port()), Proxy::before(primary.port())];
    let urls: Vec<String> = proxies.iter().map(|proxy| proxy.url(database.url())).collect();
    let nodes = urls.iter().map(|url| Node::prepare(&[("DATABASE_URL", url)])).collect();
    let site = Site::open(nodes).await;
    let load = Load::start(&site.driver, 6);
    load.until_answered(300, None, DEADLINE).await;
    site.write_user("bob").await;
    proxies.iter().for_each(Proxy::refuse);
    primary.kill().await;
    standby.promote().await;
    let begun = Instant::now();
    for proxy in &proxies {
        proxy.aim(standby.port());
        proxy.resume();
    }
    for node in 0..2 {
        site.until_ready(node, true, Duration::from_secs(15)).await;
        load.until_answered(50, Some(node), Duration::from_secs(15)).await;
    }
    say(&format!("Postgres failed over: both nodes work {:?} after the promotion", begun.elapsed()));

    load.stop().await.was_a_load(500);
    site.read_users(["bob"].into_iter()).await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());

    // The old primary comes back with what it knew, and an address leads to it again.
    let code = site.driver.code(0).await.expect("a code");
    let tokens = site.driver.redeem(0, &code).await.1.expect("tokens");
    let token = site.driver.issue(0).await.expect("a token");
    assert!(site.driver.revoke(0, &token).await);
    primary.restart().await;
    proxies[1].aim(primary.port());
    proxies[1].cut();
    site.until_ready(1, false, Duration::from_secs(5)).await;
    let refused = site.driver.recorder.now() + Duration::from_secs(3);
    while site.driver.recorder.now() < refused {
        assert!(!site.driver.is_ready(1).await, "a node serves from a primary that was replaced");
        assert_eq!(site.driver.introspection(1, &token).await.map(|(status, _)| status), Some(503));
        // Unknown to the old primary; an answer would be a wrong one.
        let (what, _) = site.driver.refresh(1, tokens.refresh.as_deref().expect("a refresh token")).await;
        assert!(matches!(what, What::Info(_)), "{what:?}");
    }
    proxies[1].aim(standby.port());
    proxies[1].cut();
    site.until_ready(1, true, Duration::from_secs(15)).await;
    assert_eq!(site.driver.probe(1, &token).await, Some(false));
    let (what, _) = site.driver.refresh(1, tokens.refresh.as_deref().expect("a refresh token")).await;
    assert!(matches!(what, What::Ok(_)), "{what:?}");
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}
