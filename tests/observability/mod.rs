//! Metrics, dashboards and alerts, on live servers: a Prometheus scrapes nodes under a load of every kind of
//! event, every panel shows what can be true and agrees with what was done, and a fault reaches a person.

mod alerting;
mod boards;
mod driver;
mod events;
mod live;
mod names;
mod panels;
mod rules;
mod schema;
mod truth;

#[test]
fn counters_are_what_was_done_and_panels_show_them_within_one_percent() {
    let faults = &live::found().truth;
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
