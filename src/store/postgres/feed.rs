//! Revocations and the change feed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::{Error, Row, types::Type};

use super::{
    Postgres,
    apply::Applying,
    columns::{Epoch, Json, Natural, rows},
    sql::statements,
    statements::{Failure, Param, Statements},
    timeline::{Timelines, timeline},
};
use crate::{
    model::*,
    store::{Change, CommitError, FeedPage, FeedPosition, FeedReads, StoreError, StoreErrorKind},
};

macro_rules! columns {
    () => {
        "kind, id, epoch, client, expires_at"
    };
}

macro_rules! page {
    () => {
        "feed.epoch, feed.seq, (SELECT min(seq) FROM changes), told.seq, told.body"
    };
}

macro_rules! page_from {
    () => {
        " FROM feed LEFT JOIN LATERAL (
              SELECT seq, body FROM changes WHERE changes.seq > $1 ORDER BY seq LIMIT $2) AS told ON true
          ORDER BY told.seq"
    };
}

statements! {
    /// Head, oldest and changes are of one snapshot, because they are of one statement. A page without
    /// changes is one row. The last column is the timeline.
    FEED = concat!("SELECT ", page!(), ", (SELECT ", timeline!(), ")", page_from!());
    /// The same where the server has no timelines.
    FEED_ALONE = concat!("SELECT ", page!(), page_from!());
    /// The last statement before COMMIT. It holds the feed's row until then, so that the order of
    /// `seq` is the order of commits.
    APPEND = "WITH told AS (
                  SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[])
                  WITH ORDINALITY AS told (at, commit_id, body, place)),
              head AS (
                  UPDATE feed SET seq = seq + cardinality($3) WHERE one = 1
                  RETURNING seq - cardinality($3) AS seq)
              INSERT INTO changes (seq, at, commit_id, body)
              SELECT head.seq + told.place, told.at, told.commit_id, told.body FROM head, told";
    REVOCATIONS = concat!(
        "SELECT ", columns!(), " FROM revocations WHERE (kind, id) > ($1, $2) ORDER BY kind, id LIMIT $3"
    );
    REVOCATIONS_OF = concat!(
        "SELECT ", columns!(), " FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY AS asked (kind, id, place)
         JOIN revocations USING (kind, id) ORDER BY place"
    );
    /// Never weakens one that is there.
    REVOKE = concat!(
        "INSERT INTO revocations AS held (", columns!(), ")
         SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[])
         ON CONFLICT (kind, id) DO UPDATE SET
             epoch = greatest(held.epoch, excluded.epoch),
             expires_at = greatest(held.expires_at, excluded.expires_at)"
    );
}

#[async_trait]
impl FeedReads for Postgres {
    async fn feed(&self, seq: u64, limit: usize) -> Result<FeedPage, StoreError> {
        let row: &[Param<'_>] = &[(&Natural(seq), Type::INT8), (&rows(limit), Type::INT8)];
        let reading = self.replicas.reading_feed();
        let told = match self.connector.timelines() {
            None => self.feed_reads().all(FEED_ALONE, row, told).await?,
            Some(timelines) => {
                let with_timeline = |row: &Row| Ok((row.try_get::<_, i32>(5)?, told(row)?));
                let (of, told): (Vec<_>, Vec<_>) =
                    self.feed_reads().all(FEED, row, with_timeline).await?.into_iter().unzip();
                self.follow(timelines, of.first().copied())?;
                told
            }
        };
        self.readers.reached();
        let page = page(told).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Other, "the table feed is empty: the database is incomplete")
        })?;
        self.replicas.heard(reading, page.head);
        Ok(page)
    }

    /// Entries past their time that were not swept yet are among them: the store has no clock.
    async fn revocations(
        &self,
        from: Option<(RevocationKind, Id)>,
        limit: usize,
    ) -> Result<Vec<Revocation>, StoreError> {
        let kind = from.map_or(0, |(kind, _)| kind as i16);
        let (id, limit) = (from.map(|(_, id)| id).unwrap_or_default(), rows(limit));
        let row: &[Param<'_>] = &[(&kind, Type::INT2), (&id, Type::UUID), (&limit, Type::INT8)];
        Ok(self.feed_reads().all(REVOCATIONS, row, revocation).await?)
    }

    async fn revocations_of(&self, ids: &[(RevocationKind, Id)]) -> Result<Vec<Revocation>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (kinds, ids): (Vec<_>, Vec<_>) = ids.iter().copied().unzip();
        let row: &[Param<'_>] = &[(&kinds, Type::INT2_ARRAY), (&ids, Type::UUID_ARRAY)];
        Ok(self.reads().all(REVOCATIONS_OF, row, revocation).await?)
    }
}

