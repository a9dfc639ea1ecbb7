//! The store for more than one node: Postgres.
//!
//! Point reads share a few connections and are pipelined (`readers.rs`); transactions have a pooled
//! connection to themselves (`pool.rs`). Rows are laid out as in SQLite, with the types Postgres
//! has for them (`columns.rs`).

mod apply;
mod backup;
mod batch;
mod clients;
mod columns;
mod connect;
mod feed;
mod grants;
mod keys;
mod lock;
mod migrate;
mod open;
mod outcome;
mod pool;
mod pooler;
mod readers;
mod records;
mod replicas;
mod rotations;
mod sessions;
mod sql;
mod statements;
mod timeline;
mod tls;
mod transaction;
mod upkeep;
mod url;
mod users;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_postgres::Row;

pub use migrate::{migrate_plan, migrate_status, migrate_up};
pub use open::{OpenError, Options};
pub use pool::PoolStatistics;
pub use pooler::try_prepared;
pub use sql::statements_of_the_request_path;
pub use upkeep::row_classes;

use self::{
    connect::PostgresConnector,
    pool::{Pool, Size},
    readers::{Readers, Reading},
    replicas::Replicas,
    statements::{Param, Statements},
    timeline::Timelines,
    transaction::{Sending, Transaction},
};
use super::{StoreError, StoreErrorKind};

/// Whose connections a transaction uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Requests.
    Request,
    /// Sweeping, statistics, restoring.
    Upkeep,
}

/// How long a statement of upkeep may go unanswered.
const UPKEEP: Duration = Duration::from_secs(10 * 60);

/// How often what died is looked for, and connected anew.
const TENDING: Duration = Duration::from_millis(250);

/// A store in a Postgres database.
pub struct Postgres {
    options: Options,
    connector: PostgresConnector,
    request: Pool,
    upkeep: Pool,
    feed: Arc<Readers>,
    readers: Arc<Readers>,
    replicas: Replicas,
    executed: Arc<AtomicU64>,
    begin: Arc<str>,
    on_connection: OnceLock<WaitObserver>,
    /// What keeps connections up; ends with the store.
    _keepers: JoinSet<()>,
}

/// Is told of a pool and how long somebody waited for a connection of it.
type WaitObserver = Box<dyn Fn(&'static str, Duration) + Send + Sync>;

impl Postgres {
    /// Connects, and checks the schema or brings it up to date. The connections are driven by the
    /// runtime this is called on.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        migrate::prepare(&options).await?;
        let connector = primary(&options).await?;
        let executed = Arc::new(AtomicU64::new(0));
        let shared = |name, connector: &PostgresConnector, reading| {
            Arc::new(Readers::new(name, connector.clone(), reading, Arc::clone(&executed)))
        };
        let reading = reading(&options);
        let readers = shared("read", &connector, reading);
        let feed = shared("feed", &connector, Reading { connections: 1, ..reading });
        let mut behind = Vec::new();
        for url in &options.replica_urls {
            let connector = self::connector(("replica", url::Role::Replica), url, &options)?;
            let deadline = reading.deadline.min(options.max_replica_staleness);
            behind.push(shared("replica", &connector, Reading { deadline, ..reading }));
        }
        let replicas = Replicas::new(behind, options.max_replica_staleness);
        let mut keepers = JoinSet::new();
        for readers in [&readers, &feed].into_iter().chain(replicas.readers()) {
            keepers.spawn_on(tend(Arc::clone(readers)), connector.runtime());
        }
        replicas.watch(&mut keepers, connector.runtime());
        let request = Size::new(&options, options.request_connections(), options.min_idle);
        let request = Pool::start("request", &connector, request);
        let upkeep = Pool::start("upkeep", &connector, Size::new(&options, 2, 0));
        let begin = begin(&options).into();
        let (_keepers, on_connection) = (keepers, OnceLock::new());
        Ok(Self {
            options,
            connector,
            request,
            upkeep,
            feed,
            readers,
            replicas,
            executed,
            begin,
            on_connection,
            _keepers,
        })
    }

    /// Calls `waited` with the pool's name whenever somebody got a connection of a pool, or did not. Only
    /// the first call of this has an effect.
    pub fn on_connection(&self, waited: impl Fn(&'static str, Duration) + Send + Sync + 'static) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.on_connection.set(Box::new(waited));
    }

    /// How full the pools are, for metrics.
    pub fn pool_statistics(&self) -> Vec<PoolStatistics> {
        let mut statistics = vec![self.request.statistics(), self.upkeep.statistics()];
        statistics.extend([self.feed.statistics(), self.readers.statistics()]);
        let replicas = self.replicas.readers().map(|readers| readers.statistics());
        statistics.extend(replicas.reduce(PoolStatistics::and));
        statistics
    }

    /// How many statements were executed since the store was opened, BEGIN and COMMIT included.
    pub fn statements(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    /// Finishes the reads under way and closes every connection.
    async fn shut(&self) {
        self.request.close();
        self.upkeep.close();
        self.readers.close().await;
        self.feed.close().await;
        for readers in self.replicas.readers() {
            readers.close().await;
        }
    }

    /// For reads of the primary on shared connections. Each statement sees the state of its moment,
    /// and may be run twice.
    fn reads(&self) -> Statements<'_> {
        Statements::shared(&self.readers, &self.readers)
    }

    /// For reads that tolerate the feed's staleness: of what is cached and kept up to date by the
    /// feed. They go to a replica that has all this node has heard of, else to the primary.
    fn tolerant_reads(&self) -> Statements<'_> {
        match self.replicas.caught_up() {
            Some(replica) => Statements::shared(replica, &self.readers),
            None => self.reads(),
        }
    }

    /// A row that is cached and kept up to date by the feed. That a replica does not have it proves
    /// nothing: it may have been made a moment ago on another node.
    async fn known<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Option<T>, StoreError> {
        let found = self.tolerant_reads().one(sql, params, &read).await?;
        if found.is_some() || self.options.replica_urls.is_empty() {
            return Ok(found);
        }
        Ok(self.reads().one(sql, params, &read).await?)
    }

    /// For reads of the primary on the feed's own connection.
    fn feed_reads(&self) -> Statements<'_> {
        Statements::shared(&self.feed, &self.feed)
    }

    /// Begins a transaction; it is undone unless it is committed.
    async fn begin(&self, lane: Lane) -> Result<Transaction<'_>, StoreError> {
        self.readers.accepted()?;
        // The server gives up first, and its connection can be used again. Upkeep may lift its limit.
        let (pool, patience) = match lane {
            Lane::Request => (&self.request, self.options.statement_timeout + Duration::from_secs(1)),
            Lane::Upkeep => (&self.upkeep, UPKEEP),
        };
        let begin = Arc::clone(&self.begin);
        let asked = Instant::now();
        let connection = pool.get().await;
        if let Some(waited) = self.on_connection.get() {
            waited(pool.name(), asked.elapsed());
        }
        let connection = connection?;
        let sending = Sending { prepared: self.options.prepared, executed: &self.executed, patience };
        Ok(Transaction::begin(connection, begin, sending, self.connector.runtime()))
    }
}

