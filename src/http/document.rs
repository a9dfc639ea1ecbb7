//! RFC 9110 §8.8, §13.1.2 — public documents: made and compressed once, with a validator for each coding.

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, VARY},
    web::Bytes,
};

use super::{coding, pages::assets::Etag};

/// A document as it is, and compressed if that makes it smaller.
pub struct Document {
    content_type: &'static str,
    plain: Coded,
    gzip: Option<Coded>,
}

/// A document in one coding.
struct Coded {
    body: Bytes,
    etag: Etag,
}

impl Coded {
    fn new(body: Bytes) -> Self {
        let etag = Etag::of(&body);
        Self { body, etag }
    }
}

impl Document {
    /// Takes its content as it will be sent.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let gzip = coding::compressed(&body).map(|coded| Coded::new(coded.into()));
        Self { content_type, plain: Coded::new(body), gzip }
    }

    /// Its content, not compressed.
    pub fn content(&self) -> &[u8] {
        &self.plain.body
    }

    /// The document, or that what the client has is still the same. `headers` go with both.
    pub fn answer(&self, asked: &HeaderMap, headers: &[(HeaderName, &str)]) -> HttpResponse {
        let gzip = self.gzip.as_ref().filter(|_| coding::prefers_gzip(asked));
        let coded = gzip.unwrap_or(&self.plain);
        let seen = asked.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let fresh = seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == coded.etag.as_str());
        let mut answer = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        for (name, value) in headers {
            answer.insert_header((name.clone(), *value));
        }
        answer.insert_header((ETAG, coded.etag.as_str())).insert_header((VARY, coding::VARIES));
        if fresh {
            return answer.finish();
        }
        if gzip.is_some() {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
        }
        answer.insert_header((CONTENT_TYPE, self.content_type)).body(coded.body.clone())
    }
}
