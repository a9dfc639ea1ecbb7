//! The commands that are sent to Redis, and how they fail.

use std::time::Duration;

use async_trait::async_trait;

/// What can be asked of Redis, with every strategy and however many servers there are. An answer that does not
/// come is an error within the deadline of a command.
#[async_trait]
pub trait RedisCommands: Send + Sync {
    /// Publishes to all subscribers of a channel.
    async fn publish(&self, channel: &str, message: &str) -> Result<(), RedisFailure>;

    /// Sets a value that expires, unless there is one; `false` then.
    async fn set_if_absent(&self, key: &str, value: &[u8], expires: Duration) -> Result<bool, RedisFailure>;

    /// Runs a Lua script, which is atomic, and gives the numbers that it returns. It may use the `keys` and no
    /// others; in a Cluster they must be of one slot.
    async fn script(&self, script: &str, keys: &[&str], arguments: &[i64]) -> Result<Vec<i64>, RedisFailure>;
}

/// The commands that are used: the `command` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedisCommand {
    /// PUBLISH
    Publish,
    /// SET … NX PX
    SetIfAbsent,
    /// EVAL
    Script,
    /// PING
    Ping,
}

impl RedisCommand {
    /// Every command there is.
    pub const ALL: [Self; 4] = [Self::Publish, Self::SetIfAbsent, Self::Script, Self::Ping];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::SetIfAbsent => "set_if_absent",
            Self::Script => "script",
            Self::Ping => "ping",
        }
    }
}

/// How a command failed: the `kind` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RedisFailure {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("no connection")]
    Connection,
    /// Redis refused the command.
    #[error("Redis refused the command")]
    Refused,
    /// Redis wants another user name or password than it was given, or wants one at all.
    #[error("Redis refused the user name or password")]
    Denied,
    /// The breaker is open: the command was not sent.
    #[error("not asked: it failed too often just now")]
    Open,
}

impl RedisFailure {
    /// Every kind there is.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Connection, Self::Refused, Self::Denied, Self::Open];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Open => "open",
        }
    }
}
