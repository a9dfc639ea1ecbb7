//! RFC 9110 §8.8, §13.1.2 — public documents: made and compressed once, with a validator for each coding.

use std::cell::{OnceCell, RefCell};

use actix_web::{
    HttpResponse,
    http::header::{
        CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
    },
    web::Bytes,
};

use super::{
    compression,
    pages::assets::{Asset, Etag},
};

/// The public documents of a worker, each made when it is first asked for: compressing them well takes longer than
/// a node may take to start.
#[derive(Default)]
pub(super) struct PublicDocuments {
    /// The metadata, which do not change while the server runs.
    pub(super) metadata: OnceCell<Document>,
    /// The key set, which seldom changes.
    pub(super) keys: RefCell<Option<Document>>,
    /// The `Cache-Control` of both.
    pub(super) cache_control: OnceCell<HeaderValue>,
    /// What the pages refer to.
    pub(super) assets: OnceCell<Vec<(Asset, Document)>>,
}

/// A document as it is, and compressed if that makes it smaller.
pub struct Document {
    content_type: &'static str,
    plain: Representation,
    gzip: Option<Representation>,
}

/// A document in one coding.
struct Representation {
    body: Bytes,
    etag: HeaderValue,
}

impl Representation {
    fn new(body: Bytes) -> Self {
        let etag =
            HeaderValue::from_str(Etag::of(&body).as_str()).expect("a quoted digest is a header value");
        Self { body, etag }
    }
}

impl Document {
    /// Takes its content as it will be sent.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let gzip = compression::compressed(&body).map(|coded| Representation::new(coded.into()));
        Self { content_type, plain: Representation::new(body), gzip }
    }

    /// Its content, not compressed.
    pub fn content(&self) -> &[u8] {
        &self.plain.body
    }

    /// The document, or that what the client has is still the same. `headers` go with both.
    pub fn answer(
        &self,
        asked: &HeaderMap,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> HttpResponse {
        let gzip = self.gzip.as_ref().filter(|_| compression::prefers_gzip(asked));
        let coded = gzip.unwrap_or(&self.plain);
        let seen = asked.get(IF_NONE_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
        let tags = seen.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let fresh = tags.map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag)).any(|tag| coded.etag == *tag);
        let mut answer = match fresh {
            true => HttpResponse::NotModified().finish(),
            false => HttpResponse::Ok().body(coded.body.clone()),
        };
        let with = answer.headers_mut();
        headers.into_iter().for_each(|(name, value)| drop(with.insert(name, value)));
        with.insert(ETAG, coded.etag.clone());
        with.insert(VARY, HeaderValue::from_static(compression::VARIES));
        if !fresh {
            with.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if gzip.is_some() && !fresh {
            with.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}
