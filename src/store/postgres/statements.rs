//! Running statements: prepared once per connection or sent unnamed, counted, their failures put
//! into the store's own terms.

use std::{
    error::Error as _,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use smallvec::SmallVec;
use tokio_postgres::{
    Error, Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

use super::readers::Readers;
use crate::store::{CommitError, StoreError, StoreErrorKind};

/// A parameter with its type, which an unnamed statement must be told.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

type Values<'a> = SmallVec<[&'a (dyn ToSql + Sync); 16]>;

/// Where statements run, together with the count of those that ran. Statements whose futures are
/// polled together are sent together: nothing waits for the answer to the one before.
#[derive(Clone, Copy)]
pub(super) struct Statements<'a> {
    over: Over<'a>,
}

#[derive(Clone, Copy)]
enum Over<'a> {
    /// One connection, inside a transaction.
    One(StatementConnection<'a>),
    /// Any of those that reads share: a replica's, and the primary's for when that fails.
    Shared(&'a Readers, &'a Readers),
}

/// A connection, and how statements are sent on it.
#[derive(Clone, Copy)]
pub(super) struct StatementConnection<'a> {
    pub(super) connection: &'a ClientWrapper,
    pub(super) prepared: bool,
    pub(super) executed: &'a AtomicU64,
    /// How long a statement may take until its connection is given up.
    pub(super) patience: Duration,
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server or the driver said so.
    #[error(transparent)]
    Driver(#[from] Error),
    /// It did not get so far, or took too long.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    /// Whether the connection is to blame, and another may do better.
    pub(super) fn is_connection(&self) -> bool {
        match self {
            Self::Driver(error) => is_connection(error),
            Self::Store(error) => error.kind == StoreErrorKind::Connection,
        }
    }
}

impl<'a> Statements<'a> {
    pub(super) fn on(session: StatementConnection<'a>) -> Self {
        Self { over: Over::One(session) }
    }

    pub(super) fn shared(first: &'a Readers, second: &'a Readers) -> Self {
        Self { over: Over::Shared(first, second) }
    }

    /// Runs a statement; how many rows it changed.
    pub(super) async fn run(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Failure> {
        match self.over {
            Over::One(session) => session.run(sql, params).await,
            // For the sake of completeness: what writes has a transaction.
            Over::Shared(..) => Ok(self.query(sql, params).await?.len() as u64),
        }
    }

    /// The first row, if there is one.
    pub(super) async fn one<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Failure> {
        Ok(self.query(sql, params).await?.first().map(read).transpose()?)
    }

    /// Every row.
    pub(super) async fn all<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Failure> {
        Ok(self.query(sql, params).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        match self.over {
            Over::One(session) => session.query(sql, params).await,
            Over::Shared(first, second) => match first.query(sql, params).await {
                // A replica may be at fault in ways of its own, as when replay cancels a query.
                Err(_) if !std::ptr::eq(first, second) => second.query(sql, params).await,
                done => done,
            },
        }
    }
}

impl StatementConnection<'_> {
    pub(super) async fn run(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Failure> {
        self.in_time(async {
            if !self.prepared {
                return self.connection.execute_typed(sql, params).await;
            }
            let statement = self.prepare(sql, params).await?;
            let result = self.connection.execute(&statement, &values(params)).await;
            self.forget_if_gone(sql, params, result)
        })
        .await
    }

    pub(super) async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        self.in_time(async {
            if !self.prepared {
                return self.connection.query_typed(sql, params).await;
            }
            let statement = self.prepare(sql, params).await?;
            let result = self.connection.query(&statement, &values(params)).await;
            self.forget_if_gone(sql, params, result)
        })
        .await
    }

    /// Runs statements that take no parameters and give no rows, as one message.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.in_time(self.connection.batch_execute(sql)).await
    }

    /// A line that has gone dead answers nothing, and the server's own limit does not help then.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(self.patience, work).await {
            Ok(done) => Ok(done?),
            Err(_) => {
                let message = format!("Postgres did not answer within {:?}", self.patience);
                Err(StoreError::new(StoreErrorKind::Connection, message).into())
            }
        }
    }

    async fn prepare(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Statement, Error> {
        self.connection.prepare_typed_cached(sql, &types(params)).await
    }

    /// A statement that the server no longer knows, or whose tables were changed by a migration, is
    /// prepared anew the next time.
    fn forget_if_gone<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        let gone = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::FEATURE_NOT_SUPPORTED];
        if let Err(error) = &result
            && error.code().is_some_and(|code| gone.contains(code))
        {
            self.connection.statement_cache.remove(sql, &types(params));
        }
        result
    }
}

