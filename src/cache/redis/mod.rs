//! Redis: a second tier of the caches, and change notifications between nodes. A command that fails, is late
//! or is not even sent is a miss; no request fails with it.
//!
//! Every command has a deadline and passes a circuit breaker. [`RedisClient::run`] asks in the background
//! whether Redis is there, so that it is used again soon after it has come back.

mod change_notifications;
mod connection;
mod target;

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Value};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::{sleep, timeout};

use self::{connection::Link, target::Target};
use super::stats::one;
use crate::{
    model::Secret,
    observe::trace::{self, Fact, Work},
    resilience::{Breaker, BreakerFigures, BreakerState},
};

pub use self::{change_notifications::ChangeNotifications, connection::ConnectionStrategy};

/// Making a connection, in the background, may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Redis is asked so often whether it is there.
const PROBE: Duration = Duration::from_secs(1);
/// The least time between two attempts to connect.
const ATTEMPT: Duration = Duration::from_millis(100);

/// How Redis is reached (`[redis]`).
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Where; see the table in `target.rs` and docs/configuration.md.
    pub url: Secret<String>,
    /// How commands come by a connection.
    pub strategy: ConnectionStrategy,
    /// Connections of the pool, if there is one.
    pub pool_size: usize,
    /// A command that takes longer has failed.
    pub command_timeout: Duration,
    /// Certificates in PEM to trust in place of the system's.
    pub root_file: Option<PathBuf>,
}

impl RedisOptions {
    /// The defaults, for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            strategy: ConnectionStrategy::default(),
            pool_size: 16,
            command_timeout: Duration::from_millis(50),
            root_file: None,
        }
    }
}

/// Why Redis cannot be used as configured. Says nothing about the URL's parts: they may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisOpenError {
    /// The URL.
    #[error("the URL of Redis cannot be used: {0}")]
    Url(String),
    /// The file with certificates.
    #[error("the certificates in {path} cannot be used: {reason}")]
    Roots {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A pool for more than one server.
    #[error("the strategy `pooled` is for a single server; with Sentinel or a Cluster use `multiplexed`")]
    Pooled,
}

impl From<RedisError> for RedisOpenError {
    fn from(error: RedisError) -> Self {
        // The category is a fixed word; details may repeat what was configured.
        Self::Url(error.category().to_owned())
    }
}

/// The commands that are used: the `command` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedisCommand {
    /// GET
    Get,
    /// SET … PX
    Set,
    /// DEL
    Del,
    /// PUBLISH
    Publish,
    /// PING
    Ping,
}

impl RedisCommand {
    /// Every command there is.
    pub const ALL: [Self; 5] = [Self::Get, Self::Set, Self::Del, Self::Publish, Self::Ping];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Del => "del",
            Self::Publish => "publish",
            Self::Ping => "ping",
        }
    }
}

/// How a command failed: the `kind` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RedisFailure {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("no connection")]
    Connection,
    /// Redis refused the command.
    #[error("Redis refused the command")]
    Refused,
    /// Redis wants another user name or password than it was given, or wants one at all.
    #[error("Redis refused the user name or password")]
    Denied,
    /// The breaker is open: the command was not sent.
    #[error("not asked: it failed too often just now")]
    Open,
}

impl RedisFailure {
    /// Every kind there is.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Connection, Self::Refused, Self::Denied, Self::Open];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Open => "open",
        }
    }
}

type Observer = Box<dyn Fn(RedisCommand, Duration, Option<RedisFailure>) + Send + Sync>;

/// What the log last said of Redis. The kinds of failure alternate while it is away: they are one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Availability {
    Up,
    Unavailable,
    Denied,
}

/// One Redis, however many servers it has.
pub struct RedisClient {
    target: Arc<Target>,
    link: Link,
    timeout: Duration,
    breaker: Arc<Breaker>,
    up: AtomicBool,
    logged: Mutex<Option<Availability>>,
    failures: [AtomicU64; RedisFailure::ALL.len()],
    observer: OnceLock<Observer>,
}

impl RedisClient {
    /// Reads the options; no connection is waited for. To be called in a runtime. Without
    /// [`RedisClient::run`] nothing is ever connected with the strategy `multiplexed`.
    pub fn open(options: &RedisOptions, breaker: Arc<Breaker>) -> Result<Arc<Self>, RedisOpenError> {
        let roots = options.root_file.as_deref().map(roots);
        let timeout = options.command_timeout;
        let target = Arc::new(Target::new(options.url.expose(), roots.transpose()?, timeout)?);
        let pool_size = u32::try_from(options.pool_size).unwrap_or(u32::MAX);
        let link = Link::new(Arc::clone(&target), options.strategy, pool_size)?;
        Ok(Arc::new(Self {
            target,
            link,
            timeout,
            breaker,
            up: AtomicBool::new(false),
            logged: Mutex::new(None),
            failures: Default::default(),
            observer: OnceLock::new(),
        }))
    }

