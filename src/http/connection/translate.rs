//! Requests and answers of HTTP/2 in the types that actix has for HTTP/1.1, and back (RFC 9113 §8).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::{
    Method, Payload, Request, ResponseHead, Uri, Version,
    body::BodySize,
    error::PayloadError,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
    },
};
use actix_web::web::Bytes;
use futures_core::Stream;
use h2::RecvStream;

/// The request as HTTP/1.1 would have brought it. `None` if it could not have.
pub(super) fn request(given: http::Request<RecvStream>, peer: Option<SocketAddr>) -> Option<Request> {
    let (parts, body) = given.into_parts();
    let payload: Payload = match body.is_end_stream() {
        true => Payload::None,
        false => Payload::Stream { payload: Box::pin(Body(body)) },
    };
    let mut request = Request::with_payload(payload);
    let head = request.head_mut();
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
    // The origin form; a CONNECT has none.
    head.uri = Uri::try_from(parts.uri.path_and_query()?.as_str()).ok()?;
    head.version = Version::HTTP_2;
    head.peer_addr = peer;
    head.headers = headers(&parts.headers)?;
    if let Some(authority) = parts.uri.authority() {
        // RFC 9113 §8.3.1: it takes the place of Host.
        head.headers.insert(HOST, HeaderValue::from_str(authority.as_str()).ok()?);
    }
    Some(request)
}

fn headers(given: &http::HeaderMap) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(given.len() + 1);
    // RFC 9113 §8.2.3: cookies may come in several headers. Who reads them here takes them all.
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(headers)
}

/// The head of an answer. `None` if it is none that HTTP/2 could carry.
pub(super) fn answer(given: &ResponseHead, size: BodySize, date: &str) -> Option<http::Response<()>> {
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(given.status.as_u16()).ok()?;
    let headers = answer.headers_mut();
    for (name, value) in &given.headers {
        // RFC 9113 §8.2.2: about the connection of HTTP/1.1.
        if [CONNECTION, TRANSFER_ENCODING, UPGRADE, CONTENT_LENGTH].contains(name) {
            continue;
        }
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.append(name, http::HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    if let BodySize::Sized(bytes) = size {
        headers.insert(http::header::CONTENT_LENGTH, bytes.into());
    }
    if !headers.contains_key(http::header::DATE) {
        headers.insert(http::header::DATE, http::HeaderValue::from_str(date).ok()?);
    }
    Some(answer)
}

/// The body of a request: its client may send on when a piece has been read.
struct Body(RecvStream);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let broken = |error: h2::Error| PayloadError::Incomplete(Some(io::Error::other(error)));
        let piece = match ready!(self.0.poll_data(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(broken(error)))),
            None => return Poll::Ready(None),
        };
        let read = self.0.flow_control().release_capacity(piece.len());
        Poll::Ready(Some(read.map(|()| piece).map_err(broken)))
    }
}
