//! `keys`: the signing keys' life, by hand.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CommandFailure, Output, client::algorithm, master_key, output::moment};
use crate::{
    app::{AppError, Node},
    model::*,
    protocol::key_rotation::RotationStep,
};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys.
    List {
        /// Also those that are gone.
        #[arg(long)]
        all: bool,
    },
    /// Replace the key of an algorithm: the first time publishes the next key, the second lets it sign.
    Rotate {
        /// RS256, ES256, PS256 or EdDSA.
        #[arg(value_parser = algorithm)]
        alg: SigningAlg,
    },
    /// Seal every signing key under the first master key, while servers run; then older ones may go.
    Rewrap,
    /// Make a master key, for `[keys] master_file` of every node.
    GenerateMaster {
        /// The file to write; it must not exist.
        file: PathBuf,
    },
    /// Withdraw a leaked key now: nothing it signed is accepted any more.
    Revoke {
        /// Its kid, as `keys list` shows it.
        kid: String,
    },
}

pub(super) async fn run(node: Node, command: KeysCommand, out: Output) -> Result<(), CommandFailure> {
    match command {
        KeysCommand::List { all } => {
            let keys = node.provider.store.signing_keys(all).await?;
            list(&keys, out);
        }
        KeysCommand::Rotate { alg } => {
            if !node.config.keys.algorithms.contains(&alg) {
                let name = alg.as_str();
                return Err(CommandFailure::usage(format!(
                    "this server keeps no keys for {name}; add it to `[keys] algorithms` first"
                )));
            }
            let step = node.provider.keys.rotate(alg, &node.rotation).await?;
            rotated(alg, &step, node.rotation.lead, out);
        }
        KeysCommand::Rewrap => master_key::rewrap(&node, out).await?,
        // Needs no node; see `dispatch`.
        KeysCommand::GenerateMaster { file } => master_key::generate(&file, out)?,
        KeysCommand::Revoke { kid } => {
            node.provider.keys.reload().await.map_err(AppError::from)?;
            node.provider.keys.revoke(&kid, &node.rotation).await?;
            let sentence = format!(
                "The key {kid} is withdrawn; nothing it signed is accepted here any more. Others may accept it \
                 until their copy of the key set expires, in at most {} s.",
                node.config.keys.jwks_max_age
            );
            out.done(&json!({ "kid": kid, "done": "revoked" }), &sentence);
        }
    }
    Ok(())
}

fn rotated(alg: SigningAlg, step: &RotationStep, lead: u64, out: Output) {
    let name = alg.as_str();
    let (what, sentence) = match step {
        RotationStep::Create(_, KeyState::Next) => (
            "published",
            format!("The next {name} key is published. Give the command again in {lead} s to let it sign."),
        ),
        RotationStep::Create(..) => ("activated", format!("The first {name} key is made and signs.")),
        RotationStep::Activate { kid, .. } => {
            ("activated", format!("The {name} key {kid} signs from now on."))
        }
        RotationStep::Remove(kid) => ("removed", format!("The {name} key {kid} is gone.")),
    };
    out.done(&json!({ "alg": name, "done": what }), &sentence);
}

fn list(keys: &[SigningKey], out: Output) {
    let values: Vec<_> = keys.iter().map(value).collect();
    out.list(&values, &["kid", "alg", "state", "created", "activated", "retired", "gone"], || {
        let row = |key: &SigningKey| {
            let when = |time: Option<UnixTime>| time.map_or("-".to_owned(), moment);
            vec![
                key.kid.clone(),
                key.alg.as_str().to_owned(),
                key.state.as_str().to_owned(),
                moment(key.created_at),
                when(key.activated_at),
                when(key.retired_at),
                when(key.gone_at),
            ]
        };
        keys.iter().map(row).collect()
    });
}

fn value(key: &SigningKey) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg.as_str(),
        "state": key.state.as_str(),
        "created_at": key.created_at,
        "activated_at": key.activated_at,
        "retired_at": key.retired_at,
        "gone_at": key.gone_at,
    })
}
