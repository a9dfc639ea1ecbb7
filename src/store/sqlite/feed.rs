//! Revocations and the change feed.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{
    Sqlite,
    apply::Applying,
    columns::{Json, after, integer, natural, rows},
    statements::Statements,
};
use crate::{
    model::*,
    store::{Change, CommitError, FeedPage, FeedPosition, FeedReads, StoreError},
};

#[async_trait]
impl FeedReads for Sqlite {
    async fn feed(&self, seq: u64, limit: usize) -> Result<FeedPage, StoreError> {
        self.read_at_once(|db| {
            let (head, oldest) = head(db)?;
            // Most polls find nothing new, and then one statement was enough.
            let changes = if head.seq > seq { changes(db, seq, limit)? } else { Vec::new() };
            Ok(FeedPage { head, oldest, changes })
        })
    }

    /// Entries past their time that were not swept yet are among them: the store has no clock.
    async fn revocations(
        &self,
        from: Option<(RevocationKind, Id)>,
        limit: usize,
    ) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT kind, id, epoch, client, expires_at FROM revocations
                   WHERE (kind, id) > (?1, ?2) ORDER BY kind, id LIMIT ?3";
        let kind = from.map_or(0, |(kind, _)| kind as u8);
        let id = after(from.map(|(_, id)| id));
        self.read(|db| db.all(sql, params![kind, id, rows(limit)], revocation))
    }

    async fn revocations_of(&self, ids: &[(RevocationKind, Id)]) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT kind, id, epoch, client, expires_at FROM revocations
                   WHERE kind = ?1 AND id = ?2";
        self.read_at_once(|db| {
            let found = ids.iter().map(|(kind, id)| db.one(sql, params![kind, id], revocation));
            found.filter_map(Result::transpose).collect()
        })
    }
}

fn revocation(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation {
        kind: row.get(0)?,
        id: row.get(1)?,
        epoch: row.get(2)?,
        client: row.get(3)?,
        expires_at: row.get(4)?,
    })
}

/// The end of the feed, and the oldest change still kept: the one to come if none is.
fn head(db: Statements<'_>) -> rusqlite::Result<(FeedPosition, u64)> {
    // The sequence outlives the rows, so the head is right even when every change was swept.
    let sql = "SELECT epoch,
                      coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0),
                      (SELECT min(seq) FROM changes)
               FROM feed";
    let head = db.one(sql, [], |row| {
        let (epoch, seq) = (natural(row.get_ref(0)?)?, natural(row.get_ref(1)?)?);
        let oldest: Option<i64> = row.get(2)?;
        Ok((FeedPosition { epoch, seq }, oldest.map_or(seq + 1, i64::unsigned_abs)))
    })?;
    head.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn changes(db: Statements<'_>, seq: u64, limit: usize) -> rusqlite::Result<Vec<(u64, Change)>> {
    let sql = "SELECT seq, body FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    db.all(sql, params![integer(seq), rows(limit)], |row| {
        Ok((natural(row.get_ref(0)?)?, row.get::<_, Json<Change>>(1)?.0))
    })
}

/// Writes a revocation, never weakening one that is there, and tells the other nodes.
pub(super) fn revoke(to: &mut Applying<'_>, revocation: Revocation) -> Result<(), CommitError> {
    let sql = "INSERT INTO revocations (kind, id, epoch, client, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (kind, id) DO UPDATE SET
                   epoch = max(epoch, excluded.epoch),
                   expires_at = max(expires_at, excluded.expires_at)";
    let Revocation { kind, id, epoch, client, expires_at } = revocation;
    to.db.run(sql, params![kind, id, epoch, client, expires_at])?;
    to.tell(Change::revoked(revocation, to.at));
    Ok(())
}

/// Writes the rows of the feed. The write lock is held until COMMIT, so their order is its order.
pub(super) fn append(db: Statements<'_>, at: UnixTime, changes: &[Change]) -> Result<(), CommitError> {
    for change in changes {
        db.run("INSERT INTO changes (at, body) VALUES (?1, ?2)", params![at, Json(change)])?;
    }
    Ok(())
}
