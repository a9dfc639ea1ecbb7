//! `resource`: registering the audiences that tokens are for (RFC 8707).

use std::collections::HashMap;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    CommandFailure, Output,
    output::{moment, properties},
};
use crate::{app::Node, model::*};

#[derive(Debug, Subcommand)]
pub(super) enum ResourceCommand {
    /// Register a resource.
    Create {
        /// Its absolute URI, which becomes the tokens' audience.
        uri: String,
        /// The client that may introspect tokens for it.
        #[arg(long, value_name = "CLIENT_ID")]
        owner: Option<String>,
    },
    /// List the resources.
    List,
    /// Delete a resource: nobody gets new tokens for it.
    Delete {
        /// Its URI.
        uri: String,
    },
}

pub(super) async fn run(node: Node, command: ResourceCommand, out: Output) -> Result<(), CommandFailure> {
    let provider = &node.provider;
    match command {
        ResourceCommand::Create { uri, owner } => {
            let resource = provider.administration.create_resource(&uri, owner.as_deref()).await?;
            let shown = owner.clone().unwrap_or_else(|| "-".into());
            out.result(&value(&resource, owner.as_deref()), || {
                properties(&[("uri", resource.uri.clone()), ("owner", shown)])
            });
        }
        ResourceCommand::List => {
            let owners: HashMap<ClientKey, String> = provider
                .administration
                .all_clients()
                .await?
                .into_iter()
                .map(|client| (client.key, client.client_id))
                .collect();
            list(&provider.administration.all_resources().await?, &owners, out);
        }
        ResourceCommand::Delete { uri } => {
            provider.administration.delete_resource(&uri).await?;
            let sentence =
                format!("The resource {uri} is deleted. If the configuration names it, remove it there too.");
            out.done(&json!({ "uri": uri, "done": "deleted" }), &sentence);
        }
    }
    Ok(())
}

fn list(resources: &[Resource], owners: &HashMap<ClientKey, String>, out: Output) {
    let owner = |resource: &Resource| resource.owner.and_then(|key| owners.get(&key)).map(String::as_str);
    let values: Vec<_> = resources.iter().map(|resource| value(resource, owner(resource))).collect();
    out.list(&values, &["uri", "owner", "created"], || {
        let row = |resource: &Resource| {
            vec![resource.uri.clone(), owner(resource).unwrap_or("-").to_owned(), moment(resource.created_at)]
        };
        resources.iter().map(row).collect()
    });
}

fn value(resource: &Resource, owner: Option<&str>) -> Value {
    json!({ "uri": resource.uri, "owner": owner, "created_at": resource.created_at })
}
