//! Reading requests: one form body, one Authorization header, nothing twice.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use actix_http::RequestHead;
use actix_web::{
    dev::Payload,
    http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName},
    web::{Bytes, BytesMut},
};
use futures_core::Stream as _;

use super::{coarse_timeout::CoarseTimeout, error::ErrorReply, worker::WorkerContext};
use crate::{
    observe::{Rejection, RouteLabel},
    protocol::{OauthError, Params},
    resilience::deadline,
};

/// The largest form body, in bytes (R69).
pub const MAX_FORM: usize = 64 * 1024;

/// The largest batch, in bytes.
pub const MAX_BATCH: usize = 2 * 1024 * 1024;

/// Memory that is taken for a body before it has come, at most: a batch of a thousand tokens.
const MOST_AHEAD: usize = 256 * 1024;

/// The body of an `application/x-www-form-urlencoded` POST.
pub struct FormBody(Bytes);

impl FormBody {
    /// Reads it.
    pub(super) async fn read(head: &RequestHead, payload: Payload, at: At<'_>) -> Result<Self, ErrorReply> {
        read((head, "application/x-www-form-urlencoded"), payload, MAX_FORM, at).await.map(Self)
    }

    /// Its parameters.
    pub fn params(&self) -> Result<Params<'_>, ErrorReply> {
        Ok(Params::parse(&self.0)?)
    }
}

/// The body of an `application/json` POST.
pub struct JsonBody(pub Bytes);

impl JsonBody {
    /// Reads it.
    pub(super) async fn read(head: &RequestHead, payload: Payload, at: At<'_>) -> Result<Self, ErrorReply> {
        read((head, "application/json"), payload, MAX_BATCH, at).await.map(Self)
    }
}

/// Whose body it is.
type At<'a> = (&'a WorkerContext, RouteLabel);

async fn read(
    (head, media_type): (&RequestHead, &str),
    mut payload: Payload,
    limit: usize,
    (worker, route): At<'_>,
) -> Result<Bytes, ErrorReply> {
    if let Some(failure) = refusal(head, media_type) {
        return Err(failure);
    }
    // The client takes this time, so the request's deadline does not count it.
    let mut taken = 0;
    let room = || stated_length(head).min(limit).min(MOST_AHEAD);
    let collected = collect(&mut payload, (limit, room), worker.settings.body_timeout, &mut taken);
    let collected = deadline::suspended(collected).await;
    if taken > 0 {
        worker.state.provider.metrics.request_body(route, taken as u64);
    }
    collected.map_err(|why| match why {
        BodyError::Broken => OauthError::invalid_request("The body could not be read.").into(),
        BodyError::TooLarge => rejected(worker, Rejection::BodyTooLarge),
        BodyError::Late => rejected(worker, Rejection::Timeout),
    })
}

/// What is wrong with a request before its body is read.
fn refusal(head: &RequestHead, media_type: &str) -> Option<ErrorReply> {
    if !head.headers.get(CONTENT_TYPE).is_some_and(|given| is_of(given.as_bytes(), media_type)) {
        let text = format!("The Content-Type must be {media_type}.");
        return Some(OauthError::invalid_request(text).into());
    }
    // A compressed body is not unpacked: a small one could fill the memory (T32).
    if head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity") {
        let error = OauthError::invalid_request("A compressed body is not accepted.");
        return Some(ErrorReply::with_status(415, error));
    }
    // RFC 6749 §2.3.1, §3.2: parameters only in the body; a mix of both hides pollution (T02).
    if head.uri.query().is_some_and(|query| !query.is_empty()) {
        return Some(OauthError::invalid_request("Parameters in the query are not accepted here.").into());
    }
    None
}

/// The length that a body will have, as its client says; 0 if it does not.
fn stated_length(head: &RequestHead) -> usize {
    let stated = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    stated.unwrap_or(0)
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
fn rejected(worker: &WorkerContext, reason: Rejection) -> ErrorReply {
    worker.state.provider.metrics.rejected(reason);
    let (status, text) = match reason {
        Rejection::BodyTooLarge => (413, "The body is too large."),
        _ => (408, "The body came too slowly."),
    };
    ErrorReply::with_status(status, OauthError::invalid_request(text))
}

/// Why a body could not be read.
enum BodyError {
    TooLarge,
    Broken,
    Late,
}

/// Reads a body to its end. Whether or not it gets there, `taken` says how much was read.
async fn collect(
    payload: &mut Payload,
    (limit, room): (usize, impl Fn() -> usize),
    time: Duration,
    taken: &mut usize,
) -> Result<Bytes, BodyError> {
    let mut timer = CoarseTimeout::new(time);
    // Most bodies come in one piece, which is not copied.
    let (mut whole, mut pieces) = (Bytes::new(), BytesMut::new());
    while let Some(piece) = next(payload, &mut timer).await? {
        *taken += piece.len();
        if *taken > limit {
            return Err(BodyError::TooLarge);
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            if pieces.is_empty() {
                pieces.reserve(room());
            }
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

/// The next piece of a body; `None` at its end.
async fn next(payload: &mut Payload, timer: &mut CoarseTimeout) -> Result<Option<Bytes>, BodyError> {
    poll_fn(|context| match Pin::new(&mut *payload).poll_next(context) {
        Poll::Ready(piece) => Poll::Ready(piece.transpose().map_err(|_| BodyError::Broken)),
        Poll::Pending => timer.poll_elapsed(context).map(|()| Err(BodyError::Late)),
    })
    .await
}

/// The one value of a header; more than one is an error, because readers would differ (R33).
pub fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ErrorReply> {
    let mut values = headers.get_all(&name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // A header's value has no control characters, so that ASCII is all that is left to be looked for: many
        // bytes at a time, where `to_str` takes one after the other.
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) if text.is_ascii() => Ok(Some(text)),
            _ => Err(OauthError::invalid_request(format!("The header {name} is not ASCII.")).into()),
        },
        (Some(_), Some(_)) => {
            Err(OauthError::invalid_request(format!("The header {name} is given more than once.")).into())
        }
    }
}

/// The Authorization header.
pub fn authorization(headers: &HeaderMap) -> Result<Option<&str>, ErrorReply> {
    single(headers, AUTHORIZATION)
}
