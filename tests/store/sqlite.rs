//! The embedded store: the suite, and what is particular to a file on a disk.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use chancery::store::{
    sqlite::{OpenError, Options, Sqlite, migrate_status, migrate_up},
    *,
};
use tempfile::TempDir;

use crate::store::{fixtures::*, suite::each_promise};

/// A data folder that goes when the test ends.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data/chancery.db")
    }

    fn sqlite(&self) -> Sqlite {
        Sqlite::open(&self.path(), Options::default()).expect("the store opens")
    }

    fn refusal(&self, options: Options) -> OpenError {
        Sqlite::open(&self.path(), options).err().expect("the store is refused")
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.sqlite())
    }
}

macro_rules! on_sqlite {
    ($($module:ident { $($promise:ident)* })*) => {$(
        mod $module {
            $(#[tokio::test]
            async fn $promise() {
                crate::store::suite::$module::$promise(&super::Folder::new()).await;
            })*
        }
    )*};
}

each_promise!(on_sqlite);

#[test]
fn folder_and_files_are_for_their_owner_only() {
    let folder = Folder::new();
    let _store = folder.sqlite();
    let mode = |path: PathBuf| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(folder.path().parent().expect("a folder").to_owned()), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(PathBuf::from(format!("{}{suffix}", folder.path().display()))), 0o600, "{suffix}");
    }
}

/// A start would wait for the disk with each write.
#[tokio::test]
async fn opening_a_store_that_is_up_to_date_writes_nothing() {
    let folder = Folder::new();
    let store = folder.sqlite();
    let clients = ["one", "two", "three"].map(|name| Effect::InsertClient(client(name).into()));
    store.commit(commit(clients)).await.expect("clients");
    store.close().await;
    drop(store);
    let _store = folder.sqlite();
    let log = std::fs::metadata(format!("{}-wal", folder.path().display())).expect("a log");
    assert_eq!(log.len(), 0);
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().parent().expect("a folder")).expect("the folder");
    let other = rusqlite::Connection::open(folder.path()).expect("a database");
    other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").expect("a table");
    drop(other);
    let before = std::fs::read(folder.path()).expect("bytes");
    let refused = folder.refusal(Options::default());
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
    assert!(migrate_status(&folder.path()).is_err());
    assert_eq!(std::fs::read(folder.path()).expect("bytes"), before);

    std::fs::write(folder.path(), "This is a letter, not a database. ".repeat(40)).expect("a letter");
    let refused = folder.refusal(Options::default());
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
}

#[test]
fn a_store_of_another_user_is_refused_with_the_users_name() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make a file another user's; the rule itself is tested in place.rs.
    }
    let folder = Folder::new();
    drop(folder.sqlite());
    std::os::unix::fs::chown(folder.path(), Some(1), None).expect("root may do this");
    for refused in
        [folder.refusal(Options::default()), migrate_status(&folder.path()).expect_err("refused as well")]
    {
        assert!(refused.to_string().ends_with("run this as user daemon (uid 1)"), "{refused}");
    }
    let data = folder.path().parent().expect("a folder").to_owned();
    std::os::unix::fs::chown(&data, Some(1), None).expect("root may do this");
    let refused = Sqlite::lock_for_serving(&data).expect_err("not our folder");
    assert!(matches!(refused, OpenError::NotOwner { uid: 1, .. }), "{refused}");
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    drop(folder.sqlite());
    let newer = rusqlite::Connection::open(folder.path()).expect("a database");
    newer
        .execute(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES (999, 'future', '2030-01-01T00:00:00Z', '1')",
            [],
        )
        .expect("a migration of the future");
    drop(newer);
    let refused = folder.refusal(Options::default());
    assert!(matches!(refused, OpenError::Newer { found: 999, .. }), "{refused}");
    assert!(migrate_up(&folder.path()).is_err());
}

#[test]
fn a_store_is_migrated_when_asked_and_only_then() {
    let folder = Folder::new();
    let status = migrate_status(&folder.path()).expect("nothing is there yet");
    assert_eq!(status.applied, 0);
    assert_eq!(status.pending.len(), status.known as usize);
    assert!(!folder.path().exists(), "asking makes nothing");

    let refused = folder.refusal(Options { migrate: false, ..Options::default() });
    assert!(refused.to_string().contains("chancery migrate up"), "{refused}");
    let status = migrate_up(&folder.path()).expect("it is migrated");
    assert_eq!((status.applied, status.pending), (status.known, Vec::new()));
    Sqlite::open(&folder.path(), Options { migrate: false, ..Options::default() }).expect("now it opens");
}

