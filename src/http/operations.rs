//! Health and statistics. Liveness and readiness are public and say nothing else.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use serde_json::json;

use super::{compression, request_context::RequestContext};

/// The process runs.
pub(super) async fn live(_: RequestContext) -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(json!({"status": "live"}))
}

/// The node can serve safely: not stopping, and its knowledge of revocations is fresh.
pub(super) async fn ready(context: RequestContext) -> HttpResponse {
    let state = context.state();
    let ready = !state.draining.load(Ordering::Relaxed) && state.provider.tokens.revocations.is_fresh();
    let (mut answer, status) = match ready {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not ready"),
    };
    answer.insert_header(("cache-control", "no-store")).json(json!({"status": status}))
}

/// `/health`: the summary for operators.
pub(super) async fn health(context: RequestContext) -> HttpResponse {
    HttpResponse::Ok().json((context.state().operations.health)())
}

/// `/metrics`: the Prometheus exposition, compressed for clients that accept it, as Prometheus does.
pub(super) async fn metrics(context: RequestContext) -> HttpResponse {
    let text = (context.state().operations.metrics)();
    compression::negotiated(context.headers(), text.into_bytes(), |body| {
        HttpResponse::Ok().insert_header(("content-type", crate::observe::METRICS_CONTENT_TYPE)).body(body)
    })
}

/// `/api/cache/stats`: hits, misses, entries, evictions per cache.
pub(super) async fn cache_stats(context: RequestContext) -> HttpResponse {
    HttpResponse::Ok().json((context.state().operations.cache_stats)())
}

/// `/api/performance/metrics`: rates, times, and what is left of what the node needs.
pub(super) async fn performance(context: RequestContext) -> HttpResponse {
    HttpResponse::Ok().json((context.state().operations.performance)())
}
