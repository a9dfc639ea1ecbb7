//! HTTP: the only folder that uses actix. Handlers read the request, call the provider, write the answer.

mod coarse_timeout;
mod compression;
mod connection;
mod cookies;
#[cfg(feature = "profiling")]
mod debug;
mod dispatch;
mod document;
pub mod error;
mod extract;
mod middleware;
mod oauth;
mod operations;
pub mod pages;
pub mod route_table;
pub mod tls;
mod well_known;

use std::{
    net::TcpListener,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{App, dev::Server, web};

use dispatch::WorkerContext;
use route_table::Listener;
use tls::Certificate;

use crate::{model::SigningAlg, provider::Provider};

/// Limits of the listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads of the public listener.
    pub workers: usize,
    /// A request's head must be there by then.
    pub head_timeout: Duration,
    /// A request's body must be there by then.
    pub body_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long requests under way may take when the server stops.
    pub shutdown_timeout: Duration,
    /// The most connections per worker.
    pub max_connections: usize,
    /// A request must be answered within this; what its client takes to send the body does not count.
    pub request_timeout: Duration,
    /// The most requests in flight, of all workers together; each has its share.
    pub max_in_flight: usize,
    /// Whether each request is logged.
    pub log_requests: bool,
}

/// Statistics of the operations listener, computed at each request.
pub type Statistics = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What the operations listener shows.
pub struct Operations {
    /// The Prometheus exposition.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The summary of `/health`.
    pub health: Statistics,
    /// Hits, misses, entries per cache.
    pub cache_stats: Statistics,
    /// Rates, latencies and resources of the node.
    pub performance: Statistics,
}

/// What all handlers share. Each worker has a copy, so that workers do not contend for the reference counts.
#[derive(Clone)]
pub struct AppState {
    /// The use cases.
    pub provider: Arc<Provider>,
    /// The pages.
    pub pages: Arc<pages::PageTemplates>,
    /// Set when the server is about to stop: readiness fails first.
    pub draining: Arc<AtomicBool>,
    /// The algorithms a key is kept for.
    pub algorithms: Vec<SigningAlg>,
    /// `max-age` of JWKS and metadata, in seconds.
    pub jwks_max_age: u64,
    /// What the operations listener shows.
    pub operations: Arc<Operations>,
}

/// Starts both listeners on sockets that are already bound. Signals are the caller's business.
pub fn start(
    state: &AppState,
    settings: &Settings,
    (public, certificate): (TcpListener, Option<Arc<Certificate>>),
    operations: TcpListener,
) -> std::io::Result<(Server, Server)> {
    let pages = Arc::clone(&state.pages);
    let around = (Listener::Public, state, settings);
    let public = connection::listen(public, certificate, around, move |worker| {
        App::new()
            .configure(|app| provide(app, worker))
            .app_data(web::Data::new(pages::asset::Assets::new(&pages)))
            .configure(route_table::public)
            .default_service(web::to(route_table::not_found))
    })?;
    // One thread, which does not wait for scrapes under way when the server stops.
    let alone = Settings { workers: 1, shutdown_timeout: Duration::from_secs(1), ..settings.clone() };
    let around = (Listener::Operations, state, &alone);
    let operations = connection::listen(operations, None, around, |worker| {
        App::new()
            .configure(|app| provide(app, worker))
            .configure(route_table::operations)
            .default_service(web::to(route_table::not_found))
    })?;
    Ok((public, operations))
}

/// What the handlers of an actix-web application ask for.
fn provide(app: &mut web::ServiceConfig, worker: Rc<WorkerContext>) {
    app.app_data(web::Data::new(worker.state.clone())).app_data(worker);
}
