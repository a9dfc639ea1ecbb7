//! `backup`, `restored` and `migrate`: the store as a whole.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output};
use crate::{
    app::Node,
    config::Config,
    protocol::registration::MAX_ACCESS_LIFETIME,
    resilience::Clock,
    store::{
        Upkeep,
        sqlite::{MigrationStatus, migrate_status, migrate_up},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Show which migrations are applied; changes nothing.
    Status,
    /// Apply those that are pending. `serve` does so at its start.
    Up,
}

pub(super) async fn backup(config: Config, to: PathBuf, out: Output) -> Result<(), Failure> {
    existing(&config)?;
    let store = Node::open_store(&config)?;
    store.backup(&to).await.map_err(|error| Failure::failed(error.message))?;
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

pub(super) async fn restored(config: Config, out: Output) -> Result<(), Failure> {
    existing(&config)?;
    // A server that runs still reads the file that was there before.
    let _alone = Node::lock(&config)?;
    let store = Node::open_store(&config)?;
    let now = Clock::system().now();
    // DESIGN §6: nothing issued before is alive by then.
    let until = now.plus(MAX_ACCESS_LIFETIME).plus(2 * 60 * 60);
    store.restored(now, until).await?;
    out.done(
        &json!({ "done": "restored", "epochs_raised": ["users", "clients", "feed"] }),
        "Every user's and client's epoch is raised: all tokens and sessions from before are dead, and people \
         sign in again. Start the server now.",
    );
    Ok(())
}

pub(super) fn migrate(config: &Config, command: &MigrateCommand, out: Output) -> Result<(), Failure> {
    let database = config.store.database();
    let status = match command {
        MigrateCommand::Status => migrate_status(&database)?,
        MigrateCommand::Up => migrate_up(&database)?,
    };
    let MigrationStatus { applied, known, pending } = &status;
    let value = json!({ "applied": applied, "known": known, "pending": pending });
    out.result(&value, || match (*applied > *known, pending.as_slice()) {
        (true, _) => format!("The store has schema {applied}, which is newer than this version ({known})."),
        (false, []) => format!("The store has schema {applied}, which is this version's."),
        (false, _) => format!(
            "The store has schema {applied}, this version needs {known}. Pending: {}. `chancery migrate up` applies them.",
            pending.join(", ")
        ),
    });
    Ok(())
}

/// A mistyped path must not make a new, empty store.
pub(super) fn existing(config: &Config) -> Result<(), Failure> {
    let database = config.store.database();
    // What may not be looked at may be there; opening it will say why not.
    if database.try_exists().unwrap_or(true) {
        return Ok(());
    }
    Err(Failure::failed(format!("there is no store at {}; check `[store] data_dir`", database.display())))
}
