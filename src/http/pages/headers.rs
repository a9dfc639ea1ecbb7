//! The security headers of every page, as data (Content Security Policy Level 3; RFC 9700 §4.16).

use std::borrow::Cow;

use url::Url;

/// Schemes that run or show content in place of going somewhere; no answer may be sent there.
const REFUSED_SCHEMES: [&str; 7] =
    ["about", "blob", "data", "file", "filesystem", "javascript", "view-source"];

/// The headers of an HTML page.
///
/// `form_action` is what [`form_action_source`] made of the redirect URI that the page's form will, after
/// our own POST, lead to: browsers apply `form-action` to that redirect too. A value it could not have
/// made is left out. With `Referrer-Policy: no-referrer` browsers send `Origin: null` with our own forms,
/// so the forms' handlers go by their CSRF token, not by `Origin`.
pub fn security_headers(form_action: Option<&str>) -> [(&'static str, Cow<'static, str>); 9] {
    let target = form_action.filter(|source| is_source(source));
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         form-action 'self'{}{}; frame-ancestors 'none'; base-uri 'none'",
        if target.is_some() { " " } else { "" },
        target.unwrap_or_default(),
    );
    [
        ("content-security-policy", Cow::Owned(policy)),
        ("x-frame-options", Cow::Borrowed("DENY")),
        ("x-content-type-options", Cow::Borrowed("nosniff")),
        ("referrer-policy", Cow::Borrowed("no-referrer")),
        ("cache-control", Cow::Borrowed("no-store")),
        ("permissions-policy", Cow::Borrowed(PERMISSIONS)),
        ("cross-origin-opener-policy", Cow::Borrowed("same-origin")),
        ("cross-origin-resource-policy", Cow::Borrowed("same-origin")),
        ("x-robots-tag", Cow::Borrowed("noindex")),
    ]
}

const PERMISSIONS: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), \
                           serial=(), usb=()";

/// The CSP source expression that lets a form's redirect reach `redirect_uri`: its origin for http and
/// https, `scheme:` for a custom scheme.
///
/// The host-source grammar (CSP3 §2.3.1) has letters, digits, hyphens and dots only: an IPv6 literal has
/// no form in it, and Chromium ignores one in brackets. For such hosts (and for names with an underscore
/// or a dot at the end) the scheme alone is named; the redirect URI itself was checked byte for byte
/// before.
///
/// `None` for anything that is no absolute URI, has a user part or a scheme that runs script, or could
/// break out of the directive.
pub fn form_action_source(redirect_uri: &str) -> Option<String> {
    // The URL parser drops tabs and newlines; RFC 3986 §2 knows neither them nor blanks.
    if !redirect_uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let uri = Url::parse(redirect_uri).ok()?;
    if !uri.username().is_empty() || uri.password().is_some() {
        return None;
    }
    let scheme = uri.scheme();
    let source = match (scheme, uri.host_str()) {
        ("http" | "https", Some(host)) if is_host(host) => match uri.port() {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        },
        ("http" | "https", Some(host)) if !is_unusual_host(host) => return None,
        (refused, _) if REFUSED_SCHEMES.contains(&refused) => return None,
        _ => format!("{scheme}:"),
    };
    is_source(&source).then_some(source)
}

/// CSP3 §2.3.1 host-part, without wildcards.
fn is_host(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// Whether a host is an IPv6 literal or a name that DNS knows and the host-part grammar does not.
fn is_unusual_host(host: &str) -> bool {
    host.starts_with('[') || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Whether the text is `scheme:`, `scheme://host` or `scheme://host:port` and nothing else.
fn is_source(source: &str) -> bool {
    let Some((scheme, rest)) = source.split_once(':') else { return false };
    // RFC 3986 §3.1: ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
    let scheme_is_sound = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest_is_sound = rest.is_empty()
        || rest.strip_prefix("//").is_some_and(|authority| match authority.split_once(':') {
            Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok(),
            None => is_host(authority),
        });
    scheme_is_sound && rest_is_sound && !REFUSED_SCHEMES.contains(&scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(form_action: Option<&str>) -> String {
        let headers = security_headers(form_action);
        headers
            .into_iter()
            .find(|(name, _)| *name == "content-security-policy")
            .expect("it is there")
            .1
            .into()
    }

    #[test]
    fn a_redirect_uri_becomes_a_source_that_a_policy_can_name() {
        let table = [
            ("https://app.example.com/callback?a=1", Some("https://app.example.com")),
            ("https://app.example.com:443/callback", Some("https://app.example.com")),
            ("https://app.example.com:8443/callback", Some("https://app.example.com:8443")),
            ("https://APP.Example.com/", Some("https://app.example.com")),
            ("http://127.0.0.1:8081/callback", Some("http://127.0.0.1:8081")),
            ("http://localhost:49152/", Some("http://localhost:49152")),
            // No bracket in the host-source grammar, nor an underscore, nor a dot at the end.
            ("http://[::1]:8081/callback", Some("http:")),
            ("https://my_app.example.com/", Some("https:")),
            ("https://app.example.com./", Some("https:")),
            ("com.example.app:/callback", Some("com.example.app:")),
            ("com.example.app://callback/done", Some("com.example.app:")),
            ("myapp://cb;x,y", Some("myapp:")),
            ("web+app-1:cb", Some("web+app-1:")),
            ("https://app.example.com/a;b,c", Some("https://app.example.com")),
            ("https://app.example.com; script-src *", None),
            ("https://a.example https://evil.example/", None),
            ("https://app.example.com/\r\nset-cookie: a=b", None),
            ("https://app.example.com/\tx", None),
            ("https://app.example.com,evil.example/", None),
            ("https://user@app.example.com/", None),
            ("https://user:pass@app.example.com/", None),
            ("javascript:alert(1)", None),
            ("JavaScript:alert(1)", None),
            ("java\tscript:alert(1)", None),
            ("data:text/html,x", None),
            ("blob:https://a.example/1", None),
            ("file:///etc/passwd", None),
            ("//app.example.com/", None),
            ("/callback", None),
            ("my_app:cb", None),
            ("1app:cb", None),
            ("'none'", None),
            ("*", None),
            ("", None),
        ];
        for (uri, source) in table {
            assert_eq!(form_action_source(uri).as_deref(), source, "{uri}");
        }
    }

    /// R13, R14, R17
    #[test]
    fn a_page_cannot_be_framed_or_cached_and_runs_no_inline_script() {
        let headers = security_headers(None);
        let value = |name| headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_ref());
        assert_eq!(
            value("content-security-policy"),
            Some(
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                 form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
        );
        assert_eq!(value("x-frame-options"), Some("DENY"));
        assert_eq!(value("referrer-policy"), Some("no-referrer"));
        assert_eq!(value("x-content-type-options"), Some("nosniff"));
        assert_eq!(value("cache-control"), Some("no-store"));
        assert_eq!(value("cross-origin-opener-policy"), Some("same-origin"));
        assert!(headers.iter().all(|(_, value)| !value.contains("unsafe")));
    }

    #[test]
    fn the_policy_names_the_target_of_the_redirect() {
        assert!(
            policy(Some("https://app.example.com")).contains("form-action 'self' https://app.example.com;")
        );
        assert!(policy(Some("com.example.app:")).contains("form-action 'self' com.example.app:;"));
    }

    #[test]
    fn a_source_that_was_not_checked_cannot_widen_the_policy() {
        for hostile in
            ["*", "https:; script-src *", "https://*", "'unsafe-inline'", "a b", "x:,y", "javascript:"]
        {
            assert_eq!(policy(Some(hostile)), policy(None), "{hostile}");
        }
    }
}
