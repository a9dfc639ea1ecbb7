//! The store for many nodes: the suite on a real Postgres, through caches, and behind a PgBouncer in
//! transaction mode; and what is particular to it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chancery::{
    cache::{CacheOptions, Cached},
    resilience::Clock,
    store::{
        postgres::{Options, Postgres},
        *,
    },
};
use tokio::{sync::OnceCell, task::JoinHandle};

use crate::{
    servers::{self, Database, PgBouncer, Proxy},
    store::{fixtures::*, suite::each_promise},
};

/// A database of a test's own; every store opened on it is a node.
pub struct Installation {
    database: Database,
    /// What the nodes connect to.
    url: String,
    prepared: bool,
    cached: bool,
}

impl Installation {
    pub async fn new() -> Self {
        let database = servers::Postgres::shared().await.database().await;
        Self { url: database.url().to_owned(), database, prepared: true, cached: false }
    }

    pub async fn behind_pgbouncer() -> Self {
        let direct = Self::new().await;
        Self { url: pgbouncer().await.url(direct.database.name()), prepared: false, ..direct }
    }

    fn options(&self) -> Options {
        Options {
            url: self.url.clone(),
            migration_url: Some(self.database.url().to_owned()),
            max_connections: 8,
            read_connections: 2,
            prepared: self.prepared,
            // Fifty callers at once share eight connections, on a machine that tests other things too.
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            ..Options::default()
        }
    }

    pub async fn node(&self) -> Postgres {
        Postgres::open(self.options()).await.expect("the store opens")
    }
}

/// The one all tests share. It has fewer connections to a database than a node, so that one
/// statement after the other may meet another server process.
pub async fn pgbouncer() -> &'static PgBouncer {
    static SHARED: OnceCell<PgBouncer> = OnceCell::const_new();
    let start = async || {
        let folder = tempfile::Builder::new().prefix("chancery-pgbouncer-").tempdir().expect("a folder");
        PgBouncer::start(&folder.keep(), servers::Postgres::shared().await, 6).await
    };
    SHARED.get_or_init(start).await
}

#[async_trait]
impl Place for Installation {
    async fn open(&self) -> Arc<dyn Store> {
        let node = Arc::new(self.node().await);
        if !self.cached {
            return node;
        }
        let cached = Arc::new(Cached::new(node, CacheOptions::default(), Clock::system()));
        cached.tail().start().await.expect("the feed is read");
        tokio::spawn(cached.tail().clone().run(std::future::pending()));
        cached
    }

    fn rounds(&self) -> usize {
        // The race itself is run in full where nothing is between.
        if self.cached || !self.prepared { 10 } else { 100 }
    }
}

macro_rules! on_postgres {
    ($($module:ident { $($promise:ident)* })*) => {$(
        mod $module {
            $(#[tokio::test]
            async fn $promise() {
                crate::store::suite::$module::$promise(&super::Installation::new().await).await;
            })*
        }
    )*};
}

each_promise!(on_postgres);

mod through_caches {
    use super::Installation;

    macro_rules! through_caches {
        ($($module:ident { $($promise:ident)* })*) => {$(
            mod $module {
                $(#[tokio::test]
                async fn $promise() {
                    let place = super::Installation { cached: true, ..super::Installation::new().await };
                    crate::store::suite::$module::$promise(&place).await;
                })*
            }
        )*};
    }

    crate::store::suite::each_promise!(through_caches);
}

mod behind_pgbouncer {
    use super::Installation;

    macro_rules! behind_pgbouncer {
        ($($module:ident { $($promise:ident)* })*) => {$(
            mod $module {
                $(#[tokio::test]
                async fn $promise() {
                    let place = super::Installation::behind_pgbouncer().await;
                    crate::store::suite::$module::$promise(&place).await;
                })*
            }
        )*};
    }

    crate::store::suite::each_promise!(behind_pgbouncer);
}

pub type Outcome = Result<Committed, CommitError>;

/// A node behind a proxy, a commit whose COMMIT hangs in the server, and the connection that holds it
/// up there.
struct Hanging {
    proxy: Proxy,
    running: JoinHandle<Outcome>,
    beside: tokio_postgres::Client,
}

