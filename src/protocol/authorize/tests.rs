//! Authorization requests, good and bad.

use proptest::prelude::*;

use super::*;
use crate::model::{AuthMethod, Id};

pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A confidential web client that may do everything the browser's side offers.
pub(crate) fn client() -> Client {
    Client {
        key: ClientKey(Id([1; 16])),
        client_id: "web".into(),
        name: "A web application".into(),
        redirect_uris: vec!["https://app.example/cb".into()],
        post_logout_redirect_uris: vec!["https://app.example/bye".into()],
        grants: vec!["authorization_code".into(), "refresh_token".into()],
        scopes: ["openid", "profile", "offline_access", "notes:read"].into_iter().collect(),
        resources: vec!["https://api.example".into()],
        access_lifetime: 600,
        refresh_idle_lifetime: 3600,
        refresh_lifetime: 86_400,
        ..Client::default()
    }
}

const GOOD: [(&str, &str); 7] = [
    ("client_id", "web"),
    ("redirect_uri", "https://app.example/cb"),
    ("response_type", "code"),
    ("scope", "openid profile"),
    ("state", "xyz"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// The good request with some parameters set, added or (empty) taken away.
pub(crate) fn query(changes: &[(&str, &str)]) -> String {
    let kept = GOOD.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let mut text = form_urlencoded::Serializer::new(String::new());
    kept.chain(changes).filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        text.append_pair(name, value);
    });
    text.finish()
}

fn judge(changes: &[(&str, &str)], client: &Client) -> Result<Authorize, AuthorizeError> {
    parse(&Params::parse(query(changes).as_bytes()).unwrap(), Some(client))
}

fn redirected(changes: &[(&str, &str)], client: &Client) -> (ErrorCode, Option<SecurityEvent>) {
    match judge(changes, client) {
        Err(AuthorizeError::Redirect { to, error, event }) => {
            assert_eq!(to.redirect_uri, "https://app.example/cb");
            assert_eq!(to.state.as_deref(), Some("xyz"));
            (error.code, event)
        }
        other => panic!("{changes:?}: {other:?}"),
    }
}

fn page(changes: &[(&str, &str)], client: Option<&Client>) -> (ErrorCode, Option<SecurityEvent>) {
    match parse(&Params::parse(query(changes).as_bytes()).unwrap(), client) {
        Err(AuthorizeError::Page { error, event }) => (error.code, event),
        other => panic!("{changes:?}: {other:?}"),
    }
}

#[test]
fn a_good_request_is_understood() {
    let request = judge(
        &[
            ("nonce", "n"),
            ("prompt", "login consent"),
            ("max_age", "60"),
            ("login_hint", "alice"),
            ("id_token_hint", "e30.e30.x"),
            ("resource", "https://api.example"),
            ("response_mode", "form_post"),
            ("display", "popup"),
            ("ui_locales", "de"),
            ("acr_values", "1"),
        ],
        &client(),
    )
    .unwrap();
    assert_eq!(request.id_token_hint.as_deref(), Some("e30.e30.x"));
    let AuthorizeRequest {
        to, scopes, resources, nonce, prompt, max_age, login_hint, claims, challenge, ..
    } = request.request;
    assert_eq!((to.response_mode, to.state.as_deref()), (ResponseMode::FormPost, Some("xyz")));
    assert_eq!((scopes.to_string().as_str(), resources.len()), ("openid profile", 1));
    assert_eq!((nonce.as_deref(), max_age, login_hint.as_deref()), (Some("n"), Some(60), Some("alice")));
    assert_eq!(prompt, Prompt { login: true, consent: true, ..Prompt::default() });
    assert_eq!(claims.id_token, ["auth_time"]);
    assert_eq!(challenge.as_deref(), Some(CHALLENGE));
}

