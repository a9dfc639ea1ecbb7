//! OpenID Connect Core §5.3 — `GET|POST /oauth/userinfo`.

use actix_web::{HttpResponse, http::header::CONTENT_TYPE};

use super::{cors, private_json};
use crate::{
    http::{Shared, error::Failure, extract::Form, front::Call},
    protocol::{Params, bearer},
};

/// Shows claims for a token in the Authorization header.
pub(in crate::http) async fn get(call: Call) -> HttpResponse {
    reply(&call, &Params::default()).await
}

/// The same, with the token in the header or the form body (RFC 6750 §2.2).
pub(in crate::http) async fn post(mut call: Call) -> HttpResponse {
    // A POST whose token is in the header needs no form; one that brings a form is read, or refused.
    let form = match call.form().await {
        Ok(form) => Some(form),
        Err(failure) if call.headers().contains_key(CONTENT_TYPE) => {
            return cors::reply(Err(challenged(call.shared(), failure)), None);
        }
        Err(_) => None,
    };
    match form.as_ref().map(Form::params).unwrap_or_else(|| Ok(Params::default())) {
        Ok(params) => reply(&call, &params).await,
        Err(failure) => cors::reply(Err(challenged(call.shared(), failure)), None),
    }
}

async fn reply(call: &Call, form: &Params<'_>) -> HttpResponse {
    let shared = call.shared();
    let token = match presented(call, form) {
        Ok(Some(token)) => token,
        // RFC 6750 §3.1: no token, so no error code in the challenge.
        Ok(None) => {
            let challenge = bearer::challenge(&shared.provider.policy.issuer, None);
            return HttpResponse::Unauthorized().insert_header(("www-authenticate", challenge)).finish();
        }
        Err(failure) => return cors::reply(Err(challenged(shared, failure)), None),
    };
    let outcome = shared.provider.userinfo(token).await.map(private_json);
    let allowed = cors::token_allows(call, token).await;
    cors::reply(outcome.map_err(|error| challenged(shared, error.into())), allowed)
}

fn presented<'r>(call: &'r Call, form: &'r Params<'_>) -> Result<Option<&'r str>, Failure> {
    let query = Params::parse(call.query().as_bytes())?;
    Ok(bearer::token(call.authorization()?, form, &query)?)
}

fn challenged(shared: &Shared, failure: Failure) -> Failure {
    let challenge = bearer::challenge(&shared.provider.policy.issuer, Some(failure.error()));
    failure.challenged(challenge)
}
