//! RFC 6749 §3.1, OpenID Connect Core §3.1.2 — `GET|POST /oauth/authorize`.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    http::{AppState, error::ErrorReply, extract::FormBody, pages::browser_request::BrowserRequest},
    protocol::{Params, discovery::path},
};

/// The request in the query.
pub async fn get(state: Data<AppState>, req: HttpRequest) -> HttpResponse {
    let request = BrowserRequest::new(&req, &state);
    // R4: what is given twice is refused before anything is believed, so never redirected.
    let params = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => params,
        Err(error) => return request.error(&error.into()),
    };
    match request.provider().sign_in.authorize(&params, &request.browser).await {
        Ok(step) => request.step(step),
        Err(error) => request.error(&error),
    }
}

/// The request in a form body (OpenID Connect Core §3.1.2.1).
pub async fn post(
    state: Data<AppState>,
    req: HttpRequest,
    form: Result<FormBody, ErrorReply>,
) -> HttpResponse {
    let request = BrowserRequest::new(&req, &state);
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
