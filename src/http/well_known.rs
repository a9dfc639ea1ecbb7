//! RFC 8414, OpenID Connect Discovery, RFC 7517 — public documents, with ETag and Cache-Control.

use actix_web::{
    HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue},
};

use super::{document::Document, request_context::RequestContext, state::AppState};
use crate::protocol::discovery;

const JSON: &str = "application/json";

/// Both metadata addresses.
pub(super) async fn metadata(context: RequestContext) -> HttpResponse {
    let document = context.documents().metadata.get_or_init(|| {
        let state = context.state();
        let value = discovery::metadata(&state.provider.policy.issuer, &state.algorithms);
        Document::new(JSON, value.to_string())
    });
    answer(document, &context)
}

/// The signing keys: next, active and retiring.
pub(super) async fn jwks(context: RequestContext) -> HttpResponse {
    let keys = context.state().provider.key_ring.load();
    let mut made = context.documents().keys.borrow_mut();
    let current = made.take().filter(|made| made.content() == keys.jwks_json().as_bytes());
    let document = current.unwrap_or_else(|| Document::new(JSON, keys.jwks_json().to_owned()));
    answer(made.insert(document), &context)
}

fn answer(document: &Document, context: &RequestContext) -> HttpResponse {
    let age = context.documents().cache_control.get_or_init(|| cache_control(context.state())).clone();
    // Public and credential-less: any page may read it (R15).
    let anyone = HeaderValue::from_static("*");
    document.answer(context.headers(), [(CACHE_CONTROL, age), (ACCESS_CONTROL_ALLOW_ORIGIN, anyone)])
}

fn cache_control(state: &AppState) -> HeaderValue {
    let value = format!("public, max-age={}", state.jwks_max_age);
    HeaderValue::from_maybe_shared(value).expect("a number is part of a header value")
}
