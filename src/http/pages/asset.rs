//! `GET /assets/{name}` — stylesheet, script and icon of the pages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
    web::Data,
};

use super::Asset;
use crate::{
    http::{Shared, routes::not_found},
    protocol::Params,
};

/// An asset by its path. With the version in the query it may be kept for ever.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let Some(asset) = shared.pages.asset(req.path()) else { return not_found().await };
    let params = Params::parse(req.query_string().as_bytes()).unwrap_or_default();
    let current = params.get("v") == Some(asset.version());
    let etag = asset.etag.as_str();
    let seen = req.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fresh = seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let mut answer = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((CACHE_CONTROL, if current { Asset::CACHE_CONTROL } else { "no-cache" }))
        .insert_header((ETAG, etag))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if fresh {
        return answer.finish();
    }
    answer.insert_header((CONTENT_TYPE, asset.content_type)).body(asset.body.to_string())
}
