//! Health and figures. Liveness and readiness are public and say nothing else.

use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde_json::json;

use super::{Shared, coding};

/// The process runs.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(json!({"status": "live"}))
}

/// The node can serve safely: not stopping, and its knowledge of revocations is fresh.
pub async fn ready(shared: Data<Shared>) -> HttpResponse {
    let ready = !shared.draining.load(Ordering::Relaxed) && shared.provider.revocations.is_fresh();
    let (mut answer, status) = match ready {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not ready"),
    };
    answer.insert_header(("cache-control", "no-store")).json(json!({"status": status}))
}

/// `/health`: the summary for operators.
pub async fn health(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json((shared.operations.health)())
}

/// `/metrics`: the Prometheus exposition, compressed for who likes it, as Prometheus does.
pub async fn metrics(req: HttpRequest, shared: Data<Shared>) -> HttpResponse {
    let text = (shared.operations.metrics)();
    coding::negotiated(req.headers(), text.into_bytes(), |body| {
        HttpResponse::Ok().insert_header(("content-type", crate::observe::METRICS_CONTENT_TYPE)).body(body)
    })
}

/// `/api/cache/stats`: hits, misses, entries, evictions per cache.
pub async fn cache_stats(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json((shared.operations.cache_stats)())
}

/// `/api/performance/metrics`: rates, times, and what is left of what the node needs.
pub async fn performance(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json((shared.operations.performance)())
}
