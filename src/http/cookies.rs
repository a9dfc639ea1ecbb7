//! RFC 6265 and its successor's `__Host-` prefix — the two cookies of a browser.

use actix_web::http::header::{COOKIE, HeaderMap};

/// The cookies' names and attributes; they follow the issuer's scheme, never the request (R67).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserCookies {
    secure: bool,
}

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Binds transactions and CSRF tokens to a browser.
    Browser,
    /// A sign-in.
    Session,
}

impl BrowserCookies {
    /// The cookies of an issuer.
    pub fn of(issuer: &str) -> Self {
        Self { secure: issuer.starts_with("https://") }
    }

    /// A cookie's name. `__Host-` keeps other hosts of the domain from setting it (R58).
    pub fn name(self, cookie: Cookie) -> &'static str {
        match (self.secure, cookie) {
            (true, Cookie::Browser) => "__Host-chancery_browser",
            (true, Cookie::Session) => "__Host-chancery_session",
            (false, Cookie::Browser) => "chancery_browser",
            (false, Cookie::Session) => "chancery_session",
        }
    }

    /// A `Set-Cookie` value. Without an expiry: it goes when the browser is closed.
    pub fn set(self, cookie: Cookie, value: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name(cookie))
    }

    /// The `Set-Cookie` value that takes a cookie away.
    pub fn clear(self, cookie: Cookie) -> String {
        self.set(cookie, "") + "; Max-Age=0"
    }

    /// A cookie's value; `None` if it is not there, or there twice.
    pub fn read(self, headers: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let name = self.name(cookie);
        let pairs = headers.get_all(COOKIE).filter_map(|header| header.to_str().ok());
        let pairs = pairs.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(held, _)| *held == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    /// R58
    #[test]
    fn an_https_issuer_has_host_cookies() {
        let cookies = BrowserCookies::of("https://id.example");
        assert_eq!(
            cookies.set(Cookie::Session, "v"),
            "__Host-chancery_session=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        let loopback = BrowserCookies::of("http://127.0.0.1:8080");
        assert_eq!(loopback.set(Cookie::Browser, "v"), "chancery_browser=v; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            loopback.clear(Cookie::Browser),
            "chancery_browser=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_cookie_is_read_by_its_exact_name_and_only_if_there_is_one() {
        let cookies = BrowserCookies::of("https://id.example");
        let read = |header: &str| {
            let req = TestRequest::default().insert_header((COOKIE, header)).to_http_request();
            cookies.read(req.headers(), Cookie::Session).map(str::to_owned)
        };
        assert_eq!(read("a=b; __Host-chancery_session=v; c=d").as_deref(), Some("v"));
        for header in [
            "",
            "chancery_session=v",
            "__host-chancery_session=v",
            "__Host-chancery_session=v; __Host-chancery_session=w",
            ";;=",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
