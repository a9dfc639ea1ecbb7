//! OpenID Connect Registration §2 and RFC 9700 §2 — what a client's record may say.

use super::{redirect_uri, resource};
use crate::model::{Client, Id};

/// Lifetimes are at least this long: shorter ones only make every request a new token.
const MIN_LIFETIME: u64 = 10;
/// R29: the longest access-token lifetime, one day; the default is far below.
pub const MAX_ACCESS_LIFETIME: u64 = 86_400;
/// The longest refresh lifetime: ten years.
pub const MAX_REFRESH_LIFETIME: u64 = 10 * 365 * 86_400;
/// The longest retry window.
pub const MAX_RETRY_WINDOW: u64 = 60;
/// How many entries each of a client's lists may have.
const MAX_ENTRIES: usize = 100;

/// Scopes that mean something in OpenID Connect or are plain words; both obey one grammar.
const MAX_SCOPE_TOKEN: usize = 128;

/// Everything that is wrong with a client's record, one clear sentence each; empty when it is
/// right. `grants` are the grant types this server has.
pub fn faults(client: &Client, grants: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(client_id_fault(&client.client_id).map(str::to_owned));
    name_faults(client, &mut faults);
    uri_faults(client, &mut faults);
    grant_faults(client, grants, &mut faults);
    scope_faults(client, &mut faults);
    lifetime_faults(client, &mut faults);
    faults
}

/// R36: characters that need no escape anywhere, and never the shape of a user's `sub`.
fn client_id_fault(client_id: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    if !(1..=64).contains(&client_id.len()) || !client_id.bytes().all(plain) {
        return Some("The client_id must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ -");
    }
    // RFC 9700 §4.15: a token of the client must not be taken for a token of a person.
    if Id::parse(&client_id.to_ascii_lowercase()).is_some() {
        return Some("The client_id must not look like a UUID, because the sub of a person does.");
    }
    None
}

fn name_faults(client: &Client, faults: &mut Vec<String>) {
    let length = client.name.chars().count();
    if !(1..=100).contains(&length) || client.name.contains(char::is_control) {
        faults.push("The name must be 1 to 100 characters without control characters.".into());
    }
    for (list, length) in [
        ("redirect URIs", client.redirect_uris.len()),
        ("post-logout redirect URIs", client.post_logout_redirect_uris.len()),
        ("allowed origins", client.allowed_origins.len()),
        ("scopes", client.scopes.len()),
        ("resources", client.resources.len()),
    ] {
        if length > MAX_ENTRIES {
            faults.push(format!("There are {length} {list}; at most {MAX_ENTRIES} are supported."));
        }
    }
}

fn uri_faults(client: &Client, faults: &mut Vec<String>) {
    let kinds = [
        ("redirect URI", &client.redirect_uris),
        ("post-logout redirect URI", &client.post_logout_redirect_uris),
    ];
    for (kind, uris) in kinds {
        for uri in uris {
            if let Err(reason) = redirect_uri::acceptable(uri, client.application_type) {
                faults.push(format!("The {kind} {uri:?} is refused: {reason}."));
            }
        }
        faults.extend(repeated(uris).map(|uri| format!("The {kind} {uri:?} is given twice.")));
    }
    for origin in &client.allowed_origins {
        if !is_origin(origin) {
            faults.push(format!("The allowed origin {origin:?} is not an origin such as https://app.example (no path, no wildcard)."));
        }
    }
    for uri in client.resources.iter().chain(&client.default_audience) {
        if !resource::is_absolute(uri) {
            faults.push(format!(
                "The resource {uri:?} is not an absolute URI without a fragment (RFC 8707 §2)."
            ));
        }
    }
}

fn repeated(list: &[String]) -> impl Iterator<Item = &String> {
    list.iter().enumerate().filter(|(at, entry)| list[..*at].contains(entry)).map(|(_, entry)| entry)
}

/// RFC 6454 §6.2: scheme, host and port, exactly as a browser sends them in `Origin`.
pub fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        let origin = url.origin();
        matches!(url.scheme(), "https" | "http")
            && !text.contains('*')
            && origin.is_tuple()
            && origin.ascii_serialization() == text
    })
}

/// What is wrong with the URI of a resource.
pub fn resource_fault(uri: &str) -> Result<(), &'static str> {
    match resource::is_absolute(uri) {
        true => Ok(()),
        false => Err("it is not an absolute URI without a fragment (RFC 8707 §2) of at most 512 bytes"),
    }
}

