//! A connection to Redis, and the three ways in which commands come by one.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bb8_redis::bb8;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};
use tokio::sync::{Mutex, Notify};

use super::{CONNECT_TIMEOUT, RedisOpenError, target::Target};

/// How commands come by a connection. A benchmark compares them; docs/decisions/0013-redis.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionStrategy {
    /// All share one connection, their commands one behind the other.
    #[default]
    Multiplexed,
    /// Each borrows a connection from a pool. For a single server.
    Pooled,
    /// Each makes a connection and closes it.
    Direct,
}

impl ConnectionStrategy {
    /// Every strategy there is.
    pub const ALL: [Self; 3] = [Self::Multiplexed, Self::Pooled, Self::Direct];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multiplexed => "multiplexed",
            Self::Pooled => "pooled",
            Self::Direct => "direct",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name)
    }
}

/// A connection to a server or a Cluster. Clones share it.
#[derive(Clone)]
pub(super) enum RedisConnection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisConnection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

/// The way to Redis.
pub(super) enum Link {
    Multiplexed(SharedConnection),
    Pooled(bb8::Pool<Connector>),
    Direct(Connector),
}

impl Link {
    /// Must be called in a runtime; no connection is waited for.
    pub(super) fn new(
        target: Arc<Target>,
        strategy: ConnectionStrategy,
        pool_size: u32,
    ) -> Result<Self, RedisOpenError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Every command has a deadline around it.
            .set_response_timeout(None);
        let single = matches!(*target, Target::One(_));
        let maker = Connector { target, config };
        Ok(match strategy {
            ConnectionStrategy::Multiplexed => Self::Multiplexed(SharedConnection::new(maker)),
            ConnectionStrategy::Direct => Self::Direct(maker),
            ConnectionStrategy::Pooled if !single => return Err(RedisOpenError::Pooled),
            ConnectionStrategy::Pooled => Self::Pooled(
                bb8::Pool::builder()
                    .max_size(pool_size.max(1))
                    .test_on_check_out(false)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .build_unchecked(maker),
            ),
        })
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Multiplexed(shared) => shared.send(command).await,
            Self::Direct(maker) => maker.make().await?.send(command).await,
            Self::Pooled(pool) => {
                let mut lent = pool.get().await.map_err(|error| match error {
                    bb8::RunError::User(error) => error,
                    bb8::RunError::TimedOut => away("no connection of the pool came free"),
                })?;
                // Until the answer is there: a command given up half-way leaves the connection unusable.
                lent.broken = true;
                let answer = lent.connection.send(command).await;
                lent.broken = answer.as_ref().is_err_and(RedisError::is_unrecoverable_error);
                answer
            }
        }
    }

    /// Sees to it that there is a connection for commands to use. To be called in the background: it
    /// may take as long as connecting may.
    pub(super) async fn connect(&self) -> RedisResult<()> {
        match self {
            Self::Multiplexed(shared) => shared.connect().await,
            Self::Pooled(_) | Self::Direct(_) => Ok(()),
        }
    }

    /// Gives up a connection that does not answer.
    pub(super) fn give_up(&self) {
        if let Self::Multiplexed(shared) = self {
            shared.current.store(None);
            shared.lost.notify_one();
        }
    }

    /// Ready when a connection was lost and should be replaced.
    pub(super) async fn lost(&self) {
        match self {
            Self::Multiplexed(shared) => shared.lost.notified().await,
            Self::Pooled(_) | Self::Direct(_) => std::future::pending().await,
        }
    }
}

/// One connection for all. Commands never wait for it to be made: without one they fail at once, and
/// [`Link::connect`] makes the next.
pub(super) struct SharedConnection {
    maker: Connector,
    current: ArcSwapOption<RedisConnection>,
    making: Mutex<()>,
    lost: Notify,
}

impl SharedConnection {
    fn new(maker: Connector) -> Self {
        Self { maker, current: ArcSwapOption::empty(), making: Mutex::new(()), lost: Notify::new() }
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let Some(current) = self.current.load_full() else {
            self.lost.notify_one();
            return Err(away("there is no connection"));
        };
        let answer = RedisConnection::clone(&current).send(command).await;
        // A Cluster's connection mends itself.
        if matches!(*current, RedisConnection::One(_))
            && answer.as_ref().is_err_and(RedisError::is_unrecoverable_error)
        {
            self.current.compare_and_swap(&current, None);
            self.lost.notify_one();
        }
        answer
    }

    async fn connect(&self) -> RedisResult<()> {
        let _one_at_a_time = self.making.lock().await;
        if self.current.load().is_none() {
            let made = self.maker.make().await?;
            self.current.store(Some(Arc::new(made)));
        }
        Ok(())
    }
}

/// Makes connections, for the pool too.
pub(super) struct Connector {
    target: Arc<Target>,
    config: AsyncConnectionConfig,
}

impl Connector {
    async fn make(&self) -> RedisResult<RedisConnection> {
        self.target.connect(&self.config).await
    }
}

/// A connection of the pool. bb8-redis's own never counts as broken, so that one whose server is gone
/// would be lent for ever unless it were tested at each checkout, which doubles the price of a command.
pub(super) struct PooledConnection {
    connection: RedisConnection,
    broken: bool,
}

impl bb8::ManageConnection for Connector {
    type Connection = PooledConnection;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<PooledConnection> {
        Ok(PooledConnection { connection: self.make().await?, broken: false })
    }

    async fn is_valid(&self, lent: &mut PooledConnection) -> RedisResult<()> {
        lent.connection.send(&redis::cmd("PING")).await.map(drop)
    }

    fn has_broken(&self, lent: &mut PooledConnection) -> bool {
        lent.broken
    }
}

fn away(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
