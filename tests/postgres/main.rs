//! Postgres as the tests' machine runs it: connections, pools, TLS, migrations, replicas.

#[path = "../store/fixtures.rs"]
#[allow(dead_code, reason = "made for the conformance suite")]
mod fixtures;
#[path = "../servers/mod.rs"]
mod servers;

mod bouncer;
mod connections;
mod leashes;
mod migrations;
mod replicas;
mod tls;
