//! `GET /assets/{name}` — stylesheet, script and icon of the pages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    web::Data,
};

use super::{Asset, PageTemplates};
use crate::{
    http::{document::Document, route_table::not_found},
    protocol::Params,
};

/// The assets as they are sent, made once.
pub struct Assets(Vec<(Asset, Document)>);

impl Assets {
    /// Those of the pages.
    pub fn new(pages: &PageTemplates) -> Self {
        let made = |asset: &Asset| {
            (asset.clone(), Document::new(asset.content_type, asset.body.clone().into_owned()))
        };
        Self(pages.assets().iter().map(made).collect())
    }
}

/// An asset by its path. With the version in the query it may be kept for ever.
pub async fn get(assets: Data<Assets>, req: HttpRequest) -> HttpResponse {
    let Some((asset, document)) = assets.0.iter().find(|(asset, _)| asset.path == req.path()) else {
        return not_found().await;
    };
    let params = Params::parse(req.query_string().as_bytes()).unwrap_or_default();
    let current = params.get("v") == Some(asset.version());
    let cache_control = if current { Asset::CACHE_CONTROL } else { "no-cache" };
    let headers = [(CACHE_CONTROL, cache_control), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    document.answer(req.headers(), headers.map(|(name, value)| (name, HeaderValue::from_static(value))))
}
