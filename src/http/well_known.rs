//! RFC 8414, OpenID Connect Discovery, RFC 7517 — public documents, with ETag and Cache-Control.

use std::cell::{OnceCell, RefCell};

use actix_web::{
    HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue},
};

use super::{Shared, document::Document, front::Call};
use crate::protocol::discovery;

const JSON: &str = "application/json";

/// The metadata document, which does not change while the server runs, and the key set, which seldom does.
/// Both are made when they are first asked for: compressing them well takes longer than a node may take to
/// start.
#[derive(Default)]
pub(super) struct Metadata {
    server: OnceCell<Document>,
    keys: RefCell<Option<Document>>,
    cache_control: OnceCell<HeaderValue>,
}

/// Both metadata addresses.
pub(super) async fn metadata(call: Call) -> HttpResponse {
    let document = call.metadata().server.get_or_init(|| {
        let shared = call.shared();
        let value = discovery::metadata(&shared.provider.policy.issuer, &shared.algorithms);
        Document::new(JSON, value.to_string())
    });
    answer(document, &call)
}

/// The signing keys: next, active and retiring.
pub(super) async fn jwks(call: Call) -> HttpResponse {
    let keys = call.shared().provider.keys.load();
    let mut made = call.metadata().keys.borrow_mut();
    let current = made.take().filter(|made| made.content() == keys.jwks_json().as_bytes());
    let document = current.unwrap_or_else(|| Document::new(JSON, keys.jwks_json().to_owned()));
    answer(made.insert(document), &call)
}

fn answer(document: &Document, call: &Call) -> HttpResponse {
    let age = call.metadata().cache_control.get_or_init(|| cache_control(call.shared())).clone();
    // Public and credential-less: any page may read it (R15).
    let anyone = HeaderValue::from_static("*");
    document.answer(call.headers(), [(CACHE_CONTROL, age), (ACCESS_CONTROL_ALLOW_ORIGIN, anyone)])
}

fn cache_control(shared: &Shared) -> HeaderValue {
    let value = format!("public, max-age={}", shared.jwks_max_age);
    HeaderValue::from_maybe_shared(value).expect("a number is part of a header value")
}
