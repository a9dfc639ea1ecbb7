//! What an authorization leaves behind: families and codes, spent once. Refresh tokens: `rotations.rs`.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Sqlite, apply::Applying, columns::Json, feed, rotations, statements::inserted};
use crate::{
    model::*,
    store::{CommitError, Grants, Spend, StoreError},
};

#[async_trait]
impl Grants for Sqlite {
    async fn code(&self, digest: &Digest) -> Result<Option<Code>, StoreError> {
        let sql = "SELECT id, digest, family, client, redirect_uri, challenge, nonce, created_at,
                          expires_at, spent_by
                   FROM codes WHERE digest = ?1";
        self.read(|db| db.one(sql, [digest], code))
    }

    async fn rotation(&self, token: &RefreshToken, now: UnixTime) -> Result<Option<Rotation>, StoreError> {
        self.read(|db| rotations::find(db, token, now))
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
        let sql = "SELECT id, client, client_epoch, user, user_epoch, session, auth_time, refreshable,
                          created_at, expires_at, revoked_at, doc
                   FROM families WHERE id = ?1";
        self.read(|db| db.one(sql, [id], |row| family(row).map(Arc::new)))
    }
}

fn code(row: &Row<'_>) -> rusqlite::Result<Code> {
    Ok(Code {
        id: row.get(0)?,
        digest: row.get(1)?,
        family: row.get(2)?,
        client: row.get(3)?,
        redirect_uri: row.get(4)?,
        challenge: row.get(5)?,
        nonce: row.get(6)?,
        created_at: row.get(7)?,
        expires_at: row.get(8)?,
        spent_by: row.get(9)?,
    })
}

/// What of a family is never searched for.
#[derive(Serialize, Deserialize)]
struct Granted<'a> {
    scopes: Cow<'a, Scopes>,
    resources: Cow<'a, [String]>,
    claims: Cow<'a, RequestedClaims>,
    amr: Cow<'a, [String]>,
}

fn family(row: &Row<'_>) -> rusqlite::Result<Family> {
    let Json(granted) = row.get::<_, Json<Granted<'static>>>(11)?;
    Ok(Family {
        id: row.get(0)?,
        client: row.get(1)?,
        client_epoch: row.get(2)?,
        user: row.get(3)?,
        user_epoch: row.get(4)?,
        session: row.get(5)?,
        scopes: granted.scopes.into_owned(),
        resources: granted.resources.into_owned(),
        claims: granted.claims.into_owned(),
        auth_time: row.get(6)?,
        amr: granted.amr.into_owned(),
        refreshable: row.get(7)?,
        created_at: row.get(8)?,
        expires_at: row.get(9)?,
        revoked_at: row.get(10)?,
    })
}

/// Decides who was first. The statement itself is the decision: nothing was read before it.
pub(super) fn spend(to: &mut Applying<'_>, spend: &Spend) -> Result<(), CommitError> {
    match spend {
        Spend::Code(id) => {
            let sql = "UPDATE codes SET spent_by = ?2 WHERE id = ?1 AND spent_by IS NULL";
            let spent = to.db.run(sql, params![id, to.id])?;
            lost(to, spent, "code", "SELECT 1 FROM codes WHERE id = ?1", *id)
        }
        Spend::Refresh { .. } => rotations::spend(to, spend),
        Spend::Once { id, expires_at } => {
            let sql = "INSERT INTO spent (id, spent_by, expires_at) VALUES (?1, ?2, ?3)";
            match inserted(to.db.run(sql, params![id, to.id, expires_at]), "value") {
                Err(CommitError::Conflict(_)) => Err(CommitError::AlreadySpent),
                outcome => outcome,
            }
        }
    }
}

/// Tells a row that somebody else has spent from one that does not exist.
fn lost(
    to: &Applying<'_>,
    spent: usize,
    what: &'static str,
    exists: &str,
    id: RowId,
) -> Result<(), CommitError> {
    if spent == 1 {
        return Ok(());
    }
    match to.db.one(exists, [id], |_| Ok(()))? {
        Some(()) => Err(CommitError::AlreadySpent),
        None => Err(CommitError::Missing(what)),
    }
}

