//! RFC 7009 — `POST /oauth/revoke`.

use actix_web::HttpResponse;

use super::cors;
use crate::http::{error::Failure, extract::Form, front::Call};

/// Revokes a token; 200 only when that is durable.
pub(in crate::http) async fn post(mut call: Call) -> Result<HttpResponse, Failure> {
    let form = call.form().await?;
    let outcome = answer(&call, &form).await;
    Ok(cors::reply_to_client(&call, &form, outcome).await)
}

async fn answer(call: &Call, form: &Form) -> Result<HttpResponse, Failure> {
    call.shared().provider.revoke(call.authorization()?, &form.params()?).await?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).finish())
}
