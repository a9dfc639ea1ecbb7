//! RFC 6749 §3.1, OpenID Connect Core §3.1.2 — `GET|POST /oauth/authorize`.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    http::{Shared, error::Failure, extract::Form, pages::visit::Visit},
    protocol::{Params, discovery::path},
};

/// The request in the query.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    // R4: what is given twice is refused before anything is believed, so never redirected.
    let params = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => params,
        Err(error) => return visit.error(&error.into()),
    };
    match visit.provider().authorize(&params, &visit.browser).await {
        Ok(step) => visit.step(step),
        Err(error) => visit.error(&error),
    }
}

/// The request in a form body (OpenID Connect Core §3.1.2.1).
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Result<Form, Failure>) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match visit.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match visit.provider().authorize(&params, &visit.browser).await {
        Ok(_) if visit.is_new() => visit.again_as_get(path::AUTHORIZE, &params),
        Ok(step) => visit.step(step),
        Err(error) => visit.error(&error),
    }
}
