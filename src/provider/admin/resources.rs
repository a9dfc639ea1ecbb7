//! RFC 8707 §2 — registering protected resources, and the clients that may introspect their tokens.

use super::{AdminError, PAGE};
use crate::{model::*, protocol::registration::resource_fault, provider::Administration, store::Effect};

/// A resource that the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredResource<'a> {
    /// The absolute URI.
    pub uri: &'a str,
    /// The `client_id` that may introspect tokens for it.
    pub owner: Option<&'a str>,
}

impl Administration {
    /// Registers a resource.
    pub async fn create_resource(&self, uri: &str, owner: Option<&str>) -> Result<Resource, AdminError> {
        if let Err(reason) = resource_fault(uri) {
            return Err(AdminError::refused(format!("The resource {uri:?} is refused: {reason}.")));
        }
        let owner = match owner {
            Some(client_id) => Some(self.find_client(client_id).await?.key),
            None => None,
        };
        let resource = self.new_resource(uri, owner);
        self.change_resource(uri, vec![Effect::InsertResource(resource.clone())]).await?;
        Ok(resource)
    }

    /// Every resource, oldest first.
    pub async fn all_resources(&self) -> Result<Vec<Resource>, AdminError> {
        let mut all: Vec<Resource> = Vec::new();
        loop {
            let page = self.store.resources(all.last().map(|resource| resource.id), PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Deletes a resource. Tokens for it stay valid; no new ones are issued.
    pub async fn delete_resource(&self, uri: &str) -> Result<(), AdminError> {
        self.change_resource(uri, vec![Effect::DeleteResource(uri.to_owned())]).await
    }

    /// Brings the store to what the configuration declares. What it does not mention stays.
    pub async fn declare_resource(&self, declared: DeclaredResource<'_>) -> Result<(), AdminError> {
        let DeclaredResource { uri, owner } = declared;
        let owner = match owner {
            None => None,
            Some(client_id) => {
                let found = self.store.client(client_id).await?.map(|client| client.key);
                if found.is_none() {
                    tracing::warn!(
                        uri,
                        client_id,
                        "a configured resource names an owner that does not exist; create the client and restart"
                    );
                }
                found
            }
        };
        let present = self.store.resource(uri).await?;
        let insert = Effect::InsertResource(self.new_resource(uri, owner));
        let effects = match present {
            Some(resource) if resource.owner == owner => return Ok(()),
            Some(_) => vec![Effect::DeleteResource(uri.to_owned()), insert],
            None => vec![insert],
        };
        match self.change_resource(uri, effects).await {
            // Another node reads the same configuration and was faster.
            Err(AdminError::Taken { .. } | AdminError::Unknown { .. }) => Ok(()),
            other => other,
        }
    }

    fn new_resource(&self, uri: &str, owner: Option<ClientKey>) -> Resource {
        Resource { id: self.id(), uri: uri.to_owned(), owner, created_at: self.clock.now() }
    }

    async fn change_resource(&self, uri: &str, effects: Vec<Effect>) -> Result<(), AdminError> {
        let done = self.commit(self.clock.now(), None, effects).await;
        done.map(drop).map_err(|error| AdminError::of_commit(error, "resource", uri))
    }
}
