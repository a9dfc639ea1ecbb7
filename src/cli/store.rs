//! `backup` and `restored`: the store as a whole.

use std::path::PathBuf;

use serde_json::json;

use super::{CommandFailure, Output};
use crate::{
    app::{Node, schema},
    config::{Config, Location},
    protocol::registration::MAX_ACCESS_LIFETIME,
    resilience::Clock,
};

pub(super) async fn backup(config: Config, to: PathBuf, out: Output) -> Result<(), CommandFailure> {
    existing(&config).await?;
    let store = Node::open_store(&config).await?.store();
    store.backup(&to).await.map_err(|error| CommandFailure::failed(error.message))?;
    let bytes = std::fs::metadata(&to).map_or(0, |file| file.len());
    let value = json!({ "file": to.display().to_string(), "bytes": bytes });
    out.done(
        &value,
        &format!(
            "The backup is in {} ({bytes} bytes). It is of no use without the master key, which is not in it. \
             After restoring it, run `chancery restored`.",
            to.display()
        ),
    );
    Ok(())
}

pub(super) async fn restored(config: Config, out: Output) -> Result<(), CommandFailure> {
    existing(&config).await?;
    // A server that runs still reads the file that was there before. Nodes on Postgres hold no lock; they
    // read everything anew when the feed's epoch rises.
    let _alone = Node::lock(&config.store.location())?;
    let store = Node::open_store(&config).await?.store();
    let now = Clock::system().now();
    // ARCHITECTURE.md, Revocation: nothing issued before is alive by then.
    let until = now.plus(MAX_ACCESS_LIFETIME).plus(2 * 60 * 60);
    store.restored(now, until).await?;
    let next = if config.store.is_postgres() {
        "Start the nodes now. A node that was not stopped hears of it within moments, but what it answered \
         between the restore and now may have been wrong: next time, have all of them stopped before."
    } else {
        "Start the server now."
    };
    out.done(
        &json!({ "done": "restored", "epochs_raised": ["users", "clients", "feed"] }),
        &format!(
            "Every user's and client's epoch is raised: all tokens and sessions from before are dead, and people \
             sign in again. {next}"
        ),
    );
    Ok(())
}

/// A mistyped path or address must not make a new, empty store.
pub(super) async fn existing(config: &Config) -> Result<(), CommandFailure> {
    let location = config.store.location();
    let (is_there, look_at) = match &location {
        // What may not be looked at may be there; opening it will say why not.
        Location::File(database) => (database.try_exists().unwrap_or(true), "check `[store] data_dir`"),
        Location::Postgres(_) => (
            schema::migrate_status(config).await?.applied > 0,
            "check `[store] url`, or `chancery migrate up`",
        ),
    };
    if is_there {
        return Ok(());
    }
    Err(CommandFailure::failed(format!("there is no store at {}; {look_at}", location.shown())))
}
