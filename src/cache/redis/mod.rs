//! Redis, by which nodes notify each other of changes, and with which they may share what is no truth of its
//! own, such as counts. No request fails with it: a command that fails, is late or is not even sent is done
//! without.
//!
//! | file | what |
//! |---|---|
//! | `commands.rs` | the commands there are, as a trait, and how they fail |
//! | `client.rs` | the client: a deadline, a circuit breaker and metrics around each command |
//! | `options.rs`, `target.rs` | how and where Redis is reached: one server, Sentinel, Cluster |
//! | `strategy.rs` | how commands come by a connection; one file for each way |
//! | `change_notifications.rs` | publishing and subscribing to changes |

mod change_notifications;
mod client;
mod commands;
mod direct;
mod multiplexed;
mod options;
mod pooled;
mod strategy;
mod target;

pub use self::{
    change_notifications::ChangeNotifications,
    client::RedisClient,
    commands::{RedisCommand, RedisCommands, RedisFailure},
    options::{ConnectionStrategy, RedisOpenError, RedisOptions},
};
