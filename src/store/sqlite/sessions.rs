//! Sign-ins and consents: what belongs to one person.

use std::borrow::Cow;

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{
    apply::Applying,
    columns::Json,
    statements::{Statements, inserted},
};
use crate::{
    model::*,
    store::{Change, CommitError},
};

pub(super) fn by_digest(db: Statements<'_>, digest: &Digest) -> rusqlite::Result<Option<Session>> {
    let sql = "SELECT id, digest, user, user_epoch, auth_time, amr, user_agent, seen_at, expires_at
               FROM sessions WHERE digest = ?1";
    db.one(sql, [digest], session)
}

pub(super) fn by_id(db: Statements<'_>, id: SessionId) -> rusqlite::Result<Option<Session>> {
    let sql = "SELECT id, digest, user, user_epoch, auth_time, amr, user_agent, seen_at, expires_at
               FROM sessions WHERE id = ?1";
    db.one(sql, [id], session)
}

pub(super) fn of_user(db: Statements<'_>, user: UserId) -> rusqlite::Result<Vec<Session>> {
    let sql = "SELECT id, digest, user, user_epoch, auth_time, amr, user_agent, seen_at, expires_at
               FROM sessions WHERE user = ?1 ORDER BY id DESC";
    db.all(sql, [user], session)
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        digest: row.get(1)?,
        user: row.get(2)?,
        user_epoch: row.get(3)?,
        auth_time: row.get(4)?,
        amr: row.get::<_, Json<_>>(5)?.0,
        user_agent: row.get(6)?,
        seen_at: row.get(7)?,
        expires_at: row.get(8)?,
    })
}

pub(super) fn insert(to: &mut Applying<'_>, session: &Session) -> Result<(), CommitError> {
    let sql = "INSERT INTO sessions
               (id, digest, user, user_epoch, auth_time, amr, user_agent, seen_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let row = params![
        session.id,
        session.digest,
        session.user,
        session.user_epoch,
        session.auth_time,
        Json(&session.amr),
        session.user_agent,
        session.seen_at,
        session.expires_at
    ];
    inserted(to.db.run(sql, row), "session")
}

/// A session that ended meanwhile stays ended, and that is no error of the request that touched it.
pub(super) fn touch(to: &mut Applying<'_>, session: SessionId, seen_at: UnixTime) -> Result<(), CommitError> {
    let sql = "UPDATE sessions SET seen_at = ?2 WHERE id = ?1 AND seen_at < ?2";
    to.db.run(sql, params![session, seen_at])?;
    Ok(())
}

pub(super) fn end(to: &mut Applying<'_>, session: SessionId) -> Result<(), CommitError> {
    if to.db.run("DELETE FROM sessions WHERE id = ?1", [session])? > 0 {
        to.tell(Change::Session { id: session });
    }
    Ok(())
}

pub(super) fn end_all(to: &mut Applying<'_>, user: UserId) -> Result<(), CommitError> {
    let ended = to.db.all("DELETE FROM sessions WHERE user = ?1 RETURNING id", [user], |row| row.get(0))?;
    ended.into_iter().for_each(|id| to.tell(Change::Session { id }));
    Ok(())
}

/// What of a consent is never searched for.
#[derive(Serialize, Deserialize)]
struct Agreed<'a> {
    scopes: Cow<'a, Scopes>,
    resources: Cow<'a, [String]>,
}

pub(super) fn consent(
    db: Statements<'_>,
    user: UserId,
    client: ClientKey,
) -> rusqlite::Result<Option<Consent>> {
    let sql = "SELECT id, user, client, created_at, updated_at, doc
               FROM consents WHERE user = ?1 AND client = ?2";
    db.one(sql, params![user, client], read_consent)
}

pub(super) fn consents(db: Statements<'_>, user: UserId) -> rusqlite::Result<Vec<Consent>> {
    let sql = "SELECT id, user, client, created_at, updated_at, doc
               FROM consents WHERE user = ?1 ORDER BY id DESC";
    db.all(sql, [user], read_consent)
}

fn read_consent(row: &Row<'_>) -> rusqlite::Result<Consent> {
    let Json(Agreed { scopes, resources }) = row.get::<_, Json<Agreed<'static>>>(5)?;
    Ok(Consent {
        id: row.get(0)?,
        user: row.get(1)?,
        client: row.get(2)?,
        scopes: scopes.into_owned(),
        resources: resources.into_owned(),
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
    })
}

pub(super) fn put_consent(to: &mut Applying<'_>, given: &Consent) -> Result<(), CommitError> {
    // Nobody else writes meanwhile: this thread holds the write lock.
    let (scopes, mut resources) = match consent(to.db, given.user, given.client)? {
        Some(held) => (held.scopes.union(&given.scopes), held.resources),
        None => (given.scopes.clone(), Vec::new()),
    };
    for resource in &given.resources {
        if !resources.contains(resource) {
            resources.push(resource.clone());
        }
    }
    let sql = "INSERT INTO consents (id, user, client, created_at, updated_at, doc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (user, client)
               DO UPDATE SET doc = excluded.doc, updated_at = excluded.updated_at";
    let doc = Json(Agreed { scopes: Cow::Owned(scopes), resources: Cow::Owned(resources) });
    let row = params![given.id, given.user, given.client, given.created_at, given.updated_at, doc];
    inserted(to.db.run(sql, row), "consent")
}

pub(super) fn delete_consent(
    to: &mut Applying<'_>,
    user: UserId,
    client: ClientKey,
) -> Result<(), CommitError> {
    let sql = "DELETE FROM consents WHERE user = ?1 AND client = ?2";
    if to.db.run(sql, params![user, client])? > 0 {
        to.tell(Change::Consent { user, client });
    }
    Ok(())
}
