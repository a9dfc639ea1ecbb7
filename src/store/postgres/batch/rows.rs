//! The rows of a batch, by table: one statement for all of a kind, its rows in the order of their keys.
//!
//! Everybody who locks several rows locks them in the order of their keys, so that no two nodes wait
//! for each other. What is only inserted needs no such care, but its rows are sorted too: neighbours
//! in the index are then written together.

use tokio_postgres::types::Type;

use super::super::{
    columns::{Epoch, Json, Natural},
    feed,
    grants::{Granted, is_offline},
    rotations::{issued_now, stands},
    sql::statements,
    statements::{Failure, Param, Statements},
};
use crate::{
    model::*,
    store::{Commit, CommitError, Effect},
};

statements! {
    /// The time is that of the rotations, because it is the same in all statements of a transaction.
    INSERT_ANSWERS = concat!(
        "INSERT INTO retry_answers (issued_us, family, answer) SELECT ", issued_now!(), ", given.*
         FROM unnest($1::uuid[], $2::bytea[]) AS given (family, answer)"
    );
    INSERT_FAMILIES = "INSERT INTO families
                       (id, client, client_epoch, user_id, user_epoch, session, auth_time, refreshable, offline,
                        created_at, expires_at, revoked_at, doc)
                       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[],
                                            $6::uuid[], $7::bigint[], $8::bool[], $9::bool[], $10::bigint[],
                                            $11::bigint[], $12::bigint[], $13::text[])";
    INSERT_CODES = "INSERT INTO codes
                    (id, digest, family, client, redirect_uri, challenge, nonce, created_at, expires_at, spent_by)
                    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                                         $7::text[], $8::bigint[], $9::bigint[], $10::uuid[])";
    INSERT_ROTATIONS = concat!(
        "INSERT INTO rotations (family, generation, digest, issued_us, expires_at, expiry_day)
         SELECT family, generation, digest, at * 1000000, expires_at, expires_at / 86400
         FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[])
             AS this (family, generation, digest, at, expires_at)
         WHERE ", stands!("this.at")
    );
    INSERT_SESSIONS = "INSERT INTO sessions
                       (id, digest, user_id, user_epoch, auth_time, amr, user_agent, seen_at, expires_at)
                       SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::bigint[], $5::bigint[],
                                            $6::text[], $7::text[], $8::bigint[], $9::bigint[])";
    /// A session that ended meanwhile stays ended, and its use never moves back.
    TOUCH_SESSIONS = "WITH held AS (
                          SELECT asked.* FROM unnest($1::uuid[], $2::bigint[]) AS asked (id, seen_at)
                          JOIN sessions AS this USING (id) ORDER BY id FOR NO KEY UPDATE OF this)
                      UPDATE sessions AS this SET seen_at = held.seen_at
                      FROM held WHERE this.id = held.id AND this.seen_at < held.seen_at";
    REVOKE_FAMILIES = "WITH held AS (
                           SELECT asked.* FROM unnest($1::uuid[], $2::bigint[]) AS asked (id, at)
                           JOIN families AS this USING (id)
                           WHERE this.revoked_at IS NULL ORDER BY id FOR NO KEY UPDATE OF this)
                       UPDATE families AS this SET revoked_at = held.at
                       FROM held WHERE this.id = held.id AND this.revoked_at IS NULL";
}

/// Whether there is a set-based statement for an effect. The others look before they write, or tell
/// other nodes what they found.
pub(super) fn is_set_based(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::InsertFamily(_)
            | Effect::InsertCode(_)
            | Effect::InsertRefreshToken { .. }
            | Effect::InsertSession(_)
            | Effect::TouchSession(..)
            | Effect::RevokeFamily { .. }
            | Effect::RevokeToken { .. }
    )
}

