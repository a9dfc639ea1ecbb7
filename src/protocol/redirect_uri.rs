//! RFC 9700 §2.1, §4.1.3 and RFC 8252 §7 — redirect URIs: what may be registered, and what matches.

use crate::model::ApplicationType;

/// The longest redirect URI that may be registered, in bytes.
pub const MAX_REDIRECT_URI: usize = 1024;

/// The hosts that stay on the person's own machine (RFC 8252 §7.3, §8.3).
const LOOPBACK: [&str; 3] = ["http://127.0.0.1", "http://[::1]", "http://localhost"];

/// Parameters of the answer (RFC 6749 §4.1.2, RFC 9207); a registered query must not hold them,
/// or the client could not distinguish ours.
const ANSWER: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];

/// Whether a client may be answered at the URI it asks for.
///
/// Byte for byte (RFC 9700 §4.1.3); only the port of a native client's loopback URI may differ
/// (RFC 8252 §7.3).
pub fn matches(registered: &[String], application_type: ApplicationType, asked: &str) -> bool {
    registered.iter().any(|uri| {
        uri == asked
            || application_type == ApplicationType::Native
                && split_loopback(uri).is_some_and(|parts| split_loopback(asked) == Some(parts))
    })
}

/// Splits a loopback URI into its host and what follows the port; `None` for any other URI.
fn split_loopback(uri: &str) -> Option<(&'static str, &str)> {
    LOOPBACK.into_iter().find_map(|host| {
        let rest = uri.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            Some(after) => {
                let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                let port = &after[..end];
                if port.starts_with('0') || port.parse::<u16>().is_err() {
                    return None;
                }
                &after[end..]
            }
            None => rest,
        };
        // What follows must end the authority: `http://localhost.evil.example` and
        // `http://127.0.0.1:1@evil.example` are other hosts.
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
    })
}

/// Whether a URI may be registered; the sentence says what is wrong.
pub fn acceptable(uri: &str, application_type: ApplicationType) -> Result<(), &'static str> {
    if uri.len() > MAX_REDIRECT_URI {
        return Err("it is longer than 1024 bytes");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has a character outside printable ASCII");
    }
    if uri.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}', '\'', ';']) {
        return Err("it has a character that must be percent-encoded in a URI");
    }
    if uri.contains('*') {
        return Err("wildcards are not supported: register every redirect URI in full");
    }
    if uri.contains('#') {
        return Err("it has a fragment, which RFC 6749 §3.1.2 forbids");
    }
    let parsed = url::Url::parse(uri).map_err(|_| "it is not an absolute URI")?;
    // What browsers and we understand by it must be the same thing: no dot segments, default
    // ports, upper-case hosts or odd spellings of an address.
    let normal = parsed.as_str();
    let without_path = parsed.path() == "/" && normal.replacen("/?", "?", 1) == uri;
    if normal != uri && normal.strip_suffix('/') != Some(uri) && !without_path {
        return Err(
            "it is not in its normal form: scheme and host in lower case, no default port, no dot segments",
        );
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || authority(uri).contains('@') {
        return Err("it has user information before the host");
    }
    if parsed.query_pairs().any(|(name, _)| ANSWER.contains(&&*name)) {
        return Err("its query has a parameter that belongs to the answer, such as code or state");
    }
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if split_loopback(uri).is_some() => Ok(()),
        "http" => Err("http is accepted only for 127.0.0.1, [::1] and localhost; use https"),
        scheme => private_use(scheme, application_type),
    }
}

/// RFC 8252 §7.1: a private-use scheme is a domain name that its owner reversed, so it has a dot.
/// That also leaves out `javascript`, `data`, `blob`, `file`, `about` and their like.
fn private_use(scheme: &str, application_type: ApplicationType) -> Result<(), &'static str> {
    let reversed_domain = scheme.contains('.') && scheme.split('.').all(|label| !label.is_empty());
    match application_type {
        ApplicationType::Native if reversed_domain => Ok(()),
        ApplicationType::Native => {
            Err("a custom scheme must be a reversed domain name, such as com.example.app (RFC 8252 §7.1)")
        }
        ApplicationType::Web => {
            Err("a web client's redirect URI must be https, or http on a loopback address")
        }
    }
}

