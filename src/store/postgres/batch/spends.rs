//! What a batch spends: one statement for each kind, and who was first is known by the commit's id.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Error, Row, types::Type};

use super::{
    super::{
        columns::Natural,
        rotations::{issued_now, stands},
        sql::statements,
        statements::{Failure, Param, Statements},
    },
    rows::{Rows, column},
};
use crate::{
    model::*,
    store::{Commit, CommitError, Spend},
};

statements! {
    /// The rows are locked in the order of their keys before any of them is written. Whoever waited for
    /// another node's commit looks again, and finds the code spent.
    SPEND_CODES = "WITH held AS (
                       SELECT asked.* FROM unnest($1::uuid[], $2::uuid[]) AS asked (id, by)
                       JOIN codes AS this USING (id)
                       WHERE this.spent_by IS NULL ORDER BY id FOR NO KEY UPDATE OF this)
                   UPDATE codes AS this SET spent_by = held.by
                   FROM held WHERE this.id = held.id AND this.spent_by IS NULL
                   RETURNING this.spent_by";
    ROTATE = concat!(
        "WITH held AS (
             SELECT asked.*
             FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bytea[],
                         $7::uuid[], $8::bigint[])
                 AS asked (family, generation, digest, successor, expires_at, request, by, at)
             JOIN rotations AS this USING (family)
             WHERE this.generation = asked.generation AND this.digest = asked.digest
               AND this.expires_at > asked.at AND ", stands!("asked.at"), "
             ORDER BY family FOR NO KEY UPDATE OF this)
         UPDATE rotations AS this
         SET generation = held.generation + 1, previous = held.digest, digest = held.successor,
             issued_us = ", issued_now!(), ", expires_at = held.expires_at,
             expiry_day = held.expires_at / 86400, retry_request = held.request, rotated_by = held.by
         FROM held
         WHERE this.family = held.family AND this.generation = held.generation AND this.digest = held.digest
         RETURNING this.rotated_by"
    );
    SPEND_ONCE = "INSERT INTO spent (id, spent_by, expires_at)
                  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
                  ON CONFLICT DO NOTHING RETURNING spent_by";
    CODES_THERE = "SELECT id FROM codes WHERE id = ANY ($1::uuid[])";
    ROTATIONS_THERE = "SELECT family FROM rotations WHERE family = ANY ($1::uuid[])";
}

/// A token that is rotated: the commit, and what is written into the family's row.
struct Rotated<'a> {
    token: &'a RefreshToken,
    by: CommitId,
    at: UnixTime,
    successor: &'a Digest,
    expires_at: UnixTime,
    request: &'a Digest,
    answer: Option<&'a [u8]>,
}

/// What the commits of a batch spend, in the order of the keys.
#[derive(Default)]
pub(super) struct Spends<'a> {
    codes: Vec<(RowId, CommitId)>,
    rotations: Vec<Rotated<'a>>,
    once: Vec<(Id, CommitId, UnixTime)>,
}

impl<'a> Spends<'a> {
    pub(super) fn of(batch: &'a [Commit]) -> Self {
        let mut spends = Self::default();
        for commit in batch {
            match &commit.spend {
                Some(Spend::Code(id)) => spends.codes.push((*id, commit.id)),
                Some(Spend::Refresh { token, successor, expires_at, retry_request, retry_answer }) => {
                    spends.rotations.push(Rotated {
                        token,
                        by: commit.id,
                        at: commit.at,
                        successor,
                        expires_at: *expires_at,
                        request: retry_request,
                        answer: retry_answer.as_deref(),
                    });
                }
                Some(Spend::Once { id, expires_at }) => spends.once.push((*id, commit.id, *expires_at)),
                None => {}
            }
        }
        spends.codes.sort_unstable();
        spends.rotations.sort_unstable_by_key(|rotated| rotated.token.family);
        spends.once.sort_unstable();
        spends
    }

    /// Spends what is not spent yet; which commits were first, each of its own.
    pub(super) async fn spend(&self, db: Statements<'_>) -> Result<HashSet<CommitId>, Failure> {
        let (codes, rotated, once) = tokio::try_join!(self.redeem(db), self.rotate(db), self.spend_once(db))?;
        Ok(codes.into_iter().chain(rotated).chain(once).collect())
    }

