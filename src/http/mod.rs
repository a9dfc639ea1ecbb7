//! HTTP: the only folder that knows actix. Handlers read the request, call the provider, write the answer.

mod coding;
mod connection;
mod cookies;
mod document;
pub mod error;
mod extract;
mod middleware;
mod oauth;
mod operations;
pub mod pages;
mod patience;
pub mod routes;
pub mod tls;
mod well_known;

use std::{
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};

use tls::Certificate;

use crate::{model::SigningAlg, provider::Provider};

/// What the listeners may take.
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
    /// The most requests in hand, of all workers together; each takes its share.
    pub max_in_flight: usize,
    /// Whether each request is logged.
    pub log_requests: bool,
}

/// A figure of the operations listener, computed when it is asked for.
pub type Figures = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What the operations listener shows.
pub struct Operations {
    /// The Prometheus exposition.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The summary of `/health`.
    pub health: Figures,
    /// Hits, misses, entries per cache.
    pub cache_stats: Figures,
    /// What the node does and needs.
    pub performance: Figures,
}

/// What all handlers share. Each worker has a copy, so that workers do not fight for the counts of who
/// holds it.
#[derive(Clone)]
pub struct Shared {
    /// The use cases.
    pub provider: Arc<Provider>,
    /// The pages.
    pub pages: Arc<pages::Pages>,
    /// Set when the server is about to stop: readiness fails first.
    pub draining: Arc<AtomicBool>,
    /// The algorithms a key is kept for.
    pub algorithms: Vec<SigningAlg>,
    /// `max-age` of JWKS and metadata, in seconds.
    pub jwks_max_age: u64,
    /// Figures.
    pub operations: Arc<Operations>,
}

/// Starts both listeners on sockets that are already bound. Signals are the caller's business.
pub fn start(
    shared: &Shared,
    settings: &Settings,
    (public, certificate): (TcpListener, Option<Arc<Certificate>>),
    operations: TcpListener,
) -> std::io::Result<(Server, Server)> {
    let worker = Worker { shared: shared.clone(), settings: settings.clone() };
    let (operator, metrics) = (worker.clone(), Arc::clone(&shared.provider.metrics));
    let around = (Arc::new(shared.clone()), settings);
    let public = connection::listen(public, certificate, around, move || {
        App::new()
            .configure(|app| worker.provide(app))
            .app_data(middleware::Door::new(&worker.settings))
            .app_data(web::Data::new(well_known::Metadata::new(&worker.shared)))
            .app_data(web::Data::new(pages::asset::Assets::new(&worker.shared.pages)))
            .configure(routes::public)
            .default_service(web::to(routes::not_found))
            .wrap(from_fn(middleware::observe))
    })?;
    let operations = HttpServer::new(move || {
        App::new()
            .configure(|app| operator.provide(app))
            .configure(routes::operations)
            .default_service(web::to(routes::not_found))
            .wrap(from_fn(middleware::observe))
    })
    .workers(1)
    .on_connect(move |_, connection| {
        connection.insert(middleware::Connection::open(&metrics));
    })
    .client_request_timeout(settings.head_timeout)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(operations)?
    .run();
    Ok((public, operations))
}

/// What each worker is given a copy of.
#[derive(Clone)]
struct Worker {
    shared: Shared,
    settings: Settings,
}

impl Worker {
    fn provide(&self, app: &mut web::ServiceConfig) {
        app.app_data(web::Data::new(self.shared.clone()))
            .app_data(web::Data::new(self.settings.clone()))
            .app_data(web::Data::new(middleware::RouteHandles::new(&self.shared.provider.metrics)));
    }
}
