//! People: their names, passwords and epochs, and the reads of their sign-ins and consents.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::{Error, Row, types::Type};

use super::{
    Postgres,
    apply::{Applying, inserted},
    columns::{Epoch, Json, rows},
    feed, grants, sessions,
    sql::statements,
    statements::Param,
};
use crate::{
    model::*,
    store::{Change, CommitError, StoreError, Users},
};

macro_rules! columns {
    () => {
        "id, username, password, enabled, epoch, created_at, updated_at, doc"
    };
}

statements! {
    BY_ID = concat!("SELECT ", columns!(), " FROM users WHERE id = $1");
    BY_NAME = concat!("SELECT ", columns!(), " FROM users WHERE username = $1");
    PAGE = concat!("SELECT ", columns!(), " FROM users WHERE id > $1 ORDER BY id LIMIT $2");
    INSERT = concat!(
        "INSERT INTO users (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT DO NOTHING"
    );
    SET_PASSWORD = "UPDATE users SET password = $2, updated_at = $3 WHERE id = $1";
    REHASH_PASSWORD = "UPDATE users SET password = $3 WHERE id = $1 AND password = $2";
    SET_ENABLED = "UPDATE users SET enabled = $2, updated_at = $3 WHERE id = $1";
    RAISE_EPOCH = "UPDATE users SET epoch = epoch + 1, updated_at = $2 WHERE id = $1 RETURNING epoch";
    DELETE = "DELETE FROM users WHERE id = $1";
}

#[async_trait]
impl Users for Postgres {
    async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, StoreError> {
        self.known(BY_ID, &[(&id, Type::UUID)], |row| user(row).map(Arc::new)).await
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
        Ok(self.reads().one(BY_NAME, &[(&username, Type::TEXT)], user).await?)
    }

    async fn users(&self, from: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let (from, limit) = (from.unwrap_or_default(), rows(limit));
        Ok(self.reads().all(PAGE, &[(&from, Type::UUID), (&limit, Type::INT8)], user).await?)
    }

    async fn session(&self, digest: &Digest) -> Result<Option<Session>, StoreError> {
        Ok(sessions::by_digest(self.reads(), digest).await?)
    }

    async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(sessions::by_id(self.reads(), id).await?)
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        Ok(sessions::of_user(self.reads(), user).await?)
    }

    async fn consent(&self, user: UserId, client: ClientKey) -> Result<Option<Consent>, StoreError> {
        Ok(sessions::consent(self.reads(), user, client).await?)
    }

    async fn consents(&self, user: UserId) -> Result<Vec<Consent>, StoreError> {
        Ok(sessions::consents(self.reads(), user).await?)
    }
}

fn user(row: &Row) -> Result<User, Error> {
    let Json(mut user) = row.try_get::<_, Json<User>>(7)?;
    user.id = row.try_get(0)?;
    user.username = row.try_get(1)?;
    user.password = row.try_get(2)?;
    user.enabled = row.try_get(3)?;
    user.epoch = row.try_get::<_, Epoch>(4)?.0;
    user.created_at = row.try_get(5)?;
    user.updated_at = row.try_get(6)?;
    Ok(user)
}

pub(super) async fn insert(to: &mut Applying<'_>, user: &User) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&user.id, Type::UUID),
        (&user.username, Type::TEXT),
        (&user.password, Type::TEXT),
        (&user.enabled, Type::BOOL),
        (&Epoch(user.epoch), Type::INT8),
        (&user.created_at, Type::INT8),
        (&user.updated_at, Type::INT8),
        (&Json(user), Type::TEXT),
    ];
    inserted(to.db.run(INSERT, row).await?, "user")?;
    to.tell(Change::User { id: user.id });
    Ok(())
}

pub(super) async fn set_password(
    to: &mut Applying<'_>,
    user: UserId,
    password: &str,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&user, Type::UUID), (&password, Type::TEXT), (&to.at, Type::INT8)];
    let changed = to.db.run(SET_PASSWORD, row).await?;
    tell(to, user, changed)
}

/// Does nothing if the password was changed meanwhile: then the new hash is of the old password.
/// No other node needs to hear of it, since both hashes are of the same password.
pub(super) async fn rehash_password(
    to: &mut Applying<'_>,
    user: UserId,
    from: &str,
    hash: &str,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&user, Type::UUID), (&from, Type::TEXT), (&hash, Type::TEXT)];
    to.db.run(REHASH_PASSWORD, row).await?;
    Ok(())
}

pub(super) async fn set_enabled(
    to: &mut Applying<'_>,
    user: UserId,
    enabled: bool,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&user, Type::UUID), (&enabled, Type::BOOL), (&to.at, Type::INT8)];
    let changed = to.db.run(SET_ENABLED, row).await?;
    tell(to, user, changed)
}

pub(super) async fn raise_epoch(
    to: &mut Applying<'_>,
    user: UserId,
    until: UnixTime,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&user, Type::UUID), (&to.at, Type::INT8)];
    let raised = to.db.one(RAISE_EPOCH, row, |row| row.try_get::<_, Epoch>(0)).await?;
    let epoch = raised.ok_or(CommitError::Missing("user"))?.0;
    let (kind, client) = (RevocationKind::User, ClientKey::default());
    feed::revoke(to, vec![Revocation { kind, id: user.0, epoch, client, expires_at: until }]).await?;
    tell(to, user, 1)
}

pub(super) async fn delete(to: &mut Applying<'_>, user: UserId) -> Result<(), CommitError> {
    grants::delete_of_user(to, user).await?;
    sessions::end_all(to, user).await?;
    sessions::forget_consents_of_user(to, user).await?;
    let deleted = to.db.run(DELETE, &[(&user, Type::UUID)]).await?;
    tell(to, user, deleted)
}

fn tell(to: &mut Applying<'_>, id: UserId, rows: u64) -> Result<(), CommitError> {
    if rows == 0 {
        return Err(CommitError::Missing("user"));
    }
    to.tell(Change::User { id });
    Ok(())
}
