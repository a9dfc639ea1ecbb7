//! The tests from outside, as one program: what they share is compiled once and linked once, and a run
//! starts one Postgres, one PgBouncer and one Redis, with a database or keys of its own for each test.
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

/// A figure for whoever runs the tests; the test harness would hold back what is printed.
fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}
