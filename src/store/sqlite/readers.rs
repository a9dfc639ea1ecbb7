//! The readers: connections that are used inline, because a point read takes microseconds and a
//! reader in WAL mode waits for nobody.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::statements::{CACHED, Statements};
use crate::store::StoreError;

/// A stack of idle connections; one more is opened when it is empty.
pub(super) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    keep: usize,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, keep: usize, busy_timeout: Duration) -> Self {
        Self { path: path.to_owned(), busy_timeout, keep: keep.max(1), idle: Mutex::default() }
    }

    /// Lends a connection. One that met an error is not used again.
    pub(super) fn read<T>(
        &self,
        executed: &AtomicU64,
        load: impl FnOnce(Statements<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let loaded = load(Statements::new(&connection, executed))?;
        let mut idle = self.idle();
        if idle.len() < self.keep {
            idle.push(connection);
        }
        Ok(loaded)
    }

    /// The same in one short transaction, so that several statements see the same state.
    pub(super) fn read_at_once<T>(
        &self,
        executed: &AtomicU64,
        load: impl FnOnce(Statements<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.read(executed, |db| {
            db.run("BEGIN", [])?;
            let loaded = load(db)?;
            db.run("COMMIT", [])?;
            Ok(loaded)
        })
    }

    /// A connection of one's own, for reads that take long.
    pub(super) fn open(&self) -> Result<Connection, StoreError> {
        // Read-write, because a reader takes part in the WAL's shared memory; query_only instead.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(CACHED);
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections cannot be left half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
