//! What every store promises (`suite`), run on each driver, and what is particular to each.

mod fixtures;
mod sqlite;
mod suite;
