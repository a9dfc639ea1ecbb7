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
pub enum RedisStrategy {
    /// All share one connection, their commands one behind the other.
    #[default]
    Multiplexed,
    /// Each borrows a connection from a pool. For a single server.
    Pooled,
    /// Each makes a connection and closes it.
    Direct,
}

impl RedisStrategy {
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
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

/// The way to Redis.
pub(super) enum Link {
    Multiplexed(Shared),
    Pooled(bb8::Pool<Maker>),
    Direct(Maker),
}

impl Link {
    /// Must be called in a runtime; no connection is waited for.
    pub(super) fn new(
        target: Arc<Target>,
        strategy: RedisStrategy,
        pool_size: u32,
    ) -> Result<Self, RedisOpenError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Every command has a deadline around it.
            .set_response_timeout(None);
        let single = matches!(*target, Target::One(_));
        let maker = Maker { target, config };
        Ok(match strategy {
            RedisStrategy::Multiplexed => Self::Multiplexed(Shared::new(maker)),
            RedisStrategy::Direct => Self::Direct(maker),
            RedisStrategy::Pooled if !single => return Err(RedisOpenError::Pooled),
            RedisStrategy::Pooled => Self::Pooled(
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

    /// Ready when a connection was lost that somebody should replace.
    pub(super) async fn lost(&self) {
        match self {
            Self::Multiplexed(shared) => shared.lost.notified().await,
            Self::Pooled(_) | Self::Direct(_) => std::future::pending().await,
        }
    }
}

/// One connection for all. Commands never wait for it to be made: without one they fail at once, and
/// [`Link::connect`] makes the next.
pub(super) struct Shared {
    maker: Maker,
    current: ArcSwapOption<Connection>,
    making: Mutex<()>,
    lost: Notify,
}

impl Shared {
    fn new(maker: Maker) -> Self {
        Self { maker, current: ArcSwapOption::empty(), making: Mutex::new(()), lost: Notify::new() }
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let Some(current) = self.current.load_full() else {
            self.lost.notify_one();
            return Err(away("there is no connection"));
        };
        let answer = Connection::clone(&current).send(command).await;
        // A Cluster's connection mends itself.
        if matches!(*current, Connection::One(_))
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
pub(super) struct Maker {
    target: Arc<Target>,
    config: AsyncConnectionConfig,
}

impl Maker {
    async fn make(&self) -> RedisResult<Connection> {
        self.target.connect(&self.config).await
    }
}

/// A connection of the pool. bb8-redis's own never counts as broken, so that one whose server is gone
/// would be lent for ever unless it were tested at each checkout, which doubles the price of a command.
pub(super) struct Lent {
    connection: Connection,
    broken: bool,
}

impl bb8::ManageConnection for Maker {
    type Connection = Lent;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Lent> {
        Ok(Lent { connection: self.make().await?, broken: false })
    }

    async fn is_valid(&self, lent: &mut Lent) -> RedisResult<()> {
        lent.connection.send(&redis::cmd("PING")).await.map(drop)
    }

    fn has_broken(&self, lent: &mut Lent) -> bool {
        lent.broken
    }
}

fn away(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
