//! Sign-ins and consents: what belongs to one person.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Error, Row, types::Type};

use super::{
    apply::{Applying, inserted},
    columns::{Epoch, Json},
    sql::statements,
    statements::{Failure, Param, Statements},
};
use crate::{
    model::*,
    store::{Change, CommitError, StoreError, StoreErrorKind},
};

macro_rules! columns {
    () => {
        "id, digest, user_id, user_epoch, auth_time, amr, user_agent, seen_at, expires_at"
    };
}

macro_rules! consent_columns {
    () => {
        "id, user_id, client, created_at, updated_at, doc"
    };
}

statements! {
    BY_DIGEST = concat!("SELECT ", columns!(), " FROM sessions WHERE digest = $1");
    BY_ID = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1");
    OF_USER = concat!("SELECT ", columns!(), " FROM sessions WHERE user_id = $1 ORDER BY id DESC");
    INSERT = concat!(
        "INSERT INTO sessions (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT DO NOTHING"
    );
    TOUCH = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2";
    END = "DELETE FROM sessions WHERE id = $1";
    /// Locked in the order of their keys, as everybody does who ends several.
    END_ALL = "DELETE FROM sessions WHERE id = ANY (ARRAY(
                   SELECT id FROM sessions WHERE user_id = $1 ORDER BY id FOR UPDATE))
               RETURNING id";
    CONSENT = concat!("SELECT ", consent_columns!(), " FROM consents WHERE user_id = $1 AND client = $2");
    /// Nobody widens or forgets it until this commit has.
    HOLD_CONSENT = concat!(
        "SELECT ", consent_columns!(), " FROM consents WHERE user_id = $1 AND client = $2 FOR UPDATE"
    );
    CONSENTS = concat!(
        "SELECT ", consent_columns!(), " FROM consents WHERE user_id = $1 ORDER BY id DESC"
    );
    INSERT_CONSENT = concat!(
        "INSERT INTO consents (", consent_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING"
    );
    WIDEN_CONSENT = "UPDATE consents SET updated_at = $3, doc = $4 WHERE user_id = $1 AND client = $2";
    DELETE_CONSENT = "DELETE FROM consents WHERE user_id = $1 AND client = $2";
    FORGET_OF_USER = "DELETE FROM consents WHERE user_id = $1";
    FORGET_OF_CLIENT = "DELETE FROM consents WHERE client = $1";
}

pub(super) async fn by_digest(db: Statements<'_>, digest: &Digest) -> Result<Option<Session>, Failure> {
    db.one(BY_DIGEST, &[(digest, Type::BYTEA)], session).await
}

pub(super) async fn by_id(db: Statements<'_>, id: SessionId) -> Result<Option<Session>, Failure> {
    db.one(BY_ID, &[(&id, Type::UUID)], session).await
}

pub(super) async fn of_user(db: Statements<'_>, user: UserId) -> Result<Vec<Session>, Failure> {
    db.all(OF_USER, &[(&user, Type::UUID)], session).await
}

fn session(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: row.try_get(0)?,
        digest: row.try_get(1)?,
        user: row.try_get(2)?,
        user_epoch: row.try_get::<_, Epoch>(3)?.0,
        auth_time: row.try_get(4)?,
        amr: row.try_get::<_, Json<_>>(5)?.0,
        user_agent: row.try_get(6)?,
        seen_at: row.try_get(7)?,
        expires_at: row.try_get(8)?,
    })
}

pub(super) async fn insert(to: &mut Applying<'_>, session: &Session) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&session.id, Type::UUID),
        (&session.digest, Type::BYTEA),
        (&session.user, Type::UUID),
        (&Epoch(session.user_epoch), Type::INT8),
        (&session.auth_time, Type::INT8),
        (&Json(&session.amr), Type::TEXT),
        (&session.user_agent, Type::TEXT),
        (&session.seen_at, Type::INT8),
        (&session.expires_at, Type::INT8),
    ];
    inserted(to.db.run(INSERT, row).await?, "session")
}

/// A session that ended meanwhile stays ended, and that is no error of the request that touched it.
pub(super) async fn touch(
    to: &mut Applying<'_>,
    session: SessionId,
    seen_at: UnixTime,
) -> Result<(), CommitError> {
    to.db.run(TOUCH, &[(&session, Type::UUID), (&seen_at, Type::INT8)]).await?;
    Ok(())
}

