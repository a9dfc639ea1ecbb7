//! RFC 8414, OpenID Connect Discovery, RFC 7517 — public documents, with ETag and Cache-Control.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL},
    web::Data,
};
use arc_swap::ArcSwap;

use super::{Shared, document::Document};
use crate::protocol::discovery;

const JSON: &str = "application/json";

/// The metadata document, which does not change while the server runs, and the key set, which seldom does.
pub struct Metadata {
    server: Document,
    keys: ArcSwap<Document>,
}

impl Metadata {
    /// Derives the document from the code's tables.
    pub fn new(shared: &Shared) -> Self {
        let value = discovery::metadata(&shared.provider.policy.issuer, &shared.algorithms);
        Self { server: Document::new(JSON, value.to_string()), keys: ArcSwap::new(key_set(shared)) }
    }
}

fn key_set(shared: &Shared) -> Arc<Document> {
    Arc::new(Document::new(JSON, shared.provider.keys.load().jwks_json().to_owned()))
}

/// Both metadata addresses.
pub async fn metadata(shared: Data<Shared>, metadata: Data<Metadata>, req: HttpRequest) -> HttpResponse {
    answer(&metadata.server, &shared, &req)
}

/// The signing keys: next, active and retiring.
pub async fn jwks(shared: Data<Shared>, metadata: Data<Metadata>, req: HttpRequest) -> HttpResponse {
    let made = metadata.keys.load();
    if made.content() == shared.provider.keys.load().jwks_json().as_bytes() {
        return answer(&made, &shared, &req);
    }
    let fresh = key_set(&shared);
    metadata.keys.store(Arc::clone(&fresh));
    answer(&fresh, &shared, &req)
}

fn answer(document: &Document, shared: &Shared, req: &HttpRequest) -> HttpResponse {
    let age = format!("public, max-age={}", shared.jwks_max_age);
    // Public and credential-less: any page may read it (R15).
    document.answer(req, &[(CACHE_CONTROL, &age), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")])
}
