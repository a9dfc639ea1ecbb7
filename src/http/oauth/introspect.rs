//! RFC 7662 — `POST /oauth/introspect` and `POST /oauth/introspect/batch`.

use std::borrow::Cow;

use actix_web::HttpResponse;
use serde::Deserialize;

use super::private_json;
use crate::{
    http::{compression::negotiated, error::ErrorReply, request_context::RequestContext},
    protocol::{ClientRequest, OauthError, Params},
};

/// Describes one token.
pub(in crate::http) async fn post(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let form = context.form().await?;
    Ok(private_json(context.state().provider.tokens.introspect(&context.client_request(&form)?).await?))
}

#[derive(Deserialize)]
struct BatchBody<'a> {
    #[serde(borrow)]
    tokens: Vec<TextValue<'a>>,
    /// For clients that authenticate with `client_secret_post`: there is no form to put it in.
    #[serde(borrow, default)]
    client_id: Option<TextValue<'a>>,
    #[serde(borrow, default)]
    client_secret: Option<TextValue<'a>>,
}

/// A text that is copied only if it has escapes. (In a list serde copies every `Cow`.)
#[derive(Deserialize)]
struct TextValue<'a>(#[serde(borrow)] Cow<'a, str>);

/// Describes up to 1,000 tokens, in order.
pub(in crate::http) async fn batch(mut context: RequestContext) -> Result<HttpResponse, ErrorReply> {
    let body = context.json().await?;
    // Looked through for its encoding as a whole, not token by token.
    let batch: Option<BatchBody> =
        std::str::from_utf8(&body.0).ok().and_then(|text| serde_json::from_str(text).ok());
    let tokens: Option<Vec<&str>> =
        batch.as_ref().map(|batch| batch.tokens.iter().map(|token| &*token.0).collect());
    let text = |of: for<'b> fn(&'b BatchBody) -> Option<&'b TextValue<'b>>| {
        batch.as_ref().and_then(of).map(|text| &*text.0)
    };
    let form = Params::of([
        ("client_id", text(|batch| batch.client_id.as_ref())),
        ("client_secret", text(|batch| batch.client_secret.as_ref())),
    ]);
    let request = ClientRequest { authorization: context.authorization()?, form };
    let tokens = tokens.as_deref().ok_or_else(|| {
        OauthError::invalid_request("The body must be JSON of the form {'tokens': ['TOKEN', ...]}.")
    });
    let answer = context.state().provider.tokens.introspect_batch(&request, tokens).await?;
    Ok(negotiated(context.headers(), answer, private_json))
}
