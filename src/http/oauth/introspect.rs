//! RFC 7662 — `POST /oauth/introspect` and `POST /oauth/introspect/batch`.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;

use crate::{
    http::{
        Shared,
        error::Failure,
        extract::{Form, Json, authorization},
    },
    protocol::{OauthError, Params, introspect::Introspection},
};

/// Describes one token.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let answer = shared.provider.introspect(authorization(&req)?, &form.params()?).await?;
    let mut body = Vec::with_capacity(320);
    answer.write_json(&shared.provider.policy.issuer, &mut body);
    Ok(json(body))
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    tokens: Vec<Cow<'a, str>>,
    /// For clients that authenticate with `client_secret_post`: there is no form to put it in.
    #[serde(borrow, default)]
    client_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    client_secret: Option<Cow<'a, str>>,
}

/// Describes up to 1,000 tokens, in order.
pub async fn batch(shared: Data<Shared>, req: HttpRequest, body: Json) -> Result<HttpResponse, Failure> {
    let batch: Result<Batch, _> = serde_json::from_slice(&body.0);
    let tokens: Vec<&str> = match &batch {
        Ok(batch) => batch.tokens.iter().map(|token| &**token).collect(),
        // Who asks is checked even when the question is malformed.
        Err(_) => Vec::new(),
    };
    let (id, secret) = batch
        .as_ref()
        .map_or((None, None), |batch| (batch.client_id.as_deref(), batch.client_secret.as_deref()));
    let credentials = Params::of([("client_id", id), ("client_secret", secret)]);
    let answers = shared.provider.introspect_batch(authorization(&req)?, &credentials, &tokens).await?;
    if batch.is_err() {
        let text = "The body must be JSON of the form {'tokens': ['TOKEN', ...]}.";
        return Err(OauthError::invalid_request(text).into());
    }
    Ok(json(results(&answers, &shared.provider.policy.issuer)))
}

fn results(answers: &[Introspection], issuer: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(32 + answers.len() * 320);
    body.extend_from_slice(b"{\"results\":[");
    for (at, answer) in answers.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        answer.write_json(issuer, &mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

fn json(body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("content-type", "application/json"))
        .insert_header(("cache-control", "no-store"))
        .body(body)
}