fn grant_faults(client: &Client, known: &[&str], faults: &mut Vec<String>) {
    for grant in &client.grants {
        if !known.contains(&grant.as_str()) {
            faults.push(format!("The grant type {grant:?} does not exist; there are {}.", known.join(", ")));
        }
    }
    faults.extend(repeated(&client.grants).map(|grant| format!("The grant type {grant:?} is given twice.")));
    if client.may_use("authorization_code") && client.redirect_uris.is_empty() {
        faults.push("The grant type authorization_code needs at least one redirect URI.".into());
    }
    if client.may_use("refresh_token") && client.grants.len() == 1 {
        faults.push("The grant type refresh_token needs another that begins an authorization.".into());
    }
    if client.secrets.len() > 2 {
        faults.push("A client has at most two secrets: wait until an old one has expired.".into());
    }
    if client.is_public() {
        // RFC 9700 §2.1.1; RFC 6749 §4.4.
        if !client.require_pkce {
            faults.push("A public client must use PKCE: require_pkce cannot be false.".into());
        }
        if !client.secrets.is_empty() {
            faults.push("A public client has no secret.".into());
        }
        if client.may_use("client_credentials") {
            faults.push(
                "A public client cannot use client_credentials: it has nothing to prove who it is.".into(),
            );
        }
        if client.introspect_any {
            faults.push("A public client cannot introspect: it has nothing to prove who it is.".into());
        }
    }
}

fn scope_faults(client: &Client, faults: &mut Vec<String>) {
    for scope in client.scopes.iter() {
        if scope.len() > MAX_SCOPE_TOKEN
            || !scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        {
            faults.push(format!(
                "The scope {scope:?} does not follow RFC 6749 §3.3 or is longer than {MAX_SCOPE_TOKEN} bytes."
            ));
        }
    }
    // R69: a request for everything the client may have must fit.
    if client.scopes.to_string().len() > super::authorize::MAX_SCOPE {
        faults.push("The scopes together are longer than 1024 bytes.".into());
    }
}

