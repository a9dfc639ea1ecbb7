//! The readers: a few connections that all point reads share. Requests are sent without waiting for
//! the answers to those before them, so one connection carries hundreds of reads at a time.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use deadpool_postgres::ClientWrapper;
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::Row;

use super::{
    KEPT_PLANS,
    connect::PostgresConnector,
    pool::{PoolStatistics, closed},
    statements::{Failure, Param, StatementConnection, is_connection},
};
use crate::store::{StoreError, StoreErrorKind};

/// Reads that may be under way on one connection.
const IN_FLIGHT: usize = 256;
/// Pauses between attempts to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How reads are made.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) connections: usize,
    pub(super) prepared: bool,
    /// How long to wait for a connection.
    pub(super) acquire_timeout: Duration,
    /// How long a read may take. Many share a connection, so the server cannot be told.
    pub(super) deadline: Duration,
    pub(super) max_lifetime: Duration,
}

/// Connections that are shared.
pub(super) struct Readers {
    name: &'static str,
    connector: PostgresConnector,
    reading: Reading,
    slots: Vec<Slot>,
    next: AtomicUsize,
    room: Semaphore,
    waiting: AtomicUsize,
    timeouts: AtomicU64,
    closed: AtomicBool,
    /// The server is an old primary; see [`Readers::refuse`].
    refused: AtomicBool,
    /// When the server was last known to answer; see [`Readers::reached`].
    reached: std::sync::Mutex<Option<Instant>>,
    executed: Arc<AtomicU64>,
}

/// The place of one connection.
#[derive(Default)]
struct Slot {
    connection: ArcSwapOption<Shared>,
    /// Held by who connects.
    attempts: Mutex<Attempts>,
}

/// Attempts to connect that failed, since one succeeded.
#[derive(Default)]
struct Attempts {
    failed: u32,
    /// When the last one began.
    begun: Option<Instant>,
    not_before: Option<Instant>,
}

impl Attempts {
    /// Whether it is too early for another one. What failed before the server was reached says nothing
    /// about it any more.
    fn hold_off(&self, reached: Option<Instant>) -> bool {
        self.begun > reached && self.not_before.is_some_and(|at| Instant::now() < at)
    }

    fn fail(&mut self, begun: Instant) {
        let pause = PAUSES.0.saturating_mul(1 << self.failed.min(10)).min(PAUSES.1);
        self.failed += 1;
        self.begun = Some(begun);
        self.not_before = Some(Instant::now() + pause);
    }
}

struct Shared {
    client: ClientWrapper,
    made: Instant,
}

impl Readers {
    pub(super) fn new(
        name: &'static str,
        connector: PostgresConnector,
        reading: Reading,
        executed: Arc<AtomicU64>,
    ) -> Self {
        let slots: Vec<Slot> = (0..reading.connections.max(1)).map(|_| Slot::default()).collect();
        let room = Semaphore::new(slots.len() * IN_FLIGHT);
        Self {
            name,
            connector,
            reading,
            slots,
            next: AtomicUsize::new(0),
            room,
            waiting: AtomicUsize::new(0),
            timeouts: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            reached: std::sync::Mutex::default(),
            executed,
        }
    }

