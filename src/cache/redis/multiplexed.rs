//! The strategy `multiplexed`: all commands share one connection, one behind the other. They never wait for it
//! to be made: without one they fail at once, and [`Strategy::connect`] makes the next.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::{Mutex, Notify};

use super::{
    strategy::{RedisConnector, Strategy, unavailable},
    target::RedisConnection,
};

/// See the module.
pub(super) struct Multiplexed {
    connector: RedisConnector,
    current: ArcSwapOption<RedisConnection>,
    connecting: Mutex<()>,
    lost: Notify,
}

impl Multiplexed {
    pub(super) fn new(connector: RedisConnector) -> Self {
        let (current, connecting, lost) = (ArcSwapOption::empty(), Mutex::new(()), Notify::new());
        Self { connector, current, connecting, lost }
    }
}

#[async_trait]
impl Strategy for Multiplexed {
    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let Some(current) = self.current.load_full() else {
            self.lost.notify_one();
            return Err(unavailable("there is no connection"));
        };
        let answer = RedisConnection::clone(&current).send(command).await;
        // A Cluster's connection repairs itself.
        if matches!(*current, RedisConnection::One(_))
            && answer.as_ref().is_err_and(RedisError::is_unrecoverable_error)
        {
            self.current.compare_and_swap(&current, None);
            self.lost.notify_one();
        }
        answer
    }

    async fn connect(&self) -> RedisResult<()> {
        let _one_at_a_time = self.connecting.lock().await;
        if self.current.load().is_none() {
            let made = self.connector.connect().await?;
            self.current.store(Some(Arc::new(made)));
        }
        Ok(())
    }

    fn give_up(&self) {
        self.current.store(None);
        self.lost.notify_one();
    }

    async fn lost(&self) {
        self.lost.notified().await;
    }
}
