//! Clients and resources.

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
    store::{Change, Clients, CommitError, StoreError},
};

macro_rules! columns {
    () => {
        "key, client_id, enabled, epoch, created_at, updated_at, doc"
    };
}

macro_rules! resource_columns {
    () => {
        "id, uri, owner, created_at"
    };
}

statements! {
    BY_NAME = concat!("SELECT ", columns!(), " FROM clients WHERE client_id = $1");
    BY_KEY = concat!("SELECT ", columns!(), " FROM clients WHERE key = $1");
    /// Nobody changes it until this commit has.
    HOLD = concat!("SELECT ", columns!(), " FROM clients WHERE key = $1 FOR UPDATE");
    PAGE = concat!("SELECT ", columns!(), " FROM clients WHERE key > $1 ORDER BY key LIMIT $2");
    INSERT = concat!(
        "INSERT INTO clients (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING"
    );
    UPDATE = "UPDATE clients SET doc = $2, updated_at = $3 WHERE key = $1 RETURNING client_id";
    SET_ENABLED = "UPDATE clients SET enabled = $2, updated_at = $3 WHERE key = $1 RETURNING client_id";
    RAISE_EPOCH = "UPDATE clients SET epoch = epoch + 1, updated_at = $2 WHERE key = $1
                   RETURNING epoch, client_id";
    DELETE = "DELETE FROM clients WHERE key = $1 RETURNING client_id";
    RESOURCE = concat!("SELECT ", resource_columns!(), " FROM resources WHERE uri = $1");
    RESOURCES = concat!(
        "SELECT ", resource_columns!(), " FROM resources WHERE id > $1 ORDER BY id LIMIT $2"
    );
    INSERT_RESOURCE = concat!(
        "INSERT INTO resources (", resource_columns!(), ") VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING"
    );
    DELETE_RESOURCE = "DELETE FROM resources WHERE uri = $1";
}

#[async_trait]
impl Clients for Postgres {
    async fn client(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        let read = |row: &Row| client(row).map(Arc::new);
        self.known(BY_NAME, &[(&client_id, Type::TEXT)], read).await
    }

    async fn client_by_key(&self, key: ClientKey) -> Result<Option<Arc<Client>>, StoreError> {
        self.known(BY_KEY, &[(&key, Type::UUID)], |row| client(row).map(Arc::new)).await
    }

    async fn clients(&self, from: Option<ClientKey>, limit: usize) -> Result<Vec<Client>, StoreError> {
        let (from, limit) = (from.unwrap_or_default(), rows(limit));
        Ok(self.reads().all(PAGE, &[(&from, Type::UUID), (&limit, Type::INT8)], client).await?)
    }

    async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError> {
        self.known(RESOURCE, &[(&uri, Type::TEXT)], |row| resource(row).map(Arc::new)).await
    }

    async fn resources(&self, from: Option<Id>, limit: usize) -> Result<Vec<Resource>, StoreError> {
        let (from, limit) = (from.unwrap_or_default(), rows(limit));
        Ok(self.reads().all(RESOURCES, &[(&from, Type::UUID), (&limit, Type::INT8)], resource).await?)
    }
}

fn client(row: &Row) -> Result<Client, Error> {
    let Json(mut client) = row.try_get::<_, Json<Client>>(6)?;
    client.key = row.try_get(0)?;
    client.client_id = row.try_get(1)?;
    client.enabled = row.try_get(2)?;
    client.epoch = row.try_get::<_, Epoch>(3)?.0;
    client.created_at = row.try_get(4)?;
    client.updated_at = row.try_get(5)?;
    Ok(client)
}

fn resource(row: &Row) -> Result<Resource, Error> {
    Ok(Resource {
        id: row.try_get(0)?,
        uri: row.try_get(1)?,
        owner: row.try_get(2)?,
        created_at: row.try_get(3)?,
    })
}

fn name(row: &Row) -> Result<String, Error> {
    row.try_get(0)
}

pub(super) async fn insert(to: &mut Applying<'_>, client: &Client) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&client.key, Type::UUID),
        (&client.client_id, Type::TEXT),
        (&client.enabled, Type::BOOL),
        (&Epoch(client.epoch), Type::INT8),
        (&client.created_at, Type::INT8),
        (&client.updated_at, Type::INT8),
        (&Json(client), Type::TEXT),
    ];
    inserted(to.db.run(INSERT, row).await?, "client")?;
    to.tell(Change::Client { key: client.key, client_id: client.client_id.clone() });
    Ok(())
}

pub(super) async fn update(to: &mut Applying<'_>, from: &Client, edited: &Client) -> Result<(), CommitError> {
    let held = to.db.one(HOLD, &[(&from.key, Type::UUID)], client).await?;
    if held.ok_or(CommitError::Missing("client"))? != *from {
        return Err(CommitError::Changed("client"));
    }
    let row: &[Param<'_>] =
        &[(&from.key, Type::UUID), (&Json(edited), Type::TEXT), (&edited.updated_at, Type::INT8)];
    let client_id = to.db.one(UPDATE, row, name).await?;
    tell(to, from.key, client_id)
}

pub(super) async fn set_enabled(
    to: &mut Applying<'_>,
    key: ClientKey,
    enabled: bool,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&key, Type::UUID), (&enabled, Type::BOOL), (&to.at, Type::INT8)];
    let client_id = to.db.one(SET_ENABLED, row, name).await?;
    tell(to, key, client_id)
}

pub(super) async fn raise_epoch(
    to: &mut Applying<'_>,
    key: ClientKey,
    until: UnixTime,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[(&key, Type::UUID), (&to.at, Type::INT8)];
    let read = |row: &Row| Ok((row.try_get::<_, Epoch>(0)?.0, row.try_get::<_, String>(1)?));
    let raised = to.db.one(RAISE_EPOCH, row, read).await?;
    let (epoch, client_id) = raised.ok_or(CommitError::Missing("client"))?;
    let kind = RevocationKind::Client;
    feed::revoke(to, vec![Revocation { kind, id: key.0, epoch, client: key, expires_at: until }]).await?;
    tell(to, key, Some(client_id))
}

pub(super) async fn delete(to: &mut Applying<'_>, key: ClientKey) -> Result<(), CommitError> {
    grants::delete_of_client(to, key).await?;
    sessions::forget_consents_of_client(to, key).await?;
    let client_id = to.db.one(DELETE, &[(&key, Type::UUID)], name).await?;
    tell(to, key, client_id)
}

fn tell(to: &mut Applying<'_>, key: ClientKey, client_id: Option<String>) -> Result<(), CommitError> {
    let client_id = client_id.ok_or(CommitError::Missing("client"))?;
    to.tell(Change::Client { key, client_id });
    Ok(())
}

pub(super) async fn insert_resource(to: &mut Applying<'_>, resource: &Resource) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&resource.id, Type::UUID),
        (&resource.uri, Type::TEXT),
        (&resource.owner, Type::UUID),
        (&resource.created_at, Type::INT8),
    ];
    inserted(to.db.run(INSERT_RESOURCE, row).await?, "resource")?;
    to.tell(Change::Resource { uri: resource.uri.clone() });
    Ok(())
}

pub(super) async fn delete_resource(to: &mut Applying<'_>, uri: &str) -> Result<(), CommitError> {
    if to.db.run(DELETE_RESOURCE, &[(&uri, Type::TEXT)]).await? == 0 {
        return Err(CommitError::Missing("resource"));
    }
    to.tell(Change::Resource { uri: uri.to_owned() });
    Ok(())
}
