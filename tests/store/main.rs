//! What every store promises (`suite`), run on each driver, and what is particular to each.

mod batched;
mod cached;
mod fixtures;
mod plans;
mod postgres;
mod records;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod sqlite;
mod standby;
mod suite;
