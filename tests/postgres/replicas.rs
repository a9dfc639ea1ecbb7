//! Reads from a real streaming standby: what it may answer, and when it may not.

use std::{sync::Arc, time::Duration};

use chancery::store::{
    Clients, CommitError, Commits, Effect, FeedReads, StoreErrorKind, Users,
    postgres::{Options, Postgres},
};

use crate::{
    servers::{self, Standby},
    store::fixtures::{client, commit},
};

const WAIT: Duration = Duration::from_secs(10);

struct Pair {
    primary: servers::Postgres,
    standby: Standby,
    store: Arc<Postgres>,
    database: servers::Database,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let primary = servers::Postgres::start(&folder.path().join("primary")).await;
        let database = primary.database().await;
        let standby = Standby::of(&primary, &folder.path().join("standby")).await;
        let options = Options {
            url: database.url().to_owned(),
            replica_urls: vec![standby.url(database.name())],
            acquire_timeout: Duration::from_secs(5),
            // Long, so that what a test sees does not depend on how fast the machine is.
            max_replica_staleness: WAIT,
            ..Options::default()
        };
        let store = Arc::new(Postgres::open(options).await.expect("it opens"));
        Self { primary, standby, store, database, _folder: folder }
    }

    /// What a node does all the time.
    async fn read_feed(&self) -> u64 {
        self.store.feed(0, 1000).await.expect("the feed").head.seq
    }

    /// Statements of ours that the standby has answered, and whether it was this one's turn.
    async fn asked_of_the_standby(&self) -> i64 {
        let standby = servers::connect(&self.standby.url(self.database.name())).await;
        let sql =
            "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE relname = 'clients'";
        standby.query_one(sql, &[]).await.expect("a count").get(0)
    }
}

#[tokio::test]
async fn a_replica_that_has_caught_up_answers_without_the_primary() {
    let mut pair = Pair::new().await;
    let made = client("here");
    let key = made.key;
    pair.store.commit(commit([Effect::InsertClient(Box::new(made))])).await.expect("a client");
    pair.read_feed().await;
    servers::until("the replica to be read from", async || {
        pair.store.client_by_key(key).await.expect("a read").expect("it is there");
        pair.asked_of_the_standby().await > 0
    })
    .await;
    pair.primary.kill().await;
    // Clients are cached, and the feed would tell of a change; names decide sign-ins, and are not.
    assert!(pair.store.client("here").await.expect("the replica answers").is_some());
    pair.store.user_by_name("nobody").await.expect_err("the primary alone decides");
}

#[tokio::test]
async fn a_late_replica_brings_nothing_back() {
    let pair = Pair::new().await;
    let made = client("here");
    let key = made.key;
    pair.store.commit(commit([Effect::InsertClient(Box::new(made))])).await.expect("a client");
    pair.read_feed().await;
    servers::until("the replica to be read from", async || {
        pair.store.client_by_key(key).await.expect("a read").expect("it is there");
        pair.asked_of_the_standby().await > 0
    })
    .await;

    pair.standby.pause().await;
    // This node's own change: applied at once, before the feed tells it.
    pair.store.commit(commit([Effect::SetClientEnabled(key, false)])).await.expect("it is disabled");
    for feed_was_read in [false, true] {
        if feed_was_read {
            pair.read_feed().await;
        }
        for _ in 0..20 {
            let found = pair.store.client("here").await.expect("a read").expect("it is there");
            assert!(!found.enabled, "a late replica answered; feed read: {feed_was_read}");
        }
    }
    // Another node's change, which this one hears by the feed.
    let other = Options { url: pair.database.url().to_owned(), ..Options::default() };
    let other = Postgres::open(other).await.expect("another node");
    other.commit(commit([Effect::SetClientEnabled(key, true)])).await.expect("it is enabled");
    pair.read_feed().await;
    for _ in 0..20 {
        assert!(pair.store.client("here").await.expect("a read").expect("it is there").enabled);
    }
    let before = pair.asked_of_the_standby().await;
    pair.standby.resume().await;
    servers::until("the replica to be read from again", async || {
        assert!(pair.store.client("here").await.expect("a read").expect("it is there").enabled);
        pair.asked_of_the_standby().await > before
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_dies_is_not_missed() {
    let mut pair = Pair::new().await;
    pair.store.commit(commit([Effect::InsertClient(Box::new(client("here")))])).await.expect("a client");
    pair.read_feed().await;
    servers::until("the replica to be read from", async || {
        pair.store.client("here").await.expect("a read").expect("it is there");
        pair.asked_of_the_standby().await > 0
    })
    .await;
    pair.standby.kill().await;
    for _ in 0..20 {
        assert!(pair.store.client("here").await.expect("the primary answers").is_some());
    }
}

/// R41: it does not know what was revoked meanwhile, and what is written to it is lost.
#[tokio::test]
async fn a_primary_that_was_replaced_is_neither_read_from_nor_written_to() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let primary = servers::Postgres::start(folders[0].path()).await;
    let database = primary.database().await;
    let proxy = servers::Proxy::before(primary.port());
    let options = Options { url: proxy.url(database.url()), ..Options::default() };
    let store = Postgres::open(options).await.expect("it opens");
    store.commit(commit([Effect::InsertClient(Box::new(client("before")))])).await.expect("a client");
    let standby = Standby::of(&primary, folders[1].path()).await;
    standby.promote().await;
    proxy.aim(standby.port());
    proxy.cut();
    servers::until("the new primary to be written to", async || {
        let written = commit([Effect::InsertClient(Box::new(client("after")))]);
        store.commit(written).await.is_ok()
    })
    .await;
    // The address leads back to the old one, and the feed was not read since.
    proxy.aim(primary.port());
    proxy.cut();
    let late = commit([Effect::InsertClient(Box::new(client("late")))]);
    let Err(CommitError::Store(error)) = store.commit(late).await else { panic!("it is not written to") };
    assert_eq!(error.kind, StoreErrorKind::Connection);
    assert!(error.message.contains("replaced"), "{error}");
    store.client("before").await.expect_err("it is not read from");
    proxy.aim(standby.port());
    servers::until("the new primary to be found again", async || store.client("after").await.is_ok()).await;
}

/// Engines that only speak the protocol of Postgres have no timelines.
#[tokio::test]
async fn a_server_without_timelines_is_followed_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = servers::Postgres::start(folder.path()).await;
    let database = server.database().await;
    let beside = database.connect().await;
    beside
        .batch_execute("ALTER FUNCTION pg_walfile_name(pg_lsn) RENAME TO not_there")
        .await
        .expect("renamed");
    let options = Options { url: database.url().to_owned(), ..Options::default() };
    let store = Postgres::open(options).await.expect("it opens");
    store.commit(commit([Effect::InsertClient(Box::new(client("a")))])).await.expect("a client");
    store.feed(0, 10).await.expect("the feed is read");
}
