//! Through a PgBouncer in transaction mode.

use std::{sync::Arc, time::Duration};

use chancery::store::{
    Clients, CommitError, Commits, Effect, FeedReads, StoreErrorKind, Upkeep,
    postgres::{Options, Postgres, try_prepared},
};

use crate::{
    servers::{self, PgBouncer},
    store::fixtures::{client, commit},
};

/// Many callers over few connections, reads and writes: nobody gets another's answer.
async fn crowd(store: &Arc<Postgres>) {
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(store);
        callers.spawn(async move {
            let name = format!("client-{number}");
            let made = commit([Effect::InsertClient(Box::new(client(&name)))]);
            store.commit(made).await.expect("it is done");
            for _ in 0..10 {
                let found = store.client(&name).await.expect("a read").expect("it is there");
                assert_eq!(found.client_id, name);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    store.probe().await.expect("it can be reached");
    store.feed(0, 10).await.expect("the feed can be read");
}

fn options(pgbouncer: &PgBouncer, database: &servers::Database) -> Options {
    Options {
        url: pgbouncer.url(database.name()),
        migration_url: Some(database.url().to_owned()),
        prepared: false,
        acquire_timeout: Duration::from_secs(10),
        max_connections: 16,
        ..Options::default()
    }
}

#[tokio::test]
async fn unnamed_statements_go_through_every_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = servers::Postgres::shared().await;
    let database = server.database().await;
    let pgbouncer = PgBouncer::start(folder.path(), server, 3).await;
    let options = options(&pgbouncer, &database);
    let store = Arc::new(Postgres::open(options.clone()).await.expect("it opens"));
    crowd(&store).await;
    store.close().await;
    // 1.21 and later keep prepared statements apart themselves.
    if PgBouncer::prepares() {
        let prepared = Options { prepared: true, ..options };
        let store = Postgres::open(prepared).await.expect("it opens");
        assert!(store.client("client-1").await.expect("a read").is_some());
    }
}

/// Nobody is served by it, and whoever reads the log is told what to change.
#[tokio::test]
async fn prepared_statements_behind_a_pooler_that_mixes_them_up_are_named_as_the_cause() {
    if PgBouncer::prepares() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = servers::Postgres::shared().await;
    let database = server.database().await;
    let pgbouncer = PgBouncer::start(folder.path(), server, 3).await;
    let prepared = Options { prepared: true, ..options(&pgbouncer, &database) };
    let looked = try_prepared(&prepared).await.expect_err("it is noticed when asked for");
    assert!(looked.to_string().contains("`[postgres] prepared = false`"), "{looked}");
    let unnamed = Options { prepared: false, ..prepared };
    try_prepared(&unnamed).await.expect("nothing is prepared");
    let direct = Options { url: database.url().to_owned(), ..Options::default() };
    try_prepared(&direct).await.expect("nobody is in between");
}

#[tokio::test]
async fn prepared_statements_go_directly() {
    let database = servers::Postgres::shared().await.database().await;
    let options = Options {
        url: database.url().to_owned(),
        max_connections: 16,
        acquire_timeout: Duration::from_secs(10),
        ..Options::default()
    };
    let store = Arc::new(Postgres::open(options).await.expect("it opens"));
    crowd(&store).await;
}

/// The limits travel with BEGIN, because PgBouncer drops those that are given when connecting, and
/// end with the transaction, because the connection is somebody else's next.
#[tokio::test]
async fn limits_hold_behind_it_and_do_not_stick() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = servers::Postgres::shared().await;
    let database = server.database().await;
    let pgbouncer = PgBouncer::start(folder.path(), server, 1).await;
    let statement_timeout = Duration::from_millis(400);
    let options = Options { statement_timeout, ..options(&pgbouncer, &database) };
    let store = Postgres::open(options).await.expect("it opens");
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE clients IN EXCLUSIVE MODE").await.expect("a lock");
    let made = commit([Effect::InsertClient(Box::new(client("late")))]);
    let error = store.commit(made).await.expect_err("it takes too long");
    let CommitError::Store(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, StoreErrorKind::Busy, "{error}");
    store.close().await;
    let other = servers::connect(&pgbouncer.url(database.name())).await;
    let shown = other.query_typed("SELECT current_setting('statement_timeout')", &[]).await.expect("a row");
    assert_eq!(shown[0].get::<_, String>(0), "0");
}
