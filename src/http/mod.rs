//! HTTP: the only folder that uses actix. Handlers read the request, call the provider, write the answer.
//!
//! The modules are a ladder: each imports only from those below it, and `tests/tidy` holds that. From the top:
//! connection → dispatch → middleware → route_table → handlers (oauth, browser, well_known, operations) →
//! request_context → extract → worker → admission → state → what the rest stands on.

mod admission;
mod browser;
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
mod request_context;
mod route;
pub mod route_table;
mod state;
pub mod tls;
mod well_known;
mod worker;

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::dev::Server;

use self::tls::Certificate;
pub use self::{
    route::{Listener, RouteAudience},
    state::{AppState, Operations, Settings, Statistics},
};

/// Starts both listeners on sockets that are already bound. Signals are the caller's business.
pub fn start(
    state: &AppState,
    settings: &Settings,
    (public, certificate): (TcpListener, Option<Arc<Certificate>>),
    operations: TcpListener,
) -> std::io::Result<(Server, Server)> {
    let public = connection::listen(public, certificate, (Listener::Public, state, settings))?;
    // One thread, which does not wait for scrapes under way when the server stops.
    let alone = Settings { workers: 1, shutdown_timeout: Duration::from_secs(1), ..settings.clone() };
    let operations = connection::listen(operations, None, (Listener::Operations, state, &alone))?;
    Ok((public, operations))
}
