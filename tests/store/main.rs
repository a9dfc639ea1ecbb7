//! What every store promises (`suite`), run on each driver, and what is particular to each.

mod cached;
mod fixtures;
mod sqlite;
mod suite;
