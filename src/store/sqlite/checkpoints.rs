//! Carrying the log over into the database's file, on a thread beside the writer.
//!
//! Left to itself SQLite does this inside the commit with which the log gets a thousand pages, and that
//! commit, and all that wait behind it, wait for a thousand more pages and two more flushes. Here the log
//! is carried over while the writer goes on. It can only begin anew when nothing of it is left to be
//! carried over, which never happens while somebody writes: so when it has become long, the writer does
//! the little that is left itself, between two batches (docs/decisions/0023-log.md).

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;

use super::statements::Statements;
use crate::store::StoreError;

/// Rows changed until the log is carried over: some pages more than rows. With more of them one flush
/// takes so long that the writer's own, behind it, is felt; with fewer there are more flushes.
const ROWS: u64 = 300;

/// Pages of a log that is to begin anew. Up to 4062 a reader finds its page with a single look
/// (<https://www.sqlite.org/walformat.html#hash_tables>).
const LONG: i64 = 3000;

/// Pages at which SQLite does it inside a commit after all, should the thread have failed.
pub(super) const TOO_LONG: i64 = 3 * LONG;

/// Carries over what is in the log and not needed by a reader; waits for nobody. Tells whether somebody
/// else is at it, the log's pages and how many of them are carried over.
const CARRY_OVER: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The thread's handle, held by the writer. Dropping it ends the thread.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The log is long, and hardly anything of it is left.
    finish: Arc<AtomicBool>,
    /// Rows that were changed when the log was last carried over.
    carried: Cell<u64>,
}

impl Checkpoints {
    /// `open` makes the thread's connection when it is first needed.
    pub(super) fn start(
        open: impl Fn() -> Result<Connection, StoreError> + Send + 'static,
    ) -> std::io::Result<Self> {
        // One that waits is enough: it means all that is there when it is taken.
        let (wake, woken) = sync_channel(1);
        let finish = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&finish);
        let work = move || serve(&woken, open, &told);
        let thread = std::thread::Builder::new().name("sqlite-log".to_owned()).spawn(work)?;
        Ok(Self { wake: Some(wake), thread: Some(thread), finish, carried: Cell::new(0) })
    }

    /// To be called by the writer between two transactions.
    pub(super) fn after_writing(&self, db: Statements<'_>) {
        if self.finish.load(Ordering::Relaxed) {
            // Not done while the thread is at it, or somebody still reads what was there before; then after
            // the next batch.
            let done = db.one(CARRY_OVER, [], |row| Ok(row.get::<_, i64>(1)? == row.get::<_, i64>(2)?));
            self.finish.store(matches!(done, Ok(Some(false))), Ordering::Relaxed);
        } else if db.changed_rows() - self.carried.get() >= ROWS {
            self.carried.set(db.changed_rows());
            // A thread that is behind has all of it before it; one that has failed is left alone.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        // A panic there was reported by the panic hook, and left nothing half done.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(woken: &Receiver<()>, open: impl Fn() -> Result<Connection, StoreError>, finish: &AtomicBool) {
    let mut connection = None;
    while let Ok(()) = woken.recv() {
        match carry_over(&mut connection, &open) {
            Ok(pages) => finish.store(pages >= LONG, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "the log of the store was not carried over into its file; it is tried again");
                connection = None;
            }
        }
    }
}

