//! Commits on a primary that has to wait for a synchronous standby.

use std::{sync::Arc, time::Duration};

use chancery::store::{
    postgres::{Options, Postgres},
    *,
};
use tokio::task::JoinHandle;

use crate::{
    servers,
    store::postgres::{Outcome, failure, redemption},
};

/// A node on a primary whose synchronous standby is away, and a commit that waits for it.
struct Unreplicated {
    _server: servers::Postgres,
    _folder: tempfile::TempDir,
    beside: tokio_postgres::Client,
    running: JoinHandle<Outcome>,
}

impl Unreplicated {
    async fn new(statement_timeout: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("chancery-pg-").tempdir().expect("a folder");
        let server = servers::Postgres::start(folder.path()).await;
        let database = server.database().await;
        let url = database.url().to_owned();
        let options = Options { url, statement_timeout, ..Options::default() };
        let node: Arc<dyn Store> = Arc::new(Postgres::open(options).await.expect("the store opens"));
        let (given, redeem) = redemption();
        crate::store::fixtures::given(&node, given).await;
        let beside = database.connect().await;
        beside.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.expect("a setting");
        beside.batch_execute("SELECT pg_reload_conf()").await.expect("a signal");
        // It is the checkpointer that has to read it, and only a commit that waits shows that it has.
        let probe = database.connect().await;
        let probing = tokio::spawn(async move {
            while probe.batch_execute("CREATE TABLE probe (); DROP TABLE probe").await.is_ok() {}
        });
        servers::until("the setting to be read", async || unreplicated_commits(&beside, "0s").await == 1)
            .await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        beside.execute(sql, &[]).await.expect("it waits no longer");
        probing.await.expect("no panic");
        servers::until("nobody to wait", async || unreplicated_commits(&beside, "0s").await == 0).await;
        let running = tokio::spawn(async move { node.commit(redeem).await });
        let unreplicated = Self { _server: server, _folder: folder, beside, running };
        servers::until("COMMIT to wait for the standby", async || {
            unreplicated_commits(&unreplicated.beside, "0s").await == 1
        })
        .await;
        unreplicated
    }

    async fn standby_is_not_needed(&self) {
        self.beside.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.expect("a setting");
        self.beside.batch_execute("SELECT pg_reload_conf()").await.expect("a signal");
    }
}

/// How many COMMITs have waited for so long.
async fn unreplicated_commits(beside: &tokio_postgres::Client, since: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event = 'SyncRep' AND query_start < clock_timestamp() - interval '{since}'"
    );
    beside.query_one(&sql, &[]).await.expect("a count").get(0)
}

/// R41: a COMMIT that need not wait any longer is done here only, and would be forgotten by a failover.
#[tokio::test]
async fn a_commit_that_did_not_reach_the_synchronous_standby_is_not_acknowledged() {
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let unreplicated = Unreplicated::new(Duration::from_secs(5)).await;
        let sql = format!("SELECT {end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        unreplicated.beside.execute(&sql, &[]).await.expect("it waits no longer");
        let error = failure(unreplicated.running.await.expect("no panic"));
        assert_eq!(error.kind, StoreErrorKind::Connection);
        assert!(error.message.starts_with("whether the commit was done is unknown"), "{end}: {error}");
    }
}

/// The limit of a statement is none of COMMIT.
#[tokio::test]
async fn a_commit_may_wait_for_the_standby_longer_than_a_statement() {
    let unreplicated = Unreplicated::new(Duration::from_secs(1)).await;
    servers::until("twice the limit to pass", async || {
        unreplicated_commits(&unreplicated.beside, "2s").await == 1
    })
    .await;
    unreplicated.standby_is_not_needed().await;
    unreplicated.running.await.expect("no panic").expect("it is done");
}
