//! What an authorization leaves behind: families and codes, spent once. Refresh tokens: `rotations.rs`.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Error, Row, types::Type};

use super::{
    Postgres,
    apply::{Applying, inserted},
    columns::{Epoch, Json},
    feed, rotations,
    sql::statements,
    statements::Param,
};
use crate::{
    model::*,
    store::{CommitError, Grants, Spend, StoreError},
};

macro_rules! code_columns {
    () => {
        "id, digest, family, client, redirect_uri, challenge, nonce, created_at, expires_at, spent_by"
    };
}

macro_rules! family_columns {
    () => {
        "id, client, client_epoch, user_id, user_epoch, session, auth_time, refreshable, offline, \
         created_at, expires_at, revoked_at, doc"
    };
}

statements! {
    CODE = concat!("SELECT ", code_columns!(), " FROM codes WHERE digest = $1");
    FAMILY = concat!("SELECT ", family_columns!(), " FROM families WHERE id = $1");
    SPEND_CODE = "UPDATE codes SET spent_by = $2 WHERE id = $1 AND spent_by IS NULL";
    CODE_EXISTS = "SELECT 1 FROM codes WHERE id = $1";
    SPEND_ONCE = "INSERT INTO spent (id, spent_by, expires_at) VALUES ($1, $2, $3)
                  ON CONFLICT DO NOTHING";
    INSERT_FAMILY = concat!(
        "INSERT INTO families (", family_columns!(), ")
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING"
    );
    INSERT_CODE = concat!(
        "INSERT INTO codes (", code_columns!(), ")
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
    );
    REVOKE_FAMILY = "UPDATE families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    /// Locked in the order of their keys, as everybody does who revokes several.
    REVOKE_FAMILIES = "UPDATE families SET revoked_at = $1
                       WHERE revoked_at IS NULL AND id = ANY (ARRAY(
                           SELECT id FROM families
                           WHERE user_id = $2 AND revoked_at IS NULL AND expires_at > $1
                             AND ($3::uuid IS NULL OR client = $3)
                             AND ($4::uuid IS NULL OR session = $4)
                             AND NOT ($5 AND offline)
                           ORDER BY id FOR UPDATE))
                       RETURNING id, client";
    DELETE_CODES_OF_CLIENT = "DELETE FROM codes WHERE family = ANY (ARRAY(
                                  SELECT id FROM families WHERE client = $1))";
    DELETE_ROTATIONS_OF_CLIENT = "DELETE FROM rotations WHERE family = ANY (ARRAY(
                                   SELECT id FROM families WHERE client = $1))";
    DELETE_FAMILIES_OF_CLIENT = "DELETE FROM families WHERE client = $1";
    DELETE_CODES_OF_USER = "DELETE FROM codes WHERE family = ANY (ARRAY(
                                SELECT id FROM families WHERE user_id = $1))";
    DELETE_ROTATIONS_OF_USER = "DELETE FROM rotations WHERE family = ANY (ARRAY(
                                 SELECT id FROM families WHERE user_id = $1))";
    DELETE_FAMILIES_OF_USER = "DELETE FROM families WHERE user_id = $1";
}

#[async_trait]
impl Grants for Postgres {
    async fn code(&self, digest: &Digest) -> Result<Option<Code>, StoreError> {
        Ok(self.reads().one(CODE, &[(digest, Type::BYTEA)], code).await?)
    }

    async fn rotation(&self, token: &RefreshToken, now: UnixTime) -> Result<Option<Rotation>, StoreError> {
        rotations::find(self.reads(), token, now).await
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
        self.known(FAMILY, &[(&id, Type::UUID)], |row| family(row).map(Arc::new)).await
    }
}

fn code(row: &Row) -> Result<Code, Error> {
    Ok(Code {
        id: row.try_get(0)?,
        digest: row.try_get(1)?,
        family: row.try_get(2)?,
        client: row.try_get(3)?,
        redirect_uri: row.try_get(4)?,
        challenge: row.try_get(5)?,
        nonce: row.try_get(6)?,
        created_at: row.try_get(7)?,
        expires_at: row.try_get(8)?,
        spent_by: row.try_get(9)?,
    })
}

/// What of a family is never searched for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Granted<'a> {
    scopes: Cow<'a, Scopes>,
    resources: Cow<'a, [String]>,
    claims: Cow<'a, RequestedClaims>,
    amr: Cow<'a, [String]>,
}

impl<'a> Granted<'a> {
    pub(super) fn by(family: &'a Family) -> Self {
        Self {
            scopes: Cow::Borrowed(&family.scopes),
            resources: Cow::Borrowed(&family.resources),
            claims: Cow::Borrowed(&family.claims),
            amr: Cow::Borrowed(&family.amr),
        }
    }
}

/// Whether `offline_access` is granted: sign-out may spare those families.
pub(super) fn is_offline(family: &Family) -> bool {
    family.scopes.contains("offline_access")
}

fn family(row: &Row) -> Result<Family, Error> {
    let Json(granted) = row.try_get::<_, Json<Granted<'static>>>(12)?;
    Ok(Family {
        id: row.try_get(0)?,
        client: row.try_get(1)?,
        client_epoch: row.try_get::<_, Epoch>(2)?.0,
        user: row.try_get(3)?,
        user_epoch: row.try_get::<_, Epoch>(4)?.0,
        session: row.try_get(5)?,
        scopes: granted.scopes.into_owned(),
        resources: granted.resources.into_owned(),
        claims: granted.claims.into_owned(),
        auth_time: row.try_get(6)?,
        amr: granted.amr.into_owned(),
        refreshable: row.try_get(7)?,
        created_at: row.try_get(9)?,
        expires_at: row.try_get(10)?,
        revoked_at: row.try_get(11)?,
    })
}