#[test]
fn processes_that_migrate_at_once_end_with_one_schema() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        let openings: Vec<_> = (0..8).map(|_| scope.spawn(|| folder.sqlite())).collect();
        openings.into_iter().for_each(|opening| drop(opening.join().expect("each opens")));
    });
    let status = migrate_status(&folder.path()).expect("status");
    assert_eq!(status.applied, status.known);
}

#[test]
fn two_servers_never_run_on_one_folder() {
    let folder = Folder::new();
    let held = Sqlite::lock_for_serving(folder.0.path()).expect("the first");
    let refused = Sqlite::lock_for_serving(folder.0.path()).expect_err("the second");
    assert!(matches!(refused, OpenError::Served { .. }), "{refused}");
    drop(held);
    Sqlite::lock_for_serving(folder.0.path()).expect("the first has gone");
}

#[tokio::test]
async fn retry_answers_are_deleted_after_their_window() {
    let folder = Folder::new();
    let store: Arc<dyn Store> = folder.open().await;
    let (_, token) = stored_refresh_token(&store).await;
    store.commit(spending(rotation(&token).0, [])).await.unwrap();
    let swept = async |now| {
        let swept = store.sweep(now, 1000).await.expect("a sweep");
        swept.into_iter().find(|(class, _)| *class == "retry_answers").map(|(_, rows)| rows)
    };
    let last = async |now| {
        let row = store.rotation(&token, now).await.expect("a read").expect("the row stays");
        row.last.expect("it was rotated")
    };
    assert_eq!(swept(NOW.plus(60)).await, Some(0));
    let kept = last(NOW.plus(60)).await;
    assert_eq!((kept.age, kept.answer.is_some()), (Some(60), true));
    assert_eq!(swept(NOW.plus(61)).await, Some(1));
    assert_eq!(last(NOW).await.answer, None);
    assert_eq!(last(NOW.minus(2)).await.age, None, "a clock that was set back says nothing");
}

/// What is answered within a second lies in the order of its commits.
#[tokio::test]
async fn answers_of_one_second_are_kept_apart() {
    let folder = Folder::new();
    let store: Arc<dyn Store> = folder.open().await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let (_, token) = stored_refresh_token(&store).await;
        store.commit(spending(rotation(&token).0, [])).await.unwrap();
        tokens.push(token);
    }
    for token in &tokens {
        let last = row_of(&*store, token).await.and_then(|row| row.last).expect("it was rotated");
        assert_eq!((last.previous, last.answer.is_some()), (token.digest, true));
    }
}

