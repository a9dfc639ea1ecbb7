//! RFC 8414, OpenID Connect Discovery, RFC 7517 — public documents, with ETag and Cache-Control.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    web::{Bytes, Data},
};

use super::{Shared, pages::assets::Etag};
use crate::protocol::discovery;

/// The metadata document; it does not change while the server runs.
pub struct Metadata(Document);

/// A document and its validator.
struct Document {
    body: Bytes,
    etag: Etag,
}

impl Document {
    fn new(body: Vec<u8>) -> Self {
        let etag = Etag::of(&body);
        Self { body: body.into(), etag }
    }

    fn answer(&self, req: &HttpRequest, max_age: u64) -> HttpResponse {
        let seen = req.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let fresh = seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag.as_str());
        let mut answer = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer
            .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
            .insert_header((ETAG, self.etag.as_str()))
            // Public and credential-less: any page may read it (R15).
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        if fresh {
            return answer.finish();
        }
        answer.insert_header((CONTENT_TYPE, "application/json")).body(self.body.clone())
    }
}

impl Metadata {
    /// Derives the document from the code's tables.
    pub fn new(shared: &Shared) -> Self {
        let value = discovery::metadata(&shared.provider.policy.issuer, &shared.algorithms);
        Self(Document::new(value.to_string().into_bytes()))
    }
}

/// Both metadata addresses.
pub async fn metadata(shared: Data<Shared>, metadata: Data<Metadata>, req: HttpRequest) -> HttpResponse {
    metadata.0.answer(&req, shared.jwks_max_age)
}

/// The signing keys: next, active and retiring.
pub async fn jwks(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let keys = shared.provider.keys.load();
    Document::new(keys.jwks_json().as_bytes().to_vec()).answer(&req, shared.jwks_max_age)
}