impl Hanging {
    /// `table` is one the commit writes to: at its COMMIT a trigger waits for a lock.
    async fn on(table: &str, installation: &Installation, given: Vec<Effect>, commit: Commit) -> Self {
        let proxy = Proxy::before(servers::Postgres::shared().await.port());
        let options = Options { url: proxy.url(installation.database.url()), ..installation.options() };
        let node: Arc<dyn Store> = Arc::new(Postgres::open(options).await.expect("the store opens"));
        crate::store::fixtures::given(&node, given).await;

        let beside = installation.database.connect().await;
        let trap = format!(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON {table}
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
             SELECT pg_advisory_lock(1)"
        );
        beside.batch_execute(&trap).await.expect("a trap");
        let running = tokio::spawn(async move { node.commit(commit).await });
        servers::until("COMMIT to wait for the lock", async || waiting(&beside).await.is_some()).await;
        Self { proxy, running, beside }
    }

    /// The line breaks; what the server does then is decided by the caller before the lock is let go.
    async fn outcome(self) -> Outcome {
        self.proxy.cut();
        self.beside.batch_execute("SELECT pg_advisory_unlock(1)").await.expect("unlocked");
        self.running.await.expect("no panic")
    }
}

/// The server process that waits for the lock.
async fn waiting(beside: &tokio_postgres::Client) -> Option<i32> {
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    beside.query_opt(sql, &[]).await.expect("an answer").map(|row| row.get(0))
}

pub fn failure(outcome: Outcome) -> StoreError {
    match outcome {
        Err(CommitError::Store(error)) => error,
        other => panic!("the store failed: {other:?}"),
    }
}

/// A family with a code, and the commit that redeems it.
pub fn redemption() -> (Vec<Effect>, Commit) {
    let family = family(chancery::model::UserId(id()), chancery::model::ClientKey(id()));
    let code = code(&family);
    let redeem = spending(Spend::Code(code.id), [begun(&refresh_token(&family))]);
    let people = people(&family).into_iter();
    let given = people.chain([Effect::InsertFamily(family.into()), Effect::InsertCode(code.into())]);
    (given.collect(), redeem)
}

#[tokio::test]
async fn a_commit_that_was_done_while_the_line_broke_is_known_to_be_done() {
    let installation = Installation::new().await;
    let (given, redeem) = redemption();
    let hanging = Hanging::on("codes", &installation, given, redeem).await;
    hanging.outcome().await.expect("it was done");

    let installation = Installation::new().await;
    let told = commit([Effect::InsertUser(user("alice").into())]);
    let hanging = Hanging::on("users", &installation, Vec::new(), told).await;
    assert_eq!(hanging.outcome().await.expect("the feed says that it was done").changes.len(), 1);
}

#[tokio::test]
async fn a_commit_that_was_undone_while_the_line_broke_is_known_to_be_undone() {
    for told in [false, true] {
        let installation = Installation::new().await;
        let (table, given, commit) = if told {
            ("users", Vec::new(), commit([Effect::InsertUser(user("alice").into())]))
        } else {
            let (given, redeem) = redemption();
            ("codes", given, redeem)
        };
        let again = commit.clone();
        let hanging = Hanging::on(table, &installation, given, commit).await;
        let pid = waiting(&hanging.beside).await.expect("it waits");
        hanging.beside.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("it ends");
        let error = failure(hanging.outcome().await);
        assert_eq!(error.kind, StoreErrorKind::Connection);
        assert!(!error.message.contains("unknown"), "{error}");
        installation.node().await.commit(again).await.expect("nothing of it was done");
    }
}

#[tokio::test]
async fn a_commit_that_leaves_no_trace_is_reported_as_unknown() {
    let installation = Installation::new().await;
    let session = session(chancery::model::UserId(id()));
    let touch = commit([Effect::TouchSession(session.id, LATER)]);
    let given = vec![Effect::InsertSession(session.into())];
    let hanging = Hanging::on("sessions", &installation, given, touch).await;
    let error = failure(hanging.outcome().await);
    assert_eq!(error.kind, StoreErrorKind::Connection);
    assert!(error.message.starts_with("whether the commit was done is unknown"), "{error}");
}