fn revocation(row: &Row) -> Result<Revocation, Error> {
    Ok(Revocation {
        kind: row.try_get(0)?,
        id: row.try_get(1)?,
        epoch: row.try_get::<_, Epoch>(2)?.0,
        client: row.try_get(3)?,
        expires_at: row.try_get(4)?,
    })
}

impl Postgres {
    /// Reads from a primary, or from none if it was replaced.
    fn follow(&self, timelines: &Timelines, timeline: Option<i32>) -> Result<(), StoreError> {
        let heard = timeline.map_or(Ok(()), |timeline| timelines.hear(timeline));
        self.readers.refuse(heard.is_err());
        heard
    }
}

/// One row of [`FEED`]: the head, the oldest change kept, and a change if there is one.
type Told = (FeedPosition, Option<u64>, Option<(u64, Change)>);

fn told(row: &Row) -> Result<Told, Error> {
    let natural = |column| Ok::<_, Error>(row.try_get::<_, Option<Natural>>(column)?.map(|number| number.0));
    let head = FeedPosition { epoch: row.try_get::<_, Natural>(0)?.0, seq: row.try_get::<_, Natural>(1)?.0 };
    let change = match natural(3)? {
        Some(seq) => Some((seq, row.try_get::<_, Json<Change>>(4)?.0)),
        None => None,
    };
    Ok((head, natural(2)?, change))
}

fn page(rows: Vec<Told>) -> Option<FeedPage> {
    let (head, oldest) = rows.first().map(|(head, oldest, ..)| (*head, *oldest))?;
    let changes = rows.into_iter().filter_map(|(.., change)| change).collect();
    // When every change was swept, the oldest is the one to come.
    Some(FeedPage { head, oldest: oldest.unwrap_or(head.seq + 1), changes })
}

/// Writes revocations, never weakening one that is there, and tells the other nodes. They are
/// written in the order of their keys, as everybody does, so that no two commits wait for each other.
pub(super) async fn revoke(to: &mut Applying<'_>, mut all: Vec<Revocation>) -> Result<(), CommitError> {
    all.sort_by_key(|entry| (entry.kind, entry.id));
    write_revocations(to.db, &all).await?;
    for entry in all {
        to.tell(Change::revoked(entry, to.at));
    }
    Ok(())
}

/// Writes revocations in one statement. One that is named twice is written once, at its strongest.
pub(super) async fn write_revocations(db: Statements<'_>, all: &[Revocation]) -> Result<(), Failure> {
    let mut entries = BTreeMap::new();
    for entry in all {
        let held = entries.entry((entry.kind, entry.id)).or_insert(*entry);
        held.epoch = held.epoch.max(entry.epoch);
        held.expires_at = held.expires_at.max(entry.expires_at);
    }
    if entries.is_empty() {
        return Ok(());
    }
    let column = entries.values();
    let kinds: Vec<_> = column.clone().map(|entry| entry.kind).collect();
    let ids: Vec<_> = column.clone().map(|entry| entry.id).collect();
    let epochs: Vec<_> = column.clone().map(|entry| Epoch(entry.epoch)).collect();
    let clients: Vec<_> = column.clone().map(|entry| entry.client).collect();
    let times: Vec<_> = column.map(|entry| entry.expires_at).collect();
    let row: &[Param<'_>] = &[
        (&kinds, Type::INT2_ARRAY),
        (&ids, Type::UUID_ARRAY),
        (&epochs, Type::INT8_ARRAY),
        (&clients, Type::UUID_ARRAY),
        (&times, Type::INT8_ARRAY),
    ];
    db.run(REVOKE, row).await?;
    Ok(())
}

/// A change on its way into the feed: when it was decided, by which commit.
pub(super) type Telling<'a> = (UnixTime, CommitId, &'a Change);

/// Writes the rows of the feed. Nothing may follow but COMMIT: everybody who has something to tell
/// waits for this one.
pub(super) async fn append(db: Statements<'_>, changes: &[Telling<'_>]) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let times: Vec<_> = changes.iter().map(|(at, ..)| *at).collect();
    let commits: Vec<_> = changes.iter().map(|(_, commit, _)| *commit).collect();
    let bodies: Vec<_> = changes.iter().map(|(.., change)| Json(*change)).collect();
    let row: &[Param<'_>] =
        &[(&times, Type::INT8_ARRAY), (&commits, Type::UUID_ARRAY), (&bodies, Type::TEXT_ARRAY)];
    db.run(APPEND, row).await?;
    Ok(())
}
