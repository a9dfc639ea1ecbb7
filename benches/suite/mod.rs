//! What is measured, one thing in each module.

pub mod answers;
pub mod change_feed;
pub mod decisions;
pub mod group_commit;
pub mod memory;
pub mod metrics;
pub mod parameters;
pub mod postgres_reads;
pub mod redis_strategies;
pub mod requests;
pub mod revocations;
pub mod second_tier;
