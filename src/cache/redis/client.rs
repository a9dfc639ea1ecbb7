//! The client of Redis: every command has a deadline and passes a circuit breaker. [`RedisClient::run`] asks in
//! the background whether Redis is there, so that it is used again soon after it has come back.

use std::{
    path::Path,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Value};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::{sleep, timeout};

use super::{
    commands::{RedisCommand, RedisCommands, RedisFailure},
    direct::Direct,
    multiplexed::Multiplexed,
    options::{CONNECT_TIMEOUT, ConnectionStrategy, RedisOpenError, RedisOptions},
    pooled::Pooled,
    strategy::{RedisConnector, Strategy},
    target::Target,
};
use crate::{
    cache::stats::one,
    resilience::{Breaker, BreakerState, BreakerStatistics},
};

/// Redis is asked so often whether it is there.
const PROBE: Duration = Duration::from_secs(1);
/// The least time between two attempts to connect.
const ATTEMPT: Duration = Duration::from_millis(100);

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
    pub(super) target: Arc<Target>,
    strategy: Box<dyn Strategy>,
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
        let strategy = strategy(options, Arc::clone(&target))?;
        Ok(Arc::new(Self {
            target,
            strategy,
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
    pub fn breaker_statistics(&self) -> BreakerStatistics {
        self.breaker.statistics()
    }

    /// Failed commands since the start, by kind.
    pub fn failures(&self) -> [(RedisFailure, u64); RedisFailure::ALL.len()] {
        RedisFailure::ALL.map(|kind| (kind, self.failures[kind as usize].load(Ordering::Relaxed)))
    }

    /// Connects if need be, and asks whether Redis is there. May take as long as connecting may.
    pub async fn probe(&self) -> Result<(), RedisFailure> {
        let connected = timeout(CONNECT_TIMEOUT, self.strategy.connect()).await;
        // Made whatever the breaker says: it is how the breaker hears that Redis has come back.
        let answer = match connected {
            Ok(Ok(())) => self.send::<Value>(RedisCommand::Ping, &redis::cmd("PING")).await.map(drop),
            Ok(Err(error)) => {
                tracing::debug!(reason = error.category(), "connecting to Redis failed");
                self.failed(match failure(&error) {
                    RedisFailure::Denied => RedisFailure::Denied,
                    _ => RedisFailure::Connection,
                })
            }
            Err(_) => self.failed(RedisFailure::Timeout),
        };
        let up = answer.is_ok();
        self.breaker.record(up);
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
                    () = self.strategy.lost() => {}
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
        let answer = self.ask(command).await;
        if let Some(observe) = self.observer.get() {
            observe(name, begun.elapsed(), answer.as_ref().err().copied());
        }
        answer.or_else(|failure| self.failed(failure))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFailure> {
        match timeout(self.timeout, self.strategy.send(command)).await {
            Err(_) => {
                self.strategy.give_up();
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

#[async_trait]
impl RedisCommands for RedisClient {
    async fn publish(&self, channel: &str, message: &str) -> Result<(), RedisFailure> {
        self.command(RedisCommand::Publish, redis::cmd("PUBLISH").arg(channel).arg(message)).await
    }

    async fn set_if_absent(&self, key: &str, value: &[u8], expires: Duration) -> Result<bool, RedisFailure> {
        let expires = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("NX").arg("PX").arg(expires);
        let done: Option<String> = self.command(RedisCommand::SetIfAbsent, &set).await?;
        Ok(done.is_some())
    }

    // EVAL and not EVALSHA: a server knows no script after a restart or a failover, and would refuse it then.
    async fn script(&self, script: &str, keys: &[&str], arguments: &[i64]) -> Result<Vec<i64>, RedisFailure> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        self.command(RedisCommand::Script, &eval).await
    }
}

/// Must be called in a runtime; no connection is waited for.
fn strategy(options: &RedisOptions, target: Arc<Target>) -> Result<Box<dyn Strategy>, RedisOpenError> {
    let single = matches!(*target, Target::One(_));
    let connector = RedisConnector::new(target);
    Ok(match options.strategy {
        ConnectionStrategy::Multiplexed => Box::new(Multiplexed::new(connector)),
        ConnectionStrategy::Direct => Box::new(Direct(connector)),
        ConnectionStrategy::Pooled if !single => return Err(RedisOpenError::Pooled),
        ConnectionStrategy::Pooled => {
            Box::new(Pooled::new(connector, u32::try_from(options.pool_size).unwrap_or(u32::MAX)))
        }
    })
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
