//! The store's traits: reads by role, and one way to write, [`Commits::commit`].
//!
//! A write is data ([`Commit`]): what it spends and the effects that follow. A driver applies it in
//! one transaction together with the rows of the change feed, so that nothing durable happens that
//! other nodes do not hear of. Single use is decided here, once: who loses is told
//! [`CommitError::AlreadySpent`].

mod batched;
mod commit;
pub mod copy;
mod delegate;
mod error;
mod feed;
mod guard;
mod index;
mod migration_plan;
mod operation;
pub mod postgres;
mod read;
pub mod records;
pub mod sqlite;

pub(crate) use delegate::delegate;
pub(crate) use operation::operation;

pub use batched::{BatchOptions, Batched, Batches};
pub use commit::*;
pub use error::*;
pub use feed::*;
pub use guard::{Guard, GuardOptions};
pub use index::*;
pub use migration_plan::{Lock, MigrationStatus, PlannedFile, PlannedStep};
pub use operation::{OPERATIONS, Operation};
pub use read::*;

/// Everything a store can do.
pub trait Store: Clients + Users + Grants + Keys + FeedReads + Commits + Upkeep {}

impl<S: Clients + Users + Grants + Keys + FeedReads + Commits + Upkeep> Store for S {}