fn lifetime_faults(client: &Client, faults: &mut Vec<String>) {
    for (name, value, max) in [
        ("access_lifetime", client.access_lifetime, MAX_ACCESS_LIFETIME),
        ("refresh_idle_lifetime", client.refresh_idle_lifetime, MAX_REFRESH_LIFETIME),
        ("refresh_lifetime", client.refresh_lifetime, MAX_REFRESH_LIFETIME),
    ] {
        if !(MIN_LIFETIME..=max).contains(&value) {
            faults.push(format!("The {name} is {value} s; it must be from {MIN_LIFETIME} s to {max} s."));
        }
    }
    if client.refresh_idle_lifetime > client.refresh_lifetime {
        faults.push("The refresh_idle_lifetime is longer than the refresh_lifetime.".into());
    }
    if client.retry_window.is_some_and(|window| window > MAX_RETRY_WINDOW) {
        faults.push(format!("The retry_window is longer than {MAX_RETRY_WINDOW} s."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::*, protocol::authorize::tests::client};

    const GRANTS: [&str; 3] = ["authorization_code", "client_credentials", "refresh_token"];

    fn fault_of(change: impl FnOnce(&mut Client)) -> Vec<String> {
        let mut client = client();
        change(&mut client);
        faults(&client, &GRANTS)
    }

    #[track_caller]
    fn one_fault(change: impl FnOnce(&mut Client), word: &str) {
        let faults = fault_of(change);
        assert!(faults.len() == 1 && faults[0].contains(word), "{faults:?}");
    }

    #[test]
    fn a_good_client_has_no_fault() {
        assert_eq!(fault_of(|_| ()), Vec::<String>::new());
        let native = fault_of(|client| {
            client.auth_method = AuthMethod::None;
            client.application_type = ApplicationType::Native;
            client.redirect_uris = vec!["http://127.0.0.1/callback".into(), "com.example.app:/cb".into()];
        });
        assert_eq!(native, Vec::<String>::new());
    }

    /// R3
    #[test]
    fn redirect_uris_are_judged() {
        for uri in [
            "http://app.example/cb",
            "https://app.example/cb#x",
            "https://*.example/",
            "javascript:alert(1)",
            "com.example.app:/cb",
        ] {
            one_fault(|client| client.redirect_uris.push(uri.into()), "redirect URI");
            one_fault(|client| client.post_logout_redirect_uris = vec![uri.into()], "post-logout");
        }
        one_fault(|client| client.redirect_uris.clear(), "at least one redirect URI");
        one_fault(|client| client.redirect_uris.push("https://app.example/cb".into()), "twice");
    }

    /// R36
    #[test]
    fn a_client_id_is_plain_and_never_a_uuid() {
        for id in [
            "",
            "a b",
            "a/b",
            "ä",
            "a:b",
            "01923456-789a-7fff-bfff-ffffffffffff",
            "01923456-789A-7FFF-BFFF-FFFFFFFFFFFF",
        ] {
            one_fault(|client| client.client_id = id.into(), "client_id");
        }
        one_fault(|client| client.client_id = "x".repeat(65), "client_id");
    }

    #[test]
    fn a_name_has_one_to_a_hundred_characters_none_of_them_a_control() {
        assert_eq!(fault_of(|client| client.name = "\u{e9}".repeat(100)), Vec::<String>::new());
        for name in [String::new(), "x".repeat(101), "a\nb".into(), "a\u{85}b".into()] {
            one_fault(|client| client.name = name, "The name");
        }
    }

    #[test]
    fn each_list_has_a_hundred_entries_at_most() {
        let uris = |count| (0..count).map(|n| format!("https://app.example/{n}")).collect::<Vec<_>>();
        let origins = |count| (1..=count).map(|n| format!("https://app.example:{n}0")).collect::<Vec<_>>();
        let words = |count| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            fault_of(|client| {
                client.redirect_uris = uris(100);
                client.post_logout_redirect_uris = uris(100);
                client.allowed_origins = origins(100);
                client.resources = uris(100);
                client.scopes = Scopes::parse(&words(100)).expect("scopes");
            }),
            Vec::<String>::new()
        );
        one_fault(|client| client.redirect_uris = uris(101), "101 redirect URIs");
        one_fault(|client| client.post_logout_redirect_uris = uris(101), "101 post-logout");
        one_fault(|client| client.allowed_origins = origins(101), "101 allowed origins");
        one_fault(|client| client.resources = uris(101), "101 resources");
        one_fault(|client| client.scopes = Scopes::parse(&words(101)).expect("scopes"), "101 scopes");
    }

    #[test]
    fn a_refresh_token_needs_a_grant_that_begins_an_authorization() {
        one_fault(|client| client.grants = vec!["refresh_token".into()], "refresh_token needs another");
        one_fault(|client| client.grants.push("authorization_code".into()), "given twice");
    }

    #[test]
    fn a_client_has_two_secrets_at_most() {
        let secret = ClientSecret { digest: Digest([0; 32]), created_at: UnixTime(0), expires_at: None };
        assert_eq!(fault_of(|client| client.secrets = vec![secret.clone(); 2]), Vec::<String>::new());
        one_fault(|client| client.secrets = vec![secret.clone(); 3], "two secrets");
    }

    /// R7
    #[test]
    fn a_public_client_is_held_to_what_it_can_prove() {
        let faults = fault_of(|client| {
            client.auth_method = AuthMethod::None;
            client.require_pkce = false;
            client.introspect_any = true;
            client.grants.push("client_credentials".into());
            client.secrets.push(ClientSecret {
                digest: Digest([0; 32]),
                created_at: UnixTime(0),
                expires_at: None,
            });
        });
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = fault_of(|client| {
            client.client_id = String::new();
            client.grants.push("password".into());
            client.allowed_origins = vec!["https://app.example/".into(), "*".into(), "null".into()];
            client.resources = vec!["api".into(), "https://api.example#x".into()];
            client.access_lifetime = 0;
        });
        assert_eq!(faults.len(), 8, "{faults:?}");
    }

    /// R29
    #[test]
    fn lifetimes_have_bounds() {
        one_fault(|client| client.access_lifetime = MAX_ACCESS_LIFETIME + 1, "access_lifetime");
        one_fault(|client| client.refresh_idle_lifetime = client.refresh_lifetime + 1, "longer than");
        one_fault(|client| client.retry_window = Some(61), "retry_window");
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for good in [
            "https://app.example",
            "https://app.example:8443",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "https://app.example/",
            "https://APP.example",
            "https://app.example:443",
            "app.example",
            "null",
            "*",
            "https://*.example",
            "file://",
            "https://a@b.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
