//! The writer: one thread owns the only connection that writes, and gathers waiting commits into
//! one transaction, because what a commit costs is the flush to disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::AtomicU64,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{apply, checkpoints::Checkpoints, open::Options, statements::Statements};
use crate::store::{Commit, CommitError, Committed, StoreError, StoreErrorKind};

/// Commits in one transaction at most.
const BATCH: usize = 256;

type Outcome = Result<Committed, CommitError>;
type Work = Box<dyn FnOnce(Statements<'_>) + Send>;

/// A commit that waits, and where its outcome is told.
struct QueuedCommit {
    commit: Commit,
    since: Instant,
    reply: oneshot::Sender<Outcome>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every job is a commit, and a box would be allocated for each"
)]
enum Job {
    Commit(QueuedCommit),
    /// Maintenance, in a transaction of its own.
    Work(Work),
}

/// The thread's handle. Dropping it lets the thread finish what is queued.
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    on_batch: Arc<OnBatch>,
}

/// Is told how many commits are written together.
type OnBatch = OnceLock<Box<dyn Fn(usize) + Send + Sync>>;

impl Writer {
    /// `checkpoints` ends with the thread, before the connection does.
    pub(super) fn start(
        connection: Connection,
        checkpoints: Checkpoints,
        options: &Options,
        executed: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(options.queue.max(1));
        let patience = options.busy_timeout;
        let on_batch = Arc::new(OnBatch::new());
        let told = Arc::clone(&on_batch);
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            let db = Statements::new(&connection, &executed);
            let work = || serve(&receiver, db, patience, (&told, &checkpoints));
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                // Nobody knows what state the thread was in, and without it nothing can be revoked.
                // The panic hook has said what happened.
                std::process::abort();
            }
            drop(checkpoints);
        })?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), on_batch })
    }

    /// See [`Sqlite::on_batch`](super::Sqlite::on_batch).
    pub(super) fn on_batch(&self, written: impl Fn(usize) + Send + Sync + 'static) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.on_batch.set(Box::new(written));
    }

    /// Does a commit together with others; returns when it is durable.
    pub(super) async fn commit(&self, commit: Commit) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.send(Job::Commit(QueuedCommit { commit, since: Instant::now(), reply }))?;
        outcome.await.unwrap_or_else(|_| Err(closed().into()))
    }

    /// Does maintenance in one transaction between two batches.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(Statements<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, outcome) = oneshot::channel();
        self.send(Job::Work(Box::new(move |db| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = reply.send(transaction(db, || Ok(work(db)?)));
        })))?;
        outcome.await.map_err(|_| closed())?
    }

    /// Takes no more, finishes what is queued, and ends the thread.
    pub(super) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot have panicked: a panic ends the process.
            let _ = thread.join();
        }
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().ok_or_else(closed)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                Err(StoreError::new(StoreErrorKind::Busy, "busy: the queue of writes is full"))
            }
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Connection, "the store is closed")
}

/// `patience`: how long one waits for a lock that somebody else holds.
fn serve(
    queue: &Receiver<Job>,
    db: Statements<'_>,
    patience: Duration,
    (on_batch, checkpoints): (&OnBatch, &Checkpoints),
) {
    while let Ok(first) = queue.recv() {
        let mut batch = Vec::new();
        let mut works = Vec::new();
        for job in std::iter::once(first).chain(queue.try_iter()).take(BATCH) {
            match job {
                Job::Commit(waiting) => batch.push(waiting),
                Job::Work(work) => works.push(work),
            }
        }
        if !batch.is_empty() {
            if let Some(written) = on_batch.get() {
                written(batch.len());
            }
            write(db, batch, patience);
            // SQLite keeps this in memory, and does not refuse it.
            let _ = db.wait_for_locks(patience);
        }
        works.into_iter().for_each(|work| work(db));
        checkpoints.after_writing(db);
    }
}

/// Writes a batch and tells each its outcome. A batch that fails as a whole is written one by one,
/// so that a commit too big for the disk does not take the others with it.
fn write(db: Statements<'_>, mut batch: Vec<QueuedCommit>, patience: Duration) {
    while let Some(first) = batch.first() {
        // It has waited longest, perhaps already behind others who waited for the same lock.
        let left = patience.saturating_sub(first.since.elapsed());
        match write_together(db, &batch, left) {
            Ok(outcomes) => {
                for (waiting, outcome) in batch.drain(..).zip(outcomes) {
                    let _ = waiting.reply.send(outcome);
                }
            }
            // Whoever came later has some time left.
            Err(error) if error.kind == StoreErrorKind::Busy => {
                let late = batch.iter().take_while(|each| each.since.elapsed() >= patience).count().max(1);
                refuse(batch.drain(..late), &error);
            }
            Err(error) if batch.len() == 1 => refuse(batch.drain(..), &error),
            Err(_) => batch.drain(..).for_each(|waiting| write(db, vec![waiting], patience)),
        }
    }
}

