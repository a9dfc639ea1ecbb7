//! The command line: what is asked for, and the exit codes that answer it.
//!
//! 0 done, 1 failed, 2 wrong usage or configuration. Results go to standard output, everything else to
//! standard error.

mod client;
mod configuration;
mod copy;
mod demo;
mod export;
mod healthcheck;
mod keys;
mod master_key;
mod migrate;
mod output;
mod password;
mod resource;
mod serve;
mod store;
mod user;

use std::{future::Future, net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    app::{AppError, Node},
    config::Config,
    observe::log::{self, LineFormat, LogSettings},
    provider::{KeyChangeError, admin::AdminError},
    store::{StoreError, sqlite::OpenError},
};

use output::Output;

/// An OAuth 2.1 and OpenID Connect authorization server.
///
/// Try it with `chancery demo`. `chancery serve` is the real thing; the other commands work on its store,
/// whether or not it runs.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, max_term_width = 100, propagate_version = true)]
struct Arguments {
    /// Configuration file (TOML); the environment wins over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything: a throw-away server on this machine, with lines to paste.
    Demo {
        /// Address of the public listener; loopback only, port 0 takes a free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Address of the operations listener (metrics); loopback only.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
        ops_listen: SocketAddr,
    },
    /// Run the server.
    Serve,
    /// Register, disable and delete clients: the programs that ask for tokens.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Register resources (RFC 8707): the audiences that tokens are for.
    #[command(subcommand)]
    Resource(resource::ResourceCommand),
    /// Make, disable and delete users: the people who sign in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look at, rotate and withdraw signing keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Write a consistent copy of the store, while the server runs.
    Backup {
        /// The file to write; it must not exist.
        file: PathBuf,
    },
    /// After restoring a backup: end every token and session, so that nothing revoked since comes alive.
    Restored,
    /// Move everything to another store.
    #[command(subcommand)]
    Store(copy::StoreCommand),
    /// Bring the store's schema to this version.
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Tell everything that is wrong with the configuration; changes nothing.
    CheckConfig {
        /// Also ask the store and Redis whether they are there.
        #[arg(long)]
        connect: bool,
    },
    /// Ask the configured server whether it is ready; for containers.
    Healthcheck,
}

/// Why a command was not done, and the exit code that says so.
#[derive(Debug)]
struct CommandFailure {
    code: i32,
    message: String,
}

impl CommandFailure {
    fn failed(message: impl ToString) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    fn usage(message: impl ToString) -> Self {
        Self { code: 2, message: message.to_string() }
    }
}

impl From<AppError> for CommandFailure {
    fn from(error: AppError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<AdminError> for CommandFailure {
    fn from(error: AdminError) -> Self {
        AppError::from(error).into()
    }
}

impl From<KeyChangeError> for CommandFailure {
    fn from(error: KeyChangeError) -> Self {
        Self::failed(error)
    }
}

impl From<StoreError> for CommandFailure {
    fn from(error: StoreError) -> Self {
        AppError::from(error).into()
    }
}

impl From<OpenError> for CommandFailure {
    fn from(error: OpenError) -> Self {
        Self::failed(error)
    }
}

/// Does what the process was asked to do, and gives its exit code.
pub fn run() -> i32 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not errors; clap knows where each goes.
            let _ = error.print();
            return error.exit_code();
        }
    };
    let out = Output::new(arguments.json);
    let done = dispatch(arguments, out);
    match done.and_then(|()| out.untold().map_or(Ok(()), |untold| Err(CommandFailure::failed(untold)))) {
        Ok(()) => 0,
        Err(failure) => {
            out.error(&failure.message);
            failure.code
        }
    }
}

fn dispatch(arguments: Arguments, out: Output) -> Result<(), CommandFailure> {
    let file = arguments.config.as_deref();
    match arguments.command {
        Command::Demo { .. } if file.is_some() => Err(CommandFailure::usage(
            "the demo takes no configuration file; use `chancery serve --config FILE`",
        )),
        Command::Demo { listen, ops_listen } => demo::run(listen, ops_listen, out),
        Command::Serve => serve::run(configuration::load(file)?),
        Command::CheckConfig { connect } => configuration::check(file, connect, out),
        Command::Healthcheck => healthcheck::run(&configuration::load(file)?, out),
        Command::Backup { file: to } => command(file, |config| store::backup(config, to, out)),
        Command::Restored => command(file, |config| store::restored(config, out)),
        Command::Store(what) => command(file, |config| copy::run(config, what, out)),
        Command::Migrate(what) => command(file, |config| migrate::run(config, what, out)),
        Command::Client(what) => {
            let makes = matches!(what, client::ClientCommand::Create(_));
            with_node(file, makes, |node| client::run(node, what, out))
        }
        Command::Resource(what) => {
            let makes = matches!(what, resource::ResourceCommand::Create { .. });
            with_node(file, makes, |node| resource::run(node, what, out))
        }
        Command::User(what) => {
            let makes = matches!(what, user::UserCommand::Create { .. });
            with_node(file, makes, |node| user::run(node, what, out))
        }
        // Made before there is anything to configure.
        Command::Keys(keys::KeysCommand::GenerateMaster { file }) => master_key::generate(&file, out),
        Command::Keys(what) => {
            let makes = matches!(what, keys::KeysCommand::Rotate { .. });
            with_node(file, makes, |node| keys::run(node, what, out))
        }
    }
}

/// Runs a command that works on a node's use cases. Only one that makes something may make the store.
fn with_node<F: Future<Output = Result<(), CommandFailure>>>(
    file: Option<&std::path::Path>,
    makes: bool,
    work: impl FnOnce(Node) -> F,
) -> Result<(), CommandFailure> {
    command(file, |config| async move {
        if !makes {
            store::existing(&config).await?;
        }
        work(Node::open_for_command(config).await?).await
    })
}

/// Runs a command on one thread, with a log that only speaks when something is wrong.
fn command<F: Future<Output = Result<(), CommandFailure>>>(
    file: Option<&std::path::Path>,
    work: impl FnOnce(Config) -> F,
) -> Result<(), CommandFailure> {
    let config = configuration::load(file)?;
    begin_log(&LogSettings { filter: "warn".into(), format: Some(LineFormat::Text) })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CommandFailure::failed)?.block_on(work(config))
}

fn begin_log(settings: &LogSettings) -> Result<(), CommandFailure> {
    log::init(settings).map_err(CommandFailure::usage)
}
