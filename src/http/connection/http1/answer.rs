//! RFC 9112 §4–§6 — answers as they are sent: of a stated length, in one piece.

use std::time::Duration;

use actix_http::{
    Response,
    body::{BodySize, BoxBody, MessageBody},
};
use actix_web::{
    http::header::{CONNECTION, CONTENT_LENGTH, DATE, HttpDate, TRANSFER_ENCODING},
    web::{Bytes, BytesMut},
};

/// Bodies up to this size are sent in one piece with their head.
const SMALL: usize = 16 * 1024;

/// RFC 9110 §5.6.7: a time as a header field has it.
type DateText = [u8; 29];

/// The time as it was last written down. Most answers are of the same second as the one before.
#[derive(Clone, Copy, Default)]
pub(in crate::http::connection) struct Date {
    second: Option<u64>,
    text: DateText,
}

impl Date {
    /// This second since 1970.
    pub(in crate::http::connection) fn at(self, second: u64) -> Self {
        if self.second == Some(second) {
            return self;
        }
        let text = HttpDate::from(std::time::UNIX_EPOCH + Duration::from_secs(second)).to_string();
        let text = text.as_bytes().try_into().expect("all dates of four-digit years are of this length");
        Self { second: Some(second), text }
    }

    pub(in crate::http::connection) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("it was made of a text")
    }
}

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
    // RFC 9110 §8.6, §15.4.5: neither has a body or says how long one would be.
    let unsized_status = matches!(head.status().as_u16(), 204 | 304);
    let declared = if unsized_status { BodySize::None } else { body.size() };
    let body = if unsized_status || besides.bodiless { Bytes::new() } else { whole(body).await? };
    let length = match declared {
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
    field(out, b"date", &besides.date.text);
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

    #[test]
    fn the_time_is_written_as_headers_have_it() {
        let date = Date::default().at(784_111_777);
        assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(1).as_str(), DATE_TEXT);
    }
}
