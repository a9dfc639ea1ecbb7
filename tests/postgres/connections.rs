//! Connections: how many, how long, and what becomes of them when something breaks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::store::{
    Clients, CommitError, Commits, Effect, FeedReads, StoreErrorKind, Upkeep,
    postgres::{Options, PoolStatistics, Postgres},
};

use crate::{
    servers::{self, Proxy},
    store::fixtures::{client, commit},
};

fn insert(client_id: &str) -> chancery::store::Commit {
    commit([Effect::InsertClient(Box::new(client(client_id)))])
}

fn pool(store: &Postgres, name: &str) -> PoolStatistics {
    store.pool_statistics().into_iter().find(|statistics| statistics.name == name).expect("a pool")
}

async fn opened(options: Options) -> Arc<Postgres> {
    Arc::new(Postgres::open(options).await.expect("it opens"))
}

/// Backends of the store that are in a state, as Postgres sees them.
async fn backends(database: &servers::Database, condition: &str) -> Vec<i32> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'chancery' AND {condition}"
    );
    let rows = database.connect().await.query(&sql, &[]).await.expect("a list");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_caller_that_gets_no_connection_is_told_in_a_second() {
    let database = servers::Postgres::shared().await.database().await;
    let acquire_timeout = Duration::from_secs(1);
    let options = Options {
        url: database.url().to_owned(),
        max_connections: 2,
        acquire_timeout,
        statement_timeout: Duration::from_secs(60),
        ..Options::default()
    };
    let store = opened(options).await;
    servers::until("the pool to be warm", async || pool(&store, "request").idle == 2).await;
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE clients IN EXCLUSIVE MODE").await.expect("a lock");
    let mut held = tokio::task::JoinSet::new();
    for name in ["a", "b"] {
        let store = Arc::clone(&store);
        held.spawn(async move { store.commit(insert(name)).await });
    }
    servers::until("both connections to wait", async || {
        backends(&database, "wait_event_type = 'Lock'").await.len() == 2
    })
    .await;
    let asked = Instant::now();
    let error = store.commit(insert("c")).await.expect_err("no connection is left");
    assert!(asked.elapsed() < crate::within(acquire_timeout), "{:?}", asked.elapsed());
    let CommitError::Store(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, StoreErrorKind::Connection);
    let said = error.to_string();
    assert!(
        said.contains("pool `request`") && said.contains("every connection is in use (2 of 2)"),
        "{said}"
    );
    assert_eq!(pool(&store, "request").timeouts, 1);
    // The other pools have their own.
    store.probe().await.expect("reads go on");
    store.statistics().await.expect("upkeep goes on");
    blocker.batch_execute("ROLLBACK").await.expect("the lock is given back");
    while let Some(done) = held.join_next().await {
        done.expect("no panic").expect("it waited, and was done");
    }
}