/// Decides who was first. The statement itself is the decision: nothing was read before it, and
/// whoever comes at the same time waits for its row until this commit has ended.
pub(super) async fn spend(to: &mut Applying<'_>, spend: &Spend) -> Result<(), CommitError> {
    match spend {
        Spend::Code(id) => {
            let row: &[Param<'_>] = &[(id, Type::UUID), (&to.id, Type::UUID)];
            let spent = to.db.run(SPEND_CODE, row).await?;
            lost(to, spent, "code", CODE_EXISTS, *id).await
        }
        Spend::Refresh { .. } => rotations::spend(to, spend).await,
        Spend::Once { id, expires_at } => {
            let row: &[Param<'_>] = &[(id, Type::UUID), (&to.id, Type::UUID), (expires_at, Type::INT8)];
            match to.db.run(SPEND_ONCE, row).await? {
                0 => Err(CommitError::AlreadySpent),
                _ => Ok(()),
            }
        }
    }
}

/// Tells a row that somebody else has spent from one that does not exist.
async fn lost(
    to: &Applying<'_>,
    spent: u64,
    what: &'static str,
    exists: &'static str,
    id: RowId,
) -> Result<(), CommitError> {
    if spent == 1 {
        return Ok(());
    }
    match to.db.one(exists, &[(&id, Type::UUID)], |_| Ok(())).await? {
        Some(()) => Err(CommitError::AlreadySpent),
        None => Err(CommitError::Missing(what)),
    }
}

pub(super) async fn insert_family(to: &mut Applying<'_>, family: &Family) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&family.id, Type::UUID),
        (&family.client, Type::UUID),
        (&Epoch(family.client_epoch), Type::INT8),
        (&family.user, Type::UUID),
        (&Epoch(family.user_epoch), Type::INT8),
        (&family.session, Type::UUID),
        (&family.auth_time, Type::INT8),
        (&family.refreshable, Type::BOOL),
        (&is_offline(family), Type::BOOL),
        (&family.created_at, Type::INT8),
        (&family.expires_at, Type::INT8),
        (&family.revoked_at, Type::INT8),
        (&Json(Granted::by(family)), Type::TEXT),
    ];
    inserted(to.db.run(INSERT_FAMILY, row).await?, "family")
}

pub(super) async fn insert_code(to: &mut Applying<'_>, code: &Code) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&code.id, Type::UUID),
        (&code.digest, Type::BYTEA),
        (&code.family, Type::UUID),
        (&code.client, Type::UUID),
        (&code.redirect_uri, Type::TEXT),
        (&code.challenge, Type::TEXT),
        (&code.nonce, Type::TEXT),
        (&code.created_at, Type::INT8),
        (&code.expires_at, Type::INT8),
        (&code.spent_by, Type::UUID),
    ];
    inserted(to.db.run(INSERT_CODE, row).await?, "code")
}

pub(super) async fn revoke_family(
    to: &mut Applying<'_>,
    family: FamilyId,
    client: ClientKey,
    until: UnixTime,
) -> Result<(), CommitError> {
    to.db.run(REVOKE_FAMILY, &[(&family, Type::UUID), (&to.at, Type::INT8)]).await?;
    let (kind, id) = (RevocationKind::Family, family.0);
    feed::revoke(to, vec![Revocation { kind, id, epoch: 0, client, expires_at: until }]).await
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

pub(super) async fn revoke_families(
    to: &mut Applying<'_>,
    which: &Which<'_>,
    until: UnixTime,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&to.at, Type::INT8),
        (which.user, Type::UUID),
        (which.client, Type::UUID),
        (which.session, Type::UUID),
        (&which.keep_offline, Type::BOOL),
    ];
    let revoked = |row: &Row| {
        let (kind, id, client) = (RevocationKind::Family, row.try_get(0)?, row.try_get(1)?);
        Ok(Revocation { kind, id, epoch: 0, client, expires_at: until })
    };
    let revoked = to.db.all(REVOKE_FAMILIES, row, revoked).await?;
    feed::revoke(to, revoked).await
}

pub(super) async fn revoke_token(
    to: &mut Applying<'_>,
    token: TokenId,
    client: ClientKey,
    until: UnixTime,
) -> Result<(), CommitError> {
    let (kind, id) = (RevocationKind::Token, token.0);
    feed::revoke(to, vec![Revocation { kind, id, epoch: 0, client, expires_at: until }]).await
}

pub(super) async fn delete_of_client(to: &Applying<'_>, client: ClientKey) -> Result<(), CommitError> {
    to.db.run(DELETE_CODES_OF_CLIENT, &[(&client, Type::UUID)]).await?;
    to.db.run(DELETE_ROTATIONS_OF_CLIENT, &[(&client, Type::UUID)]).await?;
    to.db.run(DELETE_FAMILIES_OF_CLIENT, &[(&client, Type::UUID)]).await?;
    Ok(())
}

pub(super) async fn delete_of_user(to: &Applying<'_>, user: UserId) -> Result<(), CommitError> {
    to.db.run(DELETE_CODES_OF_USER, &[(&user, Type::UUID)]).await?;
    to.db.run(DELETE_ROTATIONS_OF_USER, &[(&user, Type::UUID)]).await?;
    to.db.run(DELETE_FAMILIES_OF_USER, &[(&user, Type::UUID)]).await?;
    Ok(())
}
