//! RFC 7009 — `POST /oauth/revoke`.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::cors;
use crate::http::{
    Shared,
    error::Failure,
    extract::{Form, authorization},
};

/// Revokes a token; 200 only when that is durable.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Form) -> HttpResponse {
    let outcome = answer(&shared, &req, &form).await;
    cors::reply_to_client(&shared, &req, &form, outcome).await
}

async fn answer(shared: &Shared, req: &HttpRequest, form: &Form) -> Result<HttpResponse, Failure> {
    shared.provider.revoke(authorization(req)?, &form.params()?).await?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).finish())
}
