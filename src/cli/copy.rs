//! `store copy`: moving an installation to another store, while it serves.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{CommandFailure, Output, output::properties};
use crate::{
    app::{AppError, Node},
    config::{Config, Location, SecretUrl},
    resilience::Clock,
    store::{
        copy::{Copied, CopiedTable, CopyError, copy},
        postgres::{self, Postgres},
        records::Records,
        sqlite::{OpenError, Options, ServeLock, Sqlite, migrate_status},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy everything to another store, while the server runs: from SQLite to Postgres, or back.
    ///
    /// The target must be empty, or an earlier copy of the same installation: then only what has changed
    /// is written. At the end the target is read back and compared, table by table. The one of --from and
    /// --to that is not given is the configured store, so that no password has to stand on the command line.
    Copy {
        /// The store to read: sqlite:path or postgres://user:password@host/database.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// The store to write.
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
}

pub(super) async fn run(config: Config, command: StoreCommand, out: Output) -> Result<(), CommandFailure> {
    let StoreCommand::Copy { from, to } = command;
    if from.is_none() && to.is_none() {
        return Err(CommandFailure::usage(
            "give --from, --to or both; the one not given is the configured store",
        ));
    }
    let from = location("--from", from, &config)?;
    let to = location("--to", to, &config)?;
    if is_same(&from, &to) {
        return Err(CommandFailure::usage("--from and --to are the same store"));
    }
    let (source, served) = source(&config, &from).await?;
    let (target, _alone) = target(&config, &to).await?;
    let copied = copy(source.as_ref(), target.as_ref(), Clock::system().now()).await?;
    show(&copied, served, out);
    Ok(())
}

fn location(name: &str, given: Option<String>, config: &Config) -> Result<Location, CommandFailure> {
    let Some(url) = given else { return Ok(config.store.location()) };
    // The value is not repeated: it may hold a password.
    Location::parse(&url).map_err(|problem| CommandFailure::usage(format!("{name} {problem}")))
}

fn is_same(one: &Location, other: &Location) -> bool {
    match (one, other) {
        (Location::File(one), Location::File(other)) => {
            // A file that is not there yet is no other one's.
            one == other
                || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
        }
        (Location::Postgres(one), Location::Postgres(other)) => one.expose() == other.expose(),
        _ => false,
    }
}

/// What is known of servers on the source.
enum Served {
    Yes,
    /// None, and none can start while this is held: what is copied stays as it is.
    No {
        _alone: Option<ServeLock>,
    },
    /// Nodes on Postgres come and go.
    Unknown,
}

async fn source(config: &Config, from: &Location) -> Result<(Box<dyn Records>, Served), CommandFailure> {
    let path = match from {
        Location::File(path) => path,
        Location::Postgres(url) => return Ok((postgres(config, url, false).await?, Served::Unknown)),
    };
    // What may not be looked at may be there; opening it will say why not.
    if !path.try_exists().unwrap_or(true) {
        return Err(CommandFailure::failed(format!("there is no store at {}; check --from", path.display())));
    }
    let served = match Node::lock(from) {
        Ok(alone) => Served::No { _alone: alone },
        Err(AppError::Open(OpenError::Served { .. })) => Served::Yes,
        Err(error) => return Err(error.into()),
    };
    // The server may be of an older version, whose schema must not change under it.
    let migrate = matches!(served, Served::No { .. });
    Ok((Box::new(sqlite(path, migrate)?), served))
}

async fn target(
    config: &Config,
    to: &Location,
) -> Result<(Box<dyn Records>, Option<ServeLock>), CommandFailure> {
    let alone = Node::lock(to)?;
    let target: Box<dyn Records> = match to {
        Location::Postgres(url) => postgres(config, url, true).await?,
        Location::File(path) => Box::new(sqlite(path, migrate_status(path)?.applied == 0)?),
    };
    Ok((target, alone))
}

fn sqlite(path: &Path, migrate: bool) -> Result<Sqlite, OpenError> {
    Sqlite::open(path, Options { migrate, ..Options::default() })
}

async fn postgres(
    config: &Config,
    url: &SecretUrl,
    migrate: bool,
) -> Result<Box<dyn Records>, CommandFailure> {
    let options = postgres::Options {
        url: url.expose().to_owned(),
        migration_url: migration_url(config, url),
        root_file: config.postgres.root_file.clone(),
        prepared: config.postgres.prepared,
        migrate,
        ..postgres::Options::default()
    };
    Ok(Box::new(Postgres::open(options).await.map_err(CommandFailure::failed)?))
}

/// Where migrations go is known of the configured database only.
fn migration_url(config: &Config, url: &SecretUrl) -> Option<String> {
    match config.store.location() {
        Location::Postgres(configured) if configured.expose() == url.expose() => {
            config.store.migration_url.as_ref().map(|url| url.expose().to_owned())
        }
        _ => None,
    }
}

impl From<CopyError> for CommandFailure {
    fn from(error: CopyError) -> Self {
        Self::failed(error)
    }
}

fn show(copied: &Copied, served: Served, out: Output) {
    let (running, complete) = match served {
        Served::Yes => (Some(true), false),
        Served::No { .. } => (Some(false), !copied.source_changed),
        Served::Unknown => (None, !copied.source_changed),
    };
    let table = |table: &CopiedTable| {
        json!({
            "table": table.class.table(),
            "rows": table.sum.rows,
            "sha256": table.sum.sha256,
            "written": table.written,
            "removed": table.removed,
        })
    };
    let value = json!({
        "tables": copied.tables.iter().map(table).collect::<Vec<_>>(),
        "source_changed": copied.source_changed,
        "server_running": running,
        "complete": complete,
    });
    out.result(&value, || {
        let line = |table: &CopiedTable| {
            let sum = &table.sum;
            let text = format!(
                "{} rows, {} written, {} removed, sha256 {}",
                sum.rows, table.written, table.removed, sum.sha256
            );
            (table.class.table(), text)
        };
        let tables: Vec<_> = copied.tables.iter().map(line).collect();
        format!("{}\n\n{}", properties(&tables), advice(copied, running))
    });
}

fn advice(copied: &Copied, running: Option<bool>) -> &'static str {
    match (copied.source_changed, running) {
        (true, _) => {
            "The target was read back and is equal to the source as it was when the copy began. The source was \
             written to since. Stop the server, run this again (it writes only what has changed), then start \
             the server on the new store, with the same master key."
        }
        (false, Some(true)) => {
            "The target was read back and is equal to the source. A server still runs on the source, so more will \
             come. Stop it, run this again (it writes only what has changed), then start the server on the new \
             store, with the same master key."
        }
        (false, Some(false)) => {
            "The target was read back and is equal to the source, on which no server runs. The move is complete: \
             start the server on the new store, with the same master key, and never again on the old one."
        }
        (false, None) => {
            "The target was read back and is equal to the source, which nobody wrote to meanwhile. If no node runs \
             on the source, the move is complete: start the server on the new store, with the same master key, \
             and never again on the old one. Otherwise stop the nodes and run this again."
        }
    }
}