    /// Reads on one of the connections. When one breaks, the others may have broken with it: each is
    /// tried, and at last a new one.
    pub(super) async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let _place = self.enter().await?;
        let mut left = self.slots.len();
        loop {
            let (slot, shared) = self.connection().await?;
            match self.query_on(&shared, sql, params).await {
                Err(Failure::Driver(error)) if left > 0 && is_connection(&error) => {
                    slot.give_up(&shared);
                    left -= 1;
                }
                // What is slow there holds up everybody behind it, if the line is not dead altogether.
                Err(failure @ Failure::Store(_)) => {
                    self.timeouts.fetch_add(1, Ordering::Relaxed);
                    slot.give_up(&shared);
                    return Err(failure);
                }
                done => return done,
            }
        }
    }

    async fn query_on(
        &self,
        shared: &Shared,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        // Many share the connection, so the server cannot be told a limit of its own.
        let Reading { prepared, deadline: patience, .. } = self.reading;
        let session =
            StatementConnection { connection: &shared.client, prepared, executed: &self.executed, patience };
        session.query(sql, params).await
    }

    /// Waits until there are not too many reads under way.
    async fn enter(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        self.accepted()?;
        if let Ok(permit) = self.room.try_acquire() {
            return Ok(permit);
        }
        let _waiting = WaitingReader::new(&self.waiting);
        match tokio::time::timeout(self.reading.acquire_timeout, self.room.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
                let message = format!("too many reads are under way on the pool `{}`", self.name);
                Err(StoreError::new(StoreErrorKind::Connection, message))
            }
        }
    }

    /// The next live connection; when there is none, one is made, by one caller for all. An attempt may
    /// fail by itself, as when an operator ends every session: each place is tried.
    async fn connection(&self) -> Result<(&Slot, Arc<Shared>), StoreError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let slots = || (0..self.slots.len()).map(|at| &self.slots[(first + at) % self.slots.len()]);
        let mut live = slots().filter_map(|slot| self.live(slot).map(|shared| (slot, shared)));
        if let Some(found) = live.next() {
            return Ok(found);
        }
        let connecting = async {
            let mut failed = closed();
            for slot in slots() {
                match self.connect(slot).await {
                    Ok(shared) => return Ok((slot, shared)),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        };
        let connected = tokio::time::timeout(self.reading.acquire_timeout, connecting).await;
        let unreachable = |_| StoreError::new(StoreErrorKind::Connection, "Postgres cannot be reached");
        connected.map_err(unreachable)?
    }

    /// A slot's connection, unless it may lead to a primary that was replaced since it was made.
    fn live(&self, slot: &Slot) -> Option<Arc<Shared>> {
        slot.live().filter(|shared| !self.connector.is_past(shared.made))
    }

    async fn made(&self) -> Result<ClientWrapper, StoreError> {
        let client = self.connector.connection().await?;
        if self.reading.prepared {
            // For the whole session, which nobody else reads from.
            let settings = KEPT_PLANS.map(|setting| format!("SET {setting}")).join("; ");
            let set = tokio::time::timeout(self.reading.acquire_timeout, client.batch_execute(&settings));
            set.await.map_err(|_| {
                StoreError::new(StoreErrorKind::Connection, "Postgres did not answer when connecting")
            })??;
        }
        Ok(client)
    }

    async fn connect(&self, slot: &Slot) -> Result<Arc<Shared>, StoreError> {
        let mut attempts = slot.attempts.lock().await;
        if let Some(shared) = self.live(slot) {
            return Ok(shared);
        }
        if self.is_closed() {
            return Err(closed());
        }
        if attempts.hold_off(self.last_reached()) {
            return Err(StoreError::new(StoreErrorKind::Connection, "Postgres cannot be reached"));
        }
        let made = Instant::now();
        match self.made().await {
            // Closed while it was being made.
            Ok(_) if self.is_closed() => Err(closed()),
            Ok(client) => {
                *attempts = Attempts::default();
                let shared = Arc::new(Shared { client, made });
                slot.connection.store(Some(Arc::clone(&shared)));
                Ok(shared)
            }
            Err(error) => {
                attempts.fail(made);
                Err(error)
            }
        }
    }

    /// Connects what is not connected, and replaces what is old.
    pub(super) async fn tend(&self) {
        for slot in &self.slots {
            if let Some(shared) = slot.live()
                && shared.made.elapsed() >= self.reading.max_lifetime
            {
                slot.give_up(&shared);
            }
            if self.live(slot).is_none()
                && let Err(error) = self.connect(slot).await
            {
                tracing::debug!(%error, "opening a connection for reads failed; will retry");
            }
        }
    }

    /// The server has just answered on another connection, so that nothing is held off by what failed
    /// before: a node that is ready because it reads the feed can read everything else, too.
    pub(super) fn reached(&self) {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn last_reached(&self) -> Option<Instant> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing may be read here, because the server does not know what happened since.
    pub(super) fn refuse(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// An error while the server is refused.
    pub(super) fn accepted(&self) -> Result<(), StoreError> {
        if !self.refused.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Connection,
            "this Postgres is a former primary: another one has taken its place",
        ))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let busy = self.slots.len() * IN_FLIGHT - self.room.available_permits();
        let size = self.slots.iter().filter(|slot| slot.live().is_some()).count();
        PoolStatistics {
            name: self.name,
            max: self.slots.len(),
            size,
            idle: size - size.min(busy),
            waiting: self.waiting.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
        }
    }

    /// Takes no more reads; those under way are finished.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let all = u32::try_from(self.slots.len() * IN_FLIGHT).unwrap_or(u32::MAX);
        let finished = tokio::time::timeout(self.reading.deadline, self.room.acquire_many(all)).await;
        self.room.close();
        drop(finished);
        self.slots.iter().for_each(|slot| slot.connection.store(None));
    }
}

impl Slot {
    fn live(&self) -> Option<Arc<Shared>> {
        self.connection.load_full().filter(|shared| !shared.client.is_closed())
    }

    /// Reads under way on it go on; no new one begins.
    fn give_up(&self, shared: &Arc<Shared>) {
        self.connection.compare_and_swap(&Some(Arc::clone(shared)), None);
    }
}

/// Counts a caller that waits, for as long as it does.
struct WaitingReader<'a>(&'a AtomicUsize);

impl<'a> WaitingReader<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingReader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
