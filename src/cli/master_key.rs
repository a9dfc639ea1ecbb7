//! `keys generate-master` and `keys rewrap`: making a master key, and moving to it while serving.

use std::path::Path;

use serde_json::{Value, json};

use super::{CommandFailure, Output, output::moment};
use crate::{
    app::Node, config::create_master_key, crypto::random::Random, model::*,
    protocol::registration::MAX_ACCESS_LIFETIME, provider::CSRF_LIFETIME,
};

/// Writes a new key to a new file.
pub(super) fn generate(file: &Path, out: Output) -> Result<(), CommandFailure> {
    create_master_key(file, &Secret::new(Random::os().bytes())).map_err(CommandFailure::failed)?;
    let shown = file.display().to_string();
    let sentence = format!(
        "A new master key is in {shown}, with mode 0600. Give it to every node as `[keys] master_file`, or its \
         line as CHANCERY_KEYS_MASTER, and keep a copy apart from the store's backups."
    );
    out.done(&json!({ "file": shown, "done": "generated" }), &sentence);
    Ok(())
}

/// Seals every signing key under the first master key.
pub(super) async fn rewrap(node: &Node, out: Output) -> Result<(), CommandFailure> {
    let done = node.provider.keys.rewrap().await?;
    let remaining = remaining(node).await?;
    let longest = remaining.iter().map(|(_, seconds)| *seconds).max().unwrap_or_default();
    // When nothing was left to seal the time has been running since an earlier run, which named its end: a
    // date counted from now would never come.
    let after = (done.resealed > 0).then(|| node.provider.clock.now().plus(longest));
    let waits: Vec<Value> =
        remaining.iter().map(|(what, seconds)| json!({ "what": what, "seconds": seconds })).collect();
    let value = json!({
        "resealed": done.resealed,
        "already": done.already,
        "still_under_older_keys": waits,
        "older_keys_needed_for_seconds": longest,
        "older_keys_may_go_after": after,
    });
    out.result(&value, || {
        let mut text = format!(
            "{} signing keys were sealed under the first master key, {} were already.\n\nWhat servers sealed \
             under older master keys before they had this one first dies out by itself:\n",
            done.resealed, done.already
        );
        for (what, seconds) in &remaining {
            text.push_str(&format!("  {what}: {}\n", span(*seconds)));
        }
        let may_go = match after {
            Some(after) => format!(
                "If every server runs with this key first by now, the older ones may be dropped after {}.",
                moment(after)
            ),
            None => format!(
                "The older keys may be dropped {} after the last server was given this key first. No signing key \
                 was left to seal, so that the run that sealed them has named the date.",
                span(longest)
            ),
        };
        text.push_str(&format!("\n{may_go} To drop one at once makes all of that invalid at once."));
        text
    });
    Ok(())
}

/// What only the master key opens that it was made with, and for how long there may be some of it.
/// (Client secrets are not among it: their digests are compared.)
async fn remaining(node: &Node) -> Result<Vec<(&'static str, u64)>, CommandFailure> {
    let clients = node.provider.administration.all_clients().await?;
    let refresh = clients.iter().map(|client| client.refresh_lifetime).max().unwrap_or_default();
    let config = &node.config;
    Ok(vec![
        ("sealed access tokens", MAX_ACCESS_LIFETIME),
        ("sign-ins in progress, and forms on open pages", CSRF_LIFETIME),
        ("sessions", config.session.lifetime),
        ("refresh tokens, and knowing spent ones again", refresh.max(config.refresh.lifetime)),
    ])
}

/// In the largest whole unit.
fn span(seconds: u64) -> String {
    [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}
