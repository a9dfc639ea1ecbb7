//! Maintenance: the sweeper, statistics, and what follows a restored backup.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use rusqlite::params;

use super::{
    Sqlite, backup,
    columns::{integer, rows},
    migrate,
    statements::Statements,
};
use crate::{
    model::*,
    store::{CHANGES_KEPT, RETRY_ANSWER_KEPT, StorageStatistics, StoreError, StoreErrorKind, Swept, Upkeep},
};

/// How often the query planner's statistics are looked after.
const OPTIMIZE_EVERY: u64 = 60 * 60;

#[async_trait]
impl Upkeep for Sqlite {
    async fn probe(&self) -> Result<(), StoreError> {
        // It belongs to no request, so it is not counted.
        let uncounted = AtomicU64::new(0);
        self.readers.read(&uncounted, |db| db.one("SELECT epoch FROM feed", [], |_| Ok(()))).map(drop)
    }

    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Swept, StoreError> {
        let mut swept = Swept::new();
        // Each class in a transaction of its own, so that commits do not wait for all of them.
        for (class, kept, sql) in EXPIRED {
            let sweep = move |db: Statements<'_>| db.run(sql, params![now.minus(kept), rows(limit)]);
            swept.push((class, self.writer.work(sweep).await? as u64));
        }
        let families = self.writer.work(move |db| sweep_families(db, now, limit)).await?;
        swept.push(("families", families as u64));
        let changes = self.writer.work(move |db| sweep_changes(db, now, limit)).await?;
        swept.push(("changes", changes as u64));
        self.optimize(now).await?;
        Ok(swept)
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (source, to) = (self.readers.open()?, to.to_owned());
        aside(move || backup::copy(&source, &to)).await
    }

    async fn restored(&self, now: UnixTime, until: UnixTime) -> Result<(), StoreError> {
        self.writer.work(move |db| restored(db, now, until)).await
    }

    async fn schema_version(&self) -> Result<u32, StoreError> {
        let version = self.read(|db| db.one(migrate::LAST_APPLIED, [], |row| row.get(0)))?;
        Ok(version.unwrap_or_default())
    }

    /// Counts every table, on a thread aside: ask at most once a minute.
    async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
        let (connection, path) = (self.readers.open()?, self.path.clone());
        aside(move || {
            let mut statistics = StorageStatistics::default();
            for (table, sql) in COUNTS {
                let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                statistics.rows.push((table, count.unsigned_abs()));
            }
            for (name, suffix) in [("db", ""), ("wal", "-wal")] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                // Without a log there are no bytes of it.
                let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
                statistics.bytes.push((name, bytes));
            }
            Ok(statistics)
        })
        .await
    }

    /// Dropping the store does the same.
    async fn close(&self) {
        self.writer.close();
        self.readers.close();
    }
}

impl Sqlite {
    async fn optimize(&self, now: UnixTime) -> Result<(), StoreError> {
        let last = UnixTime(self.optimized_at.load(Ordering::Relaxed));
        if now.since(last) < OPTIMIZE_EVERY {
            return Ok(());
        }
        self.optimized_at.store(now.0, Ordering::Relaxed);
        // The first time all tables are looked at, as for a connection that lives long
        // (<https://www.sqlite.org/pragma.html#pragma_optimize>). Not when the store is opened: that would
        // wait for the disk three times before the first answer.
        let sql = if last == UnixTime(0) { "PRAGMA optimize = 0x10002" } else { "PRAGMA optimize" };
        self.writer.work(move |db| db.all(sql, [], |_| Ok(()))).await.map(drop)
    }
}

/// Does slow work where it holds up no request.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::new(StoreErrorKind::Other, error.to_string()))?
}

/// What is simply deleted past its time: class, seconds it is kept beyond, statement. Each finds its
/// rows by an index on their expiry, so that the cost is that of the rows deleted, however many
/// there are. (A spent code is not among them: it goes with its family.)
const EXPIRED: [(&str, u64, &str); 6] = [
    (
        "codes",
        0,
        "DELETE FROM codes WHERE id IN (
             SELECT id FROM codes WHERE spent_by IS NULL AND expires_at <= ?1 LIMIT ?2)",
    ),
    (
        "retry_answers",
        RETRY_ANSWER_KEPT,
        "DELETE FROM retry_answers WHERE (issued_us, family) IN (
             SELECT issued_us, family FROM retry_answers WHERE issued_us < ?1 * 1000000
             ORDER BY issued_us LIMIT ?2)",
    ),
    (
        "rotations",
        0,
        "DELETE FROM rotations WHERE family IN (
             SELECT family FROM rotations WHERE expiry_day < ?1 / 86400 LIMIT ?2)",
    ),
    (
        "sessions",
        0,
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
    ),
    (
        "revocations",
        0,
        "DELETE FROM revocations WHERE (kind, id) IN (
             SELECT kind, id FROM revocations WHERE expires_at <= ?1 LIMIT ?2)",
    ),
    ("spent", 0, "DELETE FROM spent WHERE id IN (SELECT id FROM spent WHERE expires_at <= ?1 LIMIT ?2)"),
];

