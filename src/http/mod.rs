//! HTTP: the only folder that knows actix. Handlers read the request, call the provider, write the answer.

mod coding;
mod connection;
mod cookies;
#[cfg(feature = "profiling")]
mod debug;
mod document;
pub mod error;
mod extract;
mod front;
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
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{App, dev::Server, web};

use front::Desk;
use routes::Listener;
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
    let pages = Arc::clone(&shared.pages);
    let around = (Listener::Public, shared, settings);
    let public = connection::listen(public, certificate, around, move |desk| {
        App::new()
            .configure(|app| provide(app, desk))
            .app_data(web::Data::new(pages::asset::Assets::new(&pages)))
            .configure(routes::public)
            .default_service(web::to(routes::not_found))
    })?;
    // One thread, which does not wait for those who scrape when the server stops.
    let alone = Settings { workers: 1, shutdown_timeout: Duration::from_secs(1), ..settings.clone() };
    let around = (Listener::Operations, shared, &alone);
    let operations = connection::listen(operations, None, around, |desk| {
        App::new()
            .configure(|app| provide(app, desk))
            .configure(routes::operations)
            .default_service(web::to(routes::not_found))
    })?;
    Ok((public, operations))
}

/// What the handlers of an actix-web application ask for.
fn provide(app: &mut web::ServiceConfig, desk: Rc<Desk>) {
    app.app_data(web::Data::new(desk.shared.clone())).app_data(desk);
}