pub(super) async fn end(to: &mut Applying<'_>, session: SessionId) -> Result<(), CommitError> {
    if to.db.run(END, &[(&session, Type::UUID)]).await? > 0 {
        to.tell(Change::Session { id: session });
    }
    Ok(())
}

pub(super) async fn end_all(to: &mut Applying<'_>, user: UserId) -> Result<(), CommitError> {
    let ended = to.db.all(END_ALL, &[(&user, Type::UUID)], |row| row.try_get(0)).await?;
    ended.into_iter().for_each(|id| to.tell(Change::Session { id }));
    Ok(())
}

/// What of a consent is never searched for.
#[derive(Debug, Serialize, Deserialize)]
struct Agreed<'a> {
    scopes: Cow<'a, Scopes>,
    resources: Cow<'a, [String]>,
}

pub(super) async fn consent(
    db: Statements<'_>,
    user: UserId,
    client: ClientKey,
) -> Result<Option<Consent>, Failure> {
    db.one(CONSENT, &[(&user, Type::UUID), (&client, Type::UUID)], read_consent).await
}

pub(super) async fn consents(db: Statements<'_>, user: UserId) -> Result<Vec<Consent>, Failure> {
    db.all(CONSENTS, &[(&user, Type::UUID)], read_consent).await
}

fn read_consent(row: &Row) -> Result<Consent, Error> {
    let Json(Agreed { scopes, resources }) = row.try_get::<_, Json<Agreed<'static>>>(5)?;
    Ok(Consent {
        id: row.try_get(0)?,
        user: row.try_get(1)?,
        client: row.try_get(2)?,
        scopes: scopes.into_owned(),
        resources: resources.into_owned(),
        created_at: row.try_get(3)?,
        updated_at: row.try_get(4)?,
    })
}

/// The insert decides whether this is the first consent: it waits for whoever gives one at the same
/// time, and then this one is added to theirs.
pub(super) async fn put_consent(to: &mut Applying<'_>, given: &Consent) -> Result<(), CommitError> {
    let doc = agreed(&Scopes::default(), &[], given);
    let row: &[Param<'_>] = &[
        (&given.id, Type::UUID),
        (&given.user, Type::UUID),
        (&given.client, Type::UUID),
        (&given.created_at, Type::INT8),
        (&given.updated_at, Type::INT8),
        (&doc, Type::TEXT),
    ];
    if to.db.run(INSERT_CONSENT, row).await? > 0 {
        return Ok(());
    }
    let which: &[Param<'_>] = &[(&given.user, Type::UUID), (&given.client, Type::UUID)];
    let Some(held) = to.db.one(HOLD_CONSENT, which, read_consent).await? else {
        // Either it was forgotten at this moment, or the row key is another consent's: tried again,
        // the commit finds out which.
        let message = "a consent was withdrawn while it was given";
        return Err(StoreError::new(StoreErrorKind::Serialization, message).into());
    };
    let doc = agreed(&held.scopes, &held.resources, given);
    let row: &[Param<'_>] = &[
        (&given.user, Type::UUID),
        (&given.client, Type::UUID),
        (&given.updated_at, Type::INT8),
        (&doc, Type::TEXT),
    ];
    to.db.run(WIDEN_CONSENT, row).await?;
    Ok(())
}

/// What was agreed to before, and what is added.
fn agreed(scopes: &Scopes, resources: &[String], given: &Consent) -> Json<Agreed<'static>> {
    let mut resources = resources.to_vec();
    for resource in &given.resources {
        if !resources.contains(resource) {
            resources.push(resource.clone());
        }
    }
    let scopes = scopes.union(&given.scopes);
    Json(Agreed { scopes: Cow::Owned(scopes), resources: Cow::Owned(resources) })
}

pub(super) async fn delete_consent(
    to: &mut Applying<'_>,
    user: UserId,
    client: ClientKey,
) -> Result<(), CommitError> {
    if to.db.run(DELETE_CONSENT, &[(&user, Type::UUID), (&client, Type::UUID)]).await? > 0 {
        to.tell(Change::Consent { user, client });
    }
    Ok(())
}

pub(super) async fn forget_consents_of_user(to: &Applying<'_>, user: UserId) -> Result<(), CommitError> {
    to.db.run(FORGET_OF_USER, &[(&user, Type::UUID)]).await?;
    Ok(())
}

pub(super) async fn forget_consents_of_client(
    to: &Applying<'_>,
    client: ClientKey,
) -> Result<(), CommitError> {
    to.db.run(FORGET_OF_CLIENT, &[(&client, Type::UUID)]).await?;
    Ok(())
}
