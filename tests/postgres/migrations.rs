//! The schema: who makes it, who must not, and what a killed migration leaves.

use chancery::store::{
    Lock, Upkeep,
    postgres::{OpenError, Options, Postgres, migrate_plan, migrate_status, migrate_up},
};

use crate::servers;

fn options(url: &str) -> Options {
    Options { url: url.to_owned(), ..Options::default() }
}

async fn refusal(options: Options) -> OpenError {
    match Postgres::open(options).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_end_with_one_schema() {
    let database = servers::Postgres::shared().await.database().await;
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let options = options(database.url());
        nodes.spawn(async move { Postgres::open(options).await.map(drop) });
    }
    while let Some(node) = nodes.join_next().await {
        node.expect("no panic").expect("it opens");
    }
    let status = migrate_status(&options(database.url())).await.expect("a status");
    assert_eq!((status.applied, status.pending.len()), (status.known, 0));
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let row = database.connect().await.query_one(held, &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0, "the lock was given back");
}

#[tokio::test]
async fn a_store_is_not_migrated_unasked() {
    let database = servers::Postgres::shared().await.database().await;
    let asked = Options { migrate: false, ..options(database.url()) };
    let error = refusal(asked.clone()).await.to_string();
    assert!(error.contains("run `chancery migrate up`"), "{error}");
    let status = migrate_up(&asked).await.expect("it migrates");
    assert_eq!(status.applied, status.known);
    let store = Postgres::open(asked).await.expect("it opens");
    assert_eq!(store.schema_version().await.expect("a version"), status.known);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = servers::Postgres::shared().await.database().await;
    let known = migrate_up(&options(database.url())).await.expect("it migrates").known;
    let newer = "INSERT INTO refinery_schema_history VALUES (999, 'later', '2030-01-01T00:00:00Z', '1')";
    database.connect().await.batch_execute(newer).await.expect("a row");
    let error = refusal(options(database.url())).await;
    assert!(matches!(error, OpenError::Newer { found: 999, known: k, .. } if k == known), "{error}");
    let said = error.to_string();
    assert!(said.contains("run the newer version") && !said.contains(servers::PASSWORD), "{said}");
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    for (made, sql) in [
        ("a table", "CREATE TABLE orders (n integer)"),
        ("a view", "CREATE VIEW orders AS SELECT 1 AS n"),
        (
            "migrations of something else",
            "CREATE TABLE orders (n integer);
             CREATE TABLE refinery_schema_history (version int4, name text, applied_on text, checksum text);
             INSERT INTO refinery_schema_history VALUES (1, 'orders', '2020-01-01T00:00:00Z', '1')",
        ),
    ] {
        let database = servers::Postgres::shared().await.database().await;
        let client = database.connect().await;
        client.batch_execute(sql).await.expect("it can be made");
        let errors = [
            refusal(options(database.url())).await,
            migrate_status(&options(database.url())).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, OpenError::Foreign { .. }), "{made}: {error}");
        }
        let row = client.query_one("SELECT to_regclass('clients') IS NULL", &[]).await.expect("a row");
        assert!(row.get::<_, bool>(0), "{made}: nothing was made");
    }
}

#[tokio::test]
async fn a_plan_names_tables_rows_and_locks() {
    let database = servers::Postgres::shared().await.database().await;
    let all = options(database.url());
    let planned = migrate_plan(&all).await.expect("a plan");
    assert!(planned[0].name.contains("V1__first"), "{:?}", planned[0].name);
    let steps: Vec<_> = planned.iter().flat_map(|file| &file.steps).collect();
    assert!(steps.iter().any(|step| step.action == "CREATE UNIQUE INDEX" && step.table == "clients"));
    assert!(steps.iter().all(|step| step.lock == Lock::New), "nobody knows the tables yet: {steps:?}");
    migrate_up(&all).await.expect("it migrates");
    assert_eq!(migrate_plan(&all).await.expect("a plan"), []);
}

/// What a node that is killed in the middle leaves behind is what it found.
#[tokio::test]
async fn a_killed_migration_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = servers::Postgres::start(folder.path()).await;
    let database = cluster.database().await;
    // Holds up the first migration at its last statement: refinery writes its history there.
    let client = database.connect().await;
    let history = "CREATE TABLE refinery_schema_history (version int4 UNIQUE, name varchar(255),
                   applied_on varchar(255), checksum varchar(255))";
    client.batch_execute(history).await.expect("the history");
    client.batch_execute("BEGIN; LOCK TABLE refinery_schema_history IN SHARE MODE").await.expect("a lock");
    let url = database.url().to_owned();
    let node = tokio::spawn(async move { migrate_up(&options(&url)).await });
    let watcher = database.connect().await;
    servers::until("the migration to be held up", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO refinery%'";
        watcher.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0) == 1
    })
    .await;
    cluster.kill().await;
    let error = node.await.expect("no panic").expect_err("it was killed");
    assert!(!error.to_string().contains(servers::PASSWORD), "{error}");
    cluster.restart().await;
    let status = migrate_status(&options(database.url())).await.expect("a status");
    assert_eq!(status.applied, 0);
    let status = migrate_up(&options(database.url())).await.expect("the next one does it");
    assert_eq!(status.applied, status.known);
}
