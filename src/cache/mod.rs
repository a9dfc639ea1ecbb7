//! Caches in front of a store, kept true by the change feed.
//!
//! [`Cached`] is a store over a store: it answers what [`policy`] allows from memory and hands on the
//! rest. [`Tail`] reads the change feed and applies it to the caches and to the [`Index`] of
//! revocations; it alone knows whether this node's knowledge is fresh. A commit on this node applies
//! its changes at once, those of other nodes come with the feed.
//!
//! [`Redis`] may be there as a second tier and as the doorbell between nodes. What comes from it is
//! believed only as far as the feed bears it out, so it can make a node faster, never wrong.

mod cached;
mod caches;
mod count;
mod feed;
mod fresh;
mod heard;
mod history;
mod index;
mod l1;
mod l2;
#[cfg(test)]
mod nodes;
pub mod policy;
mod redis;
mod revoked;
#[cfg(test)]
mod testing;
mod through;
mod warm;
mod weigh;

pub use cached::{CacheOptions, Cached};
pub use count::{CacheFigures, Tier};
pub use feed::{Doorbell, FeedOptions, Tail};
pub use index::{Index, Verdict, prepare};
pub use redis::{
    Redis, RedisCommand, RedisFailure, RedisOpenError, RedisOptions, RedisStrategy, RemoteDoorbell,
};
