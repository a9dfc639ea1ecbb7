//! OpenID Connect Core §5.3 — `GET|POST /oauth/userinfo`.

use actix_web::{HttpResponse, http::header::CONTENT_TYPE};

use super::{cors, private_json};
use crate::{
    http::{error::ErrorReply, extract::FormBody, request_context::RequestContext, state::AppState},
    protocol::{Params, bearer},
};

/// Shows claims for a token in the Authorization header.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    reply(&context, &Params::default()).await
}

/// The same, with the token in the header or the form body (RFC 6750 §2.2).
pub(in crate::http) async fn post(mut context: RequestContext) -> HttpResponse {
    // A POST whose token is in the header needs no form; one that brings a form is read, or refused.
    let form = match context.form().await {
        Ok(form) => Some(form),
        Err(failure) if context.headers().contains_key(CONTENT_TYPE) => {
            return cors::reply(Err(challenged(context.state(), failure)), None);
        }
        Err(_) => None,
    };
    match form.as_ref().map(FormBody::params).unwrap_or_else(|| Ok(Params::default())) {
        Ok(params) => reply(&context, &params).await,
        Err(failure) => cors::reply(Err(challenged(context.state(), failure)), None),
    }
}

async fn reply(context: &RequestContext, form: &Params<'_>) -> HttpResponse {
    let state = context.state();
    let token = match presented(context, form) {
        Ok(Some(token)) => token,
        // RFC 6750 §3.1: no token, so no error code in the challenge.
        Ok(None) => {
            let challenge = bearer::challenge(&state.provider.policy.issuer, None);
            return HttpResponse::Unauthorized().insert_header(("www-authenticate", challenge)).finish();
        }
        Err(failure) => return cors::reply(Err(challenged(state, failure)), None),
    };
    let outcome = state.provider.tokens.userinfo(token).await.map(private_json);
    let allowed = cors::token_allows(context, token).await;
    cors::reply(outcome.map_err(|error| challenged(state, error.into())), allowed)
}

fn presented<'r>(context: &'r RequestContext, form: &'r Params<'_>) -> Result<Option<&'r str>, ErrorReply> {
    let query = Params::parse(context.query().as_bytes())?;
    Ok(bearer::token(context.authorization()?, form, &query)?)
}

fn challenged(state: &AppState, failure: ErrorReply) -> ErrorReply {
    let challenge = bearer::challenge(&state.provider.policy.issuer, Some(failure.error()));
    failure.challenged(challenge)
}
