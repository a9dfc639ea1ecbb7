//! RFC 9112 §2–§6 — a request that is there as a whole and in the plainest of forms: one Host, a body of a
//! stated length or none, and nothing about the connection but whether it goes on.

use std::{mem::MaybeUninit, net::SocketAddr};

use actix_http::{Method, Payload, Request, Uri, Version, error::PayloadError};
use actix_web::{
    http::header::{HeaderName, HeaderValue},
    web::{Buf as _, Bytes},
};

/// The most of a request that is held here: a form of the largest size that is taken. Larger ones are
/// batches, whose bodies are read in pieces.
pub(super) const MOST: usize = 64 * 1024;

/// More header fields than programs and browsers send.
const MOST_FIELDS: usize = 64;

/// What stands at the beginning of what was received.
pub(super) enum NextRequest {
    /// A request. Whether it is the last one, as its client wishes.
    Whole(Request, bool),
    /// Not all of a request, or nothing.
    Part,
    /// Something that is not for us to read.
    Other,
}

/// How long a request is and what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing {
    body: usize,
    last: bool,
}

/// Takes the next request away from what was received, if it is there.
pub(super) fn take(received: &mut Bytes, peer: Option<SocketAddr>) -> NextRequest {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let size = match head.parse_with_uninit_headers(received, &mut fields) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if received.len() < MOST => return NextRequest::Part,
        _ => return NextRequest::Other,
    };
    let fields = head.headers.iter().map(|field| (field.name, field.value));
    let Some(framing) = framing(fields).filter(|_| head.version == Some(1)) else {
        return NextRequest::Other;
    };
    let end = size + framing.body;
    if received.len() < end {
        return if end > MOST { NextRequest::Other } else { NextRequest::Part };
    }
    let body = received.slice(size..end);
    let Some(request) = request(&head, received, body, peer) else { return NextRequest::Other };
    received.advance(end);
    if received.is_empty() {
        // An empty rest would hold on to the memory.
        *received = Bytes::new();
    }
    NextRequest::Whole(request, framing.last)
}

/// `None` for all that could be understood in more than one way, and for all that is seldom.
fn framing<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Framing> {
    let (mut host, mut length, mut last) = (false, None, false);
    for (name, value) in fields {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("host") {
            // RFC 9112 §3.2: exactly one.
            if std::mem::replace(&mut host, true) {
                return None;
            }
        } else if is("content-length") {
            if length.replace(digits(value)?).is_some() {
                return None;
            }
        } else if is("connection") {
            match value {
                close if close.eq_ignore_ascii_case(b"close") => last = true,
                keep if keep.eq_ignore_ascii_case(b"keep-alive") => {}
                _ => return None,
            }
        } else if ["transfer-encoding", "expect", "upgrade"].into_iter().any(is) {
            return None;
        }
    }
    host.then_some(Framing { body: length.unwrap_or(0), last })
}