/// Carries the log over; how many pages it has.
fn carry_over(
    connection: &mut Option<Connection>,
    open: impl Fn() -> Result<Connection, StoreError>,
) -> Result<i64, StoreError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(open()?),
    };
    Ok(connection.query_row(CARRY_OVER, [], |row| row.get(1))?)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::atomic::AtomicU64};

    use super::*;
    use crate::store::{StoreErrorKind, sqlite::open};

    /// A handle without a thread.
    fn without_a_thread(finish: &Arc<AtomicBool>) -> Checkpoints {
        Checkpoints { wake: None, thread: None, finish: Arc::clone(finish), carried: Cell::new(0) }
    }

    struct Store {
        _folder: tempfile::TempDir,
        path: std::path::PathBuf,
        connection: Connection,
        executed: AtomicU64,
    }

    impl Store {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("chancery.db");
            let connection = open::writing(&path, &open::Options::default()).expect("the store opens");
            Self { _folder: folder, path, connection, executed: AtomicU64::new(0) }
        }

        fn db(&self) -> Statements<'_> {
            Statements::new(&self.connection, &self.executed)
        }

        /// Changes so many rows, each about half a page.
        fn write(&self, rows: u64) {
            let sql = "WITH RECURSIVE made(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM made WHERE n < ?1)
                       INSERT INTO resources (id, uri, created_at)
                       SELECT randomblob(16), hex(randomblob(1000)), n FROM made";
            self.connection.execute(sql, [rows as i64]).expect("rows");
        }

        /// The log's pages, and how many of them are carried over.
        fn log(&self) -> (i64, i64) {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
            self.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], read).expect("its state")
        }

        /// What the thread does when it is woken once.
        fn woken(&self, finish: &AtomicBool) {
            let (wake, woken) = sync_channel(1);
            wake.send(()).expect("there is room");
            drop(wake);
            serve(&woken, || reading(&self.path), finish);
        }
    }

    fn reading(path: &Path) -> Result<Connection, StoreError> {
        Ok(Connection::open(path)?)
    }

    #[test]
    fn the_log_is_carried_over_by_a_thread_once_so_many_rows_were_changed() {
        let (store, opened) = (Store::new(), Arc::new(AtomicBool::new(false)));
        let (path, told) = (store.path.clone(), Arc::clone(&opened));
        let checkpoints = Checkpoints::start(move || {
            told.store(true, Ordering::Relaxed);
            reading(&path)
        });
        let checkpoints = checkpoints.expect("a thread");
        let (_, before) = store.log();
        store.write(ROWS / 2);
        checkpoints.after_writing(store.db());
        assert!(!opened.load(Ordering::Relaxed));
        store.write(ROWS / 2);
        checkpoints.after_writing(store.db());
        drop(checkpoints);
        let (pages, carried) = store.log();
        assert!(pages > before && carried == pages, "{carried} of {pages}");
    }

    #[test]
    fn a_log_that_has_become_long_begins_anew() {
        let (store, finish) = (Store::new(), Arc::new(AtomicBool::new(false)));
        let checkpoints = without_a_thread(&finish);
        store.write(ROWS);
        store.woken(&finish);
        assert!(!finish.load(Ordering::Relaxed), "it is short: {:?}", store.log());
        while store.log().0 < LONG {
            store.write(1000);
        }
        store.woken(&finish);
        // What was written meanwhile is left to the writer.
        store.write(1);
        checkpoints.after_writing(store.db());
        let (pages, carried) = store.log();
        assert_eq!(pages, carried);
        store.write(1);
        let (pages, _) = store.log();
        assert!(pages < LONG / 10, "{pages}");
    }

    #[test]
    fn a_log_that_is_still_read_begins_anew_when_it_is_not() {
        let (store, finish) = (Store::new(), Arc::new(AtomicBool::new(true)));
        let checkpoints = without_a_thread(&finish);
        let reader = reading(&store.path).expect("a reader");
        reader.execute_batch("BEGIN; SELECT count(*) FROM resources").expect("a snapshot");
        store.write(1);
        for left in [true, true, false] {
            if !left {
                reader.execute_batch("COMMIT").expect("it has read enough");
            }
            checkpoints.after_writing(store.db());
            let (pages, carried) = store.log();
            assert_eq!((finish.load(Ordering::Relaxed), carried < pages), (left, left));
        }
    }

    #[test]
    fn a_thread_that_cannot_carry_it_over_tries_again() {
        let (store, finish, tried) = (Store::new(), AtomicBool::new(false), Cell::new(0));
        let (wake, woken) = sync_channel(2);
        (0..2).for_each(|_| wake.send(()).expect("there is room"));
        drop(wake);
        store.write(1);
        let open = || match tried.replace(tried.get() + 1) {
            0 => Err(StoreError::new(StoreErrorKind::Io, "no more files")),
            _ => reading(&store.path),
        };
        serve(&woken, open, &finish);
        let (pages, carried) = store.log();
        assert_eq!((tried.get(), carried), (2, pages));
    }
}