pub(super) fn insert_family(to: &mut Applying<'_>, family: &Family) -> Result<(), CommitError> {
    let sql = "INSERT INTO families
               (id, client, client_epoch, user, user_epoch, session, auth_time, refreshable, offline,
                created_at, expires_at, revoked_at, doc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let row = params![
        family.id,
        family.client,
        family.client_epoch,
        family.user,
        family.user_epoch,
        family.session,
        family.auth_time,
        family.refreshable,
        family.scopes.contains("offline_access"),
        family.created_at,
        family.expires_at,
        family.revoked_at,
        Json(Granted {
            scopes: Cow::Borrowed(&family.scopes),
            resources: Cow::Borrowed(&family.resources),
            claims: Cow::Borrowed(&family.claims),
            amr: Cow::Borrowed(&family.amr),
        })
    ];
    inserted(to.db.run(sql, row), "family")
}

pub(super) fn insert_code(to: &mut Applying<'_>, code: &Code) -> Result<(), CommitError> {
    let sql = "INSERT INTO codes
               (id, digest, family, client, redirect_uri, challenge, nonce, created_at, expires_at,
                spent_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let row = params![
        code.id,
        code.digest,
        code.family,
        code.client,
        code.redirect_uri,
        code.challenge,
        code.nonce,
        code.created_at,
        code.expires_at,
        code.spent_by
    ];
    inserted(to.db.run(sql, row), "code")
}

pub(super) fn revoke_family(
    to: &mut Applying<'_>,
    family: FamilyId,
    client: ClientKey,
    until: UnixTime,
) -> Result<(), CommitError> {
    let sql = "UPDATE families SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    to.db.run(sql, params![family, to.at])?;
    let (kind, id) = (RevocationKind::Family, family.0);
    feed::revoke(to, Revocation { kind, id, epoch: 0, client, expires_at: until })
}

/// Which live families of a user [`Effect::RevokeFamilies`] means.
///
/// [`Effect::RevokeFamilies`]: crate::store::Effect::RevokeFamilies
pub(super) struct Which<'a> {
    pub(super) user: &'a UserId,
    pub(super) client: &'a Option<ClientKey>,
    pub(super) session: &'a Option<SessionId>,
    pub(super) keep_offline: bool,
}

pub(super) fn revoke_families(
    to: &mut Applying<'_>,
    which: &Which<'_>,
    until: UnixTime,
) -> Result<(), CommitError> {
    let sql = "UPDATE families SET revoked_at = ?1
               WHERE user = ?2 AND revoked_at IS NULL AND expires_at > ?1
                 AND (?3 IS NULL OR client = ?3) AND (?4 IS NULL OR session = ?4)
                 AND NOT (?5 AND offline)
               RETURNING id, client";
    let row = params![to.at, which.user, which.client, which.session, which.keep_offline];
    let revoked: Vec<(Id, ClientKey)> = to.db.all(sql, row, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, client) in revoked {
        let kind = RevocationKind::Family;
        feed::revoke(to, Revocation { kind, id, epoch: 0, client, expires_at: until })?;
    }
    Ok(())
}

pub(super) fn revoke_token(
    to: &mut Applying<'_>,
    token: TokenId,
    client: ClientKey,
    until: UnixTime,
) -> Result<(), CommitError> {
    let (kind, id) = (RevocationKind::Token, token.0);
    feed::revoke(to, Revocation { kind, id, epoch: 0, client, expires_at: until })
}

pub(super) fn delete_of_client(to: &Applying<'_>, client: ClientKey) -> Result<(), CommitError> {
    for sql in [
        "DELETE FROM codes WHERE family IN (SELECT id FROM families WHERE client = ?1)",
        "DELETE FROM rotations WHERE family IN (SELECT id FROM families WHERE client = ?1)",
        "DELETE FROM families WHERE client = ?1",
    ] {
        to.db.run(sql, [client])?;
    }
    Ok(())
}

pub(super) fn delete_of_user(to: &Applying<'_>, user: UserId) -> Result<(), CommitError> {
    for sql in [
        "DELETE FROM codes WHERE family IN (SELECT id FROM families WHERE user = ?1)",
        "DELETE FROM rotations WHERE family IN (SELECT id FROM families WHERE user = ?1)",
        "DELETE FROM families WHERE user = ?1",
    ] {
        to.db.run(sql, [user])?;
    }
    Ok(())
}
