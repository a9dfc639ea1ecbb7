//! RFC 6749 §3.2 — `POST /oauth/token`.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{cors, private_json};
use crate::http::{
    Shared,
    error::Failure,
    extract::{Form, authorization},
};

/// Issues tokens.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Form) -> HttpResponse {
    let outcome = answer(&shared, &req, &form).await;
    cors::reply_to_client(&shared, &req, &form, outcome).await
}

async fn answer(shared: &Shared, req: &HttpRequest, form: &Form) -> Result<HttpResponse, Failure> {
    let answer = shared.provider.token(authorization(req)?, &form.params()?).await?;
    Ok(private_json(answer.body)) // RFC 6749 §5.1
}
