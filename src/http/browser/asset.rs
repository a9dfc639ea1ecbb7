//! `GET /assets/{name}` — stylesheet, script and icon of the pages.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::{
    http::{
        document::Document,
        error::not_found,
        pages::{Asset, PageTemplates},
        request_context::RequestContext,
    },
    protocol::Params,
};

/// An asset by its name. With the version in the query it may be kept for ever.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let assets = context.documents().assets.get_or_init(|| documents(&context.state().pages));
    let name = context.parameter("name");
    let Some((asset, document)) = assets.iter().find(|(asset, _)| Some(asset.file_name()) == name) else {
        return not_found();
    };
    let params = Params::parse(context.query().as_bytes()).unwrap_or_default();
    let current = params.get("v") == Some(asset.version());
    let cache_control = if current { Asset::CACHE_CONTROL } else { "no-cache" };
    let headers = [(CACHE_CONTROL, cache_control), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    document.answer(context.headers(), headers.map(|(name, value)| (name, HeaderValue::from_static(value))))
}

/// The assets as they are sent.
fn documents(pages: &PageTemplates) -> Vec<(Asset, Document)> {
    let document =
        |asset: &Asset| (asset.clone(), Document::new(asset.content_type, asset.body.clone().into_owned()));
    pages.assets().iter().map(document).collect()
}