/// RFC 9110 §8.6: digits, and so few that the number is one we may take.
fn digits(value: &[u8]) -> Option<usize> {
    let few = (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    few.then(|| value.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

fn request(
    head: &httparse::Request<'_, '_>,
    received: &Bytes,
    body: Bytes,
    peer: Option<SocketAddr>,
) -> Option<Request> {
    let method =
        Method::from_bytes(head.method?.as_bytes()).ok().filter(|method| method != Method::CONNECT)?;
    let payload: Payload = match body.is_empty() {
        true => Payload::None,
        false => Payload::Stream { payload: Box::pin(whole(body)) },
    };
    let mut request = Request::with_payload(payload);
    let made = request.head_mut();
    made.method = method;
    made.uri = Uri::from_maybe_shared(received.slice_ref(head.path?.as_bytes())).ok()?;
    made.version = Version::HTTP_11;
    made.peer_addr = peer;
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(received.slice_ref(field.value)).ok()?;
        made.headers.append(name, value);
    }
    Some(request)
}

/// A body in one piece.
fn whole(body: Bytes) -> impl futures_core::Stream<Item = Result<Bytes, PayloadError>> {
    futures_util::stream::once(std::future::ready(Ok(body)))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn taken(text: &str) -> (NextRequest, Bytes) {
        let mut received = Bytes::copy_from_slice(text.as_bytes());
        (take(&mut received, None), received)
    }

    fn whole_of(text: &str) -> (Request, bool, Bytes) {
        match taken(text) {
            (NextRequest::Whole(request, last), rest) => (request, last, rest),
            _ => panic!("no whole request: {text:?}"),
        }
    }

    fn is_left_to_others(text: &str) -> bool {
        matches!(taken(text), (NextRequest::Other, rest) if rest == text.as_bytes())
    }

    #[actix_web::test]
    async fn a_request_is_read_as_it_was_sent_and_the_next_one_is_left() {
        let text = "POST /oauth/token?a=b HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-a: 2\r\nContent-Length: 3\r\n\r\na=bGET";
        let (mut request, last, rest) = whole_of(text);
        assert_eq!((request.method().as_str(), request.path(), last), ("POST", "/oauth/token", false));
        assert_eq!(request.uri().query(), Some("a=b"));
        let values: Vec<_> = request.head().headers.get_all("x-a").map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [b"1", b"2"]);
        let body = request.take_payload().next().await.expect("a body").expect("a piece");
        assert_eq!((&body[..], &rest[..]), (&b"a=b"[..], &b"GET"[..]));
    }

    #[test]
    fn a_client_may_say_that_it_is_its_last_request() {
        assert!(whole_of("GET / HTTP/1.1\r\nhost: x\r\nconnection: Close\r\n\r\n").1);
        assert!(!whole_of("GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n").1);
    }

    #[test]
    fn every_beginning_of_a_request_is_a_part_of_it() {
        let text = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
        for size in 0..text.len() {
            let (next, rest) = taken(&text[..size]);
            assert!(matches!(next, NextRequest::Part) && rest == text[..size], "{:?}", &text[..size]);
        }
        assert!(whole_of(text).2.is_empty());
    }

    #[test]
    fn what_readers_could_differ_about_is_left_to_others() {
        let of = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        for fields in [
            "a: b",
            "host: x\r\nhost: x",
            "host: x\r\ncontent-length: 1\r\ncontent-length: 1",
            "host: x\r\ncontent-length: +1",
            "host: x\r\ncontent-length: 1, 1",
            "host: x\r\ncontent-length: 0x1",
            "host: x\r\ncontent-length: 99999999999999999999",
            "host: x\r\ncontent-length:",
            "host: x\r\ntransfer-encoding: chunked",
            "host: x\r\ncontent-length: 1\r\ntransfer-encoding: identity",
            "host: x\r\nexpect: 100-continue",
            "host: x\r\nconnection: upgrade\r\nupgrade: websocket",
            "host: x\r\nconnection: keep-alive, close",
            "host: x\r\nbad name: 1",
            "host: x\r\na: b\r\n folded",
        ] {
            assert!(is_left_to_others(&of(fields)), "{fields:?}");
        }
        for line in
            ["GET / HTTP/1.0", "GET / HTTP/2.0", "CONNECT x:1 HTTP/1.1", "GET", "GET /", "G@T / HTTP/1.1"]
        {
            assert!(is_left_to_others(&format!("{line}\r\nhost: x\r\n\r\n")), "{line}");
        }
    }

    #[test]
    fn what_is_larger_than_a_form_is_left_to_others() {
        let large = |length: usize| format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        assert!(matches!(taken(&large(60_000)).0, NextRequest::Part));
        assert!(is_left_to_others(&large(MOST)));
        assert!(is_left_to_others(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(MOST))));
        assert!(is_left_to_others(&format!(
            "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "a: b\r\n".repeat(MOST_FIELDS)
        )));
    }
}
