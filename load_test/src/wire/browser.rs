//! A small browser for what comes before the load: one request after the other, with its cookies.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::{
    request::{FORM, Request, form},
    response::Reader,
};
use crate::failure::Failure;

/// Nothing before the load takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Where it sends to, or nothing.
    pub location: String,
    /// What its body is.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Page {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A few words of it, for messages.
    pub fn words(&self) -> String {
        let json = self.json();
        let error =
            [&json["error"], &json["error_description"]].map(|part| part.as_str().unwrap_or_default());
        let words = error.join(" ");
        if words.trim().is_empty() { self.status.to_string() } else { format!("{} {words}", self.status) }
    }
}

/// A connection and what it remembers.
pub struct Browser {
    address: SocketAddr,
    host: String,
    stream: TcpStream,
    reader: Reader,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Connects.
    pub fn open(address: SocketAddr, host: &str) -> Result<Self, Failure> {
        let stream = connect(address)?;
        Ok(Self { address, host: host.into(), stream, reader: Reader::default(), cookies: BTreeMap::new() })
    }

    /// The `Cookie` header's value.
    pub fn cookies(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// A GET.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Page, Failure> {
        let cookies = self.cookies();
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("Cookie", &cookies));
        }
        let host = self.host.clone();
        let request = Request { line: ("GET", path), host: &host, headers: &headers, ..Request::default() };
        self.exchange(&request.bytes())
    }

    /// A POST of a form.
    pub fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        pairs: &[(&str, &str)],
    ) -> Result<Page, Failure> {
        let (cookies, host) = (self.cookies(), self.host.clone());
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("Cookie", &cookies));
        }
        let body = form(pairs);
        let request = Request {
            line: ("POST", path),
            host: &host,
            headers: &headers,
            content_type: FORM,
            body: body.as_bytes(),
        };
        self.exchange(&request.bytes())
    }

    /// Sends bytes and waits for the answer.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Page, Failure> {
        let lost = |error| Failure::io("talk to the server", error);
        self.reader.clear();
        self.stream.write_all(bytes).map_err(lost)?;
        let answer = loop {
            let space = self.reader.space();
            let count = self.stream.read(space).map_err(lost)?;
            let answer = if count == 0 { Ok(self.reader.ended()) } else { self.reader.took(count) };
            match answer {
                Ok(Some(answer)) => break answer,
                Ok(None) if count > 0 => {}
                Ok(None) => return Err(lost(std::io::ErrorKind::UnexpectedEof.into())),
                Err(_) => return Err(Failure::Run("what answers there does not speak HTTP/1.1".into())),
            }
        };
        self.remember();
        let first = |name: &str| self.reader.headers(name).into_iter().next().unwrap_or_default();
        let page = Page {
            status: answer.status,
            location: first("location"),
            content_type: first("content-type"),
            body: self.reader.body().into_owned(),
        };
        if answer.close {
            self.stream = connect(self.address)?;
        }
        Ok(page)
    }

    fn remember(&mut self) {
        for cookie in self.reader.headers("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.to_owned());
            }
        }
        self.cookies.retain(|_, value| !value.is_empty());
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| {
        Failure::Run(format!("nothing answers at {address}: {error}; start the server, or give its --url"))
    })?;
    let set = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true));
    set.map_err(|error| Failure::io("set up a connection", error))?;
    Ok(stream)
}

/// The value of a page's hidden field.
pub fn field(body: &str, name: &str) -> Option<String> {
    let after = body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(after.split('"').next()?.replace("&#x2f;", "/").replace("&amp;", "&"))
}

/// A parameter of an address.
pub fn param(location: &str, name: &str) -> Option<String> {
    let query = location.split_once('?')?.1.split('#').next()?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(held, _)| held == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_fields_and_parameters_are_found() {
        let body = r#"<input type="hidden" name="csrf" value="a&#x2f;b"><input name="tx" value="t">"#;
        assert_eq!(field(body, "csrf").as_deref(), Some("a/b"));
        assert_eq!(field(body, "tx").as_deref(), Some("t"));
        assert_eq!(field(body, "no"), None);
        assert_eq!(param("http://a/cb?state=x&code=a%2Fb#f", "code").as_deref(), Some("a/b"));
        assert_eq!(param("http://a/cb", "code"), None);
    }
}
