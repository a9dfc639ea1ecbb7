//! Postgres as the tests' machine runs it: connections, pools, TLS, migrations, replicas.

mod bouncer;
mod connections;
mod leashes;
mod migrations;
mod replicas;
mod tls;
