//! The strategy `pooled`: each command borrows a connection from a pool of bb8. For a single server.

use async_trait::async_trait;
use bb8_redis::bb8;
use redis::{Cmd, RedisError, RedisResult, Value};

use super::{
    options::CONNECT_TIMEOUT,
    strategy::{RedisConnector, Strategy, unavailable},
    target::RedisConnection,
};

/// See the module.
pub(super) struct Pooled(bb8::Pool<RedisConnector>);

impl Pooled {
    /// Must be called in a runtime; no connection is waited for.
    pub(super) fn new(connector: RedisConnector, size: u32) -> Self {
        let pool = bb8::Pool::builder()
            .max_size(size.max(1))
            .test_on_check_out(false)
            .connection_timeout(CONNECT_TIMEOUT)
            .build_unchecked(connector);
        Self(pool)
    }
}

#[async_trait]
impl Strategy for Pooled {
    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut pooled = self.0.get().await.map_err(|error| match error {
            bb8::RunError::User(error) => error,
            bb8::RunError::TimedOut => unavailable("no connection of the pool came free"),
        })?;
        // Until the answer is there: a command given up half-way leaves the connection unusable.
        pooled.broken = true;
        let answer = pooled.connection.send(command).await;
        pooled.broken = answer.as_ref().is_err_and(RedisError::is_unrecoverable_error);
        answer
    }
}

/// A connection of the pool. bb8-redis's own never counts as broken, so that one whose server is gone
/// would be lent for ever unless it were tested at each checkout, which doubles the price of a command.
pub(super) struct PooledConnection {
    connection: RedisConnection,
    broken: bool,
}

impl bb8::ManageConnection for RedisConnector {
    type Connection = PooledConnection;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<PooledConnection> {
        Ok(PooledConnection { connection: RedisConnector::connect(self).await?, broken: false })
    }

    async fn is_valid(&self, pooled: &mut PooledConnection) -> RedisResult<()> {
        pooled.connection.send(&redis::cmd("PING")).await.map(drop)
    }

    fn has_broken(&self, pooled: &mut PooledConnection) -> bool {
        pooled.broken
    }
}