fn write_together(
    db: Statements<'_>,
    batch: &[QueuedCommit],
    patience: Duration,
) -> Result<Vec<Outcome>, StoreError> {
    db.wait_for_locks(patience)?;
    transaction(db, || apply_each(db, batch))
}

fn refuse(waiting: impl Iterator<Item = QueuedCommit>, error: &StoreError) {
    for QueuedCommit { reply, .. } in waiting {
        let _ = reply.send(Err(error.clone().into()));
    }
}

/// Everything inside is durable when this returns `Ok`, and undone otherwise.
fn transaction<T>(
    db: Statements<'_>,
    inside: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if !db.outside_transaction() {
        // The last one could not be undone, the disk being broken; it may be whole again.
        db.run("ROLLBACK", [])?;
    }
    db.run("BEGIN IMMEDIATE", [])?;
    let done = inside().and_then(|value| {
        db.run("COMMIT", [])?;
        Ok(value)
    });
    if done.is_err() && !db.outside_transaction() {
        // The error that matters is the first.
        let _ = db.run("ROLLBACK", []);
    }
    done
}

/// Applies each commit, so that one that fails leaves nothing behind and takes no other with it.
fn apply_each(db: Statements<'_>, batch: &[QueuedCommit]) -> Result<Vec<Outcome>, StoreError> {
    if let Some(outcomes) = apply_together(db, batch)? {
        return Ok(outcomes);
    }
    db.run("ROLLBACK", [])?;
    db.run("BEGIN IMMEDIATE", [])?;
    apply_apart(db, batch)
}

/// Applies each commit with nothing around it. Few fail, and those fail at their first statement, which
/// decides who is first; `None` if one has failed after that, so that something of it must be undone.
fn apply_together(db: Statements<'_>, batch: &[QueuedCommit]) -> Result<Option<Vec<Outcome>>, StoreError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for waiting in batch {
        let before = db.changed_rows();
        let outcome = apply::apply(db, &waiting.commit);
        match &outcome {
            Err(CommitError::Store(error)) if db.outside_transaction() => return Err(error.clone()),
            // What the disk did not take may be there in part.
            Err(CommitError::Store(_)) => return Ok(None),
            Err(_) if db.changed_rows() != before => return Ok(None),
            _ => {}
        }
        outcomes.push(outcome);
    }
    Ok(Some(outcomes))
}