/// The way to the primary. Whether its server knows of timelines is decided here, once.
async fn primary(options: &Options) -> Result<PostgresConnector, OpenError> {
    // Nobody waits for an answer yet, so it need not be quick.
    let patience = options.connect_timeout();
    let unhurried = Options { acquire_timeout: patience, ..options.clone() };
    let first = connector(("store", url::Role::Primary), &options.url, &unhurried)?;
    let failed = |error: StoreError| OpenError::connect(first.place(), error);
    let client = first.connection().await.map_err(failed)?;
    let timelines = match tokio::time::timeout(patience, Timelines::of(&client)).await {
        Ok(timelines) => timelines.map_err(failed)?,
        Err(_) => return Err(failed(StoreError::new(StoreErrorKind::Connection, "Postgres did not answer"))),
    };
    Ok(connector(("store", url::Role::Primary), &options.url, options)?.following(timelines))
}

fn connector(
    role: (&'static str, url::Role),
    url: &str,
    options: &Options,
) -> Result<PostgresConnector, OpenError> {
    let address = url::parse(role, url, options.root_file.as_deref(), options.acquire_timeout)?;
    Ok(PostgresConnector::new(address, options.acquire_timeout))
}

fn reading(options: &Options) -> Reading {
    Reading {
        connections: options.read_connections,
        prepared: options.prepared,
        acquire_timeout: options.acquire_timeout,
        deadline: options.statement_timeout,
        max_lifetime: options.max_lifetime,
    }
}

async fn tend(readers: Arc<Readers>) {
    loop {
        readers.tend().await;
        tokio::time::sleep(TENDING).await;
    }
}

/// How prepared statements are planned. The plan of one that is used often is kept: made when a table was
/// empty, it would read all of it when it has grown. (What is then planned for a table without an index
/// looks so costly that it would be compiled.)
const KEPT_PLANS: [&str; 2] = ["enable_seqscan = off", "jit = off"];

/// How long a transaction may wait for this node's next statement.
const IDLE: Duration = Duration::from_secs(1);

/// BEGIN with the limits of a transaction, as one message. A node that hangs or is cut off inside a
/// transaction may hold the feed's row, behind which every other node's writes wait: not for long.
fn begin(options: &Options) -> String {
    let limit = options.statement_timeout.as_millis().max(1);
    let idle = limit.min(IDLE.as_millis());
    let mut begin = format!(
        "BEGIN; SET LOCAL statement_timeout = {limit}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle}"
    );
    if options.prepared {
        for setting in KEPT_PLANS {
            begin.push_str("; SET LOCAL ");
            begin.push_str(setting);
        }
    }
    begin
}
