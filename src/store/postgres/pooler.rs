//! Finding out beforehand whether something between this node and Postgres mixes up prepared statements:
//! PgBouncer in transaction mode did before 1.21 (<https://www.pgbouncer.org/features.html>).

use tokio::time::timeout;

use super::{OpenError, Options, connect::PostgresConnector, connector, url::Role};
use crate::store::StoreError;

/// Tries whether what is prepared in one transaction is there in the next; changes nothing.
pub async fn try_prepared(options: &Options) -> Result<(), OpenError> {
    if !options.prepared {
        return Ok(());
    }
    let connector = connector(("store", Role::Primary), &options.url, options)?;
    match timeout(3 * options.acquire_timeout, try_twice(&connector)).await {
        Ok(tried) => tried.map_err(|error| OpenError::connect(connector.place(), error)),
        // A pooler that has one connection for all lets the second transaction wait. It mixes up nothing.
        Err(_) => Ok(()),
    }
}

/// Two connections of ours hold one of the pooler's each, and give them back in both orders: whether it
/// lends the one that came back first or last, the first of ours gets the other's in one of the rounds.
async fn try_twice(connector: &PostgresConnector) -> Result<(), StoreError> {
    let (one, other) = (connector.connection().await?, connector.connection().await?);
    for round in [[&one, &other], [&other, &one]] {
        for connection in round {
            connection.batch_execute("BEGIN").await?;
        }
        let prepared = one.prepare("SELECT 1").await?;
        for connection in round {
            connection.batch_execute("COMMIT").await?;
        }
        one.batch_execute("BEGIN").await?;
        one.query(&prepared, &[]).await?;
        one.batch_execute("COMMIT").await?;
    }
    Ok(())
}
