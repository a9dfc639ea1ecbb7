//! Health and statistics. Liveness and readiness are public and say nothing else.

use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde_json::json;

use super::{AppState, compression};

/// The process runs.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(json!({"status": "live"}))
}

/// The node can serve safely: not stopping, and its knowledge of revocations is fresh.
pub async fn ready(state: Data<AppState>) -> HttpResponse {
    let ready = !state.draining.load(Ordering::Relaxed) && state.provider.tokens.revocations.is_fresh();
    let (mut answer, status) = match ready {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not ready"),
    };
    answer.insert_header(("cache-control", "no-store")).json(json!({"status": status}))
}

/// `/health`: the summary for operators.
pub async fn health(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json((state.operations.health)())
}

/// `/metrics`: the Prometheus exposition, compressed for clients that accept it, as Prometheus does.
pub async fn metrics(req: HttpRequest, state: Data<AppState>) -> HttpResponse {
    let text = (state.operations.metrics)();
    compression::negotiated(req.headers(), text.into_bytes(), |body| {
        HttpResponse::Ok().insert_header(("content-type", crate::observe::METRICS_CONTENT_TYPE)).body(body)
    })
}

/// `/api/cache/stats`: hits, misses, entries, evictions per cache.
pub async fn cache_stats(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json((state.operations.cache_stats)())
}

/// `/api/performance/metrics`: rates, times, and what is left of what the node needs.
pub async fn performance(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json((state.operations.performance)())
}
