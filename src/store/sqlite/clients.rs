//! Clients and resources.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{
    Sqlite,
    apply::Applying,
    columns::{Json, after, rows},
    feed, grants,
    statements::inserted,
};
use crate::{
    model::*,
    store::{Change, Clients, CommitError, StoreError},
};

#[async_trait]
impl Clients for Sqlite {
    async fn client(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        let sql = "SELECT key, client_id, enabled, epoch, created_at, updated_at, doc
                   FROM clients WHERE client_id = ?1";
        self.read(|db| db.one(sql, [client_id], |row| client(row).map(Arc::new)))
    }

    async fn client_by_key(&self, key: ClientKey) -> Result<Option<Arc<Client>>, StoreError> {
        let sql = "SELECT key, client_id, enabled, epoch, created_at, updated_at, doc
                   FROM clients WHERE key = ?1";
        self.read(|db| db.one(sql, [key], |row| client(row).map(Arc::new)))
    }

    async fn clients(&self, from: Option<ClientKey>, limit: usize) -> Result<Vec<Client>, StoreError> {
        let sql = "SELECT key, client_id, enabled, epoch, created_at, updated_at, doc
                   FROM clients WHERE key > ?1 ORDER BY key LIMIT ?2";
        self.read(|db| db.all(sql, params![after(from.map(|key| key.0)), rows(limit)], client))
    }

    async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError> {
        let sql = "SELECT id, uri, owner, created_at FROM resources WHERE uri = ?1";
        self.read(|db| db.one(sql, [uri], |row| resource(row).map(Arc::new)))
    }

    async fn resources(&self, from: Option<Id>, limit: usize) -> Result<Vec<Resource>, StoreError> {
        let sql = "SELECT id, uri, owner, created_at FROM resources WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.read(|db| db.all(sql, params![after(from), rows(limit)], resource))
    }
}

fn client(row: &Row<'_>) -> rusqlite::Result<Client> {
    let Json(mut client) = row.get::<_, Json<Client>>(6)?;
    client.key = row.get(0)?;
    client.client_id = row.get(1)?;
    client.enabled = row.get(2)?;
    client.epoch = row.get(3)?;
    client.created_at = row.get(4)?;
    client.updated_at = row.get(5)?;
    Ok(client)
}

fn resource(row: &Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource { id: row.get(0)?, uri: row.get(1)?, owner: row.get(2)?, created_at: row.get(3)? })
}

pub(super) fn insert(to: &mut Applying<'_>, client: &Client) -> Result<(), CommitError> {
    let sql = "INSERT INTO clients (key, client_id, enabled, epoch, created_at, updated_at, doc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = params![
        client.key,
        client.client_id,
        client.enabled,
        client.epoch,
        client.created_at,
        client.updated_at,
        Json(client)
    ];
    inserted(to.db.run(sql, row), "client")?;
    to.tell(Change::Client { key: client.key, client_id: client.client_id.clone() });
    Ok(())
}

pub(super) fn update(to: &mut Applying<'_>, from: &Client, edited: &Client) -> Result<(), CommitError> {
    let sql =
        "SELECT key, client_id, enabled, epoch, created_at, updated_at, doc FROM clients WHERE key = ?1";
    let present = to.db.one(sql, [from.key], client)?.ok_or(CommitError::Missing("client"))?;
    if present != *from {
        return Err(CommitError::Changed("client"));
    }
    let sql = "UPDATE clients SET doc = ?2, updated_at = ?3 WHERE key = ?1 RETURNING client_id";
    let client_id = to.db.one(sql, params![from.key, Json(edited), edited.updated_at], |row| row.get(0))?;
    tell(to, from.key, client_id)
}

pub(super) fn set_enabled(to: &mut Applying<'_>, key: ClientKey, enabled: bool) -> Result<(), CommitError> {
    let sql = "UPDATE clients SET enabled = ?2, updated_at = ?3 WHERE key = ?1 RETURNING client_id";
    let client_id = to.db.one(sql, params![key, enabled, to.at], |row| row.get(0))?;
    tell(to, key, client_id)
}

pub(super) fn raise_epoch(to: &mut Applying<'_>, key: ClientKey, until: UnixTime) -> Result<(), CommitError> {
    let sql = "UPDATE clients SET epoch = epoch + 1, updated_at = ?2 WHERE key = ?1
               RETURNING epoch, client_id";
    let raised = to.db.one(sql, params![key, to.at], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (epoch, client_id): (u32, String) = raised.ok_or(CommitError::Missing("client"))?;
    let kind = RevocationKind::Client;
    feed::revoke(to, Revocation { kind, id: key.0, epoch, client: key, expires_at: until })?;
    tell(to, key, Some(client_id))
}

pub(super) fn delete(to: &mut Applying<'_>, key: ClientKey) -> Result<(), CommitError> {
    grants::delete_of_client(to, key)?;
    to.db.run("DELETE FROM consents WHERE client = ?1", [key])?;
    let sql = "DELETE FROM clients WHERE key = ?1 RETURNING client_id";
    let client_id = to.db.one(sql, [key], |row| row.get(0))?;
    tell(to, key, client_id)
}

fn tell(to: &mut Applying<'_>, key: ClientKey, client_id: Option<String>) -> Result<(), CommitError> {
    let client_id = client_id.ok_or(CommitError::Missing("client"))?;
    to.tell(Change::Client { key, client_id });
    Ok(())
}

pub(super) fn insert_resource(to: &mut Applying<'_>, resource: &Resource) -> Result<(), CommitError> {
    let sql = "INSERT INTO resources (id, uri, owner, created_at) VALUES (?1, ?2, ?3, ?4)";
    let row = params![resource.id, resource.uri, resource.owner, resource.created_at];
    inserted(to.db.run(sql, row), "resource")?;
    to.tell(Change::Resource { uri: resource.uri.clone() });
    Ok(())
}

pub(super) fn delete_resource(to: &mut Applying<'_>, uri: &str) -> Result<(), CommitError> {
    if to.db.run("DELETE FROM resources WHERE uri = ?1", [uri])? == 0 {
        return Err(CommitError::Missing("resource"));
    }
    to.tell(Change::Resource { uri: uri.to_owned() });
    Ok(())
}
