//! The tests from outside, as one program: what they share is compiled once and linked once. A run starts one
//! Postgres and one PgBouncer, with a database for each test; tests that stop a server start one of their own.
//!
//! `cargo test --test all http::` runs one folder.

mod browser;
mod cache;
mod cli;
mod clients;
mod crash;
mod faults;
mod http;
mod observability;
mod postgres;
mod servers;
mod store;

use std::{io::Write, time::Duration};

/// How long something may take that is bounded by so much on a machine that does nothing else. The gate's does:
/// there it is ten times as long, which still tells a wait that is bounded from one that is not. With
/// `CHANCERY_FAULTS=long` it is as stated.
fn within(bound: Duration) -> Duration {
    if faults::is_long() { bound } else { 10 * bound }
}

/// Prints a figure past the test harness, which would hold it back.
fn say(line: &str) {
    // Standard output may be closed.
    let _ = writeln!(std::io::stdout(), "{line}");
}
