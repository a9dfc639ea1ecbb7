//! Signing keys. Only one node at a time can move a key on: the state it is in is the lock.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{Sqlite, apply::Applying, statements::inserted};
use crate::{
    model::*,
    store::{Change, CommitError, Keys, StoreError},
};

#[async_trait]
impl Keys for Sqlite {
    async fn signing_keys(&self, gone: bool) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT kid, alg, state, sealed, created_at, activated_at, retired_at, gone_at
                   FROM signing_keys WHERE ?1 OR state <> 'gone' ORDER BY created_at, kid";
        self.read(|db| db.all(sql, [gone], key))
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<SigningKey> {
    Ok(SigningKey {
        kid: row.get(0)?,
        alg: row.get(1)?,
        state: row.get(2)?,
        sealed: row.get(3)?,
        created_at: row.get(4)?,
        activated_at: row.get(5)?,
        retired_at: row.get(6)?,
        gone_at: row.get(7)?,
    })
}

pub(super) fn insert(to: &mut Applying<'_>, key: &SigningKey) -> Result<(), CommitError> {
    let sql = "INSERT INTO signing_keys
               (kid, alg, state, sealed, created_at, activated_at, retired_at, gone_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
               WHERE NOT EXISTS (
                   SELECT 1 FROM signing_keys
                   WHERE alg = ?2 AND (state = 'next' OR (state = 'active' AND ?3 = 'active')))";
    let activated_at = match key.state {
        KeyState::Active => key.activated_at.or(Some(to.at)),
        _ => key.activated_at,
    };
    let row = params![
        key.kid,
        key.alg,
        key.state,
        key.sealed,
        key.created_at,
        activated_at,
        key.retired_at,
        key.gone_at
    ];
    match to.db.run(sql, row) {
        Ok(0) => return Err(CommitError::Conflict("key")),
        result => inserted(result, "key")?,
    }
    to.tell(Change::Keys);
    Ok(())
}

pub(super) fn set_state(
    to: &mut Applying<'_>,
    kid: &str,
    from: KeyState,
    state: KeyState,
) -> Result<(), CommitError> {
    // A withdrawn key is kept as a record only, so its private half is dropped.
    let sql = "UPDATE signing_keys SET
                   state = ?3,
                   activated_at = CASE ?3 WHEN 'active' THEN ?4 ELSE activated_at END,
                   retired_at = CASE ?3 WHEN 'retiring' THEN ?4 ELSE retired_at END,
                   gone_at = CASE ?3 WHEN 'gone' THEN ?4 ELSE gone_at END,
                   sealed = CASE ?3 WHEN 'gone' THEN x'' ELSE sealed END
               WHERE kid = ?1 AND state = ?2";
    if to.db.run(sql, params![kid, from, state, to.at])? == 0 {
        return Err(CommitError::Conflict("key"));
    }
    to.tell(Change::Keys);
    Ok(())
}

/// Compared in the statement, so that a key withdrawn meanwhile does not come back.
pub(super) fn reseal(
    to: &mut Applying<'_>,
    kid: &str,
    from: &[u8],
    sealed: &[u8],
) -> Result<(), CommitError> {
    let sql = "UPDATE signing_keys SET sealed = ?3 WHERE kid = ?1 AND sealed = ?2 AND state <> 'gone'";
    match to.db.run(sql, params![kid, from, sealed])? {
        0 => Err(CommitError::Changed("key")),
        _ => Ok(()),
    }
}