/// The text between `//` and the path.
fn authority(uri: &str) -> &str {
    let after = uri.split_once("//").map_or("", |(_, after)| after);
    &after[..after.find(['/', '?']).unwrap_or(after.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ApplicationType::{Native, Web};

    const REGISTERED: &str = "https://app.example/callback?tenant=1";

    fn one(uri: &str) -> Vec<String> {
        vec![uri.to_owned()]
    }

    #[test]
    fn the_registered_uri_matches_and_nothing_beside_it() {
        assert!(matches(&one(REGISTERED), Web, REGISTERED));
        assert!(!matches(&[], Web, REGISTERED));
    }

    /// R1
    #[test]
    fn only_the_port_of_a_native_loopback_uri_may_differ() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let registered = one(&format!("http://{host}/callback"));
            for port in ["", ":1", ":8081", ":65535"] {
                let asked = format!("http://{host}{port}/callback");
                assert!(matches(&registered, Native, &asked), "{asked}");
                assert_eq!(matches(&registered, Web, &asked), port.is_empty(), "{asked}");
            }
            for wrong in [
                ":0",
                ":65536",
                ":080",
                ":",
                ":-1",
                ":8081x",
                ":80:81",
                ":80@evil.example",
                ".evil.example",
                "@evil.example",
                "\\",
                "#",
                ":80#",
            ] {
                let asked = format!("http://{host}{wrong}/callback");
                assert!(!matches(&registered, Native, &asked), "{asked}");
            }
        }
        assert!(matches(&one("http://127.0.0.1:9/cb"), Native, "http://127.0.0.1:10/cb"));
        assert!(!matches(&one("http://127.0.0.1/cb"), Native, "http://localhost/cb"));
        assert!(!matches(&one("http://127.0.0.1/cb"), Native, "https://127.0.0.1/cb"));
        assert!(!matches(&one("http://10.0.0.1/cb"), Native, "http://10.0.0.1:80/cb"));
        // CVE-2020-15233: the query of a loopback URI counts too.
        assert!(!matches(&one("http://127.0.0.1/cb?a=1"), Native, "http://127.0.0.1:80/cb?a=2"));
    }

    /// Every way of writing a near miss of `uri` that attackers have used.
    fn mutations(uri: &str) -> Vec<String> {
        let (scheme, rest) = uri.split_once("://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        let mut all = around(uri);
        all.extend(other_hosts(host).into_iter().map(|evil| format!("{scheme}://{evil}{path}")));
        all.extend(other_schemes(scheme).into_iter().map(|other| format!("{other}{host}{path}")));
        all.extend(other_paths(path).into_iter().map(|other| format!("{scheme}://{host}{other}")));
        all.extend(byte_by_byte(uri));
        all.retain(|text| text != uri);
        all.sort();
        all.dedup();
        all
    }

    #[rustfmt::skip]
    fn around(uri: &str) -> Vec<String> {
        let tails = [
            "/", "/.", "/..", "/../", "//", "?", "#", "#x", "%00", "%20", " ", "\t", "\r\n", "\0", ";", ";x=1",
            "&x=1", "?x=1", ".", "x", "*", "%2f", "\\", "@evil.example", "/x", "%0d%0aLocation:x", "\u{200b}", "\u{ff0f}",
        ];
        let heads = [" ", "\t", "\n", "%20", "x", "//", "javascript:", "view-source:", "\u{feff}"];
        let tails = tails.map(|tail| format!("{uri}{tail}"));
        tails.into_iter().chain(heads.map(|head| format!("{head}{uri}"))).collect()
    }

    #[rustfmt::skip]
    fn other_hosts(host: &str) -> Vec<String> {
        let bare = host.split(':').next().unwrap();
        vec![
            format!("{host}.evil.example"), format!("evil.example@{host}"), format!("{host}@evil.example"),
            format!("user:pass@{host}"), format!("{host}%2eevil.example"), format!("{host}%40evil.example"),
            format!("evil.example#{host}"), format!("evil.example?{host}"), format!("evil.example/{host}"),
            format!("evil.example\\@{host}"), format!("{host}\\.evil.example"), format!("x.{host}"),
            format!("{host}."), format!("{bare}:4443"), format!("{host}:"), format!("{host}:443x"), format!("x{host}"),
            format!("{host}%00.evil.example"), format!("{host}%09"), format!("[{host}]"), "evil.example".into(),
            String::new(), "*".into(), host.to_uppercase(), host.replace('a', "\u{430}"), host.replace('p', "\u{ff50}"),
            host.replace('.', "\u{3002}"), host.replace('.', "%2e"), host.replace('.', ".."), "2130706433".into(),
            "0x7f000001".into(), "017700000001".into(), "127.1".into(), "[::ffff:127.0.0.1]".into(),
        ]
    }

    #[rustfmt::skip]
    fn other_schemes(scheme: &str) -> Vec<String> {
        let names = ["http", "HTTPS", "Https", "ftp", "ws", "javascript", "data", "blob", "file", "com.example.app", ""];
        let forms = [":/", ":", ":///", "://///", ":\\\\", "%3a//", ":%2f%2f"];
        let names = names.map(|name| format!("{name}://"));
        names.into_iter().chain(forms.map(|form| format!("{scheme}{form}"))).collect()
    }

    #[rustfmt::skip]
    fn other_paths(path: &str) -> Vec<String> {
        let swaps = [
            ("callback", "callback/../callback"), ("/callback", "//callback"), ("callback", "%63allback"),
            ("callback", "./callback"), ("callback", "x/../callback"), ("callback", "callback%2f.."),
            ("callback", "%2e%2e/callback"), ("=1", "=1&tenant=2"), ("=1", "=2"), ("=1", "="), ("?tenant=1", ""),
            ("tenant", "Tenant"), ("?", "%3f"), ("?", "??"), ("?", ";"), ("=", "%3d"), ("=1", "=%31"),
        ];
        let mut all = vec![path.to_uppercase()];
        all.extend(swaps.map(|(from, to)| path.replace(from, to)));
        all
    }

    /// One byte dropped, doubled, escaped or turned to the other case, at every place.
    fn byte_by_byte(uri: &str) -> Vec<String> {
        let at = |at: usize| {
            let (before, byte, after) = (&uri[..at], &uri[at..=at], &uri[at + 1..]);
            let upper = byte.to_uppercase();
            let flipped = if upper == byte { byte.to_lowercase() } else { upper };
            ["".to_owned(), byte.repeat(2), format!("%{byte}"), flipped]
                .map(|new| format!("{before}{new}{after}"))
        };
        (0..uri.len()).flat_map(at).collect()
    }

    /// R1, T01
    #[test]
    fn no_mutation_of_a_registered_uri_matches() {
        for (application_type, uri) in
            [(Web, REGISTERED), (Native, REGISTERED), (Web, "http://127.0.0.1:8081/callback?tenant=1")]
        {
            let corpus = mutations(uri);
            assert!(corpus.len() >= 200, "{}", corpus.len());
            for asked in corpus {
                assert!(!matches(&one(uri), application_type, &asked), "{asked:?}");
            }
        }
    }

    /// R3
    #[test]
    fn what_may_not_be_registered() {
        for uri in [
            "",
            "/callback",
            "callback",
            "//app.example/cb",
            "https://",
            "https:///cb",
            "http://app.example/cb",
            "http://127.0.0.2/cb",
            "http://127.1/cb",
            "http://0x7f.0.0.1/cb",
            "http://localhost.evil.example/cb",
            "http://[::2]/cb",
            "http://LOCALHOST/cb",
            "https://app.example/cb#",
            "https://app.example/cb#x",
            "https://user@app.example/cb",
            "https://user:pass@app.example/cb",
            "https://@app.example/cb",
            "https://*.app.example/cb",
            "https://app.example/*",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "blob:https://app.example/x",
            "file:///etc/passwd",
            "about:blank",
            "vbscript:x",
            "https://app.example/a/../b",
            "https://app.example/%2e%2e/b",
            "https://app.example/./b",
            "https://app.example:443/cb",
            "HTTPS://app.example/cb",
            "https://APP.example/cb",
            "https://app.example\\cb",
            "https://app.example/c b",
            "https://app.example/cb\n",
            "https://app.example/\u{e9}",
            "https://\u{e9}.example/",
            "https://app.example/cb?code=1",
            "https://app.example/cb?a=1&state=2",
            "https://app.example/cb?%69ss=x",
            "myapp:/cb",
            "com.example.:/cb",
            ".com:/cb",
            "com..example:/cb",
            "urn:ietf:wg:oauth:2.0:oob",
            "https://app.example/<script>",
            "https://app.example/'x'",
            "https://app.example/;form-action",
        ] {
            for application_type in [Web, Native] {
                assert!(acceptable(uri, application_type).is_err(), "{uri:?} {application_type:?}");
            }
        }
        assert!(acceptable(&format!("https://app.example/{}", "x".repeat(1024)), Web).is_err());
    }

    /// R3: every character by itself, in the path and in the query.
    #[test]
    fn a_registered_uri_has_only_characters_that_need_no_escape() {
        let refused = "\\\"<>^`{|}';*# \t\n\r\0\u{7f}\u{e9}";
        for character in refused.chars() {
            for uri in
                [format!("https://app.example/{character}b"), format!("https://app.example/?{character}b")]
            {
                assert!(acceptable(&uri, Web).is_err(), "{uri:?}");
                assert!(acceptable(&uri.replace("https", "com.example"), Native).is_err(), "{uri:?}");
            }
            // In an opaque path the URL parser leaves a space as it is.
            assert!(acceptable(&format!("com.example:a{character}b"), Native).is_err(), "{character:?}");
        }
        for character in ('!'..='~').filter(|character| !refused.contains(*character) && *character != '%') {
            let uri = format!("https://app.example/{character}b");
            assert_eq!(acceptable(&uri, Web), Ok(()), "{uri:?}");
        }
        let of_length = |length: usize| format!("https://app.example/{}", "x".repeat(length - 20));
        assert_eq!(acceptable(&of_length(1024), Web), Ok(()));
        assert!(acceptable(&of_length(1025), Web).is_err());
    }

    #[test]
    fn what_may_be_registered() {
        for uri in [
            "https://app.example",
            "https://app.example/",
            "https://app.example/cb",
            "https://app.example:8443/cb?tenant=1",
            "https://app.example?tenant=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:8081/callback",
            "http://[::1]:9/cb",
            "http://localhost/cb",
            "https://xn--9ca.example/cb",
        ] {
            assert_eq!(acceptable(uri, Web), Ok(()), "{uri}");
            assert_eq!(acceptable(uri, Native), Ok(()), "{uri}");
        }
        for uri in ["com.example.app:/cb", "com.example.app://cb/x", "com.example.app:/cb?x=1"] {
            assert_eq!(acceptable(uri, Native), Ok(()), "{uri}");
            assert!(acceptable(uri, Web).is_err(), "{uri}");
        }
    }

    #[test]
    fn what_may_be_registered_matches_itself_only_in_its_own_spelling() {
        assert!(!matches(&one("https://app.example"), Web, "https://app.example/"));
    }
}
