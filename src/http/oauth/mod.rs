//! The OAuth endpoints: `/oauth/<name>` is handled in the file of that name.

pub mod authorize;
pub mod cors;
pub mod introspect;
pub mod logout;
pub mod revoke;
pub mod token;
pub mod userinfo;

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

/// JSON that no cache may keep.
fn private_json(body: Vec<u8>) -> HttpResponse {
    let mut answer = HttpResponse::Ok().body(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
