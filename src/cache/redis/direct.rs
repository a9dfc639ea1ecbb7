//! The strategy `direct`: each command makes a connection and closes it.

use async_trait::async_trait;
use redis::{Cmd, RedisResult, Value};

use super::strategy::{RedisConnector, Strategy};

/// See the module.
pub(super) struct Direct(pub(super) RedisConnector);

#[async_trait]
impl Strategy for Direct {
    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.0.connect().await?.send(command).await
    }
}
