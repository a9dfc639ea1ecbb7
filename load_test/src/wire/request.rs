//! Requests as bytes, written once and sent often.

use base64::{Engine, engine::general_purpose::STANDARD};

/// A form as it is posted.
pub fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
pub fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// The parts of a request that differ.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// Method and path.
    pub line: (&'static str, &'a str),
    /// The authority that is asked.
    pub host: &'a str,
    /// Headers besides `Host`, `Content-Length` and what `content_type` says.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty for requests without a body.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Appends the request to what may be there; allocates nothing if there is room.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (method, path) = self.line;
        for part in [method, " ", path, " HTTP/1.1\r\nHost: ", self.host, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in self.headers {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if !self.content_type.is_empty() {
            for part in ["Content-Type: ", self.content_type, "\r\nContent-Length: "] {
                out.extend_from_slice(part.as_bytes());
            }
            write_number(self.body.len(), out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
    }

    /// The request on its own.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

fn write_number(number: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[begin..].reverse();
}

/// What a form's content is called.
pub const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_written_with_its_length() {
        let body = form(&[("grant_type", "client_credentials"), ("scope", "a b")]);
        let headers = [("Authorization", "Basic eA==")];
        let request = Request {
            line: ("POST", "/oauth/token"),
            host: "h:1",
            headers: &headers,
            content_type: FORM,
            body: body.as_bytes(),
        };
        let text = String::from_utf8(request.bytes()).expect("ASCII");
        assert_eq!(
            text,
            "POST /oauth/token HTTP/1.1\r\nHost: h:1\r\nAuthorization: Basic eA==\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 39\r\n\r\n\
             grant_type=client_credentials&scope=a+b"
        );
    }

    #[test]
    fn a_get_has_no_length() {
        let request = Request { line: ("GET", "/"), host: "h", ..Request::default() };
        assert_eq!(request.bytes(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn credentials_are_form_encoded_before_they_are_joined() {
        assert_eq!(basic("a:b", "c d"), format!("Basic {}", STANDARD.encode("a%3Ab:c+d")));
    }
}