/// A family goes with its code and its rotation.
fn sweep_families(db: Statements<'_>, now: UnixTime, limit: usize) -> rusqlite::Result<usize> {
    let sql = "SELECT id FROM families WHERE expires_at <= ?1 LIMIT ?2";
    let expired: Vec<FamilyId> = db.all(sql, params![now, rows(limit)], |row| row.get(0))?;
    let mut swept = 0;
    for family in &expired {
        db.run("DELETE FROM rotations WHERE family = ?1", [family])?;
        db.run("DELETE FROM codes WHERE family = ?1", [family])?;
        swept += db.run("DELETE FROM families WHERE id = ?1", [family])?;
    }
    Ok(swept)
}

/// Changes go from the front only, so that "the oldest kept" tells a reader whether it missed any;
/// the newest stays. One that a wrong clock dated far ahead counts as old: whoever has not read it yet
/// loads anew, while waiting for its day would keep all that follow.
fn sweep_changes(db: Statements<'_>, now: UnixTime, limit: usize) -> rusqlite::Result<usize> {
    let sql = "SELECT seq, at FROM changes ORDER BY seq LIMIT ?1";
    let front: Vec<(i64, UnixTime)> = db.all(sql, [rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let kept = now.minus(CHANGES_KEPT)..=now.plus(CHANGES_KEPT);
    let old = front.iter().take_while(|(_, at)| !kept.contains(at)).last();
    let Some((last, _)) = old else { return Ok(0) };
    db.run("DELETE FROM changes WHERE seq <= ?1 AND seq < (SELECT max(seq) FROM changes)", [last])
}

/// Every token issued before is dead, and every node reads everything anew.
fn restored(db: Statements<'_>, now: UnixTime, until: UnixTime) -> rusqlite::Result<()> {
    // Epochs may have been raised since the backup was made, and tokens issued under them, so one
    // more than the backup's would not do. Nobody raises an epoch once a second: the time of day is
    // above every epoch there was.
    let epoch = now.0.min(u32::MAX.into());
    for table in ["users", "clients"] {
        let sql = format!("UPDATE {table} SET epoch = max(epoch + 1, ?1), updated_at = ?2");
        db.run(&sql, params![integer(epoch), now])?;
    }
    for (kind, select) in [
        (RevocationKind::User, "SELECT ?1, id, epoch, zeroblob(16), ?2 FROM users WHERE true"),
        (RevocationKind::Client, "SELECT ?1, key, epoch, key, ?2 FROM clients WHERE true"),
    ] {
        let sql = format!(
            "INSERT INTO revocations (kind, id, epoch, client, expires_at) {select}
             ON CONFLICT (kind, id) DO UPDATE SET
                 epoch = max(epoch, excluded.epoch),
                 expires_at = max(expires_at, excluded.expires_at)"
        );
        db.run(&sql, params![kind, until])?;
    }
    // The same for the feed: a node that runs may know an epoch that the backup does not.
    db.run("UPDATE feed SET epoch = max(epoch + 1, ?1)", [integer(now.0)])?;
    Ok(())
}

/// Rows by table. A covering index is scanned where there is one.
const COUNTS: [(&str, &str); 13] = [
    ("clients", "SELECT count(*) FROM clients"),
    ("resources", "SELECT count(*) FROM resources"),
    ("users", "SELECT count(*) FROM users"),
    ("sessions", "SELECT count(*) FROM sessions"),
    ("consents", "SELECT count(*) FROM consents"),
    ("families", "SELECT count(*) FROM families"),
    ("codes", "SELECT count(*) FROM codes"),
    ("rotations", "SELECT count(*) FROM rotations"),
    ("retry_answers", "SELECT count(*) FROM retry_answers"),
    ("revocations", "SELECT count(*) FROM revocations"),
    ("spent", "SELECT count(*) FROM spent"),
    ("signing_keys", "SELECT count(*) FROM signing_keys"),
    ("changes", "SELECT count(*) FROM changes"),
];

/// The classes of rows that statistics and sweeps speak of.
pub fn row_classes() -> Vec<&'static str> {
    COUNTS.iter().map(|(table, _)| *table).collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn sweeping_never_reads_a_whole_table() {
        let connection = Connection::open_in_memory().expect("a database in memory");
        let schema = include_str!("../../../migrations/sqlite/V1__first.sql");
        connection.execute_batch(schema).expect("the schema");
        for (class, _, sql) in EXPIRED {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
            let steps = plan.query_map([1, 1], |row| row.get::<_, String>(3)).expect("a plan");
            let steps: Vec<_> = steps.collect::<Result<_, _>>().expect("steps");
            let by_key = |step: &String| step.contains("INDEX") || step.contains("PRIMARY KEY");
            assert!(steps.iter().any(by_key), "{class}: {steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{class}: {steps:?}");
        }
    }
}
