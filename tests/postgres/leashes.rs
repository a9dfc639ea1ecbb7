//! The test servers themselves.

use crate::servers::{PgBouncer, Postgres, Proxy, Redis, Standby};

#[tokio::test]
async fn a_cluster_is_killed_and_comes_back_with_what_was_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = Postgres::start(folder.path()).await;
    let database = cluster.database().await;
    database.connect().await.batch_execute("CREATE TABLE t AS SELECT 7 AS n").await.expect("a table");
    cluster.kill().await;
    assert!(tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.is_err());
    cluster.restart().await;
    let row = database.connect().await.query_one("SELECT n FROM t", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), 7);
}

#[tokio::test]
async fn pgbouncer_passes_a_query_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Postgres::shared().await;
    let database = server.database().await;
    let pgbouncer = PgBouncer::start(folder.path(), server, 3).await;
    let url = pgbouncer.url(database.name());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("let in");
    tokio::spawn(connection);
    client.simple_query("SELECT 1").await.expect("an answer");
}

#[tokio::test]
async fn a_standby_follows_falls_behind_and_catches_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Postgres::start(&folder.path().join("a")).await;
    let database = server.database().await;
    let client = database.connect().await;
    client.batch_execute("CREATE TABLE t (n integer)").await.expect("a table");
    let standby = Standby::of(&server, &folder.path().join("b")).await;
    standby.pause().await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.expect("a row");
    let late = crate::servers::connect(&standby.url(database.name())).await;
    let count =
        async || late.query_one("SELECT count(*) FROM t", &[]).await.expect("a count").get::<_, i64>(0);
    assert_eq!(count().await, 0);
    standby.resume().await;
    crate::servers::until("the standby to catch up", async || count().await == 1).await;
}

#[tokio::test]
async fn redis_is_killed_and_restarted_on_its_port() {
    let mut redis = Redis::start().await;
    let client = redis::Client::open(redis.url()).expect("a URL");
    let ping = async || -> redis::RedisResult<String> {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async(&mut connection).await
    };
    assert_eq!(ping().await.expect("an answer"), "PONG");
    redis.kill().await;
    assert!(ping().await.is_err());
    redis.restart().await;
    assert_eq!(ping().await.expect("an answer"), "PONG");
}

#[tokio::test]
async fn the_proxy_stalls_cuts_and_refuses() {
    let database = Postgres::shared().await.database().await;
    let port = Postgres::shared().await.port();
    let proxy = Proxy::before(port);
    let client = crate::servers::connect(&proxy.url(database.url())).await;
    client.simple_query("SELECT 1").await.expect("it passes");
    proxy.stall();
    let waiting =
        tokio::time::timeout(std::time::Duration::from_millis(100), client.simple_query("SELECT 1"));
    assert!(waiting.await.is_err(), "nothing passes");
    proxy.resume();
    client.simple_query("SELECT 1").await.expect("it passes again");
    proxy.half_close();
    assert!(client.simple_query("SELECT 1").await.is_err());
    let client = crate::servers::connect(&proxy.url(database.url())).await;
    proxy.cut();
    assert!(client.simple_query("SELECT 1").await.is_err());
    proxy.refuse();
    assert!(tokio_postgres::connect(&proxy.url(database.url()), tokio_postgres::NoTls).await.is_err());
}
