//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{distribution::Distribution, span, stages::Stages};

/// Load on an OAuth server, seen from outside: rates, latencies, errors, and what they cost the server.
#[derive(Parser)]
#[command(name = "security_load_test", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Several kinds of requests at once
    MixedWorkload {
        /// Kinds and weights: token, introspect, userinfo, discovery, jwks
        #[arg(long, default_value = "token:30,introspect:60,userinfo:10")]
        distribution: Distribution,
        #[command(flatten)]
        load: Load,
    },
    /// POST /oauth/token with client_credentials
    Token(Load),
    /// POST /oauth/introspect, one token at a time
    Introspect(Load),
    /// GET /oauth/userinfo
    Userinfo(Load),
    /// GET /.well-known/openid-configuration
    Discovery(Load),
    /// GET /.well-known/jwks.json
    Jwks(Load),
    /// POST /oauth/introspect/batch; also tells tokens per second
    Batch {
        /// Tokens in each request
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        size: u32,
        #[command(flatten)]
        load: Load,
    },
    /// Each client rotates a chain of refresh tokens of its own
    Refresh(Load),
    /// The login page and its form, each time as a new browser
    Login(Load),
    /// Authorize, code, redeem; signed in by cookies
    CodeFlow(Load),
    /// Idle keep-alive connections, and the server's memory for them
    Connections {
        /// Connections to open
        #[arg(long)]
        count: usize,
        /// How long to keep them
        #[arg(long, default_value = "1s", value_parser = span::parse)]
        hold: Duration,
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        output: Output,
    },
    /// The server of --baseline
    #[command(hide = true)]
    BareServer {
        #[arg(long)]
        workers: usize,
    },
}

/// Whom to ask, and as whom.
#[derive(Args, Clone)]
pub struct TargetArgs {
    /// Where the server is, such as http://127.0.0.1:8080
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// What `chancery demo --json` printed: address and identities in one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "client", "web_client", "redirect_uri", "user", "password", "password_env"])]
    pub demo: Option<PathBuf>,
    /// The service client
    #[arg(long, value_name = "ID:SECRET", default_value = "demo-service:demo-service-secret")]
    pub client: String,
    /// The client of people: code flow and refresh tokens
    #[arg(long, value_name = "ID:SECRET", default_value = "demo-web:demo-web-secret")]
    pub web_client: String,
    /// Where the web client's codes go; nothing is sent there
    #[arg(long, default_value = "http://127.0.0.1:8081/callback")]
    pub redirect_uri: String,
    /// What the web client asks for
    #[arg(long, default_value = "openid profile offline_access")]
    pub user_scope: String,
    /// The person who signs in
    #[arg(long, default_value = "alice")]
    pub user: String,
    /// Her password; others of this machine can see it, so prefer --password-env
    #[arg(long, default_value = "correct horse battery staple", conflicts_with = "password_env")]
    pub password: String,
    /// The environment variable with her password
    #[arg(long, value_name = "NAME")]
    pub password_env: Option<String>,
    /// The server's process, for its CPU time and memory
    #[arg(long)]
    pub pid: Option<u32>,
    /// Allow a server that is not on this machine's loopback
    #[arg(long)]
    pub i_own_this_server: bool,
}

/// How much, how long, and what to compare with.
#[derive(Args, Clone)]
pub struct Load {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Virtual clients, each with a connection; with --rate the most connections
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Length of each round
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    pub duration: Duration,
    /// Ramps, DURATION:CLIENTS and linear between: 30s:100,2m:100,30s:0
    #[arg(long, conflicts_with_all = ["clients", "duration", "rate", "baseline"])]
    pub stages: Option<Stages>,
    /// Arrivals per second, whatever the server does; latencies count from the intended moment
    #[arg(long)]
    pub rate: Option<f64>,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Rounds; figures are medians over them [default: 1, with --baseline 3]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Load before the first round that is not counted
    #[arg(long, default_value = "500ms", value_parser = span::parse)]
    pub warm_up: Duration,
    /// How long a client waits for an answer
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    pub timeout: Duration,
    /// Different access tokens to ask about; they are made before the load, and anew before they expire
    #[arg(long, default_value_t = 256)]
    pub tokens: usize,
    /// Alternate with a bare server of the same payloads, and tell the ratios
    #[arg(long)]
    pub baseline: bool,
    /// Workers of the bare server; as many as the server has [default: one for each core]
    #[arg(long)]
    pub workers: Option<usize>,
    /// Errors that are tolerated, in percent
    #[arg(long, default_value_t = 0.0)]
    pub max_errors: f64,
    #[command(flatten)]
    pub output: Output,
}

/// Where the results go besides standard output.
#[derive(Args, Clone)]
pub struct Output {
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the results as a page with charts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
