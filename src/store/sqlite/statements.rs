//! Running statements: prepared once per connection, counted, their failures put into the store's
//! own terms.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, ffi};

use crate::store::{CommitError, StoreError, StoreErrorKind};

/// Prepared statements kept by each connection: more than there are in this folder.
pub(super) const CACHED: usize = 128;

/// A connection together with the count of the statements it ran.
#[derive(Clone, Copy)]
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    executed: &'a AtomicU64,
}

impl<'a> Statements<'a> {
    pub(super) fn new(connection: &'a Connection, executed: &'a AtomicU64) -> Self {
        Self { connection, executed }
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.connection.prepare_cached(sql)?.execute(params)
    }

    /// The first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.connection.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// Every row.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.connection.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    /// How long to wait for somebody else's lock from now on.
    pub(super) fn wait_for_locks(&self, patience: Duration) -> rusqlite::Result<()> {
        self.connection.busy_timeout(patience)
    }

    /// Rows that the connection has changed so far.
    pub(super) fn changed_rows(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Whether SQLite has ended the transaction by itself, as it does when the disk is full.
    pub(super) fn outside_transaction(&self) -> bool {
        self.connection.is_autocommit()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Busy,
            Some(ErrorCode::ConstraintViolation) => StoreErrorKind::Constraint,
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => {
                StoreErrorKind::Io
            }
            Some(ErrorCode::CannotOpen) => StoreErrorKind::Connection,
            _ => StoreErrorKind::Other,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Tells a name or key that is taken from every other failure of an insert.
pub(super) fn inserted(result: rusqlite::Result<usize>, what: &'static str) -> Result<(), CommitError> {
    let taken = [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY];
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_extended_error_code().is_some_and(|code| taken.contains(&code)) => {
            Err(CommitError::Conflict(what))
        }
        Err(error) => Err(error.into()),
    }
}
