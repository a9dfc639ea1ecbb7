//! Maintenance: the sweeper, statistics, and what follows a restored backup. It has connections of its
//! own, so that it cannot take those of requests, and any number of nodes may do it at once.

use std::path::Path;

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    Lane, Postgres, backup,
    columns::{Natural, rows},
    sql::statements,
    statements::{Failure, Param, Statements},
};
use crate::{
    model::*,
    store::{CHANGES_KEPT, RETRY_ANSWER_KEPT, StorageStatistics, StoreError, StoreErrorKind, Swept, Upkeep},
};

// Each sweep finds its rows by an index on their expiry and deletes them by key, so that its cost is
// that of the rows deleted, however many there are. ANY (ARRAY(…)) and not IN: the look is done
// once, and the planner cannot take its unknown LIMIT for a reason to read the whole table. What
// another node or a request holds is left for the next time.
statements! {
    PROBE = "SELECT epoch, pg_is_in_recovery() FROM feed";
    SCHEMA_VERSION = "SELECT max(version) FROM refinery_schema_history";
    /// A spent code is not among them: it goes with its family.
    SWEEP_CODES = "DELETE FROM codes WHERE id = ANY (ARRAY(
                       SELECT id FROM codes WHERE spent_by IS NULL AND expires_at <= $1
                       ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    /// They were dated by this server, so no node's clock alone can make them old. Those of a batch have the
    /// same time, so just the rows that are locked are deleted: another node may hold the others of that time.
    /// They are never updated, so a row's place stays.
    SWEEP_RETRY_ANSWERS = "DELETE FROM retry_answers WHERE ctid = ANY (ARRAY(
                               SELECT ctid FROM retry_answers
                               WHERE issued_us < least($1, extract(epoch FROM now())::bigint - 60) * 1000000
                               ORDER BY issued_us LIMIT $2 FOR UPDATE SKIP LOCKED))";
    /// Those whose last day is over.
    SWEEP_ROTATIONS = "DELETE FROM rotations WHERE family = ANY (ARRAY(
                           SELECT family FROM rotations WHERE expiry_day < $1 / 86400
                           ORDER BY expiry_day LIMIT $2 FOR UPDATE SKIP LOCKED))";
    SWEEP_SESSIONS = "DELETE FROM sessions WHERE id = ANY (ARRAY(
                          SELECT id FROM sessions WHERE expires_at <= $1
                          ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    /// The key begins with the kind. An id is of one kind only; were it of two, both would still have
    /// to be expired.
    SWEEP_REVOCATIONS = "DELETE FROM revocations
                         WHERE kind = ANY ('{1,2,3,4}'::smallint[]) AND expires_at <= $1 AND id = ANY (ARRAY(
                             SELECT id FROM revocations WHERE expires_at <= $1
                             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    SWEEP_SPENT = "DELETE FROM spent WHERE id = ANY (ARRAY(
                       SELECT id FROM spent WHERE expires_at <= $1
                       ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    EXPIRED_FAMILIES = "SELECT id FROM families WHERE expires_at <= $1
                        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED";
    SWEEP_ROTATIONS_OF = "DELETE FROM rotations WHERE family = ANY ($1::uuid[])";
    SWEEP_FAMILIES = "DELETE FROM families WHERE id = ANY ($1::uuid[])";
    SWEEP_CODES_OF = "DELETE FROM codes WHERE family = ANY ($1::uuid[])";
    /// From the front only, so that \"the oldest kept\" tells a reader whether it missed any, up to the
    /// first that is to be kept; the newest stays.
    SWEEP_CHANGES = "DELETE FROM changes WHERE seq = ANY (ARRAY(
                         SELECT seq FROM (
                             SELECT seq, bool_or(at BETWEEN $1 AND $2) OVER (ORDER BY seq) AS kept
                             FROM (SELECT seq, at FROM changes ORDER BY seq LIMIT $3) AS front) AS old
                         WHERE NOT kept AND seq < (SELECT max(seq) FROM changes)))";
    /// What the server knows of its tables without reading them. The estimate is -1 for one that was
    /// never analyzed.
    SIZES = "SELECT asked.class, pg_class.reltuples::bigint, pg_relation_size(pg_class.oid),
                    pg_total_relation_size(pg_class.oid)
             FROM unnest($1::text[]) AS asked (class)
             JOIN pg_class ON pg_class.oid = to_regclass(asked.class)::oid";
    DATABASE_SIZE = "SELECT pg_database_size(current_database())";
}

