//! Transactions: BEGIN … COMMIT on a pooled connection, and what becomes of one that is abandoned.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use deadpool_postgres::Object;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::statements::{Failure, StatementConnection, Statements};

/// How long an abandoned transaction may take to be undone before its connection is closed.
const UNDO: Duration = Duration::from_secs(2);

type Begun = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A transaction that is under way; undone unless it is committed.
#[must_use]
pub(super) struct Transaction<'a> {
    connection: Option<Arc<Object>>,
    /// The answer to BEGIN, until somebody asks for it.
    begun: Option<Begun>,
    sending: Sending<'a>,
    runtime: &'a Handle,
}

/// How the statements of a transaction are sent.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) prepared: bool,
    pub(super) executed: &'a AtomicU64,
    pub(super) patience: Duration,
}

impl<'a> Transaction<'a> {
    /// Sends BEGIN and does not wait for the answer: the first statement travels with it.
    pub(super) fn begin(
        connection: Object,
        begin: Arc<str>,
        sending: Sending<'a>,
        runtime: &'a Handle,
    ) -> Self {
        let connection = Arc::new(connection);
        let mut begun: Begun = {
            let connection = Arc::clone(&connection);
            async move { connection.batch_execute(&begin).await }.boxed()
        };
        sending.executed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Polled once, it is in the connection's queue.
        let begun = match begun.as_mut().now_or_never() {
            Some(done) => async move { done }.boxed(),
            None => begun,
        };
        Self { connection: Some(connection), begun: Some(begun), sending, runtime }
    }

    /// What runs statements inside it.
    pub(super) fn statements(&self) -> Statements<'_> {
        Statements::on(self.session())
    }

    fn session(&self) -> StatementConnection<'_> {
        let connection = self.connection.as_deref().expect("it is given back only at the end");
        let Sending { prepared, executed, patience } = self.sending;
        StatementConnection { connection, prepared, executed, patience }
    }

    /// Makes it durable.
    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        // COMMIT of a transaction in which a statement failed succeeds, and undoes it. A savepoint
        // cannot be made in one, nor where BEGIN had no effect, and then COMMIT is not reached.
        let committed = self.session().batch("SAVEPOINT done; COMMIT").await;
        committed?;
        // It was answered before.
        if let Some(begun) = self.begun.take() {
            begun.await?;
        }
        // It goes back as it came.
        self.connection = None;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    /// It failed, or its caller went away while a statement was under way. The connection goes back
    /// to the pool once the transaction is undone, and is closed if it cannot be.
    fn drop(&mut self) {
        self.begun = None;
        let Some(connection) = self.connection.take().and_then(Arc::into_inner) else { return };
        self.runtime.spawn(async move {
            let undone = tokio::time::timeout(UNDO, connection.batch_execute("ROLLBACK")).await;
            if !matches!(undone, Ok(Ok(()))) {
                drop(Object::take(connection));
            }
        });
    }
}