    async fn redeem(&self, db: Statements<'_>) -> Result<Vec<CommitId>, Failure> {
        if self.codes.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, by): (Vec<_>, Vec<_>) = self.codes.iter().copied().unzip();
        let row: &[Param<'_>] = &[(&ids, Type::UUID_ARRAY), (&by, Type::UUID_ARRAY)];
        db.all(SPEND_CODES, row, first::<CommitId>).await
    }

    async fn rotate(&self, db: Statements<'_>) -> Result<Vec<CommitId>, Failure> {
        let rows = &self.rotations;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |row| row.token.family), Type::UUID_ARRAY),
            (&column(rows, |row| Natural(row.token.generation)), Type::INT8_ARRAY),
            (&column(rows, |row| row.token.digest), Type::BYTEA_ARRAY),
            (&column(rows, |row| *row.successor), Type::BYTEA_ARRAY),
            (&column(rows, |row| row.expires_at), Type::INT8_ARRAY),
            (&column(rows, |row| *row.request), Type::BYTEA_ARRAY),
            (&column(rows, |row| row.by), Type::UUID_ARRAY),
            (&column(rows, |row| row.at), Type::INT8_ARRAY),
        ];
        db.all(ROTATE, row, first::<CommitId>).await
    }

    async fn spend_once(&self, db: Statements<'_>) -> Result<Vec<CommitId>, Failure> {
        let rows = &self.once;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |(id, ..)| *id), Type::UUID_ARRAY),
            (&column(rows, |(_, by, _)| *by), Type::UUID_ARRAY),
            (&column(rows, |(.., until)| *until), Type::INT8_ARRAY),
        ];
        db.all(SPEND_ONCE, row, first::<CommitId>).await
    }

    /// Adds the sealed answers of the rotations that were first to what the batch writes.
    pub(super) fn answers(&self, won: &HashSet<CommitId>, rows: &mut Rows<'a>) {
        for rotated in self.rotations.iter().filter(|rotated| won.contains(&rotated.by)) {
            if let Some(answer) = rotated.answer {
                rows.answer(rotated.token.family, answer);
            }
        }
    }

    /// What those are told who were not first: their row was spent by another commit, or never was.
    pub(super) async fn lost(
        &self,
        won: &HashSet<CommitId>,
        db: Statements<'_>,
    ) -> Result<HashMap<CommitId, CommitError>, Failure> {
        let codes = self.codes.iter().map(|(code, by)| (code.0, *by));
        let codes = codes.filter(|(_, by)| !won.contains(by)).collect();
        let tokens = self.rotations.iter().map(|rotated| (rotated.token.family.0, rotated.by));
        let tokens = tokens.filter(|(_, by)| !won.contains(by)).collect();
        let once = self.once.iter().filter(|(_, by, _)| !won.contains(by));
        let mut lost: HashMap<_, _> = once.map(|(_, by, _)| (*by, CommitError::AlreadySpent)).collect();
        let (codes, tokens) = tokio::try_join!(
            told(db, CODES_THERE, "code", codes),
            told(db, ROTATIONS_THERE, "refresh token", tokens),
        )?;
        lost.extend(codes);
        lost.extend(tokens);
        Ok(lost)
    }
}

/// Tells rows that somebody else has spent from those that do not exist.
async fn told(
    db: Statements<'_>,
    there: &'static str,
    what: &'static str,
    lost: Vec<(Id, CommitId)>,
) -> Result<Vec<(CommitId, CommitError)>, Failure> {
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let ids = column(&lost, |(id, _)| *id);
    let found: HashSet<Id> = db.all(there, &[(&ids, Type::UUID_ARRAY)], first).await?.into_iter().collect();
    let error = |id| match found.contains(&id) {
        true => CommitError::AlreadySpent,
        false => CommitError::Missing(what),
    };
    Ok(lost.into_iter().map(|(id, by)| (by, error(id))).collect())
}

fn first<T: for<'a> tokio_postgres::types::FromSql<'a>>(row: &Row) -> Result<T, Error> {
    row.try_get(0)
}
