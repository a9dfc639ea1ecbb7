//! RFC 9112 §4–§6 — answers as they are sent: of a stated length, in one piece.

use actix_http::{
    Response,
    body::{BodySize, BoxBody, MessageBody},
};
use actix_web::{
    http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
    web::{Bytes, BytesMut},
};

use crate::http::connection::{date::Date, stated_size};

/// Bodies up to this size are sent in one piece with their head.
const SMALL: usize = 16 * 1024;

/// What is said besides of the answer itself.
pub(super) struct Besides {
    /// The request was a HEAD.
    pub(super) bodiless: bool,
    /// The connection ends with this answer.
    pub(super) last: bool,
    pub(super) date: Date,
}

/// The bytes of an answer: all of them, or its head and a large body.
pub(super) async fn bytes(answer: Response<BoxBody>, besides: Besides) -> Option<(Vec<u8>, Bytes)> {
    let (head, body) = answer.into_parts();
    let stated = stated_size(head.status(), &body);
    let body = if stated == BodySize::None || besides.bodiless { Bytes::new() } else { whole(body).await? };
    let length = match stated {
        BodySize::None => None,
        BodySize::Sized(size) => Some(size),
        BodySize::Stream => (!besides.bodiless).then_some(body.len() as u64),
    };
    let joined = body.len() <= SMALL;
    let mut out = Vec::with_capacity(512 + if joined { body.len() } else { 0 });
    write_head(&mut out, &head, length, &besides);
    if joined {
        out.extend_from_slice(&body);
        return Some((out, Bytes::new()));
    }
    Some((out, body))
}

fn write_head(out: &mut Vec<u8>, head: &Response<()>, length: Option<u64>, besides: &Besides) {
    let status = head.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.head().reason().as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(length) = length {
        field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
    }
    for (name, value) in head.headers() {
        // Ours to say.
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, DATE].contains(name) {
            continue;
        }
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if besides.last {
        field(out, b"connection", b"close");
    }
    field(out, b"date", besides.date.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A body as a whole: nearly every one is.
async fn whole(body: BoxBody) -> Option<Bytes> {
    let mut body = match body.try_into_bytes() {
        Ok(body) => return Some(body),
        Err(body) => std::pin::pin!(body),
    };
    let mut pieces = BytesMut::new();
    while let Some(piece) = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await {
        pieces.extend_from_slice(&piece.ok()?);
    }
    Some(pieces.freeze())
}

#[cfg(test)]
mod tests {
    use actix_http::StatusCode;
    use actix_web::HttpResponse;

    use super::*;

    const DATE_TEXT: &str = "Thu, 01 Jan 1970 00:00:01 GMT";

    async fn sent(answer: HttpResponse, (bodiless, last): (bool, bool)) -> String {
        let (mut head, rest) = bytes(answer.into(), Besides { bodiless, last, date: Date::default().at(1) })
            .await
            .expect("an answer");
        head.extend_from_slice(&rest);
        String::from_utf8(head).expect("text")
    }

    #[actix_web::test]
    async fn an_answer_says_its_length_and_its_time() {
        let answer = || HttpResponse::Created().insert_header(("etag", "\"a\"")).body("hello");
        let head =
            format!("HTTP/1.1 201 Created\r\ncontent-length: 5\r\netag: \"a\"\r\ndate: {DATE_TEXT}\r\n\r\n");
        assert_eq!(sent(answer(), (false, false)).await, format!("{head}hello"));
        assert_eq!(sent(answer(), (true, false)).await, head);
        assert!(sent(answer(), (false, true)).await.contains("\r\nconnection: close\r\n"));
    }

    #[actix_web::test]
    async fn what_has_no_body_says_no_length() {
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            let sent = sent(HttpResponse::build(status).body("none"), (false, false)).await;
            assert!(!sent.contains("content-length") && sent.ends_with("\r\n\r\n"), "{sent}");
        }
        assert!(sent(HttpResponse::Ok().finish(), (false, false)).await.contains("content-length: 0\r\n"));
    }

    #[actix_web::test]
    async fn a_large_body_and_one_in_pieces_arrive_whole() {
        let large = "a".repeat(SMALL + 1);
        let whole = sent(HttpResponse::Ok().body(large.clone()), (false, false)).await;
        assert!(whole.ends_with(&format!("\r\n\r\n{large}")));
        let pieces =
            ["he", "llo"].map(|piece| Ok::<_, actix_web::Error>(Bytes::from_static(piece.as_bytes())));
        let streamed = HttpResponse::Ok().streaming(futures_util::stream::iter(pieces));
        let sent = sent(streamed, (false, false)).await;
        assert!(sent.contains("content-length: 5\r\n") && sent.ends_with("\r\n\r\nhello"), "{sent}");
    }
}