fn values<'a>(params: &[Param<'a>]) -> Values<'a> {
    params.iter().map(|(value, _)| *value).collect()
}

fn types(params: &[Param<'_>]) -> SmallVec<[Type; 16]> {
    params.iter().map(|(_, kind)| kind.clone()).collect()
}

impl From<Error> for StoreError {
    /// The server's own words are kept, but not its details, which quote the row.
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let advice = if is_of_unknown_issuer(&error) { UNKNOWN_ISSUER } else { "" };
            return Self::new(kind_of(&error), format!("{error}{cause}{advice}"));
        };
        let code = said.code();
        let advice = if is_mixed_up(code) { MIXED_UP } else { "" };
        Self::new(kind_of(&error), format!("{} (SQLSTATE {}){advice}", said.message(), code.code()))
    }
}

/// What to do about a certificate of an authority that is not known.
const UNKNOWN_ISSUER: &str =
    "; set `[postgres] root_file` to the certificate of the authority that signed the server's";

fn is_of_unknown_issuer(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let tls = cause.and_then(io::Error::get_ref).and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)))
}

/// What to do about prepared statements that are not on the connection on which they were made.
const MIXED_UP: &str = "; a pooler such as PgBouncer gave another connection than the statement was prepared \
     on: set `[postgres] prepared = false`";

/// A name that is unknown, or taken: nobody but a pooler in between can bring that about.
fn is_mixed_up(code: &SqlState) -> bool {
    [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT].contains(code)
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Driver(error) => error.into(),
            Failure::Store(error) => error,
        }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

pub(super) fn is_connection(error: &Error) -> bool {
    kind_of(error) == StoreErrorKind::Connection
}

fn kind_of(error: &Error) -> StoreErrorKind {
    if let Some(code) = error.code() {
        return kind(code);
    }
    let broken = error.source().is_some_and(|cause| cause.is::<io::Error>());
    // The driver does not name its own timeout otherwise.
    if error.is_closed() || broken || error.to_string() == "timeout waiting for server" {
        StoreErrorKind::Connection
    } else {
        StoreErrorKind::Other
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>; the first that fits counts.
const KINDS: &[(&str, StoreErrorKind)] = &[
    ("08", StoreErrorKind::Connection), // connection exceptions; what PgBouncer says of its own
    ("28", StoreErrorKind::Connection), // not let in
    ("3D000", StoreErrorKind::Connection), // no such database
    ("53300", StoreErrorKind::Connection), // too many connections
    ("57P", StoreErrorKind::Connection), // shutting down, crashed, starting up
    ("25006", StoreErrorKind::Connection), // read-only: a primary no longer
    ("25P03", StoreErrorKind::Connection), // the transaction was idle for too long, and is gone
    ("26000", StoreErrorKind::Connection), // no such prepared statement: it is on another connection
    ("42P05", StoreErrorKind::Connection), // there is one already: this is another's connection
    ("40", StoreErrorKind::Serialization), // serialization failures and deadlocks
    ("55", StoreErrorKind::Busy),       // locks not to be had
    ("57014", StoreErrorKind::Busy),    // statement_timeout
    ("0A000", StoreErrorKind::Serialization), // its plan must change
    ("23", StoreErrorKind::Constraint),
    ("53", StoreErrorKind::Io), // disk full, out of memory
    ("58", StoreErrorKind::Io), // I/O error, missing file
    ("XX", StoreErrorKind::Io), // damaged data
];

fn kind(code: &SqlState) -> StoreErrorKind {
    let fits = |(prefix, _): &&(&str, StoreErrorKind)| code.code().starts_with(prefix);
    KINDS.iter().find(fits).map_or(StoreErrorKind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_their_code() {
        for (code, expected) in [
            ("08006", StoreErrorKind::Connection),
            ("57P01", StoreErrorKind::Connection),
            ("53300", StoreErrorKind::Connection),
            ("40P01", StoreErrorKind::Serialization),
            ("57014", StoreErrorKind::Busy),
            ("55P03", StoreErrorKind::Busy),
            ("23505", StoreErrorKind::Constraint),
            ("53100", StoreErrorKind::Io),
            ("58030", StoreErrorKind::Io),
            ("42P01", StoreErrorKind::Other),
            ("26000", StoreErrorKind::Connection),
            ("42P05", StoreErrorKind::Connection),
        ] {
            assert_eq!(kind(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
