//! Advisory locks: one migration at a time. The server drops them when their connection ends,
//! however it ends.

use tokio_postgres::{Client, Error};

/// The number of the lock, which whoever shares the database must not use: "Chancery".
const MIGRATING: i64 = i64::from_be_bytes(*b"Chancery");

/// Waits until no other node migrates. The lock belongs to the session, so the connection must not
/// go through a PgBouncer.
pub(super) async fn for_migrating(client: &Client) -> Result<(), Error> {
    client.query_one("SELECT pg_advisory_lock($1)", &[&MIGRATING]).await.map(drop)
}

/// Lets the next one in.
pub(super) async fn release(client: &Client) -> Result<(), Error> {
    client.query_one("SELECT pg_advisory_unlock($1)", &[&MIGRATING]).await.map(drop)
}
