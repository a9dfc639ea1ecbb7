//! RFC 6749 §3.1, OpenID Connect Core §3.1.2 — `GET|POST /oauth/authorize`.

use actix_web::HttpResponse;

use crate::{
    http::{browser::request::BrowserRequest, request_context::RequestContext},
    protocol::{Params, discovery::path},
};

/// The request in the query.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let request = BrowserRequest::new(&context);
    // R4: what is given twice is refused before anything is believed, so never redirected.
    let params = match Params::parse(context.query().as_bytes()) {
        Ok(params) => params,
        Err(error) => return request.error(&error.into()),
    };
    match request.provider().sign_in.authorize(&params, &request.browser).await {
        Ok(step) => request.step(step),
        Err(error) => request.error(&error),
    }
}

/// The request in a form body (OpenID Connect Core §3.1.2.1).
pub(in crate::http) async fn post(mut context: RequestContext) -> HttpResponse {
    let form = context.form().await;
    let request = BrowserRequest::new(&context);
    let params = match request.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match request.provider().sign_in.authorize(&params, &request.browser).await {
        Ok(_) if request.is_new() => request.again_as_get(path::AUTHORIZE, &params),
        Ok(step) => request.step(step),
        Err(error) => request.error(&error),
    }
}
