//! RFC 7009 — `POST /oauth/revoke`.

use actix_web::HttpResponse;

use super::cors;
use crate::http::{error::ErrorReply, request_context::RequestContext};

/// Revokes a token; 200 only when that is durable.
pub(in crate::http) async fn post(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let form = context.form().await?;
    let request = context.client_request(&form)?;
    let revoked = context.state().provider.tokens.revoke(&request).await;
    let outcome = revoked.map(|()| HttpResponse::Ok().insert_header(("cache-control", "no-store")).finish());
    Ok(cors::reply_to_client(&context, &request, outcome).await)
}
