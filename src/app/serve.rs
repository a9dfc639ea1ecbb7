//! Serving: from a node to answers, until SIGTERM or SIGINT.

use std::{
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    dev::{Server, ServerHandle},
    rt::System,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Addresses, AppError, Listeners, Node, compose::cores, statistics::NodeStatistics, tasks::Tasks};
use crate::{
    config::{Config, TlsConfig},
    http::{self, AppState, Settings, pages::PageTemplates, tls::Certificate},
    model::SigningAlg,
    observe::trace::{self, TraceSettings},
    provider::{Provider, ProviderError, admin::DeclaredResource},
    store::{StoreError, StoreErrorKind, Upkeep},
};

/// The longest a start is held up by warming the caches.
const WARM_UP: Duration = Duration::from_secs(1);

/// How a node is served.
pub struct ServeOptions<'a> {
    /// After readiness fails and before connections are refused: load balancers take note.
    pub grace: Duration,
    /// Whether to wait for every signing key before `ready` is called.
    pub wait_for_keys: bool,
    /// Called once the node answers.
    pub ready: Box<dyn FnOnce(Addresses) + 'a>,
    /// Stops the node as a signal does, for callers whose process goes on afterwards.
    pub stop: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl ServeOptions<'_> {
    /// What only a signal stops.
    pub fn until_signal() -> Self {
        Self {
            grace: Duration::ZERO,
            wait_for_keys: false,
            ready: Box::new(|_| ()),
            stop: Box::pin(std::future::pending()),
        }
    }
}

/// Blocks the calling thread in the runtime that servers need. What a node holds belongs to the runtime
/// it was opened in, so that opening and serving are one piece of work.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    System::new().block_on(work)
}

impl Node {
    /// Answers on the listeners until the process is told to stop, then stops in order: readiness,
    /// connections, requests, tasks, store. Runs inside of [`block_on`].
    pub async fn serve(self, listeners: Listeners, options: ServeOptions<'_>) -> Result<(), AppError> {
        let pages = PageTemplates::new(self.config.pages.templates.as_deref())?;
        let certificate = self.config.tls.as_ref().map(certificate).transpose()?;
        let traced = self.begin_traces()?;
        let ended = self.run(listeners, (pages, certificate), options).await;
        if traced {
            trace::end();
        }
        ended
    }

    async fn run(
        self,
        listeners: Listeners,
        (pages, certificate): (PageTemplates, Option<Arc<Certificate>>),
        options: ServeOptions<'_>,
    ) -> Result<(), AppError> {
        // Before anything is announced: whoever hears "ready" may send a signal.
        let mut signals = Signals::new()?;
        self.begin().await?;
        let draining = Arc::new(AtomicBool::new(false));
        let statistics = NodeStatistics::new(&self, &draining);
        statistics.sample();
        statistics.probe().await;
        if options.wait_for_keys {
            self.provider.keys.rotate_due(&self.rotation, |_| true).await?;
        }
        let tasks = Tasks::start(&self, &statistics, certificate.as_ref());
        self.warm_up().await;
        let state = AppState {
            provider: Arc::clone(&self.provider),
            pages: Arc::new(pages),
            draining: Arc::clone(&draining),
            algorithms: self.config.keys.algorithms.clone(),
            jwks_max_age: self.config.keys.jwks_max_age,
            operations: Arc::new(statistics.operations()),
        };
        let Listeners { public, operations, addresses } = listeners;
        let scheme = if certificate.is_some() { "https://" } else { "" };
        let started = http::start(&state, &settings(&self.config), (public, certificate), operations);
        let (public, operations) =
            started.map_err(|error| AppError::Start(format!("the server cannot be started: {error}")))?;
        let mut public = Running::new(public);
        let operations = Running::new(operations);
        // Counting a large store takes its time, and nobody's answer hangs on it.
        statistics.refresh().await;
        tracing::info!(
            issuer = %self.config.server.issuer, listen = format!("{scheme}{}", addresses.public),
            operations = %addresses.operations, backend = self.backend.kind(),
            store = self.config.store.location().shown(), "ready"
        );
        (options.ready)(addresses);
        let ended = tokio::select! {
            () = signals.next() => Ok(()),
            () = options.stop => Ok(()),
            ended = public.ended() => Err(AppError::Start(format!("the server ended: {ended}"))),
        };
        // What changed since the last look, before it is drowned by the stop.
        statistics.log_readiness();
        draining.store(true, Ordering::Relaxed);
        if ended.is_ok() {
            tracing::info!("stopping: readiness now fails, waiting for requests in progress");
            stop(&mut signals, &public.handle, options.grace).await;
        }
        operations.handle.stop(false).await;
        tasks.stop().await;
        // Last, so that everything before could still write.
        self.cached.close().await;
        tracing::info!("stopped");
        ended
    }

