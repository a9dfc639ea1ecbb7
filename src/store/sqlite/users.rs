//! People: their names, passwords and epochs, and the reads of their sign-ins and consents.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{
    Sqlite,
    apply::Applying,
    columns::{Json, after, rows},
    feed, grants, sessions,
    statements::inserted,
};
use crate::{
    model::*,
    store::{Change, CommitError, StoreError, Users},
};

#[async_trait]
impl Users for Sqlite {
    async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, StoreError> {
        let sql = "SELECT id, username, password, enabled, epoch, created_at, updated_at, doc
                   FROM users WHERE id = ?1";
        self.read(|db| db.one(sql, [id], |row| user(row).map(Arc::new)))
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
        let sql = "SELECT id, username, password, enabled, epoch, created_at, updated_at, doc
                   FROM users WHERE username = ?1";
        self.read(|db| db.one(sql, [username], user))
    }

    async fn users(&self, from: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let sql = "SELECT id, username, password, enabled, epoch, created_at, updated_at, doc
                   FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.read(|db| db.all(sql, params![after(from.map(|id| id.0)), rows(limit)], user))
    }

    async fn session(&self, digest: &Digest) -> Result<Option<Session>, StoreError> {
        self.read(|db| sessions::by_digest(db, digest))
    }

    async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(|db| sessions::by_id(db, id))
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.read(|db| sessions::of_user(db, user))
    }

    async fn consent(&self, user: UserId, client: ClientKey) -> Result<Option<Consent>, StoreError> {
        self.read(|db| sessions::consent(db, user, client))
    }

    async fn consents(&self, user: UserId) -> Result<Vec<Consent>, StoreError> {
        self.read(|db| sessions::consents(db, user))
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let Json(mut user) = row.get::<_, Json<User>>(7)?;
    user.id = row.get(0)?;
    user.username = row.get(1)?;
    user.password = row.get(2)?;
    user.enabled = row.get(3)?;
    user.epoch = row.get(4)?;
    user.created_at = row.get(5)?;
    user.updated_at = row.get(6)?;
    Ok(user)
}

pub(super) fn insert(to: &mut Applying<'_>, user: &User) -> Result<(), CommitError> {
    let sql = "INSERT INTO users
               (id, username, password, enabled, epoch, created_at, updated_at, doc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = params![
        user.id,
        user.username,
        user.password,
        user.enabled,
        user.epoch,
        user.created_at,
        user.updated_at,
        Json(user)
    ];
    inserted(to.db.run(sql, row), "user")?;
    to.tell(Change::User { id: user.id });
    Ok(())
}

pub(super) fn set_password(to: &mut Applying<'_>, user: UserId, password: &str) -> Result<(), CommitError> {
    let sql = "UPDATE users SET password = ?2, updated_at = ?3 WHERE id = ?1";
    let changed = to.db.run(sql, params![user, password, to.at])?;
    tell(to, user, changed)
}

/// Does nothing if the password was changed meanwhile: then the new hash is of the old password.
/// No other node needs to hear of it, since both hashes are of the same password.
pub(super) fn rehash_password(
    to: &mut Applying<'_>,
    user: UserId,
    from: &str,
    hash: &str,
) -> Result<(), CommitError> {
    let sql = "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2";
    to.db.run(sql, params![user, from, hash])?;
    Ok(())
}

pub(super) fn set_enabled(to: &mut Applying<'_>, user: UserId, enabled: bool) -> Result<(), CommitError> {
    let sql = "UPDATE users SET enabled = ?2, updated_at = ?3 WHERE id = ?1";
    let changed = to.db.run(sql, params![user, enabled, to.at])?;
    tell(to, user, changed)
}

pub(super) fn raise_epoch(to: &mut Applying<'_>, user: UserId, until: UnixTime) -> Result<(), CommitError> {
    let sql = "UPDATE users SET epoch = epoch + 1, updated_at = ?2 WHERE id = ?1 RETURNING epoch";
    let raised = to.db.one(sql, params![user, to.at], |row| row.get(0))?;
    let epoch = raised.ok_or(CommitError::Missing("user"))?;
    let (kind, client) = (RevocationKind::User, ClientKey::default());
    feed::revoke(to, Revocation { kind, id: user.0, epoch, client, expires_at: until })?;
    tell(to, user, 1)
}

pub(super) fn delete(to: &mut Applying<'_>, user: UserId) -> Result<(), CommitError> {
    grants::delete_of_user(to, user)?;
    sessions::end_all(to, user)?;
    to.db.run("DELETE FROM consents WHERE user = ?1", [user])?;
    let deleted = to.db.run("DELETE FROM users WHERE id = ?1", [user])?;
    tell(to, user, deleted)
}

fn tell(to: &mut Applying<'_>, id: UserId, rows: usize) -> Result<(), CommitError> {
    if rows == 0 {
        return Err(CommitError::Missing("user"));
    }
    to.tell(Change::User { id });
    Ok(())
}