/// What the effects of many commits write, by table.
#[derive(Default)]
pub(super) struct Rows<'a> {
    answers: Vec<(FamilyId, &'a [u8])>,
    families: Vec<&'a Family>,
    codes: Vec<&'a Code>,
    tokens: Vec<(&'a RefreshToken, UnixTime, UnixTime)>,
    sessions: Vec<&'a Session>,
    touches: Vec<(SessionId, UnixTime)>,
    revoked_families: Vec<(FamilyId, UnixTime)>,
    revocations: Vec<Revocation>,
}

impl<'a> Rows<'a> {
    /// Keeps the sealed answer of a rotation.
    pub(super) fn answer(&mut self, family: FamilyId, answer: &'a [u8]) {
        self.answers.push((family, answer));
    }

    /// Adds what a commit writes.
    pub(super) fn add(&mut self, commit: &'a Commit) {
        for effect in &commit.effects {
            match effect {
                Effect::InsertFamily(family) => self.families.push(family),
                Effect::InsertCode(code) => self.codes.push(code),
                Effect::InsertRefreshToken { token, expires_at } => {
                    self.tokens.push((token, commit.at, *expires_at));
                }
                Effect::InsertSession(session) => self.sessions.push(session),
                Effect::TouchSession(session, seen_at) => self.touches.push((*session, *seen_at)),
                Effect::RevokeFamily { family, .. } => self.revoked_families.push((*family, commit.at)),
                // See `is_set_based`.
                _ => {}
            }
            self.revocations.extend(revocation(effect));
        }
    }

    /// Writes everything, as one flight of statements.
    pub(super) async fn write(mut self, db: Statements<'_>) -> Result<(), CommitError> {
        self.sort();
        let rows = async {
            tokio::try_join!(
                biased;
                self.revoke_families(db),
                self.touch_sessions(db),
                self.insert_answers(db),
                self.insert_families(db),
                self.insert_codes(db),
                self.insert_sessions(db),
            )
        };
        tokio::try_join!(
            biased;
            async { Box::pin(rows).await.map_err(CommitError::from) },
            self.insert_rotations(db),
            async { feed::write_revocations(db, &self.revocations).await.map_err(CommitError::from) },
        )?;
        Ok(())
    }

    fn sort(&mut self) {
        self.answers.sort_by_key(|(id, ..)| *id);
        self.families.sort_by_key(|family| family.id);
        self.codes.sort_by_key(|code| code.id);
        self.tokens.sort_by_key(|(token, ..)| token.family);
        self.sessions.sort_by_key(|session| session.id);
    }

    async fn insert_answers(&self, db: Statements<'_>) -> Result<(), Failure> {
        let rows = &self.answers;
        if rows.is_empty() {
            return Ok(());
        }
        let (families, answers): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
        let row: &[Param<'_>] = &[(&families, Type::UUID_ARRAY), (&answers, Type::BYTEA_ARRAY)];
        db.run(INSERT_ANSWERS, row).await.map(drop)
    }

    async fn insert_families(&self, db: Statements<'_>) -> Result<(), Failure> {
        let rows = &self.families;
        if rows.is_empty() {
            return Ok(());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |row| row.id), Type::UUID_ARRAY),
            (&column(rows, |row| row.client), Type::UUID_ARRAY),
            (&column(rows, |row| Epoch(row.client_epoch)), Type::INT8_ARRAY),
            (&column(rows, |row| row.user), Type::UUID_ARRAY),
            (&column(rows, |row| Epoch(row.user_epoch)), Type::INT8_ARRAY),
            (&column(rows, |row| row.session), Type::UUID_ARRAY),
            (&column(rows, |row| row.auth_time), Type::INT8_ARRAY),
            (&column(rows, |row| row.refreshable), Type::BOOL_ARRAY),
            (&column(rows, |row| is_offline(row)), Type::BOOL_ARRAY),
            (&column(rows, |row| row.created_at), Type::INT8_ARRAY),
            (&column(rows, |row| row.expires_at), Type::INT8_ARRAY),
            (&column(rows, |row| row.revoked_at), Type::INT8_ARRAY),
            (&column(rows, |row| Json(Granted::by(row))), Type::TEXT_ARRAY),
        ];
        db.run(INSERT_FAMILIES, row).await.map(drop)
    }

    async fn insert_codes(&self, db: Statements<'_>) -> Result<(), Failure> {
        let rows = &self.codes;
        if rows.is_empty() {
            return Ok(());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |row| row.id), Type::UUID_ARRAY),
            (&column(rows, |row| row.digest), Type::BYTEA_ARRAY),
            (&column(rows, |row| row.family), Type::UUID_ARRAY),
            (&column(rows, |row| row.client), Type::UUID_ARRAY),
            (&column(rows, |row| row.redirect_uri.as_str()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.challenge.as_deref()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.nonce.as_deref()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.created_at), Type::INT8_ARRAY),
            (&column(rows, |row| row.expires_at), Type::INT8_ARRAY),
            (&column(rows, |row| row.spent_by), Type::UUID_ARRAY),
        ];
        db.run(INSERT_CODES, row).await.map(drop)
    }

    /// One whose family does not stand is left out: then the batch has failed for what it holds.
    async fn insert_rotations(&self, db: Statements<'_>) -> Result<(), CommitError> {
        let rows = &self.tokens;
        if rows.is_empty() {
            return Ok(());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |(token, ..)| token.family), Type::UUID_ARRAY),
            (&column(rows, |(token, ..)| Natural(token.generation)), Type::INT8_ARRAY),
            (&column(rows, |(token, ..)| token.digest), Type::BYTEA_ARRAY),
            (&column(rows, |(_, at, _)| *at), Type::INT8_ARRAY),
            (&column(rows, |(.., expires_at)| *expires_at), Type::INT8_ARRAY),
        ];
        match db.run(INSERT_ROTATIONS, row).await? == rows.len() as u64 {
            true => Ok(()),
            false => Err(CommitError::Missing("family")),
        }
    }

    async fn insert_sessions(&self, db: Statements<'_>) -> Result<(), Failure> {
        let rows = &self.sessions;
        if rows.is_empty() {
            return Ok(());
        }
        let row: &[Param<'_>] = &[
            (&column(rows, |row| row.id), Type::UUID_ARRAY),
            (&column(rows, |row| row.digest), Type::BYTEA_ARRAY),
            (&column(rows, |row| row.user), Type::UUID_ARRAY),
            (&column(rows, |row| Epoch(row.user_epoch)), Type::INT8_ARRAY),
            (&column(rows, |row| row.auth_time), Type::INT8_ARRAY),
            (&column(rows, |row| Json(&row.amr)), Type::TEXT_ARRAY),
            (&column(rows, |row| row.user_agent.as_str()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.seen_at), Type::INT8_ARRAY),
            (&column(rows, |row| row.expires_at), Type::INT8_ARRAY),
        ];
        db.run(INSERT_SESSIONS, row).await.map(drop)
    }

    async fn touch_sessions(&self, db: Statements<'_>) -> Result<(), Failure> {
        if self.touches.is_empty() {
            return Ok(());
        }
        let (ids, times): (Vec<_>, Vec<_>) = self.touches.iter().copied().unzip();
        let row: &[Param<'_>] = &[(&ids, Type::UUID_ARRAY), (&times, Type::INT8_ARRAY)];
        db.run(TOUCH_SESSIONS, row).await.map(drop)
    }

    async fn revoke_families(&self, db: Statements<'_>) -> Result<(), Failure> {
        if self.revoked_families.is_empty() {
            return Ok(());
        }
        let (ids, times): (Vec<_>, Vec<_>) = self.revoked_families.iter().copied().unzip();
        let row: &[Param<'_>] = &[(&ids, Type::UUID_ARRAY), (&times, Type::INT8_ARRAY)];
        db.run(REVOKE_FAMILIES, row).await.map(drop)
    }
}

/// What an effect revokes, if it revokes one thing.
pub(super) fn revocation(effect: &Effect) -> Option<Revocation> {
    let (kind, id, client, until) = match effect {
        Effect::RevokeFamily { family, client, until } => (RevocationKind::Family, family.0, client, until),
        Effect::RevokeToken { token, client, until } => (RevocationKind::Token, token.0, client, until),
        _ => return None,
    };
    Some(Revocation { kind, id, epoch: 0, client: *client, expires_at: *until })
}

pub(super) fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
