//! `client`: registering and changing the programs that ask for tokens.

mod create;

use clap::Subcommand;
use serde_json::{Value, json};

pub(super) use create::algorithm;
use create::{Create, format_name};

use super::{
    Failure, Output, export,
    output::{joined, moment, properties},
};
use crate::{
    app::Node,
    config::whole_seconds,
    model::*,
    provider::admin::{NewSecret, RotateSecret},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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

pub(super) async fn run(node: Node, command: Command, out: Output) -> Result<(), Failure> {
    let provider = &node.provider;
    match command {
        Command::Create(create) => {
            let client = create.client(&node)?;
            let (client, secret) =
                provider.administration.create_client(client, &node.config.keys.algorithms).await?;
            show(&client, secret.as_ref(), out);
        }
        Command::List => list(&provider.administration.all_clients().await?, out),
        Command::Export => export::clients(&node).await?,
        Command::Show { client_id } => {
            show(&*provider.administration.find_client(&client_id).await?, None, out)
        }
        Command::Disable { client_id } => {
            provider.administration.set_client_enabled(&client_id, false).await?;
            done(&client_id, "disabled", "is disabled; every token it held is dead", out);
        }
        Command::Enable { client_id } => {
            provider.administration.set_client_enabled(&client_id, true).await?;
            done(&client_id, "enabled", "is enabled", out);
        }
        Command::Delete { client_id } => {
            provider.administration.delete_client(&client_id).await?;
            done(&client_id, "deleted", "is deleted; every token it held is dead", out);
        }
        Command::RotateSecret { client_id, keep_old } => {
            let how = RotateSecret { keep_old: keep_old.unwrap_or(0) };
            let (client, secret) = provider.administration.rotate_client_secret(&client_id, how).await?;
            rotated(&client, &secret, out);
        }
        Command::RevokeTokens { client_id } => {
            provider.administration.revoke_client_tokens(&client_id).await?;
            done(&client_id, "tokens_revoked", "holds no living token any more", out);
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
                    application_type(client).to_owned(),
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
    out.result(&value(client, secret), || {
        let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        let seconds = |seconds: u64| format!("{seconds} s");
        let secrets = match (client.is_public(), client.secrets.len()) {
            (true, _) => "none: a public client".to_owned(),
            (false, count) => format!("{count} valid or ending"),
        };
        let mut lines = vec![("client_id", client.client_id.clone())];
        lines
            .extend(secret.map(|secret| ("client_secret", format!("{} (shown this once)", secret.expose()))));
        lines.extend([
            ("name", client.name.clone()),
            ("enabled", yes(client.enabled)),
            ("application type", application_type(client).to_owned()),
            ("authentication", client.auth_method.as_str().to_owned()),
            ("secrets", secrets),
            ("grants", client.grants.join(" ")),
            ("scopes", joined(&client.scopes.iter().map(str::to_owned).collect::<Vec<_>>())),
            ("redirect URIs", joined(&client.redirect_uris)),
            ("post-logout redirect URIs", joined(&client.post_logout_redirect_uris)),
            ("allowed origins", joined(&client.allowed_origins)),
            ("resources", joined(&client.resources)),
            ("default audience", client.default_audience.clone().unwrap_or_else(|| "the issuer".into())),
            ("skip consent", yes(client.skip_consent)),
            ("require PKCE", yes(client.require_pkce)),
            ("ID token algorithm", client.id_token_alg.as_str().to_owned()),
            ("token format", format_name(client.token_format)),
            ("access lifetime", seconds(client.access_lifetime)),
            ("refresh idle lifetime", seconds(client.refresh_idle_lifetime)),
            ("refresh lifetime", seconds(client.refresh_lifetime)),
            ("refresh policy", refresh_policy(client).to_owned()),
            ("retry window", client.retry_window.map_or("as configured".to_owned(), seconds)),
            ("introspect any", yes(client.introspect_any)),
            ("strict", yes(client.strict)),
            ("created", moment(client.created_at)),
            ("changed", moment(client.updated_at)),
        ]);
        properties(&lines)
    });
}

/// Everything but digests: they are of no use to anybody who may see them.
pub(super) fn value(client: &Client, secret: Option<&NewSecret>) -> Value {
    let of_secret =
        |secret: &ClientSecret| json!({ "created_at": secret.created_at, "expires_at": secret.expires_at });
    let mut value = json!({
        "client_id": client.client_id,
        "name": client.name,
        "enabled": client.enabled,
        "application_type": application_type(client),
        "auth_method": client.auth_method.as_str(),
        "secrets": client.secrets.iter().map(of_secret).collect::<Vec<_>>(),
        "grants": client.grants,
        "scopes": client.scopes,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "allowed_origins": client.allowed_origins,
        "resources": client.resources,
        "default_audience": client.default_audience,
        "skip_consent": client.skip_consent,
        "require_pkce": client.require_pkce,
        "id_token_alg": client.id_token_alg.as_str(),
        "token_format": format_name(client.token_format),
        "access_lifetime": client.access_lifetime,
        "refresh_idle_lifetime": client.refresh_idle_lifetime,
        "refresh_lifetime": client.refresh_lifetime,
        "refresh_policy": refresh_policy(client),
        "retry_window": client.retry_window,
        "introspect_any": client.introspect_any,
        "strict": client.strict,
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    });
    if let Some(secret) = secret {
        value["client_secret"] = secret.expose().as_str().into();
    }
    value
}

fn application_type(client: &Client) -> &'static str {
    match client.application_type {
        ApplicationType::Web => "web",
        ApplicationType::Native => "native",
    }
}

fn refresh_policy(client: &Client) -> &'static str {
    match client.refresh_policy {
        RefreshPolicy::OfflineAccess => "offline_access",
        RefreshPolicy::Always => "always",
        RefreshPolicy::Never => "never",
    }
}
