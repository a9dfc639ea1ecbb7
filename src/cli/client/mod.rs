//! `client`: registering and changing the programs that ask for tokens.

mod create;

use clap::Subcommand;
use serde_json::{Value, json};

use create::Create;
pub(super) use create::algorithm;

use super::{
    CommandFailure, Output, export,
    output::{moment, properties, viewed},
};
use crate::{
    app::Node,
    config::whole_seconds,
    model::*,
    provider::admin::{NewSecret, RotateSecret, view},
};

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client. Its secret is made here and shown once.
    Create(Box<Create>),
    /// List the clients.
    List,
    /// Write every client as NDJSON, one object on each line: all that `show --json` tells. No secrets
    /// and no digests of them are in it.
    Export,
    /// Show everything about a client but its secrets.
    Show {
        /// Its client_id.
        client_id: String,
    },
    /// Disable a client: it can do nothing, and every token it holds is dead.
    Disable {
        /// Its client_id.
        client_id: String,
    },
    /// Enable a client again. Tokens from before stay dead.
    Enable {
        /// Its client_id.
        client_id: String,
    },
    /// Delete a client with everything it was given.
    Delete {
        /// Its client_id.
        client_id: String,
    },
    /// Make a new secret and show it once.
    RotateSecret {
        /// Its client_id.
        client_id: String,
        /// Keep the old secret valid for so long, such as 24h; without it, it ends at once.
        #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
        keep_old: Option<u64>,
    },
    /// Revoke every token that a client holds.
    RevokeTokens {
        /// Its client_id.
        client_id: String,
    },
}

pub(super) async fn run(node: Node, command: ClientCommand, out: Output) -> Result<(), CommandFailure> {
    let provider = &node.provider;
    match command {
        ClientCommand::Create(create) => {
            let client = create.client(&node)?;
            let (client, secret) =
                provider.administration.create_client(client, &node.config.keys.algorithms).await?;
            show(&client, secret.as_ref(), out);
        }
        ClientCommand::List => list(&provider.administration.all_clients().await?, out),
        ClientCommand::Export => export::clients(&node).await?,
        ClientCommand::Show { client_id } => {
            show(&*provider.administration.find_client(&client_id).await?, None, out)
        }
        ClientCommand::Disable { client_id } => {
            provider.administration.set_client_enabled(&client_id, false).await?;
            done(&client_id, "disabled", "is disabled; all its tokens are revoked", out);
        }
        ClientCommand::Enable { client_id } => {
            provider.administration.set_client_enabled(&client_id, true).await?;
            done(&client_id, "enabled", "is enabled", out);
        }
        ClientCommand::Delete { client_id } => {
            provider.administration.delete_client(&client_id).await?;
            done(&client_id, "deleted", "is deleted; all its tokens are revoked", out);
        }
        ClientCommand::RotateSecret { client_id, keep_old } => {
            let how = RotateSecret { keep_old: keep_old.unwrap_or(0) };
            let (client, secret) = provider.administration.rotate_client_secret(&client_id, how).await?;
            rotated(&client, &secret, out);
        }
        ClientCommand::RevokeTokens { client_id } => {
            provider.administration.revoke_client_tokens(&client_id).await?;
            done(&client_id, "tokens_revoked", "has no valid token any more", out);
        }
    }
    Ok(())
}

fn done(client_id: &str, what: &str, sentence: &str, out: Output) {
    out.done(
        &json!({ "client_id": client_id, "done": what }),
        &format!("The client {client_id} {sentence}."),
    );
}

fn rotated(client: &Client, secret: &NewSecret, out: Output) {
    let old: Option<UnixTime> = client.secrets.iter().find_map(|secret| secret.expires_at);
    let value = json!({
        "client_id": client.client_id,
        "client_secret": secret.expose(),
        "old_secret_expires_at": old,
    });
    out.result(&value, || {
        let old = old.map_or("has ended".to_owned(), |at| format!("is valid until {}", moment(at)));
        properties(&[
            ("client_id", client.client_id.clone()),
            ("client_secret", format!("{} (shown this once)", secret.expose())),
            ("old secret", old),
        ])
    });
}

fn list(clients: &[Client], out: Output) {
    let values: Vec<_> = clients.iter().map(|client| value(client, None)).collect();
    out.list(
        &values,
        &["client_id", "name", "type", "authentication", "grants", "enabled", "created"],
        || {
            let row = |client: &Client| {
                vec![
                    client.client_id.clone(),
                    client.name.clone(),
                    client.application_type.as_str().to_owned(),
                    client.auth_method.as_str().to_owned(),
                    client.grants.join(" "),
                    if client.enabled { "yes" } else { "no" }.to_owned(),
                    moment(client.created_at),
                ]
            };
            clients.iter().map(row).collect()
        },
    );
}

fn show(client: &Client, secret: Option<&NewSecret>, out: Output) {
    let shown = value(client, secret);
    out.result(&shown, || {
        let secret = secret.map(|secret| format!("{} (shown this once)", secret.expose()));
        let secret = secret.map(|text| ("client secret".to_owned(), text));
        let mut lines = viewed(&view::client(client));
        // Below the client_id: both go into the same configuration.
        lines.splice(1..1, secret);
        properties(&lines)
    });
}

/// What may be seen of a client, with the secret that was just made for it.
pub(super) fn value(client: &Client, secret: Option<&NewSecret>) -> Value {
    let mut value = view::object(view::client(client));
    if let Some(secret) = secret {
        value["client_secret"] = secret.expose().as_str().into();
    }
    value
}