#[test]
fn a_request_survives_being_carried() {
    let request = judge(&[("prompt", "login"), ("claims", r#"{"userinfo":{"email":null}}"#)], &client())
        .unwrap()
        .request;
    let json = serde_json::to_vec(&request).unwrap();
    assert_eq!(serde_json::from_slice::<AuthorizeRequest>(&json).unwrap(), request);
}

/// R2, T25
#[test]
fn nothing_is_redirected_before_client_and_redirect_uri_are_certain() {
    let web = client();
    assert_eq!(page(&[], None), (ErrorCode::InvalidClient, None));
    assert_eq!(page(&[("client_id", "")], None), (ErrorCode::InvalidRequest, None));
    assert_eq!(page(&[("redirect_uri", "")], Some(&web)), (ErrorCode::InvalidRequest, None));
    for uri in ["https://evil.example/cb", "https://app.example/cb/", "https://app.example/CB", "/cb"] {
        let event = Some(SecurityEvent::RedirectUriRejected);
        assert_eq!(page(&[("redirect_uri", uri)], Some(&web)), (ErrorCode::InvalidRequest, event));
    }
    let disabled = Client { enabled: false, ..client() };
    assert_eq!(page(&[], Some(&disabled)), (ErrorCode::UnauthorizedClient, None));
    assert_eq!(page(&[("state", &"x".repeat(2049))], Some(&web)).0, ErrorCode::InvalidRequest);
    assert_eq!(page(&[("state", "a\r\nb")], Some(&web)).0, ErrorCode::InvalidRequest);
    // Also when the rest is wrong as well.
    assert_eq!(
        page(&[("redirect_uri", "https://evil.example/"), ("response_type", "token")], Some(&web)).0,
        ErrorCode::InvalidRequest
    );
}

/// R5, T17
#[test]
fn only_code_is_a_response_type() {
    for name in [
        "token",
        "id_token",
        "code token",
        "code id_token",
        "code id_token token",
        "none",
        "CODE",
        "id_token token",
    ] {
        assert_eq!(
            redirected(&[("response_type", name)], &client()).0,
            ErrorCode::UnsupportedResponseType,
            "{name}"
        );
    }
    assert_eq!(redirected(&[("response_type", "")], &client()).0, ErrorCode::InvalidRequest);
}

/// R7, R8
#[test]
fn the_challenge_is_s256_and_required_by_default() {
    let refused = |changes: &[(&str, &str)], client: &Client| {
        redirected(changes, client).0 == ErrorCode::InvalidRequest
    };
    let without: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];
    assert!(refused(&without, &client()));
    assert!(refused(&[("code_challenge", "")], &client()));
    for method in ["", "plain", "s256", "S512"] {
        assert!(refused(&[("code_challenge_method", method)], &client()), "{method}");
    }
    for challenge in [
        "short",
        &CHALLENGE[..42],
        &format!("{CHALLENGE}a"),
        &CHALLENGE.replace('-', "+"),
        &CHALLENGE.replace('-', "="),
    ] {
        assert!(refused(&[("code_challenge", challenge)], &client()), "{challenge}");
    }
    let relaxed = Client { require_pkce: false, ..client() };
    assert_eq!(judge(&without, &relaxed).unwrap().request.challenge, None);
    assert!(refused(&[("code_challenge_method", "plain")], &relaxed));
    let public = Client { auth_method: AuthMethod::None, ..relaxed };
    assert!(refused(&without, &public));
}

/// R69, T18
#[test]
fn scopes_outside_the_allow_list_are_refused_and_counted() {
    let escalation = (ErrorCode::InvalidScope, Some(SecurityEvent::ScopeEscalation));
    let long = "openid ".repeat(200);
    for scope in ["openid admin", "email", "a\"b", long.as_str()] {
        assert_eq!(redirected(&[("scope", scope)], &client()), escalation, "{scope}");
    }
    assert_eq!(judge(&[("scope", "")], &client()).unwrap().request.scopes.to_string(), "profile notes:read");
}

/// R28
#[test]
fn resources_outside_the_allow_list_are_refused() {
    for uri in ["https://other.example", "https://api.example/", "https://api.example#x", "api"] {
        assert_eq!(redirected(&[("resource", uri)], &client()).0, ErrorCode::InvalidTarget, "{uri}");
    }
}

#[test]
fn what_is_not_supported_has_errors_of_its_own() {
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        assert_eq!(redirected(&[(name, "x")], &client()).0, code);
    }
    for mode in ["fragment", "web_message", "form_post.jwt", "QUERY"] {
        assert_eq!(redirected(&[("response_mode", mode)], &client()).0, ErrorCode::InvalidRequest, "{mode}");
    }
}

#[test]
fn the_metadata_lists_the_modes_and_prompts_there_are() {
    let metadata = crate::protocol::discovery::metadata("https://id.example", &[]);
    let modes = ResponseMode::ALL.map(ResponseMode::as_str);
    assert_eq!(metadata["response_modes_supported"], serde_json::json!(modes));
    assert_eq!(metadata["prompt_values_supported"], serde_json::json!(PROMPTS));
}

/// R31
#[test]
fn a_client_without_the_grant_is_refused() {
    let service = Client { grants: vec!["client_credentials".into()], ..client() };
    assert_eq!(redirected(&[], &service).0, ErrorCode::UnauthorizedClient);
}

/// T20
#[test]
fn a_carried_request_is_held_against_the_record_of_the_day() {
    let request = judge(&[("resource", "https://api.example")], &client()).unwrap().request;
    assert!(still_allowed(&request, &client()));
    let changes: [fn(&mut Client); 5] = [
        |client| client.enabled = false,
        |client| client.grants.clear(),
        |client| client.redirect_uris.clear(),
        |client| client.scopes = Scopes::default(),
        |client| client.resources.clear(),
    ];
    for change in changes {
        let mut changed = client();
        change(&mut changed);
        assert!(!still_allowed(&request, &changed));
    }
    let without = AuthorizeRequest { challenge: None, ..request };
    assert!(!still_allowed(&without, &client()));
}

#[test]
fn prompt_and_max_age_are_read_as_the_specification_says() {
    let ok = |prompt| judge(&[("prompt", prompt)], &client()).unwrap().request.prompt;
    assert!(ok("none").none);
    assert!(ok("select_account").select_account);
    assert_eq!(ok("create other"), Prompt::default());
    for prompt in ["none login", "consent none", "none create"] {
        assert_eq!(redirected(&[("prompt", prompt)], &client()).0, ErrorCode::InvalidRequest, "{prompt}");
    }
    for age in ["-1", "1.5", "x", "+1", "99999999999", " 1"] {
        assert_eq!(redirected(&[("max_age", age)], &client()).0, ErrorCode::InvalidRequest, "{age}");
    }
    assert_eq!(judge(&[("max_age", "0")], &client()).unwrap().request.max_age, Some(0));
}

/// R69
#[test]
fn a_request_too_large_to_carry_is_refused() {
    for name in ["nonce", "login_hint"] {
        assert_eq!(redirected(&[(name, &"x".repeat(4096))], &client()).0, ErrorCode::InvalidRequest);
    }
    let state = "x".repeat(2048);
    assert_eq!(judge(&[("state", &state)], &client()).unwrap().request.to.state, Some(state));
}

proptest! {
    #[test]
    fn arbitrary_values_never_panic(name in "client_id|redirect_uri|scope|claims|prompt|max_age|state|resource|code_challenge", value in "\\PC{1,60}") {
        let _ = judge(&[(name.as_str(), value.as_str())], &client());
    }
}
