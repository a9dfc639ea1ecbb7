//! Faults under load: what is promised holds while processes die, networks stall and databases move.
//!
//! Each test runs a short version; with `CHANCERY_FAULTS=long` a longer one.

mod check;
mod cluster;
mod driver;
mod embedded;
mod fake;
mod flaws;
mod history;
mod invalidation;
mod keys;
mod load;
mod locks;
mod network;
#[path = "../cli/process.rs"]
#[allow(dead_code, reason = "the tests of the command line use more of it")]
mod process;
mod propagation;
mod redis;
#[path = "../servers/mod.rs"]
mod servers;
mod site;
mod start;

use std::io::Write;

/// How often a fault is repeated: in the short version and in the long one.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var("CHANCERY_FAULTS").is_ok_and(|version| version == "long") { long } else { short }
}

/// A figure for whoever runs the tests; the test harness would hold back what is printed.
fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}
