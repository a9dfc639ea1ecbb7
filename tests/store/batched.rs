//! Group commit keeps every promise of the stores below it, and what is particular to it: nobody pays for
//! another's conflict, and nothing is acknowledged that is not there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chancery::{
    model::*,
    store::{
        postgres::{self, Postgres},
        sqlite::{self, Sqlite},
        *,
    },
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    servers::{self, Database, Proxy},
    store::{fixtures::*, suite::each_promise},
};

/// A machine that tests other things too may be slow, and nothing here depends on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The races are run in full on the stores below; callers that want the same value wait for each other's batches.
const ROUNDS: usize = 10;

/// A database; each handle on it is a node that gathers its commits.
struct Gathered(Database);

/// The same behind a PgBouncer in transaction mode.
struct Bounced(Database);

impl Gathered {
    async fn new() -> Self {
        Self(servers::Postgres::shared().await.database().await)
    }

    async fn at(url: &str) -> Arc<Batched<Postgres>> {
        Self::with(postgres::Options { url: url.to_owned(), ..postgres::Options::default() }).await
    }

    async fn with(options: postgres::Options) -> Arc<Batched<Postgres>> {
        let options = postgres::Options {
            max_connections: 4,
            read_connections: 1,
            acquire_timeout: PATIENCE,
            statement_timeout: PATIENCE,
            ..options
        };
        let store = Arc::new(Postgres::open(options).await.expect("the store opens"));
        Arc::new(Batched::new(store, BatchOptions { wait: PATIENCE, ..BatchOptions::default() }))
    }

    async fn node(&self) -> Arc<Batched<Postgres>> {
        Self::at(self.0.url()).await
    }
}

#[async_trait]
impl Place for Gathered {
    async fn open(&self) -> Arc<dyn Store> {
        self.node().await
    }

    fn rounds(&self) -> usize {
        ROUNDS
    }
}

#[async_trait]
impl Place for Bounced {
    async fn open(&self) -> Arc<dyn Store> {
        let url = crate::store::postgres::pgbouncer().await.url(self.0.name());
        let migration_url = Some(self.0.url().to_owned());
        let options = postgres::Options { url, migration_url, ..postgres::Options::default() };
        Gathered::with(postgres::Options { prepared: false, ..options }).await
    }

    fn rounds(&self) -> usize {
        ROUNDS
    }
}

/// A data folder; each handle on it gathers its commits.
struct Folder(TempDir);

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.0.path().join("data/chancery.db");
        let store = Arc::new(Sqlite::open(&path, sqlite::Options::default()).expect("the store opens"));
        Arc::new(Batched::new(store, BatchOptions { lanes: 1, wait: PATIENCE, ..BatchOptions::default() }))
    }

    fn rounds(&self) -> usize {
        ROUNDS
    }
}

macro_rules! gathered {
    ($($module:ident { $($promise:ident)* })*) => {$(
        mod $module {
            mod on_postgres {
                $(#[tokio::test]
                async fn $promise() {
                    crate::store::suite::$module::$promise(&crate::store::batched::Gathered::new().await).await;
                })*
            }

            mod behind_pgbouncer {
                $(#[tokio::test]
                async fn $promise() {
                    let database = crate::servers::Postgres::shared().await.database().await;
                    crate::store::suite::$module::$promise(&crate::store::batched::Bounced(database)).await;
                })*
            }

            mod on_sqlite {
                $(#[tokio::test]
                async fn $promise() {
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    crate::store::suite::$module::$promise(&crate::store::batched::Folder(folder)).await;
                })*
            }
        }
    )*};
}

each_promise!(gathered);

type Outcome = Result<Committed, CommitError>;

/// Commits at once; the outcomes in the same order.
async fn at_once(store: &Arc<Batched<Postgres>>, commits: Vec<Commit>) -> Vec<Outcome> {
    let running = commits.into_iter().map(|commit| store.commit(commit));
    futures_util::future::join_all(running).await
}

/// Families with a refresh token each, stored.
async fn stored_tokens(store: &Arc<Batched<Postgres>>, count: usize) -> Vec<(Family, RefreshToken)> {
    let mut tokens = Vec::new();
    let mut commits = Vec::new();
    for _ in 0..count {
        let (family, token, effects) = standing();
        commits.push(commit(effects));
        tokens.push((family, token));
    }
    at_once(store, commits).await.into_iter().for_each(|outcome| drop(outcome.expect("stored")));
    tokens
}