/// The server ends one of them after a second, and that one is tried again.
#[tokio::test]
async fn commits_that_lock_each_other_out_are_both_done() {
    let installation = Installation::new().await;
    let nodes = [Arc::new(installation.node().await), Arc::new(installation.node().await)];
    let clients = [client("a"), client("b")];
    let made = clients.iter().map(|client| Effect::InsertClient(client.clone().into()));
    nodes[0].commit(commit(made)).await.expect("two clients");
    let beside = installation.database.connect().await;
    beside.batch_execute("BEGIN; SELECT * FROM clients FOR UPDATE").await.expect("both rows");
    let mut running = tokio::task::JoinSet::new();
    for (node, order) in nodes.iter().cloned().zip([[0, 1], [1, 0]]) {
        let raise = order.map(|at: usize| Effect::RaiseClientEpoch { client: clients[at].key, until: LATER });
        running.spawn(async move { node.commit(commit(raise)).await });
    }
    // Each waits for its first row, and when it has that, for the other's.
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    // Inside a transaction the view would show the same moment again and again.
    let watching = installation.database.connect().await;
    servers::until("both to wait", async || {
        watching.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0) == 2
    })
    .await;
    beside.batch_execute("ROLLBACK").await.expect("the rows are let go");
    for outcome in running.join_all().await {
        outcome.expect("neither is told of the other");
    }
    for client in &clients {
        assert_eq!(nodes[0].client(&client.client_id).await.unwrap().unwrap().epoch, 2);
    }
}

#[tokio::test]
async fn consents_given_at_once_are_all_remembered() {
    let installation = Installation::new().await;
    let nodes = [Arc::new(installation.node().await), Arc::new(installation.node().await)];
    let (user, client) = (chancery::model::UserId(id()), chancery::model::ClientKey(id()));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let node = Arc::clone(&nodes[number % 2]);
        let given = consent(user, client, &format!("scope-{number}"));
        running.spawn(async move { node.commit(commit([Effect::PutConsent(given)])).await });
    }
    running.join_all().await.into_iter().for_each(|outcome| drop(outcome.expect("it is remembered")));
    let held = nodes[0].consent(user, client).await.unwrap().expect("a consent");
    assert_eq!(held.scopes.len(), 20, "{}", held.scopes);
}

/// F19: nodes that start on an empty store at once end with one set of keys.
#[tokio::test]
async fn first_keys_made_at_once_are_one_set() {
    use chancery::model::{KeyState, SigningAlg};
    let installation = Installation::new().await;
    let nodes = [Arc::new(installation.node().await), Arc::new(installation.node().await)];
    let mut running = tokio::task::JoinSet::new();
    for number in 0..10 {
        let node = Arc::clone(&nodes[number % 2]);
        let state = if number < 5 { KeyState::Active } else { KeyState::Next };
        let key = signing_key(&format!("key-{number}"), SigningAlg::ES256, state);
        running.spawn(async move { node.commit(commit([Effect::InsertKey(key)])).await });
    }
    let outcomes = running.join_all().await;
    let refused = |outcome: &Outcome| matches!(outcome, Err(CommitError::Conflict("key")));
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || refused(outcome)), "{outcomes:?}");
    let keys = nodes[0].signing_keys(false).await.unwrap();
    for state in [KeyState::Active, KeyState::Next] {
        assert!(keys.iter().filter(|key| key.state == state).count() <= 1, "{keys:?}");
    }
}

#[tokio::test]
async fn nodes_that_sweep_at_once_share_the_work() {
    const SESSIONS: u64 = 300;
    let installation = Installation::new().await;
    let nodes = [Arc::new(installation.node().await), Arc::new(installation.node().await)];
    let user = chancery::model::UserId(id());
    let sessions = (0..SESSIONS).map(|_| Effect::InsertSession(session(user).into()));
    nodes[0].commit(commit(sessions)).await.expect("sessions");
    let mut running = tokio::task::JoinSet::new();
    for number in 0..6 {
        let node = Arc::clone(&nodes[number % 2]);
        running.spawn(async move { node.sweep(LATER, 50).await });
    }
    let mut deleted = 0;
    for swept in running.join_all().await {
        let of = |swept: Swept| swept.into_iter().find(|(class, _)| *class == "sessions");
        deleted += swept.ok().and_then(of).map_or(0, |(_, rows)| rows);
    }
    // What another held was left alone, and nothing was counted twice.
    let left = nodes[0].sessions(user).await.unwrap().len() as u64;
    assert_eq!(deleted + left, SESSIONS);
    while !nodes[0].sessions(user).await.unwrap().is_empty() {
        nodes[1].sweep(LATER, 50).await.expect("the rest");
    }
}

