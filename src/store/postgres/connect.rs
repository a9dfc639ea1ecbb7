//! Making connections. Each is made, and driven, on the runtime the store was opened on: a request
//! that goes away while it waits, or the thread it ran on, takes no connection with it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{ClientWrapper, Connect};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls, error::DbError};

use super::{timeline::Timelines, url::Address};
use crate::store::{StoreError, StoreErrorKind};

/// Where to connect, and how.
#[derive(Clone)]
pub(super) struct PostgresConnector {
    address: Address,
    runtime: Handle,
    timeout: Duration,
    warnings: Arc<AtomicU64>,
    timelines: Option<Arc<Timelines>>,
}

impl PostgresConnector {
    /// Must be called on the runtime that is to drive the connections.
    pub(super) fn new(address: Address, timeout: Duration) -> Self {
        Self { address, runtime: Handle::current(), timeout, warnings: Arc::default(), timelines: None }
    }

    /// Refuses, from now on, connections to a primary that was replaced.
    pub(super) fn following(self, timelines: Option<Timelines>) -> Self {
        Self { timelines: timelines.map(Arc::new), ..self }
    }

    /// What is known of the primary's history, if its server has one.
    pub(super) fn timelines(&self) -> Option<&Timelines> {
        self.timelines.as_deref()
    }

    /// Whether a connection may lead to a primary that was replaced since.
    pub(super) fn is_past(&self, made: Instant) -> bool {
        self.timelines().is_some_and(|timelines| timelines.is_past(made))
    }

    /// Refuses a new connection to a primary that was replaced.
    pub(super) async fn check(&self, client: &Client) -> Result<(), StoreError> {
        match self.timelines() {
            Some(timelines) => timelines.check(client).await,
            None => Ok(()),
        }
    }

    /// Host, port and database, for messages.
    pub(super) fn place(&self) -> &str {
        &self.address.place
    }

    pub(super) fn config(&self) -> &Config {
        &self.address.config
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// How many warnings the server has sent on any connection so far. One that comes while a
    /// transaction is made durable is counted before its answer is read.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// A connection of one's own.
    pub(super) async fn connection(&self) -> Result<ClientWrapper, StoreError> {
        let checked = async {
            let (client, driver) = self.connect().await?;
            self.check(&client).await?;
            Ok(ClientWrapper::new(client, driver))
        };
        match tokio::time::timeout(self.timeout, checked).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Connection,
                format!("Postgres did not answer within {:?} when connecting", self.timeout),
            )),
        }
    }

    async fn connect(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let (config, tls) = (self.address.config.clone(), self.address.tls.clone());
        let warnings = Arc::clone(&self.warnings);
        let connecting = self.runtime.spawn(async move {
            match tls {
                Some(tls) => {
                    config.connect(tls).await.map(|(client, driver)| (client, drive(driver, warnings)))
                }
                None => config.connect(NoTls).await.map(|(client, driver)| (client, drive(driver, warnings))),
            }
        });
        let mut connecting = AbortOnDrop(connecting);
        match (&mut connecting.0).await {
            Ok(result) => result,
            // The runtime is stopping; whoever waits has a time limit.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Connect for PostgresConnector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.connect())
    }
}

/// An attempt that nobody waits for any more is given up.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn drive<S, T>(mut connection: Connection<S, T>, warnings: Arc<AtomicU64>) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                None => return,
                Some(Ok(AsyncMessage::Notice(notice))) => note(&notice, &warnings),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let error = StoreError::from(error);
                    tracing::debug!(%error, "connection to Postgres lost");
                    return;
                }
            }
        }
    })
}

/// Counts warnings, which are of class 01 or say why a session ends.
fn note(notice: &DbError, warnings: &AtomicU64) {
    let code = notice.code().code();
    tracing::debug!(code, message = notice.message(), "notice from Postgres");
    if code.starts_with("01") || code.starts_with("57") {
        warnings.fetch_add(1, Ordering::Release);
    }
}
