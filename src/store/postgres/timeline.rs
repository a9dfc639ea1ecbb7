//! Which history a primary has. Every promotion of a standby begins a new timeline. An old primary that
//! comes back does not know what was revoked meanwhile, and an address may lead to it for a while: it is
//! neither read from nor written to.
//!
//! Each new connection says its timeline, and so does each reading of the feed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio_postgres::{Client, Error};

use super::sql::statements;
use crate::store::{StoreError, StoreErrorKind};

/// The first eight digits of a WAL file's name; 0 in a standby.
macro_rules! timeline {
    () => {
        "CASE WHEN pg_is_in_recovery() THEN 0
              ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END"
    };
}

pub(super) use timeline;

statements! {
    TIMELINE = concat!("SELECT ", timeline!());
}

/// The newest timeline anybody has seen.
pub(super) struct Timelines {
    newest: Mutex<Newest>,
}

#[derive(Clone, Copy)]
struct Newest {
    timeline: i32,
    since: Instant,
}

impl Timelines {
    /// Begins with the timeline of a connection. `None`: the server, whose protocol is that of Postgres,
    /// knows nothing of timelines.
    pub(super) async fn of(client: &Client) -> Result<Option<Self>, StoreError> {
        match ask(client).await {
            Ok(timeline) => Ok(Some(Self::from(timeline))),
            Err(error) if error.as_db_error().is_some() => {
                tracing::info!(
                    error = %StoreError::from(error),
                    "the server reports no timeline id; a former primary that comes back cannot be detected"
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn from(timeline: i32) -> Self {
        Self { newest: Mutex::new(Newest { timeline, since: Instant::now() }) }
    }

    /// Refuses a connection to a primary that was replaced since.
    pub(super) async fn check(&self, client: &Client) -> Result<(), StoreError> {
        self.hear(ask(client).await?)
    }

    /// Refuses a timeline that is not the newest.
    pub(super) fn hear(&self, timeline: i32) -> Result<(), StoreError> {
        let mut newest = self.newest();
        if timeline > newest.timeline {
            *newest = Newest { timeline, since: Instant::now() };
        }
        let newest = newest.timeline;
        if timeline == newest {
            return Ok(());
        }
        let message = format!("this Postgres is on timeline {timeline}, but was replaced by one on {newest}");
        Err(StoreError::new(StoreErrorKind::Connection, message))
    }

    /// Whether a connection may be one to a primary that was replaced since it was made.
    pub(super) fn is_past(&self, made: Instant) -> bool {
        made < self.newest().since
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(client: &Client) -> Result<i32, Error> {
    client.query_typed(TIMELINE, &[]).await?.first().map_or(Ok(0), |row| row.try_get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_that_was_replaced_is_refused_and_so_are_connections_from_before() {
        let timelines = Timelines::from(1);
        let before = Instant::now();
        timelines.hear(1).expect("it is the newest");
        assert!(!timelines.is_past(before));
        timelines.hear(2).expect("a standby was promoted");
        assert!(timelines.is_past(before));
        assert!(!timelines.is_past(Instant::now()));
        for old in [0, 1] {
            let error = timelines.hear(old).expect_err("it was replaced");
            assert_eq!(error.kind, StoreErrorKind::Connection);
        }
        timelines.hear(2).expect("it is still the newest");
    }
}
