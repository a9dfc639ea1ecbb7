//! How commands come by a connection: the trait of the three ways, and what makes the connections of all.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::{
    options::CONNECT_TIMEOUT,
    target::{RedisConnection, Target},
};

/// A way to come by a connection.
#[async_trait]
pub(super) trait Strategy: Send + Sync {
    /// Sends a command and waits for the answer.
    async fn send(&self, command: &Cmd) -> RedisResult<Value>;

    /// Sees to it that there is a connection for commands to use. To be called in the background: it may take
    /// as long as connecting may.
    async fn connect(&self) -> RedisResult<()> {
        Ok(())
    }

    /// Gives up a connection that does not answer.
    fn give_up(&self) {}

    /// Ready when a connection was lost and should be replaced.
    async fn lost(&self) {
        std::future::pending().await
    }
}

/// Makes connections.
pub(super) struct RedisConnector {
    target: Arc<Target>,
    config: AsyncConnectionConfig,
}

impl RedisConnector {
    pub(super) fn new(target: Arc<Target>) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Every command has a deadline around it.
            .set_response_timeout(None);
        Self { target, config }
    }

    pub(super) async fn connect(&self) -> RedisResult<RedisConnection> {
        self.target.connect(&self.config).await
    }
}

/// An error as of a connection that there is not.
pub(super) fn unavailable(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
