//! Reading requests: one form body, one Authorization header, nothing twice.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName},
    web::{Bytes, BytesMut, Data},
};
use futures_core::Stream as _;

use super::{
    Settings, Shared,
    error::Failure,
    middleware::{RouteHandles, RouteIndex},
    patience::Patience,
};
use crate::{
    observe::Rejection,
    protocol::{OauthError, Params},
    resilience::deadline,
};

/// The largest form body, in bytes (R69).
pub const MAX_FORM: usize = 64 * 1024;

/// The largest batch, in bytes.
pub const MAX_BATCH: usize = 2 * 1024 * 1024;

/// The body of an `application/x-www-form-urlencoded` POST.
pub struct Form(Bytes);

impl Form {
    /// Its parameters.
    pub fn params(&self) -> Result<Params<'_>, Failure> {
        Ok(Params::parse(&self.0)?)
    }
}

/// The body of an `application/json` POST.
pub struct Json(pub Bytes);

type Reading<T> = Pin<Box<dyn Future<Output = Result<T, Failure>>>>;

impl FromRequest for Form {
    type Error = Failure;
    type Future = Reading<Self>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(req, payload, "application/x-www-form-urlencoded", MAX_FORM);
        Box::pin(async move { body.await.map(Self) })
    }
}

impl FromRequest for Json {
    type Error = Failure;
    type Future = Reading<Self>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(req, payload, "application/json", MAX_BATCH);
        Box::pin(async move { body.await.map(Self) })
    }
}

fn read(
    req: &HttpRequest,
    payload: &mut Payload,
    media_type: &'static str,
    limit: usize,
) -> impl Future<Output = Result<Bytes, Failure>> + use<> {
    let refused = refusal(req, media_type);
    let timeout = req.app_data::<Data<Settings>>().map(|settings| settings.body_timeout).unwrap_or_default();
    let (mut payload, req) = (payload.take(), req.clone());
    async move {
        if let Some(failure) = refused {
            return Err(failure);
        }
        // The client's time, not ours.
        let mut taken = 0;
        let collected = deadline::suspended(collect(&mut payload, limit, timeout, &mut taken)).await;
        measured(&req, taken);
        match collected {
            Ok(body) => Ok(body),
            Err(Uncollected::Broken) => {
                Err(OauthError::invalid_request("The body could not be read.").into())
            }
            Err(Uncollected::TooLarge) => Err(rejected(&req, Rejection::BodyTooLarge)),
            Err(Uncollected::Late) => Err(rejected(&req, Rejection::Timeout)),
        }
    }
}

/// What is wrong with a request before its body is read.
fn refusal(req: &HttpRequest, media_type: &str) -> Option<Failure> {
    if !req.headers().get(CONTENT_TYPE).is_some_and(|given| is_of(given.as_bytes(), media_type)) {
        let text = format!("The Content-Type must be {media_type}.");
        return Some(OauthError::invalid_request(text).into());
    }
    // A compressed body is not unpacked: a small one could fill the memory (T32).
    if req.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity") {
        let error = OauthError::invalid_request("A compressed body is not accepted.");
        return Some(Failure::with_status(415, error));
    }
    // RFC 6749 §2.3.1, §3.2: parameters only in the body; a mix of both hides pollution (T02).
    if !req.query_string().is_empty() {
        return Some(OauthError::invalid_request("Parameters in the query are not accepted here.").into());
    }
    None
}

/// Whether a Content-Type is this one, whatever its parameters.
fn is_of(given: &[u8], media_type: &str) -> bool {
    // Most clients write it like this.
    if given == media_type.as_bytes() {
        return true;
    }
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// A body that is too large or too late, counted.
fn rejected(req: &HttpRequest, reason: Rejection) -> Failure {
    if let Some(shared) = req.app_data::<Data<Shared>>() {
        shared.provider.metrics.rejected(reason);
    }
    let (status, text) = match reason {
        Rejection::BodyTooLarge => (413, "The body is too large."),
        _ => (408, "The body came too slowly."),
    };
    Failure::with_status(status, OauthError::invalid_request(text))
}

/// Counts what was read of a body.
fn measured(req: &HttpRequest, bytes: usize) {
    if bytes > 0
        && let Some(shared) = req.app_data::<Data<Shared>>()
        && let Some(handles) = req.app_data::<Data<RouteHandles>>()
    {
        let route = handles.of(req.app_data::<RouteIndex>().copied(), req.method().as_str());
        shared.provider.metrics.request_body(route, bytes as u64);
    }
}

/// Why there is no body.
enum Uncollected {
    TooLarge,
    Broken,
    Late,
}

/// Reads a body to its end. Whether or not it gets there, `taken` says how much was read.
async fn collect(
    payload: &mut Payload,
    limit: usize,
    time: Duration,
    taken: &mut usize,
) -> Result<Bytes, Uncollected> {
    let mut patience = Patience::new(time);
    // Most bodies come in one piece, which is not copied.
    let (mut whole, mut pieces) = (Bytes::new(), BytesMut::new());
    while let Some(piece) = next(payload, &mut patience).await? {
        *taken += piece.len();
        if *taken > limit {
            return Err(Uncollected::TooLarge);
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

/// The next piece of a body; `None` at its end.
async fn next(payload: &mut Payload, patience: &mut Patience) -> Result<Option<Bytes>, Uncollected> {
    poll_fn(|context| match Pin::new(&mut *payload).poll_next(context) {
        Poll::Ready(piece) => Poll::Ready(piece.transpose().map_err(|_| Uncollected::Broken)),
        Poll::Pending => patience.poll_over(context).map(|()| Err(Uncollected::Late)),
    })
    .await
}

/// The one value of a header; more than one is an error, because readers would differ (R33).
pub fn single(req: &HttpRequest, name: HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = req.headers().get_all(&name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(OauthError::invalid_request(format!("The header {name} is not ASCII.")).into()),
        },
        (Some(_), Some(_)) => {
            Err(OauthError::invalid_request(format!("The header {name} is given more than once.")).into())
        }
    }
}

/// The Authorization header.
pub fn authorization(req: &HttpRequest) -> Result<Option<&str>, Failure> {
    single(req, AUTHORIZATION)
}
