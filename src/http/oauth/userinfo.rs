//! OpenID Connect Core §5.3 — `GET|POST /oauth/userinfo`.

use actix_web::{HttpRequest, HttpResponse, http::header::CONTENT_TYPE, web::Data};

use super::{cors, private_json};
use crate::{
    http::{
        Shared,
        error::Failure,
        extract::{Form, authorization},
    },
    protocol::{Params, bearer},
};

/// Shows claims for a token in the Authorization header.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    reply(&shared, &req, &Params::default()).await
}

/// The same, with the token in the header or the form body (RFC 6750 §2.2).
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Result<Form, Failure>) -> HttpResponse {
    // A POST whose token is in the header needs no form; one that brings a form is read, or refused.
    let form = match form {
        Ok(form) => Some(form),
        Err(failure) if req.headers().contains_key(CONTENT_TYPE) => {
            return cors::reply(Err(challenged(&shared, failure)), None);
        }
        Err(_) => None,
    };
    match form.as_ref().map(Form::params).unwrap_or_else(|| Ok(Params::default())) {
        Ok(params) => reply(&shared, &req, &params).await,
        Err(failure) => cors::reply(Err(challenged(&shared, failure)), None),
    }
}

async fn reply(shared: &Shared, req: &HttpRequest, form: &Params<'_>) -> HttpResponse {
    let token = match presented(req, form) {
        Ok(Some(token)) => token,
        // RFC 6750 §3.1: no token, so no error code in the challenge.
        Ok(None) => {
            let challenge = bearer::challenge(&shared.provider.policy.issuer, None);
            return HttpResponse::Unauthorized().insert_header(("www-authenticate", challenge)).finish();
        }
        Err(failure) => return cors::reply(Err(challenged(shared, failure)), None),
    };
    let outcome =
        shared.provider.userinfo(token).await.map(|claims| {
            private_json(serde_json::to_vec(&claims).expect("a map of JSON values becomes JSON"))
        });
    let allowed = cors::token_allows(shared, req, token).await;
    cors::reply(outcome.map_err(|error| challenged(shared, error.into())), allowed)
}

fn presented<'r>(req: &'r HttpRequest, form: &'r Params<'_>) -> Result<Option<&'r str>, Failure> {
    let query = Params::parse(req.query_string().as_bytes())?;
    Ok(bearer::token(authorization(req)?, form, &query)?)
}

fn challenged(shared: &Shared, failure: Failure) -> Failure {
    let challenge = bearer::challenge(&shared.provider.policy.issuer, Some(failure.error()));
    failure.challenged(challenge)
}