#[tokio::test]
async fn a_backup_is_made_while_commits_go_on() {
    let folder = Folder::new();
    let store: Arc<dyn Store> = folder.open().await;
    let alice = user("alice");
    given(&store, [Effect::InsertUser(alice.clone().into())]).await;
    let busy = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for _ in 0..50 {
            stored_refresh_token(&busy).await;
        }
    });
    let copy = folder.0.path().join("backup.db");
    store.backup(&copy).await.expect("a backup");
    writing.await.expect("commits go on");

    let mode = std::fs::metadata(&copy).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!folder.0.path().join("backup.db-wal").exists(), "one file is all of it");
    let again = store.backup(&copy).await.expect_err("it is not overwritten");
    assert!(again.message.contains("choose another name"), "{again}");

    let restored = Sqlite::open(&copy, Options::default()).expect("the copy opens");
    assert_eq!(restored.user_by_name("alice").await.expect("a read"), Some(alice));
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let folder = Folder::new();
    let store = folder.open().await;
    let nowhere = folder.0.path().join("missing/backup.db");
    let failed = store.backup(&nowhere).await.expect_err("there is no such folder");
    assert_eq!(failed.kind, StoreErrorKind::Io);
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn a_closed_store_has_done_what_was_queued_and_takes_no_more() {
    let folder = Folder::new();
    let store = Arc::new(folder.sqlite());
    let names: Vec<_> = (0..20).map(|number| format!("client-{number}")).collect();
    let mut running = tokio::task::JoinSet::new();
    for name in &names {
        let (store, made) = (Arc::clone(&store), client(name));
        running.spawn(async move { store.commit(commit([Effect::InsertClient(made.into())])).await });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let outcomes = running.join_all().await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let late = store.commit(commit([])).await;
    let kind = match late {
        Err(CommitError::Store(error)) => Some(error.kind),
        _ => None,
    };
    assert_eq!(kind, Some(StoreErrorKind::Connection));
    assert_eq!(folder.sqlite().clients(None, 100).await.expect("a read").len(), names.len());
}

#[tokio::test]
async fn a_full_queue_is_answered_as_busy() {
    let folder = Folder::new();
    let options = Options { queue: 1, ..Options::default() };
    let store = Arc::new(Sqlite::open(&folder.path(), options).expect("the store opens"));
    // Somebody else holds the write lock, so the writer stands still.
    let other = rusqlite::Connection::open(folder.path()).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let store = Arc::clone(&store);
        running.spawn(async move { store.commit(commit([])).await });
    }
    let first = running.join_next().await.expect("one ends").expect("without a panic");
    let Err(CommitError::Store(error)) = first else { panic!("nothing can be written: {first:?}") };
    assert_eq!(error.kind, StoreErrorKind::Busy);
    other.execute_batch("ROLLBACK").expect("the lock is given back");
    let outcomes = running.join_all().await;
    assert!(outcomes.iter().any(Result::is_ok), "those that waited were done");
    store.commit(commit([])).await.expect("there is room again");
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_an_error_that_can_be_tried_again() {
    let folder = Folder::new();
    let options = Options { busy_timeout: std::time::Duration::from_millis(20), ..Options::default() };
    let store = Sqlite::open(&folder.path(), options).expect("the store opens");
    let other = rusqlite::Connection::open(folder.path()).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let refused = store.commit(commit([Effect::InsertUser(user("alice").into())])).await;
    let Err(CommitError::Store(error)) = refused else { panic!("nothing can be written: {refused:?}") };
    assert_eq!(error.kind, StoreErrorKind::Busy);
    assert_eq!(store.user_by_name("alice").await.expect("reads go on"), None);
    other.execute_batch("ROLLBACK").expect("the lock is given back");
    store.commit(commit([Effect::InsertUser(user("alice").into())])).await.expect("tried again");
}

#[tokio::test]
async fn the_sizes_of_batches_are_told() {
    let store = Folder::new().sqlite();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    store.on_batch({
        let told = Arc::clone(&told);
        move |commits| told.lock().expect("no panic").push(commits)
    });
    for _ in 0..3 {
        store.commit(commit([])).await.expect("a commit");
    }
    assert_eq!(*told.lock().expect("no panic"), [1, 1, 1]);
}

/// F17: whoever comes while others wait for the lock does not wait for their time and then for its own.
#[tokio::test]
async fn nobody_waits_longer_for_a_lock_than_the_limit() {
    // Long, so that half of it is more than a busy machine takes.
    let limit = std::time::Duration::from_secs(3);
    let folder = Folder::new();
    let options = Options { busy_timeout: limit, ..Options::default() };
    let store = Arc::new(Sqlite::open(&folder.path(), options).expect("the store opens"));
    let other = rusqlite::Connection::open(folder.path()).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        running.spawn(async move {
            tokio::time::sleep(limit / 10 * number).await;
            let asked = std::time::Instant::now();
            (store.commit(commit([])).await, asked.elapsed())
        });
    }
    for (refused, waited) in running.join_all().await {
        let Err(CommitError::Store(error)) = refused else { panic!("nothing can be written: {refused:?}") };
        assert_eq!(error.kind, StoreErrorKind::Busy);
        assert!(waited < limit + limit / 2, "{waited:?}");
        assert!(waited > limit / 2, "nobody is refused for another's impatience: {waited:?}");
    }
}

#[tokio::test]
async fn statements_are_counted() {
    let folder = Folder::new();
    let store = folder.sqlite();
    let before = store.statements();
    assert_eq!(store.client("nobody").await.expect("a read"), None);
    assert_eq!(store.statements(), before + 1);
    store.commit(commit([])).await.expect("a commit");
    assert!(store.statements() > before + 1);
}

#[tokio::test]
async fn commits_that_wait_share_one_transaction() {
    const COMMITS: u64 = 20;
    let folder = Folder::new();
    let store = Arc::new(folder.sqlite());
    let other = rusqlite::Connection::open(folder.path()).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let before = store.statements();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..COMMITS {
        let store = Arc::clone(&store);
        running.spawn(async move { store.commit(commit([])).await });
    }
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").expect("the lock is given back");
    assert!(running.join_all().await.iter().all(Result::is_ok));
    // The first to arrive may have begun alone; all the others wait meanwhile, and go together.
    let statements = store.statements() - before;
    assert!(statements <= 4, "BEGIN and COMMIT, once or twice: {statements}");
}

#[tokio::test]
async fn a_damaged_row_is_an_error_not_a_panic() {
    let folder = Folder::new();
    let store: Arc<dyn Store> = folder.open().await;
    given(&store, [Effect::InsertClient(client("web").into())]).await;
    let other = rusqlite::Connection::open(folder.path()).expect("another process");
    other.execute("UPDATE clients SET doc = '{'", []).expect("damage");
    let error = store.client("web").await.expect_err("it cannot be read");
    assert_eq!(error.kind, StoreErrorKind::Other);
    assert!(store.client("other").await.expect("others can").is_none());
}