    /// Whether requests are traced from now on.
    fn begin_traces(&self) -> Result<bool, AppError> {
        let config = &self.config.tracing;
        let Some(url) = config.endpoint.clone() else { return Ok(false) };
        let settings = TraceSettings {
            url,
            sample: config.sample,
            service_name: config.service_name.clone(),
            instance: self.provider.random.id(self.provider.clock.millis()).to_string(),
        };
        trace::begin(&settings).map_err(|error| AppError::Start(error.to_string()))?;
        tracing::info!(collector = settings.url, sample = settings.sample, "exporting traces");
        Ok(true)
    }

    /// Reads clients that may be asked for. Nothing depends on it, so the start does not wait long for it.
    async fn warm_up(&self) {
        match tokio::time::timeout(WARM_UP, self.cached.warm_up()).await {
            Ok(Ok(clients)) => tracing::debug!(clients, "client cache preloaded"),
            Ok(Err(error)) => {
                tracing::debug!(%error, "preloading the client cache failed; starting with an empty cache")
            }
            Err(_) => tracing::debug!("preloading the client cache timed out; starting with a partial cache"),
        }
    }

    /// What must be true before the first answer. [`Node::serve`] does it; without it a node can be asked
    /// in process, without listeners and without anything that runs beside.
    pub async fn begin(&self) -> Result<(), AppError> {
        if self.redis.is_some() && !self.config.store.is_postgres() {
            tracing::warn!(
                "Redis is configured, but the embedded store serves a single node, so Redis has no benefit; remove redis.url or use Postgres"
            );
        }
        self.cached.tail().start().await?;
        for resource in &self.config.resources {
            let (uri, owner) = (resource.uri.as_str(), resource.owner.as_deref());
            self.provider.administration.declare_resource(DeclaredResource { uri, owner }).await?;
        }
        self.provider.keys.reload().await?;
        // The provider owns the tail; owning it back would keep both for ever.
        let provider = Arc::downgrade(&self.provider);
        self.cached.tail().on_keys_changed(move || Box::pin(renew_keys(Weak::clone(&provider))));
        // Made in a moment; the RSA keys follow in the background.
        let is_fast = |alg| matches!(alg, SigningAlg::EdDSA | SigningAlg::ES256);
        Ok(self.provider.keys.rotate_due(&self.rotation, is_fast).await?)
    }
}

/// Puts the keys of the store in force. Those that cannot be opened will not open the next time
/// either, so the others must not wait for them.
async fn renew_keys(provider: Weak<Provider>) -> Result<(), StoreError> {
    let Some(provider) = provider.upgrade() else { return Ok(()) };
    match provider.keys.reload().await {
        Err(ProviderError::Unavailable(cause)) => Err(StoreError::new(StoreErrorKind::Connection, cause)),
        Err(error) => {
            tracing::error!(%error, "loading changed signing keys failed; continuing with the previous ones. Check this node's master key");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The certificate of the public listener.
fn certificate(files: &TlsConfig) -> Result<Arc<Certificate>, AppError> {
    let opened = Certificate::open(files).map_err(|fault| AppError::Configuration(vec![fault]))?;
    if opened.key_is_exposed() {
        let file = opened.key_file().display();
        tracing::warn!(%file, "TLS private key is readable by every user of this machine; set its mode to 0600 or 0640");
    }
    tracing::info!(fingerprint = opened.fingerprint(), "TLS certificate loaded");
    Ok(Arc::new(opened))
}

fn settings(config: &Config) -> Settings {
    let server = &config.server;
    Settings {
        workers: if server.workers == 0 { cores() } else { server.workers },
        head_timeout: server.head_timeout,
        body_timeout: server.body_timeout,
        keep_alive: server.keep_alive,
        shutdown_timeout: server.shutdown_timeout,
        max_connections: server.max_connections,
        request_timeout: server.request_timeout,
        max_in_flight: server.max_in_flight,
        log_requests: config.log.requests,
    }
}

/// Stops a server gently; a second signal ends the patience.
async fn stop(signals: &mut Signals, server: &ServerHandle, grace: Duration) {
    let gently = async {
        tokio::time::sleep(grace).await;
        server.stop(true).await;
    };
    tokio::select! {
        () = gently => {}
        () = signals.next() => {
            tracing::warn!("second stop signal; aborting requests in progress");
            server.stop(false).await;
        }
    }
}

/// A server that runs in a task of its own.
struct Running {
    handle: ServerHandle,
    task: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn new(server: Server) -> Self {
        Self { handle: server.handle(), task: actix_web::rt::spawn(server) }
    }

    /// Why it ended of itself.
    async fn ended(&mut self) -> String {
        match (&mut self.task).await {
            Ok(Ok(())) => "unexpectedly".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// SIGTERM, SIGINT, and SIGHUP: the terminal was closed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, AppError> {
        let on = |kind| {
            signal(kind).map_err(|error| AppError::Start(format!("signals cannot be received: {error}")))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