#[tokio::test]
async fn a_commit_that_is_abandoned_leaves_nothing_behind() {
    let database = servers::Postgres::shared().await.database().await;
    let store =
        opened(Options { url: database.url().to_owned(), max_connections: 1, ..Options::default() }).await;
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE clients").await.expect("a lock");
    let abandoned = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(insert("abandoned")).await }
    });
    servers::until("the commit to wait", async || {
        !backends(&database, "wait_event_type = 'Lock'").await.is_empty()
    })
    .await;
    abandoned.abort();
    let _ = abandoned.await;
    blocker.batch_execute("ROLLBACK").await.expect("the lock is given back");
    // The only connection is clean again: what comes next is neither in the old transaction nor
    // undone with it.
    store.commit(insert("next")).await.expect("the next one is done");
    assert!(store.client("next").await.expect("a read").is_some());
    assert!(store.client("abandoned").await.expect("a read").is_none());
    assert_eq!(backends(&database, "state LIKE 'idle in transaction%'").await, Vec::<i32>::new());
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_cancelled_by_the_server() {
    let database = servers::Postgres::shared().await.database().await;
    let statement_timeout = Duration::from_millis(200);
    let url = database.url().to_owned();
    let store = opened(Options { url, statement_timeout, ..Options::default() }).await;
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE clients").await.expect("a lock");
    let error = store.commit(insert("a")).await.expect_err("it takes too long");
    let CommitError::Store(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, StoreErrorKind::Busy, "{error}");
    servers::until("the server to have given up too", async || {
        backends(&database, "wait_event_type = 'Lock'").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_pool_stays_warm_and_its_connections_stay_young() {
    let database = servers::Postgres::shared().await.database().await;
    let options = Options {
        url: database.url().to_owned(),
        max_connections: 6,
        acquire_timeout: Duration::from_secs(10),
        min_idle: 2,
        idle_timeout: Duration::from_millis(400),
        max_lifetime: Duration::from_millis(1500),
        ..Options::default()
    };
    let store = opened(options).await;
    servers::until("the pool to be warm", async || pool(&store, "request").idle >= 2).await;
    let mut burst = tokio::task::JoinSet::new();
    for number in 0..12 {
        let store = Arc::clone(&store);
        burst.spawn(async move { store.commit(insert(&format!("client-{number}"))).await });
    }
    while let Some(done) = burst.join_next().await {
        done.expect("no panic").expect("it is done");
    }
    servers::until("what is not needed to be closed", async || pool(&store, "request").size == 2).await;
    let before = backends(&database, "true").await;
    servers::until("every connection to be replaced", async || {
        let now = backends(&database, "true").await;
        now.len() >= 2 && now.iter().all(|pid| !before.contains(pid))
    })
    .await;
    servers::until("the pool to be warm again", async || pool(&store, "request").size == 2).await;
}

#[tokio::test]
async fn reads_do_not_notice_that_their_connections_die() {
    let database = servers::Postgres::shared().await.database().await;
    let store = opened(Options { url: database.url().to_owned(), ..Options::default() }).await;
    store.commit(insert("here")).await.expect("a client");
    let admin = database.connect().await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'chancery'";
    for _ in 0..5 {
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = Arc::clone(&store);
            reads.spawn(async move { store.client("here").await });
        }
        admin.query_one(kill, &[]).await.expect("they are ended");
        while let Some(read) = reads.join_next().await {
            assert!(read.expect("no panic").expect("a read").is_some());
        }
        // One that was ended while it was idle, too.
        assert!(store.client("here").await.expect("a read").is_some());
        servers::until("writes to be possible again", async || {
            store.commit(commit([])).await.is_ok() && store.probe().await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_dead_line_is_given_up_and_made_anew() {
    let database = servers::Postgres::shared().await.database().await;
    let proxy = Proxy::before(servers::Postgres::shared().await.port());
    let options = Options {
        url: proxy.url(database.url()),
        migration_url: Some(database.url().to_owned()),
        acquire_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        ..Options::default()
    };
    let store = opened(options).await;
    store.commit(insert("here")).await.expect("a client");
    assert!(store.client("here").await.expect("a read").is_some());
    proxy.stall();
    let asked = Instant::now();
    let error = store.client("here").await.expect_err("nothing comes back");
    assert!(asked.elapsed() < crate::within(Duration::from_secs(2)), "{:?}", asked.elapsed());
    assert!(!error.to_string().contains(servers::PASSWORD), "{error}");
    store.commit(insert("lost")).await.expect_err("nothing comes back");
    // Old lines stay dead, new ones work: what a firewall does that forgets.
    proxy.cut();
    proxy.resume();
    let healed = Instant::now();
    servers::until("reads to work again", async || store.client("here").await.is_ok()).await;
    servers::until("writes to work again", async || store.commit(commit([])).await.is_ok()).await;
    assert!(healed.elapsed() < crate::within(Duration::from_secs(5)), "{:?}", healed.elapsed());
}

#[tokio::test]
async fn a_server_that_was_restarted_is_used_again_in_five_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = servers::Postgres::start(folder.path()).await;
    let database = cluster.database().await;
    let store = opened(Options { url: database.url().to_owned(), ..Options::default() }).await;
    store.commit(insert("here")).await.expect("a client");
    cluster.kill().await;
    let error = store.client("here").await.expect_err("there is no server");
    assert_eq!(error.kind, StoreErrorKind::Connection, "{error}");
    assert!(!format!("{error:?}").contains(servers::PASSWORD), "{error:?}");
    cluster.restart().await;
    let back = Instant::now();
    servers::until("reads to work again", async || store.client("here").await.is_ok()).await;
    servers::until("writes to work again", async || store.commit(commit([])).await.is_ok()).await;
    assert!(back.elapsed() < crate::within(Duration::from_secs(5)), "{:?}", back.elapsed());
}

/// A node is ready once it reads the feed again, and is sent requests from then on.
#[tokio::test]
async fn once_the_feed_is_read_again_nothing_else_is_held_off() {
    let database = servers::Postgres::shared().await.database().await;
    let proxy = Proxy::before(servers::Postgres::shared().await.port());
    let options = Options {
        url: proxy.url(database.url()),
        migration_url: Some(database.url().to_owned()),
        ..Options::default()
    };
    let store = opened(options).await;
    store.commit(insert("here")).await.expect("a client");
    for round in 0..4 {
        proxy.refuse();
        // Each attempt that fails makes the pause before the next one longer.
        let refused = proxy.accepted();
        servers::until("many attempts to connect", async || {
            store.client("here").await.expect_err("there is no way");
            proxy.accepted() >= refused + 20
        })
        .await;
        proxy.resume();
        servers::until("the feed to be read again", async || store.feed(0, 1).await.is_ok()).await;
        let read = store.client("here").await;
        assert!(read.is_ok(), "round {round}: {read:?}");
        store.commit(insert(&format!("round-{round}"))).await.expect("a commit");
    }
}

#[tokio::test]
async fn a_closed_store_leaves_no_connection() {
    let database = servers::Postgres::shared().await.database().await;
    let store = opened(Options { url: database.url().to_owned(), ..Options::default() }).await;
    store.commit(insert("here")).await.expect("a client");
    store.close().await;
    let error = store.client("here").await.expect_err("it is closed");
    assert_eq!(error.to_string(), "connection: the store is closed");
    store.commit(insert("late")).await.expect_err("it is closed");
    servers::until("every connection to be closed", async || backends(&database, "true").await.is_empty())
        .await;
}
