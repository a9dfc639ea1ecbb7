//! Profiles, on the operations listener of builds with the feature `profiling`.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{self, Query},
};
use serde::Deserialize;

use super::{error::direct, request_context::RequestContext};
use crate::{
    observe::profile::{self, ProfileError},
    resilience::deadline,
};

/// What `/debug/profile` may be asked for.
#[derive(Deserialize)]
struct Wanted {
    seconds: Option<u64>,
}

/// `/debug/profile`: a flame graph of the next seconds, 10 if it does not say how many.
pub(super) async fn profile(context: RequestContext) -> HttpResponse {
    let wanted = match Query::<Wanted>::from_query(context.query()) {
        Ok(wanted) => wanted,
        Err(error) => return direct(400, "invalid_request", &error.to_string()),
    };
    let seconds = wanted.seconds.unwrap_or(10);
    if !(1..=60).contains(&seconds) {
        return direct(400, "invalid_request", "`seconds` must be from 1 to 60.");
    }
    let work = web::block(move || profile::flamegraph(Duration::from_secs(seconds)));
    // It takes the time it was asked to take.
    match deadline::suspended(work).await {
        Ok(Ok(svg)) => HttpResponse::Ok().content_type("image/svg+xml").body(svg),
        Ok(Err(ProfileError::Busy)) => direct(409, "busy", "A profile is being taken already."),
        Ok(Err(ProfileError::Idle)) => {
            direct(409, "idle", "No thread was busy meanwhile: there is nothing to draw.")
        }
        Ok(Err(error)) => direct(500, "server_error", &error.to_string()),
        Err(_) => direct(503, "temporarily_unavailable", "There is no thread to take a profile."),
    }
}

/// `/debug/runtime`: statistics of runtimes and allocator.
pub(super) async fn runtime(_: RequestContext) -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(profile::statistics())
}