    /// Calls `observe` after each command with how long it took and how it failed, if it did. Only the
    /// first call of this has an effect.
    pub fn on_command(
        &self,
        observe: impl Fn(RedisCommand, Duration, Option<RedisFailure>) + Send + Sync + 'static,
    ) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.observer.set(Box::new(observe));
    }

    /// Whether it answered when it was last asked (`chancery_backend_up`).
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether commands are sent (`chancery_breaker_state`).
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// What its breaker did so far.
    pub fn breaker_figures(&self) -> BreakerFigures {
        self.breaker.figures()
    }

    /// Failed commands since the start, by kind.
    pub fn failures(&self) -> [(RedisFailure, u64); RedisFailure::ALL.len()] {
        RedisFailure::ALL.map(|kind| (kind, self.failures[kind as usize].load(Ordering::Relaxed)))
    }

    /// A value, or that there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisFailure> {
        self.command(RedisCommand::Get, redis::cmd("GET").arg(key)).await
    }

    /// Sets a value that Redis forgets after a while.
    pub async fn set(&self, key: &str, value: &[u8], keep: Duration) -> Result<(), RedisFailure> {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).max(1);
        self.command(RedisCommand::Set, redis::cmd("SET").arg(key).arg(value).arg("PX").arg(keep)).await
    }

    /// Deletes a value.
    pub async fn delete(&self, key: &str) -> Result<(), RedisFailure> {
        self.command(RedisCommand::Del, redis::cmd("DEL").arg(key)).await
    }

    /// Publishes to all subscribers.
    pub async fn publish(&self, channel: &str, message: &str) -> Result<(), RedisFailure> {
        self.command(RedisCommand::Publish, redis::cmd("PUBLISH").arg(channel).arg(message)).await
    }

    /// Connects if need be, and asks whether Redis is there. May take as long as connecting may.
    pub async fn probe(&self) -> Result<(), RedisFailure> {
        let connected = timeout(CONNECT_TIMEOUT, self.link.connect()).await;
        // Made whatever the breaker says: it is how the breaker hears that Redis has come back.
        let answer = match connected {
            Ok(Ok(())) => self.send::<Value>(RedisCommand::Ping, &redis::cmd("PING")).await.map(drop),
            Ok(Err(error)) => {
                tracing::debug!(reason = error.category(), "no connection to Redis");
                self.failed(match failure(&error) {
                    RedisFailure::Denied => RedisFailure::Denied,
                    _ => RedisFailure::Connection,
                })
            }
            Err(_) => self.failed(RedisFailure::Timeout),
        };
        let up = answer.is_ok();
        self.breaker.heard(up);
        self.up.store(up, Ordering::Relaxed);
        self.log_availability(answer.as_ref().err().copied());
        answer
    }

    /// Logs how the last probe went, if the one before did not say so already.
    fn log_availability(&self, failure: Option<RedisFailure>) {
        let now = match failure {
            None => Availability::Up,
            Some(RedisFailure::Denied) => Availability::Denied,
            Some(_) => Availability::Unavailable,
        };
        let before = self.logged.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        match failure {
            _ if before == Some(now) => {}
            None => tracing::info!("Redis is available"),
            Some(failure) => tracing::warn!(%failure, "Redis unavailable; continuing without it"),
        }
    }

    /// Keeps the connection and asks now and then whether Redis is there, until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let round = async {
                // The failure is counted and logged where it happens; the next round tries again.
                let _ = self.probe().await;
                sleep(ATTEMPT).await;
                tokio::select! {
                    () = sleep(PROBE - ATTEMPT) => {}
                    () = self.link.lost() => {}
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = round => {}
            }
        }
    }

    async fn command<T: FromRedisValue>(&self, name: RedisCommand, command: &Cmd) -> Result<T, RedisFailure> {
        let Ok(permit) = self.breaker.admit() else { return self.failed(RedisFailure::Open) };
        let answer = self.send(name, command).await;
        match answer {
            // Redis is well, it only does not like the command.
            Ok(_) | Err(RedisFailure::Refused) => permit.succeeded(),
            Err(_) => permit.failed(),
        }
        answer
    }

    /// Sends a command and counts how it went.
    async fn send<T: FromRedisValue>(&self, name: RedisCommand, command: &Cmd) -> Result<T, RedisFailure> {
        let begun = Instant::now();
        let asked = async {
            let answer = self.ask(command).await;
            answer.inspect_err(|failure| trace::note(Fact::Failed(failure.as_str())))
        };
        let answer = trace::traced(Work::Redis(name.as_str()), asked).await;
        if let Some(observe) = self.observer.get() {
            observe(name, begun.elapsed(), answer.as_ref().err().copied());
        }
        answer.or_else(|failure| self.failed(failure))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFailure> {
        match timeout(self.timeout, self.link.send(command)).await {
            Err(_) => {
                self.link.give_up();
                Err(RedisFailure::Timeout)
            }
            Ok(Err(error)) => Err(failure(&error)),
            Ok(Ok(Value::ServerError(error))) if is_denial(error.code()) => Err(RedisFailure::Denied),
            Ok(Ok(Value::ServerError(_))) => Err(RedisFailure::Refused),
            Ok(Ok(value)) => T::from_redis_value(value).map_err(|_| RedisFailure::Refused),
        }
    }

    fn failed<T>(&self, failure: RedisFailure) -> Result<T, RedisFailure> {
        one(&self.failures[failure as usize]);
        Err(failure)
    }
}

impl std::fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisClient").field("up", &self.is_up()).finish_non_exhaustive()
    }
}

/// The certificates of a file. The crate would take a file without any as trust in nobody, and tell of it
/// only as of a server that cannot be reached.
fn roots(path: &Path) -> Result<Vec<u8>, RedisOpenError> {
    let unreadable = |reason: String| RedisOpenError::Roots { path: path.display().to_string(), reason };
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("there are no certificates in it".into())) } else { Ok(pem) }
}

/// The codes with which Redis asks for another login. `NOPERM` is not among them: the login is right.
fn is_denial(code: &str) -> bool {
    matches!(code, "NOAUTH" | "WRONGPASS")
}

fn failure(error: &RedisError) -> RedisFailure {
    if error.kind() == ErrorKind::AuthenticationFailed || error.code().is_some_and(is_denial) {
        RedisFailure::Denied
    } else if error.is_timeout() {
        RedisFailure::Timeout
    } else if error.is_io_error() || error.is_unrecoverable_error() {
        RedisFailure::Connection
    } else {
        RedisFailure::Refused
    }
}