#[async_trait]
impl Upkeep for Postgres {
    /// A standby answers reads too, but it is not what a node needs.
    async fn probe(&self) -> Result<(), StoreError> {
        let standby = self.reads().one(PROBE, &[], |row| row.try_get(1)).await?;
        match standby {
            Some(false) => Ok(()),
            Some(true) => {
                Err(StoreError::new(StoreErrorKind::Connection, "the database is a read-only standby"))
            }
            None => Err(StoreError::new(
                StoreErrorKind::Other,
                "the table feed is empty: the database is incomplete",
            )),
        }
    }

    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Swept, StoreError> {
        let mut swept = Swept::new();
        // Each class in a transaction of its own, so that what it holds is let go soon.
        for (class, kept, sql) in EXPIRED {
            let row: &[Param<'_>] = &[(&now.minus(kept), Type::INT8), (&rows(limit), Type::INT8)];
            let transaction = self.begin(Lane::Upkeep).await?;
            swept.push((class, transaction.statements().run(sql, row).await?));
            transaction.commit().await?;
        }
        let transaction = self.begin(Lane::Upkeep).await?;
        swept.push(("families", sweep_families(transaction.statements(), now, limit).await?));
        transaction.commit().await?;
        let transaction = self.begin(Lane::Upkeep).await?;
        swept.push(("changes", sweep_changes(transaction.statements(), now, limit).await?));
        transaction.commit().await?;
        Ok(swept)
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        Err(backup::refusal(to))
    }

    async fn restored(&self, now: UnixTime, until: UnixTime) -> Result<(), StoreError> {
        let transaction = self.begin(Lane::Upkeep).await?;
        restored(transaction.statements(), now, until).await?;
        Ok(transaction.commit().await?)
    }

    async fn schema_version(&self) -> Result<u32, StoreError> {
        let version = self.reads().one(SCHEMA_VERSION, &[], |row| row.try_get::<_, Option<i32>>(0)).await?;
        let version = version.flatten();
        Ok(version.and_then(|version| u32::try_from(version).ok()).unwrap_or_default())
    }

    /// A large table is not counted: what the server's own statistics say of it costs nothing, and is
    /// a few per cent off at most. A large one that was never analyzed is left out.
    async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
        let transaction = self.begin(Lane::Upkeep).await?;
        let statistics = statistics(transaction.statements()).await?;
        transaction.commit().await?;
        Ok(statistics)
    }

    async fn close(&self) {
        self.shut().await;
    }
}

