//! RFC 6749 §3.2 — `POST /oauth/token`.

use actix_web::HttpResponse;

use super::{cors, private_json};
use crate::http::{error::ErrorReply, request_context::RequestContext};

/// Issues tokens.
pub(in crate::http) async fn post(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let form = context.form().await?;
    let request = context.client_request(&form)?;
    let issued = context.state().provider.tokens.token(&request).await;
    let outcome = issued.map(|answer| private_json(answer.body)); // RFC 6749 §5.1
    Ok(cors::reply_to_client(&context, &request, outcome).await)
}
