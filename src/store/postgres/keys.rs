//! Signing keys. Only one node at a time can move a key on: the state it is in is the lock.

use async_trait::async_trait;
use tokio_postgres::{Error, Row, types::Type};

use super::{
    Postgres,
    apply::{Applying, inserted},
    sql::statements,
    statements::Param,
};
use crate::{
    model::*,
    store::{Change, CommitError, Keys, StoreError},
};

macro_rules! columns {
    () => {
        "kid, alg, state, sealed, created_at, activated_at, retired_at, gone_at"
    };
}

statements! {
    ALL = concat!(
        "SELECT ", columns!(), " FROM signing_keys WHERE $1 OR state <> 'gone' ORDER BY created_at, kid"
    );
    ANY_SEALED = "SELECT 1 FROM signing_keys WHERE state <> 'gone' LIMIT 1";
    /// One insert of a key at a time: what it looks for must not appear while it does. The feed's
    /// row is the lock, which this commit needs at its end anyway.
    ONE_BY_ONE = "SELECT 1 FROM feed WHERE one = 1 FOR UPDATE";
    INSERT = concat!(
        "INSERT INTO signing_keys (", columns!(), ") SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE NOT EXISTS (
             SELECT 1 FROM signing_keys
             WHERE alg = $2 AND (state = 'next' OR (state = 'active' AND $3 = 'active')))
         ON CONFLICT DO NOTHING"
    );
    /// A withdrawn key is kept as a record only, so its private half is dropped.
    SET_STATE = "UPDATE signing_keys SET
                     state = $3,
                     activated_at = CASE $3 WHEN 'active' THEN $4 ELSE activated_at END,
                     retired_at = CASE $3 WHEN 'retiring' THEN $4 ELSE retired_at END,
                     gone_at = CASE $3 WHEN 'gone' THEN $4 ELSE gone_at END,
                     sealed = CASE $3 WHEN 'gone' THEN ''::bytea ELSE sealed END
                 WHERE kid = $1 AND state = $2";
    /// Compared in the statement, so that a key withdrawn meanwhile does not come back.
    RESEAL = "UPDATE signing_keys SET sealed = $3 WHERE kid = $1 AND sealed = $2 AND state <> 'gone'";
}

#[async_trait]
impl Keys for Postgres {
    async fn signing_keys(&self, gone: bool) -> Result<Vec<SigningKey>, StoreError> {
        Ok(self.reads().all(ALL, &[(&gone, Type::BOOL)], key).await?)
    }
}

impl Postgres {
    /// Whether anything in the store is sealed, so that it is worthless without its master key.
    pub async fn holds_sealed_keys(&self) -> Result<bool, StoreError> {
        let found = self.reads().one(ANY_SEALED, &[], |_| Ok(())).await?;
        Ok(found.is_some())
    }
}

fn key(row: &Row) -> Result<SigningKey, Error> {
    Ok(SigningKey {
        kid: row.try_get(0)?,
        alg: row.try_get(1)?,
        state: row.try_get(2)?,
        sealed: row.try_get(3)?,
        created_at: row.try_get(4)?,
        activated_at: row.try_get(5)?,
        retired_at: row.try_get(6)?,
        gone_at: row.try_get(7)?,
    })
}

pub(super) async fn insert(to: &mut Applying<'_>, key: &SigningKey) -> Result<(), CommitError> {
    to.db.one(ONE_BY_ONE, &[], |_| Ok(())).await?;
    let activated_at = match key.state {
        KeyState::Active => key.activated_at.or(Some(to.at)),
        _ => key.activated_at,
    };
    let row: &[Param<'_>] = &[
        (&key.kid, Type::TEXT),
        (&key.alg, Type::TEXT),
        (&key.state, Type::TEXT),
        (&key.sealed, Type::BYTEA),
        (&key.created_at, Type::INT8),
        (&activated_at, Type::INT8),
        (&key.retired_at, Type::INT8),
        (&key.gone_at, Type::INT8),
    ];
    inserted(to.db.run(INSERT, row).await?, "key")?;
    to.tell(Change::Keys);
    Ok(())
}

pub(super) async fn set_state(
    to: &mut Applying<'_>,
    kid: &str,
    from: KeyState,
    state: KeyState,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] =
        &[(&kid, Type::TEXT), (&from, Type::TEXT), (&state, Type::TEXT), (&to.at, Type::INT8)];
    if to.db.run(SET_STATE, row).await? == 0 {
        return Err(CommitError::Conflict("key"));
    }
    to.tell(Change::Keys);
    Ok(())
}

pub(super) async fn reseal(
    to: &mut Applying<'_>,
    kid: &str,
    from: &[u8],
    sealed: &[u8],
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&kid, Type::TEXT), (&from, Type::BYTEA), (&sealed, Type::BYTEA)];
    match to.db.run(RESEAL, row).await? {
        0 => Err(CommitError::Changed("key")),
        _ => Ok(()),
    }
}
