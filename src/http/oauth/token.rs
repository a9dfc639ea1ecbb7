//! RFC 6749 §3.2 — `POST /oauth/token`.

use actix_web::HttpResponse;

use super::{cors, private_json};
use crate::http::{dispatch::RequestContext, error::ErrorReply, extract::FormBody};

/// Issues tokens.
pub(in crate::http) async fn post(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let form = context.form().await?;
    let outcome = answer(&context, &form).await;
    Ok(cors::reply_to_client(&context, &form, outcome).await)
}

async fn answer(context: &RequestContext, form: &FormBody) -> Result<HttpResponse, ErrorReply> {
    let answer = context.state().provider.token(context.authorization()?, &form.params()?).await?;
    Ok(private_json(answer.body)) // RFC 6749 §5.1
}