fn rotating((_, token): &(Family, RefreshToken)) -> (Commit, RefreshToken) {
    let (spend, next) = rotation(token);
    (spending(spend, []), next)
}

#[tokio::test]
async fn sixty_four_rotations_take_a_few_statements() {
    let node = Gathered::new().await.node().await;
    let tokens = stored_tokens(&node, 64).await;
    let before = node.store().statements();
    let (commits, next): (Vec<_>, Vec<_>) = tokens.iter().map(rotating).unzip();
    let ids: Vec<_> = commits.iter().map(|commit| commit.id).collect();
    for outcome in at_once(&node, commits).await {
        assert_eq!(outcome.expect("rotated").changes, []);
    }
    let statements = node.store().statements() - before;
    assert!(
        statements <= 3 * 5,
        "BEGIN, the plan, spend, answers, COMMIT, for up to three batches: {statements}"
    );
    for (((_, token), next), by) in tokens.iter().zip(next).zip(ids) {
        let row = row_of(&*node, token).await.expect("it is kept");
        let last = row.last.expect("it was rotated");
        assert_eq!((row.current, last.by, last.previous), (next, by, token.digest));
        assert_eq!(last.answer.as_deref(), Some(&b"the answer, sealed"[..]));
    }
}

#[tokio::test]
async fn one_conflict_among_sixty_four_fails_nobody_else() {
    let node = Gathered::new().await.node().await;
    let tokens = stored_tokens(&node, 64).await;
    let (commits, _): (Vec<_>, Vec<_>) = tokens[..2].iter().map(rotating).unzip();
    at_once(&node, commits).await.into_iter().for_each(|outcome| drop(outcome.expect("spent before")));
    let (mut commits, next): (Vec<_>, Vec<_>) = tokens.iter().map(rotating).unzip();
    // And one that was never stored.
    let unknown = family(UserId(id()), ClientKey(id()));
    commits[2] = rotating(&(unknown.clone(), refresh_token(&unknown))).0;
    // And one whose family has been revoked.
    let Family { id: fallen, client, .. } = tokens[3].0;
    let revoke = commit([Effect::RevokeFamily { family: fallen, client, until: LATER }]);
    at_once(&node, vec![revoke]).await.remove(0).expect("revoked");
    for (place, outcome) in at_once(&node, commits).await.into_iter().enumerate() {
        let there = is_current(&*node, &next[place]).await;
        match (place, outcome) {
            (0 | 1 | 3, Err(CommitError::AlreadySpent)) => assert!(!there),
            (2, Err(CommitError::Missing("refresh token"))) => assert!(!there),
            (4.., Ok(_)) => assert!(there),
            (place, other) => panic!("{place}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_token_by_sixty_four_callers_leaves_one_successor() {
    let node = Gathered::new().await.node().await;
    let tokens = stored_tokens(&node, 1).await;
    let (commits, next): (Vec<_>, Vec<_>) = (0..64).map(|_| rotating(&tokens[0])).unzip();
    let ids: Vec<_> = commits.iter().map(|commit| commit.id).collect();
    let outcomes = at_once(&node, commits).await;
    let won: Vec<usize> = (0..64).filter(|&place| outcomes[place].is_ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let lost = |outcome: &Outcome| matches!(outcome, Err(CommitError::AlreadySpent));
    assert_eq!(outcomes.iter().filter(|outcome| lost(outcome)).count(), 63);
    let row = row_of(&*node, &tokens[0].1).await.expect("it is kept");
    assert_eq!((row.current, row.last.map(|last| last.by)), (next[won[0]], Some(ids[won[0]])));
}

/// The batch is given to the store itself, which promises the same to whoever gathers.
#[tokio::test]
async fn a_row_that_is_taken_fails_only_the_commit_that_wants_it() {
    let node = Gathered::new().await.node().await;
    let first = session(UserId(id()));
    let given = vec![commit([Effect::InsertSession(first.clone().into())])];
    at_once(&node, given).await.remove(0).expect("stored");
    let sessions: Vec<Session> = (0..20)
        .map(|number| Session {
            digest: if number == 13 { first.digest } else { digest() },
            ..session(first.user)
        })
        .collect();
    let mut batch: Vec<Commit> =
        sessions.iter().map(|session| commit([Effect::InsertSession(session.clone().into())])).collect();
    let (token, client) = (TokenId(id()), ClientKey(id()));
    batch[5].effects.push(Effect::RevokeToken { token, client, until: LATER });
    for (place, outcome) in node.store().write(batch).await.into_iter().enumerate() {
        let there = node.session_by_id(sessions[place].id).await.unwrap().is_some();
        match (place, outcome) {
            (13, Err(CommitError::Conflict("session"))) => assert!(!there),
            (5, Ok(committed)) => assert!(there && committed.changes.len() == 1),
            (_, Ok(committed)) => assert!(there && committed.changes.is_empty() && place != 13),
            (place, other) => panic!("{place}: {other:?}"),
        }
    }
    assert_eq!(node.feed(0, 100).await.unwrap().changes.len(), 1, "what was tried again was told once");
}

#[tokio::test]
async fn each_caller_is_told_the_changes_of_its_own_commit() {
    let node = Gathered::new().await.node().await;
    let client = ClientKey(id());
    let revoked = |kind, id| Revocation { kind, id, epoch: 0, client, expires_at: LATER };
    let mut commits = Vec::new();
    let mut expected = Vec::new();
    for number in 0..64 {
        let (token, family) = (TokenId(id()), FamilyId(id()));
        let (effect, revocation) = match number % 2 {
            0 => {
                (Effect::RevokeToken { token, client, until: LATER }, revoked(RevocationKind::Token, token.0))
            }
            _ => (
                Effect::RevokeFamily { family, client, until: LATER },
                revoked(RevocationKind::Family, family.0),
            ),
        };
        let at = NOW.plus(number);
        commits.push(Commit { at, ..commit([effect]) });
        expected.push(Change::revoked(revocation, at));
    }
    let outcomes = at_once(&node, commits).await;
    for (outcome, expected) in outcomes.into_iter().zip(&expected) {
        assert_eq!(outcome.expect("revoked").changes, std::slice::from_ref(expected));
    }
    let page = node.feed(0, 100).await.unwrap();
    let told: Vec<u64> = page.changes.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(told, (1..=64).collect::<Vec<_>>(), "each once, without a gap");
    assert!(expected.iter().all(|change| page.changes.iter().any(|(_, told)| told == change)));
}

/// Two nodes write overlapping rows, each in the order it likes least.
#[tokio::test]
async fn nodes_that_batch_the_same_rows_do_not_lock_each_other_out() {
    let database = Gathered::new().await;
    let nodes = [database.node().await, database.node().await];
    let tokens = stored_tokens(&nodes[0], 40).await;
    let sessions: Vec<Session> = (0..40).map(|_| session(UserId(id()))).collect();
    let made = sessions.iter().map(|session| commit([Effect::InsertSession(session.clone().into())]));
    at_once(&nodes[0], made.collect()).await.into_iter().for_each(|outcome| drop(outcome.expect("stored")));
    let beside = database.0.connect().await;

    let mut running = JoinSet::new();
    for round in 0..20_u64 {
        for (place, node) in nodes.iter().enumerate() {
            let mut batch: Vec<Commit> = Vec::new();
            for ((family, token), session) in tokens.iter().zip(&sessions) {
                batch.push(rotating(&(family.clone(), *token)).0);
                batch.push(commit([Effect::TouchSession(session.id, NOW.plus(round))]));
                let Family { id: family, client, .. } = *family;
                batch.push(commit([Effect::RevokeFamily { family, client, until: LATER.plus(round) }]));
            }
            if place == 1 {
                batch.reverse();
            }
            let node = Arc::clone(node);
            running.spawn(async move { node.store().write(batch).await });
        }
    }
    let mut rotated = 0;
    for outcome in running.join_all().await.into_iter().flatten() {
        match outcome {
            Ok(committed) => rotated += usize::from(committed.changes.is_empty()),
            Err(CommitError::AlreadySpent) => {}
            Err(other) => panic!("nobody is told of a lock: {other}"),
        }
    }
    assert_eq!(rotated, 40 + 40 * 40, "each token once, and every touch");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = beside.query_one(deadlocks, &[]).await.expect("figures").get(0);
    assert_eq!(deadlocks, 0, "not even such as are tried again");
}

/// A node behind a proxy with a batch whose COMMIT hangs in the server until a lock is let go.
struct Hanging {
    proxy: Proxy,
    running: tokio::task::JoinHandle<Vec<Outcome>>,
    beside: tokio_postgres::Client,
}

impl Hanging {
    async fn on(
        database: &Gathered,
        batch: impl AsyncFnOnce(&Arc<Batched<Postgres>>) -> Vec<Commit>,
    ) -> Self {
        let proxy = Proxy::before(servers::Postgres::shared().await.port());
        let node = Gathered::at(&proxy.url(database.0.url())).await;
        let batch = batch(&node).await;
        let beside = database.0.connect().await;
        let trap = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                        'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
                    CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON rotations
                        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
                    SELECT pg_advisory_lock(1)";
        beside.batch_execute(trap).await.expect("a trap");
        let running = tokio::spawn(async move { node.store().write(batch).await });
        servers::until("COMMIT to wait for the lock", async || waiting(&beside).await.is_some()).await;
        Self { proxy, running, beside }
    }

    /// The line breaks, and then the server may go on, if it still can.
    async fn outcomes(self) -> Vec<Outcome> {
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

/// Thirty-two rotations, of which the second was done before.
async fn rotations(node: &Arc<Batched<Postgres>>) -> (Vec<Commit>, Vec<RefreshToken>) {
    let tokens = stored_tokens(node, 32).await;
    at_once(node, vec![rotating(&tokens[1]).0]).await.remove(0).expect("rotated before");
    tokens.iter().map(rotating).unzip()
}

#[tokio::test]
async fn a_batch_that_was_done_while_the_line_broke_is_told_done() {
    let database = Gathered::new().await;
    let mut next = Vec::new();
    let hanging = Hanging::on(&database, async |node| {
        let (batch, successors) = rotations(node).await;
        next = successors;
        batch
    });
    let outcomes = hanging.await.outcomes().await;
    let node = database.node().await;
    for (place, outcome) in outcomes.into_iter().enumerate() {
        let there = is_current(&*node, &next[place]).await;
        match outcome {
            Ok(_) => assert!(there && place != 1, "{place}"),
            Err(CommitError::AlreadySpent) => assert!(!there && place == 1, "{place}"),
            Err(other) => panic!("{place}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_batch_that_was_undone_at_its_commit_is_never_acknowledged() {
    let database = Gathered::new().await;
    let mut next = Vec::new();
    let mut again = Vec::new();
    let hanging = Hanging::on(&database, async |node| {
        let (batch, successors) = rotations(node).await;
        next = successors;
        again = batch.clone();
        batch
    });
    let hanging = hanging.await;
    let pid = waiting(&hanging.beside).await.expect("it waits");
    hanging.beside.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("it ends");
    let outcomes = hanging.outcomes().await;
    let node = database.node().await;
    for (outcome, next) in outcomes.into_iter().zip(&next) {
        let Err(CommitError::Store(error)) = outcome else { panic!("nothing was done: {outcome:?}") };
        assert_eq!(error.kind, StoreErrorKind::Connection);
        assert!(!error.message.contains("unknown"), "{error}");
        assert!(!is_current(&*node, next).await);
    }
    for (place, outcome) in at_once(&node, again).await.into_iter().enumerate() {
        assert_eq!(outcome.is_ok(), place != 1, "tried again: {outcome:?}");
    }
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let database = Gathered::new().await;
    let node = database.node().await;
    let sessions: Vec<Session> = (0..100).map(|_| session(UserId(id()))).collect();
    let mut running = JoinSet::new();
    for session in &sessions {
        let (node, commit) = (Arc::clone(&node), commit([Effect::InsertSession(session.clone().into())]));
        running.spawn(async move { node.commit(commit).await });
    }
    tokio::task::yield_now().await;
    node.close().await;
    let after = node.commit(commit([])).await;
    assert!(matches!(after, Err(CommitError::Store(_))), "{after:?}");
    let outcomes = running.join_all().await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let other = database.node().await;
    let mut there = 0;
    for session in &sessions {
        there += usize::from(other.session_by_id(session.id).await.unwrap().is_some());
    }
    assert_eq!(done, there, "{outcomes:?}");
}

/// What a batch switches off for itself is on again for whoever has the connection next.
#[tokio::test]
async fn settings_of_a_batch_end_with_it_behind_a_pgbouncer() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = servers::Postgres::shared().await;
    let database = server.database().await;
    let pgbouncer = servers::PgBouncer::start(folder.path(), server, 1).await;
    let url = pgbouncer.url(database.name());
    let migration_url = Some(database.url().to_owned());
    let options = postgres::Options { url: url.clone(), migration_url, ..postgres::Options::default() };
    let node = Gathered::with(postgres::Options { prepared: false, ..options }).await;
    stored_tokens(&node, 4).await;
    let other = servers::connect(&url).await;
    for setting in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin"] {
        let shown = other.query_typed(&format!("SELECT current_setting('{setting}')"), &[]).await;
        assert_eq!(shown.expect("a row")[0].get::<_, String>(0), "on", "{setting}");
    }
}
