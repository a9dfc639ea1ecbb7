//! The issuer identifier (RFC 8414 §2, OpenID Connect Discovery §3) and what follows from its scheme.

use std::net::SocketAddr;

use url::{Host, Url};

/// Who we are: an origin, without path, so that joining is concatenation. Never taken from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Reads an issuer. The error is a predicate that does not repeat the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "must be an origin such as https://id.example.com";
        let url = Url::parse(text).map_err(|_| form.to_owned())?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err("must begin with https://; http is for loopback hosts only".to_owned()),
            _ => return Err(form.to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or password".to_owned());
        }
        // RFC 8414 §2 also forbids query and fragment; comparing with the origin catches them all, and
        // upper case, default ports and dots, which clients would compare byte for byte.
        let origin = url.origin().ascii_serialization();
        if text != origin {
            return Err(format!("must be exactly an origin, without path or trailing slash: {origin}"));
        }
        Ok(Self(origin))
    }

    /// The issuer of a server that only listens on loopback; `None` for other addresses and port 0.
    pub fn loopback(listen: SocketAddr, tls: bool) -> Option<Self> {
        if !listen.ip().is_loopback() || listen.port() == 0 {
            return None;
        }
        let scheme = if tls { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{listen}")).ok()?;
        Some(Self(url.origin().ascii_serialization()))
    }

    /// The identifier, as it stands in `iss`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute URL of a path that begins with a slash.
    pub fn join(&self, path: &str) -> String {
        debug_assert!(path.starts_with('/'), "{path}");
        format!("{}{path}", self.0)
    }

    /// Whether browsers reach us over TLS.
    pub fn secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl std::fmt::Display for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_an_issuer() {
        for text in [
            "https://id.example.com",
            "https://id.example.com:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
        ] {
            assert_eq!(Issuer::parse(text).map(|issuer| issuer.0), Ok(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_exactly_an_origin_is_refused() {
        for text in [
            "",
            "id.example.com",
            "https://",
            "https://id.example.com/",
            "https://id.example.com/tenant",
            "https://id.example.com?a=b",
            "https://id.example.com#top",
            "https://ID.example.com",
            "https://id.example.com:443",
            " https://id.example.com",
            "https://id.example.com\n",
            "http://id.example.com",
            "http://localhost.example.com",
            "ftp://id.example.com",
            "data:text/plain,hello",
        ] {
            assert!(Issuer::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_issuer_is_not_repeated() {
        let why = Issuer::parse("https://admin:hunter2@id.example.com").unwrap_err();
        assert!(why.contains("password") && !why.contains("hunter2"), "{why}");
    }

    #[test]
    fn cookie_names_follow_the_scheme() {
        let secure = Issuer::parse("https://id.example.com").unwrap();
        assert!(secure.secure());
        let plain = Issuer::parse("http://127.0.0.1:8080").unwrap();
        assert!(!plain.secure());
        assert_eq!(plain.join("/oauth/token"), "http://127.0.0.1:8080/oauth/token");
    }

    #[test]
    fn a_loopback_address_makes_an_issuer() {
        let of = |text: &str| Issuer::loopback(text.parse().unwrap(), false).map(|issuer| issuer.0);
        assert_eq!(of("127.0.0.1:8080").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(of("127.0.0.1:80").as_deref(), Some("http://127.0.0.1"));
        assert_eq!(of("[::1]:8080").as_deref(), Some("http://[::1]:8080"));
        let tls = Issuer::loopback("127.0.0.1:443".parse().unwrap(), true).map(|issuer| issuer.0);
        assert_eq!(tls.as_deref(), Some("https://127.0.0.1"));
        assert_eq!(of("0.0.0.0:8080"), None);
        assert_eq!(of("127.0.0.1:0"), None);
    }
}
