//! Metrics, dashboards and alerts, on live servers: a Prometheus scrapes nodes under a load of every kind of
//! event, every panel shows what can be true and agrees with what was done, and a fault reaches a person.

mod alerting;
mod boards;
mod driver;
mod events;
mod live;
mod names;
mod panels;
#[path = "../cli/process.rs"]
#[allow(dead_code, reason = "the tests of the command line use more of it")]
mod process;
mod rules;
mod schema;
#[path = "../servers/mod.rs"]
mod servers;
mod truth;

use std::io::Write;

/// A figure for whoever runs the tests; the test harness would hold back what is printed.
fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[test]
fn counters_are_what_was_done_and_panels_show_them_within_one_percent() {
    let faults = &live::found().truth;
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