/// A family goes with its code and its rotation.
async fn sweep_families(db: Statements<'_>, now: UnixTime, limit: usize) -> Result<u64, Failure> {
    let row: &[Param<'_>] = &[(&now, Type::INT8), (&rows(limit), Type::INT8)];
    let expired: Vec<FamilyId> = db.all(EXPIRED_FAMILIES, row, |row| row.try_get(0)).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    let expired: &[Param<'_>] = &[(&expired, Type::UUID_ARRAY)];
    db.run(SWEEP_ROTATIONS_OF, expired).await?;
    db.run(SWEEP_CODES_OF, expired).await?;
    db.run(SWEEP_FAMILIES, expired).await
}

/// A change that a wrong clock dated far ahead counts as old: whoever has not read it yet loads anew,
/// while waiting for its day would keep all that follow.
async fn sweep_changes(db: Statements<'_>, now: UnixTime, limit: usize) -> Result<u64, Failure> {
    let (from, to) = (now.minus(CHANGES_KEPT), now.plus(CHANGES_KEPT));
    db.run(SWEEP_CHANGES, &[(&from, Type::INT8), (&to, Type::INT8), (&rows(limit), Type::INT8)]).await
}

/// Every token issued before is dead, and every node reads everything anew.
async fn restored(db: Statements<'_>, now: UnixTime, until: UnixTime) -> Result<(), Failure> {
    db.run(whole::NO_TIMEOUT, &[]).await?;
    // Epochs may have been raised since the backup was made, and tokens issued under them, so one
    // more than the backup's would not do. Nobody raises an epoch once a second: the time of day is
    // above every epoch there was.
    let epoch = Natural(now.0.min(u32::MAX.into()));
    for raise in [whole::RAISE_USERS, whole::RAISE_CLIENTS] {
        db.run(raise, &[(&epoch, Type::INT8), (&now, Type::INT8)]).await?;
    }
    for (revoke, kind) in
        [(whole::REVOKE_USERS, RevocationKind::User), (whole::REVOKE_CLIENTS, RevocationKind::Client)]
    {
        db.run(revoke, &[(&kind, Type::INT2), (&until, Type::INT8)]).await?;
    }
    // The same for the feed: a node that runs may know an epoch that the backup does not.
    db.run(whole::RAISE_FEED, &[(&Natural(now.0), Type::INT8)]).await?;
    Ok(())
}

async fn statistics(db: Statements<'_>) -> Result<StorageStatistics, Failure> {
    let size = db.one(DATABASE_SIZE, &[], |row| row.try_get::<_, Natural>(0)).await?;
    let mut statistics = StorageStatistics::default();
    statistics.bytes.extend(size.map(|Natural(bytes)| ("db", bytes)));
    let classes = row_classes();
    let size = |row: &Row| {
        let (estimate, own, all): (i64, Natural, Natural) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok((row.try_get::<_, String>(0)?, estimate, own.0, all.0))
    };
    let sizes = db.all(SIZES, &[(&classes, Type::TEXT_ARRAY)], size).await?;
    for (class, count) in COUNTS {
        let Some((_, estimate, own, all)) = sizes.iter().find(|(name, ..)| name == class) else { continue };
        statistics.class_bytes.push((class, *all));
        if *own < SMALL {
            let rows = db.one(count, &[], |row| row.try_get::<_, Natural>(0)).await?;
            statistics.rows.extend(rows.map(|Natural(rows)| (class, rows)));
        } else if let Ok(rows) = u64::try_from(*estimate) {
            statistics.rows.push((class, rows));
        }
    }
    Ok(statistics)
}

/// Statements that read whole tables on purpose: small ones, or with no server running.
mod whole {
    pub(super) const CLIENTS: &str = "SELECT count(*) FROM clients";
    pub(super) const RESOURCES: &str = "SELECT count(*) FROM resources";
    pub(super) const USERS: &str = "SELECT count(*) FROM users";
    pub(super) const SESSIONS: &str = "SELECT count(*) FROM sessions";
    pub(super) const CONSENTS: &str = "SELECT count(*) FROM consents";
    pub(super) const FAMILIES: &str = "SELECT count(*) FROM families";
    pub(super) const CODES: &str = "SELECT count(*) FROM codes";
    pub(super) const ROTATIONS: &str = "SELECT count(*) FROM rotations";
    pub(super) const RETRY_ANSWERS: &str = "SELECT count(*) FROM retry_answers";
    pub(super) const REVOCATIONS: &str = "SELECT count(*) FROM revocations";
    pub(super) const SPENT: &str = "SELECT count(*) FROM spent";
    pub(super) const SIGNING_KEYS: &str = "SELECT count(*) FROM signing_keys";
    pub(super) const CHANGES: &str = "SELECT count(*) FROM changes";
    /// It takes as long as it takes.
    pub(super) const NO_TIMEOUT: &str = "SET LOCAL statement_timeout = 0";
    pub(super) const RAISE_USERS: &str = "UPDATE users SET epoch = greatest(epoch + 1, $1), updated_at = $2";
    pub(super) const RAISE_CLIENTS: &str =
        "UPDATE clients SET epoch = greatest(epoch + 1, $1), updated_at = $2";
    pub(super) const REVOKE_USERS: &str =
        "INSERT INTO revocations AS held (kind, id, epoch, client, expires_at)
                        SELECT $1, id, epoch, '00000000-0000-0000-0000-000000000000'::uuid, $2 FROM users
                        ON CONFLICT (kind, id) DO UPDATE SET
                            epoch = greatest(held.epoch, excluded.epoch),
                            expires_at = greatest(held.expires_at, excluded.expires_at)";
    pub(super) const REVOKE_CLIENTS: &str =
        "INSERT INTO revocations AS held (kind, id, epoch, client, expires_at)
                          SELECT $1, key, epoch, key, $2 FROM clients
                          ON CONFLICT (kind, id) DO UPDATE SET
                              epoch = greatest(held.epoch, excluded.epoch),
                              expires_at = greatest(held.expires_at, excluded.expires_at)";
    pub(super) const RAISE_FEED: &str = "UPDATE feed SET epoch = greatest(epoch + 1, $1)";
}

/// What is simply deleted past its time: class, seconds it is kept beyond, statement.
const EXPIRED: [(&str, u64, &str); 6] = [
    ("codes", 0, SWEEP_CODES),
    ("retry_answers", RETRY_ANSWER_KEPT, SWEEP_RETRY_ANSWERS),
    ("rotations", 0, SWEEP_ROTATIONS),
    ("sessions", 0, SWEEP_SESSIONS),
    ("revocations", 0, SWEEP_REVOCATIONS),
    ("spent", 0, SWEEP_SPENT),
];

/// The tables, and how each is counted while it is small.
const COUNTS: [(&str, &str); 13] = [
    ("clients", whole::CLIENTS),
    ("resources", whole::RESOURCES),
    ("users", whole::USERS),
    ("sessions", whole::SESSIONS),
    ("consents", whole::CONSENTS),
    ("families", whole::FAMILIES),
    ("codes", whole::CODES),
    ("rotations", whole::ROTATIONS),
    ("retry_answers", whole::RETRY_ANSWERS),
    ("revocations", whole::REVOCATIONS),
    ("spent", whole::SPENT),
    ("signing_keys", whole::SIGNING_KEYS),
    ("changes", whole::CHANGES),
];

/// A table with fewer bytes than this is counted, which takes a few milliseconds.
const SMALL: u64 = 8 * 1024 * 1024;

/// The classes of rows that statistics and sweeps speak of.
pub fn row_classes() -> Vec<&'static str> {
    COUNTS.iter().map(|(table, _)| *table).collect()
}