/// Applies each commit in a savepoint of its own, which is undone if it fails. Every page that is changed
/// after a savepoint is first copied, also those that all commits change: this costs as much as the commits.
fn apply_apart(db: Statements<'_>, batch: &[QueuedCommit]) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for waiting in batch {
        db.run("SAVEPOINT one_commit", [])?;
        let outcome = apply::apply(db, &waiting.commit);
        match &outcome {
            Err(CommitError::Store(error)) if db.outside_transaction() => return Err(error.clone()),
            Err(_) => _ = db.run("ROLLBACK TO one_commit", [])?,
            Ok(_) => {}
        }
        db.run("RELEASE one_commit", [])?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{CommitId, Id, Resource, UnixTime},
        store::{Effect, sqlite::open},
    };

    fn resource(number: u8, uri_length: usize) -> Commit {
        let id = Id([number; 16]);
        let uri = format!("https://{number}.example/{}", "x".repeat(uri_length));
        let resource = Resource { id, uri, owner: None, created_at: UnixTime(1) };
        let effects = vec![Effect::InsertResource(resource)];
        Commit { id: CommitId(id), at: UnixTime(1), spend: None, effects }
    }

    /// A store, and a batch of a commit for each list of resources.
    fn batch_of(commits: &[&[u8]]) -> (tempfile::TempDir, Connection, Vec<QueuedCommit>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("chancery.db");
        let connection = open::writing(&path, &open::Options::default()).expect("the store opens");
        let waiting = |numbers: &&[u8]| {
            let mut commit = resource(numbers[0], 10);
            commit.effects = numbers.iter().flat_map(|number| resource(*number, 10).effects).collect();
            QueuedCommit { commit, since: Instant::now(), reply: oneshot::channel().0 }
        };
        let batch = commits.iter().map(waiting).collect();
        (folder, connection, batch)
    }

    fn stored(connection: &Connection) -> Vec<u8> {
        let sql = "SELECT id FROM resources ORDER BY id";
        let mut statement = connection.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).expect("rows");
        rows.map(|row| row.expect("a row")[0]).collect()
    }

    #[test]
    fn a_commit_that_fails_half_way_leaves_nothing_behind_and_takes_no_other_with_it() {
        let (_folder, connection, batch) = batch_of(&[&[1, 2], &[3, 1], &[4]]);
        let executed = AtomicU64::new(0);
        let db = Statements::new(&connection, &executed);
        let outcomes = transaction(db, || apply_each(db, &batch)).expect("it commits");
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert!(matches!(outcomes[1], Err(CommitError::Conflict(_))));
        assert_eq!(stored(&connection), [1, 2, 4]);
    }

    #[test]
    fn a_commit_that_fails_at_once_costs_the_others_nothing() {
        let (_folder, connection, batch) = batch_of(&[&[1], &[1, 2], &[3]]);
        let executed = AtomicU64::new(0);
        let db = Statements::new(&connection, &executed);
        let outcomes = transaction(db, || apply_together(db, &batch)).expect("it commits");
        let outcomes = outcomes.expect("nothing to undo");
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(stored(&connection), [1, 3]);
    }

    #[test]
    fn what_fails_inside_a_transaction_is_undone_and_the_next_one_begins_anew() {
        let (_folder, connection, mut batch) = batch_of(&[&[1], &[2]]);
        let executed = AtomicU64::new(0);
        let db = Statements::new(&connection, &executed);
        let second = batch.split_off(1);
        let failed: Result<(), _> = transaction(db, || {
            apply_each(db, &batch)?;
            Err(StoreError::new(StoreErrorKind::Io, "the disk is full"))
        });
        assert_eq!(failed.expect_err("it failed").message, "the disk is full", "the first error");
        assert!(db.outside_transaction());
        assert!(stored(&connection).is_empty());
        transaction(db, || apply_each(db, &second)).expect("it commits");
        assert_eq!(stored(&connection), [2]);
    }

    /// A disk that fails in the middle of a commit may fail in its undoing, too.
    #[test]
    fn a_transaction_that_could_not_be_undone_is_undone_before_the_next_one() {
        let (_folder, connection, mut batch) = batch_of(&[&[1], &[2]]);
        let executed = AtomicU64::new(0);
        let db = Statements::new(&connection, &executed);
        let second = batch.split_off(1);
        db.run("BEGIN IMMEDIATE", []).expect("it begins");
        let outcomes = apply_each(db, &batch).expect("it is applied");
        assert!(outcomes[0].is_ok() && !db.outside_transaction());
        transaction(db, || apply_each(db, &second)).expect("it commits");
        assert_eq!(stored(&connection), [2], "and nothing of what was left open");
    }

    /// The page limit stands for a full disk: SQLite answers both in the same way.
    #[tokio::test]
    async fn a_commit_the_disk_has_no_room_for_fails_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("chancery.db");
        let connection = open::writing(&path, &open::Options::default()).expect("the store opens");
        connection.query_row("PRAGMA max_page_count = 60", [], |_| Ok(())).expect("a limit");
        let checkpoints = Checkpoints::start(|| panic!("so few rows need none")).expect("a thread");
        let writer = Writer::start(connection, checkpoints, &open::Options::default(), Arc::default());
        let writer = Arc::new(writer.expect("a thread"));

        // While somebody else holds the lock, the commits gather in one batch.
        let other = Connection::open(&path).expect("another process");
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let mut running = Vec::new();
        for number in 0..9 {
            let commit = resource(number, if number == 4 { 1_000_000 } else { 10 });
            let writer = Arc::clone(&writer);
            running.push(tokio::spawn(async move { writer.commit(commit).await }));
        }
        tokio::task::yield_now().await;
        other.execute_batch("ROLLBACK").expect("the lock is given back");
        for (number, commit) in running.into_iter().enumerate() {
            match commit.await.expect("no panic") {
                Ok(_) => assert_ne!(number, 4),
                Err(CommitError::Store(error)) => {
                    assert_eq!((number, error.kind), (4, StoreErrorKind::Io), "{error}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        let stored = other.query_row("SELECT count(*) FROM resources", [], |row| row.get::<_, i64>(0));
        assert_eq!(stored, Ok(8));
    }
}
