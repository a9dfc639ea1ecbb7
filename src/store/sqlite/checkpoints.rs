//! Carrying the log over into the database's file, on a thread beside the writer.
//!
//! Left to itself SQLite does this inside the commit with which the log gets a thousand pages, and that
//! commit, and all that wait behind it, wait for a thousand more pages and two more flushes. Here the log
//! is carried over while the writer goes on. It can only begin anew when nothing of it is left to be
//! carried over, which hardly happens while somebody writes: so when it has become long, the writer does
//! what is left itself, between two batches (docs/decisions/0023-log.md).

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, Row};

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

/// Carries over what is in the log and not needed by a reader; waits for nobody.
const CARRY_OVER: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// What came of it; `None` if somebody else was at it, and nothing was done.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    /// The log's pages.
    pages: i64,
    /// Those that are carried over, now or before.
    carried: i64,
}

impl Turn {
    /// <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (busy, pages, carried) = (row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?);
        Ok((busy == 0).then_some(Self { pages, carried }))
    }

    fn is_complete(&self) -> bool {
        self.carried == self.pages
    }
}

/// The thread's handle, held by the writer. Dropping it ends the thread.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The thread has just found the log long.
    finish: Arc<AtomicBool>,
    /// The writer has tried to finish it, and was not able to.
    unfinished: Cell<bool>,
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
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            finish,
            unfinished: Cell::default(),
            carried: Cell::default(),
        })
    }

    /// To be called by the writer between two transactions.
    pub(super) fn after_writing(&self, db: Statements<'_>) {
        let changed = db.changed_rows();
        let due = changed - self.carried.get() >= ROWS;
        if self.finish.swap(false, Ordering::Relaxed) || due && self.unfinished.get() {
            self.carried.set(changed);
            // Not while the thread is at it, or somebody still reads what was there before.
            let turn = db.one(CARRY_OVER, [], Turn::read).ok().flatten().flatten();
            self.unfinished.set(!turn.is_some_and(|turn| turn.is_complete()));
        } else if due {
            self.carried.set(changed);
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
    let mut failed = false;
    while let Ok(()) = woken.recv() {
        let turn = carry_over(&mut connection, &open);
        match &turn {
            Ok(Some(turn)) if turn.pages >= LONG => finish.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(error) => {
                // Once, not many times a second.
                if !failed {
                    tracing::warn!(%error, "WAL checkpoint failed; will retry");
                }
                connection = None;
            }
        }
        failed = turn.is_err();
    }
}

fn carry_over(
    connection: &mut Option<Connection>,
    open: impl Fn() -> Result<Connection, StoreError>,
) -> Result<Option<Turn>, StoreError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(open()?),
    };
    Ok(connection.query_row(CARRY_OVER, [], Turn::read)?)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::atomic::AtomicU64, time::Duration};

    use super::*;
    use crate::store::{
        StoreErrorKind,
        sqlite::{open, readers::Readers},
    };

    /// A handle without a thread.
    fn without_a_thread(finish: &Arc<AtomicBool>) -> Checkpoints {
        let (unfinished, carried) = (Cell::default(), Cell::default());
        Checkpoints { wake: None, thread: None, finish: Arc::clone(finish), unfinished, carried }
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
            let read = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
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
        Readers::new(path, 1, Duration::ZERO).open()
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
        // While the thread is at it, something is written: what it can carry over is all but that.
        let before = reading(&store.path).expect("a reader");
        before.execute_batch("BEGIN; SELECT count(*) FROM resources").expect("a snapshot");
        store.write(1);
        store.woken(&finish);
        before.execute_batch("COMMIT").expect("it has read enough");
        store.write(1);
        let (pages, carried) = store.log();
        assert!(pages > LONG && carried < pages, "it goes on: {carried} of {pages}");
        checkpoints.after_writing(store.db());
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
        for left in [true, true, false] {
            if !left {
                reader.execute_batch("COMMIT").expect("it has read enough");
            }
            store.write(ROWS);
            checkpoints.after_writing(store.db());
            let (pages, carried) = store.log();
            assert_eq!((checkpoints.unfinished.get(), carried < pages), (left, left));
        }
    }

    #[test]
    fn a_turn_that_somebody_else_has_is_not_taken_for_a_complete_one() {
        let store = Store::new();
        let turn = |row| store.connection.query_row(&format!("SELECT {row}"), [], Turn::read).expect("a row");
        assert_eq!(turn("1, -1, -1"), None);
        let complete = |row| turn(row).map(|turn| turn.is_complete());
        assert_eq!((complete("0, 7, 7"), complete("0, 7, 6")), (Some(true), Some(false)));
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
