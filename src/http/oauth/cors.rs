//! Cross-origin answers: only for origins that the client registered, never with credentials (R15).

use actix_web::{
    HttpResponse, ResponseError,
    http::header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
    },
};

use crate::{
    http::{error::ErrorReply, extract::single, request_context::RequestContext},
    protocol::ClientRequest,
    provider::ProviderError,
};

/// Answers a preflight. It cannot name the client, so it permits the request and nothing more:
/// whether a page may read the answer is decided with the answer.
pub(in crate::http) async fn preflight(context: RequestContext) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    if let Ok(Some(origin)) = single(context.headers(), ORIGIN) {
        answer
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"))
            .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
            .insert_header((VARY, "origin"));
    }
    answer.finish()
}

/// The outcome of a form that a client posted, readable for the origins that the client registered.
pub(super) async fn reply_to_client(
    context: &RequestContext,
    request: &ClientRequest<'_>,
    outcome: Result<HttpResponse, ProviderError>,
) -> HttpResponse {
    reply(outcome.map_err(ErrorReply::from), client_allows(context, request).await)
}

/// The request's origin, if the client of the form registered it.
async fn client_allows(context: &RequestContext, request: &ClientRequest<'_>) -> Option<HeaderValue> {
    let origin = single(context.headers(), ORIGIN).ok()??;
    let allowed = context.state().provider.tokens.origin_of_client(request, origin).await;
    allowed.then(|| HeaderValue::from_str(origin).ok()).flatten()
}

/// The request's origin, if the client that the token was issued to registered it.
pub(super) async fn token_allows(context: &RequestContext, token: &str) -> Option<HeaderValue> {
    let origin = single(context.headers(), ORIGIN).ok()??;
    let allowed = context.state().provider.tokens.origin_of_token(token, origin).await;
    allowed.then(|| HeaderValue::from_str(origin).ok()).flatten()
}

/// The outcome as an answer that the allowed origin may read.
pub fn reply(outcome: Result<HttpResponse, ErrorReply>, allowed: Option<HeaderValue>) -> HttpResponse {
    let mut answer = outcome.unwrap_or_else(|failure| failure.error_response());
    if let Some(origin) = allowed {
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("www-authenticate, x-request-id"),
        );
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    answer
}