#[tokio::test]
async fn what_is_done_to_many_rows_takes_no_more_statements() {
    let installation = Installation::new().await;
    let node = installation.node().await;
    let mut counts = Vec::new();
    for families in [1, 100] {
        let (user, client) = (chancery::model::UserId(id()), chancery::model::ClientKey(id()));
        let made = (0..families).map(|_| Effect::InsertFamily(family(user, client).into()));
        node.commit(commit(made)).await.expect("families");
        let before = node.statements();
        let all =
            Effect::RevokeFamilies { user, client: None, session: None, keep_offline: false, until: LATER };
        let told = node.commit(commit([all])).await.expect("revoked").changes;
        assert_eq!(told.len(), families);
        let asked: Vec<_> = told.iter().map(|_| (chancery::model::RevocationKind::Family, id())).collect();
        node.revocations_of(&asked).await.expect("none of them");
        counts.push(node.statements() - before);
    }
    assert_eq!(counts[0], counts[1]);
}

/// What is written most often: a token's row is updated within its page, and no index grows by it.
#[tokio::test]
async fn a_rotation_touches_no_index() {
    let installation = Installation::new().await;
    let store = installation.open().await;
    for _ in 0..20 {
        let (_, mut token) = stored_refresh_token(&store).await;
        for _ in 0..5 {
            let (spend, next) = rotation(&token);
            store.commit(spending(spend, [])).await.unwrap();
            token = next;
        }
    }
    // The server counts when a connection ends.
    store.close().await;
    let beside = installation.database.connect().await;
    let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'rotations'";
    servers::until("the server to count", async || {
        let row = beside.query_one(counts, &[]).await.expect("counts");
        let (updated, within): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(updated, within);
        updated == 100
    })
    .await;
}

/// The answers are dated by the server, and so is the window: no node's clock moves either.
#[tokio::test]
async fn retry_answers_are_deleted_after_their_window() {
    let installation = Installation::new().await;
    let store = installation.open().await;
    let (_, token) = stored_refresh_token(&store).await;
    store.commit(spending(rotation(&token).0, [])).await.unwrap();
    let beside = installation.database.connect().await;
    let earlier = async |seconds: u64| {
        let sql = format!(
            "UPDATE rotations SET issued_us = issued_us - {seconds} * 1000000;
             UPDATE retry_answers SET issued_us = issued_us - {seconds} * 1000000"
        );
        beside.batch_execute(&sql).await.expect("as if it were later");
    };
    earlier(30).await;
    let last = row_of(&*store, &token).await.and_then(|row| row.last).expect("it was rotated");
    assert!(last.answer.is_some() && last.age.is_some_and(|age| (30..60).contains(&age)), "{last:?}");
    let swept = async || {
        let far_ahead = chancery::model::UnixTime(4_000_000_000);
        let swept = store.sweep(far_ahead, 1000).await.expect("a sweep");
        swept.into_iter().find(|(class, _)| *class == "retry_answers").map(|(_, rows)| rows)
    };
    assert_eq!(swept().await, Some(0), "whatever a node's clock says");
    earlier(31).await;
    assert_eq!(swept().await, Some(1));
}

#[tokio::test]
async fn a_backup_is_refused_with_what_to_do_instead() {
    let node = Installation::new().await.node().await;
    let refused = node.backup(std::path::Path::new("/tmp/chancery.db")).await.expect_err("not by a node");
    for word in ["pg_dump", "pg_basebackup", "master key", "chancery restored"] {
        assert!(refused.message.contains(word), "{word}: {refused}");
    }
}

#[tokio::test]
async fn statistics_tell_the_bytes_of_each_class() {
    let installation = Installation::new().await;
    let node = installation.node().await;
    node.commit(commit([Effect::InsertUser(user("alice").into())])).await.expect("a user");
    let statistics = node.statistics().await.expect("statistics");
    let classes: Vec<_> = statistics.class_bytes.iter().map(|(class, _)| *class).collect();
    assert_eq!(classes, chancery::store::postgres::row_classes());
    assert!(statistics.class_bytes.iter().all(|(_, bytes)| *bytes >= 8192), "{:?}", statistics.class_bytes);
    assert!(statistics.bytes.iter().any(|(file, bytes)| *file == "db" && *bytes > 1_000_000));
}

#[tokio::test]
async fn a_damaged_row_is_an_error_not_a_panic() {
    let installation = Installation::new().await;
    let node = installation.node().await;
    node.commit(commit([Effect::InsertClient(client("web").into())])).await.expect("a client");
    let beside = installation.database.connect().await;
    beside.batch_execute("UPDATE clients SET doc = '{'").await.expect("damage");
    let error = node.client("web").await.expect_err("it cannot be read");
    assert_eq!(error.kind, StoreErrorKind::Other);
    assert!(node.client("other").await.expect("others can").is_none());
}
