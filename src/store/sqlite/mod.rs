//! The embedded store: SQLite in WAL mode with one thread that writes and many connections that read.
//!
//! [`Commits::commit`] returns when the commit is on disk. Concurrent commits share one transaction
//! (see `writer.rs`) and each learns its own outcome; a second thread carries the log over into the
//! file (see `checkpoints.rs`); reads run inline on the caller's thread. Any number of processes may open
//! the same file: SQLite's own lock orders their writes.

mod apply;
mod backup;
mod checkpoints;
mod clients;
mod columns;
mod feed;
mod filesystem;
mod grants;
mod keys;
mod lock;
mod migrate;
mod open;
mod readers;
mod records;
mod rotations;
mod sessions;
mod statements;
mod upkeep;
mod users;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

pub use crate::store::MigrationStatus;
pub use lock::ServeLock;
pub use migrate::{migrate_plan, migrate_status, migrate_up};
pub use open::{OpenError, Options};
pub use upkeep::row_classes;

use self::{checkpoints::Checkpoints, readers::Readers, statements::Statements, writer::Writer};
use super::{Batches, Commit, CommitError, Commits, Committed, StoreError};

/// A store in one file.
pub struct Sqlite {
    path: PathBuf,
    readers: Arc<Readers>,
    writer: Writer,
    executed: Arc<AtomicU64>,
    /// When `PRAGMA optimize` last ran, as the sweeper counts time.
    optimized_at: AtomicU64,
}

impl Sqlite {
    /// Opens a store, making it if there is none.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let connection = open::writing(path, &options)?;
        let executed = Arc::new(AtomicU64::new(0));
        let readers = Arc::new(Readers::new(path, options.readers, options.busy_timeout));
        let opening = Arc::clone(&readers);
        let checkpoints = Checkpoints::start(move || opening.open())
            .map_err(|source| OpenError::io("start the thread for the log of", path, source))?;
        let writer = Writer::start(connection, checkpoints, &options, Arc::clone(&executed))
            .map_err(|source| OpenError::io("start the writer of", path, source))?;
        Ok(Self { path: path.to_owned(), readers, writer, executed, optimized_at: AtomicU64::new(0) })
    }

    /// Takes the lock of a data folder, so that two servers never run on it.
    pub fn lock_for_serving(data_dir: &Path) -> Result<ServeLock, OpenError> {
        lock::for_serving(data_dir)
    }

    /// Calls `written` with the number of commits that are written together, each time. Only the first
    /// call of this has an effect.
    pub fn on_batch(&self, written: impl Fn(usize) + Send + Sync + 'static) {
        self.writer.on_batch(written);
    }

    /// How many statements were executed since the store was opened, BEGIN and COMMIT included, probes
    /// excluded.
    pub fn statements(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    fn read<T>(&self, load: impl FnOnce(Statements<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.readers.read(&self.executed, load)
    }

    fn read_at_once<T>(
        &self,
        load: impl FnOnce(Statements<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.readers.read_at_once(&self.executed, load)
    }
}

#[async_trait]
impl Commits for Sqlite {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.writer.commit(commit).await
    }
}

/// The writer gathers by itself (docs/decisions/0012-group-commit.md): this is how the two are compared.
#[async_trait]
impl Batches for Sqlite {
    async fn write(&self, batch: Vec<Commit>) -> Vec<Result<Committed, CommitError>> {
        futures_util::future::join_all(batch.into_iter().map(|commit| self.writer.commit(commit))).await
    }

    /// One that fails is undone without the others.
    fn gathers(&self, _: &Commit) -> bool {
        true
    }
}
