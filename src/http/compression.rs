//! RFC 9110 §8.4, §12.5.3 — gzip, for what is public or large; never for what holds a secret
//! (docs/decisions/0018).

use std::io::Write as _;

use actix_web::{
    HttpResponse,
    http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY},
};
use flate2::{Compression, write::GzEncoder};

/// What depends on `Accept-Encoding` says so, compressed or not.
pub const VARIES: &str = "accept-encoding";

/// Smaller answers fit a few packets as they are.
const LARGE: usize = 8 * 1024;

/// Whether a client can read gzip, and does not like the plain text better.
pub fn prefers_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut other) = (None, 0, 0);
    for given in headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok()) {
        for item in given.split(',') {
            let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = thousandths(weight.trim());
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                    gzip = Some(weight);
                }
                coding if coding.eq_ignore_ascii_case("identity") => identity = weight,
                "*" => other = weight,
                _ => {}
            }
        }
    }
    let gzip = gzip.unwrap_or(other);
    gzip > 0 && gzip >= identity
}

/// RFC 9110 §12.4.2: `q=` and a number from 0 to 1 with at most three decimals. Anything else counts as 0.
fn thousandths(weight: &str) -> u16 {
    let Some(number) = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q=")) else { return 0 };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "0" => format!("{decimals:0<3}").parse().unwrap_or(0),
        "1" if decimals.bytes().all(|digit| digit == b'0') => 1000,
        _ => 0,
    }
}

/// The body compressed as well as it can be, for what is compressed once; `None` if that gains nothing.
pub fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    let coded = gzip(body, Compression::best());
    (coded.len() < body.len()).then_some(coded)
}

/// An answer that `answer` makes of the body: compressed if it is large and its client likes that.
/// Level 1, since a better one takes twice the time and more for a fiftieth of the size.
pub fn negotiated(
    asked: &HeaderMap,
    body: Vec<u8>,
    answer: impl Fn(Vec<u8>) -> HttpResponse,
) -> HttpResponse {
    let coded = body.len() >= LARGE && prefers_gzip(asked);
    let mut answer = answer(if coded { gzip(&body, Compression::fast()) } else { body });
    answer.headers_mut().insert(VARY, HeaderValue::from_static(VARIES));
    if coded {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn gzip(body: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3 + 64), level);
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("memory takes what is written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(value).expect("a header value"));
        }
        prefers_gzip(&headers)
    }

    #[test]
    fn gzip_is_sent_to_those_who_ask_for_it() {
        for values in [
            &["gzip"][..],
            &["GZIP"],
            &["x-gzip"],
            &["br, gzip"],
            &["br;q=1.0, gzip;q=0.8, *;q=0.1"],
            &["br", "gzip"],
            &["*"],
            &["gzip ; q=0.001"],
            &["gzip;q=1.000"],
            &["gzip;Q=1"],
            &["identity;q=0.5, gzip"],
            &["identity;q=0, *"],
            &["identity, gzip"],
        ] {
            assert!(prefers(values), "{values:?}");
        }
    }

    #[test]
    fn gzip_is_not_sent_to_anybody_else() {
        for values in [
            &[][..],
            &[""],
            &["br"],
            &["identity"],
            &["gzip;q=0"],
            &["gzip;q=0.000"],
            &["*, gzip;q=0"],
            &["*;q=0"],
            &["identity, gzip;q=0.5"],
            &["gzip;q=0.0001"],
            &["gzip;q=1.5"],
            &["gzip;q=1.001"],
            &["gzip;q=-1"],
            &["gzip;q="],
            &["gzip;x=1"],
            &["gzipped, notgzip"],
            &["deflate;gzip"],
        ] {
            assert!(!prefers(values), "{values:?}");
        }
    }

    #[test]
    fn only_what_gets_smaller_is_compressed() {
        assert!(compressed(b"a").is_none());
        assert!(compressed(&[b'a'; 1000]).is_some_and(|coded| coded.len() < 100));
    }
}
