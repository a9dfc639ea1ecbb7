//! What every store promises (`suite`), run on each driver, and what is particular to each.

mod batched;
mod cached;
pub mod fixtures;
mod plans;
mod postgres;
mod records;
mod sqlite;
mod standby;
mod suite;
