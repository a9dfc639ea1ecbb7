//! RFC 6749 §3.2 — `POST /oauth/token`.

use actix_web::HttpResponse;

use super::{cors, private_json};
use crate::http::{error::Failure, extract::Form, front::Call};

/// Issues tokens.
pub(in crate::http) async fn post(mut call: Call) -> Result<HttpResponse, Failure> {
    let form = call.form().await?;
    let outcome = answer(&call, &form).await;
    Ok(cors::reply_to_client(&call, &form, outcome).await)
}

async fn answer(call: &Call, form: &Form) -> Result<HttpResponse, Failure> {
    let answer = call.shared().provider.token(call.authorization()?, &form.params()?).await?;
    Ok(private_json(answer.body)) // RFC 6749 §5.1
}
