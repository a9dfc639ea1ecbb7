//! RFC 7009 — `POST /oauth/revoke`.

use actix_web::HttpResponse;

use super::cors;
use crate::http::{dispatch::RequestContext, error::ErrorReply, extract::FormBody};

/// Revokes a token; 200 only when that is durable.
pub(in crate::http) async fn post(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let form = context.form().await?;
    let outcome = answer(&context, &form).await;
    Ok(cors::reply_to_client(&context, &form, outcome).await)
}

async fn answer(context: &RequestContext, form: &FormBody) -> Result<HttpResponse, ErrorReply> {
    context.state().provider.revoke(context.authorization()?, &form.params()?).await?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).finish())
}
