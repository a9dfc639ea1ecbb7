//! What is measured, one thing in each module.

pub mod group_commit;
pub mod postgres_reads;
pub mod redis_strategies;
