//! `/oauth/authorize`: the code flow as a browser goes through it.

use chancery::model::{ApplicationType, Client, SigningAlg, TokenFormat};

use crate::http::browser::{
    Browser, PASSWORD, count, events, redeem, request, request_with, site, site_with,
};

/// R11, R12, R13, R14, R19
#[tokio::test]
async fn a_person_signs_in_consents_and_the_client_gets_tokens() {
    let app = site().await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("&nonce=n1")).await;
    assert!(begun.location().starts_with("/login?tx="), "{}", begun.location());
    assert!(begun.header("set-cookie").starts_with("chancery_browser=chy_tx_"));
    let page = browser.get(&app, begun.location()).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("form-action 'self' https://app.example;") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!((page.header("x-frame-options"), page.header("referrer-policy")), ("DENY", "no-referrer"));
    assert_eq!(page.header("access-control-allow-origin"), "");
    let form = [
        ("tx", &*page.field("tx")),
        ("csrf", &page.field("csrf")),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    let signed_in = browser.post(&app, "/login", &form).await;
    assert!(signed_in.location().starts_with("/consent?tx="));
    let page = browser.get(&app, signed_in.location()).await;
    assert!(
        page.body.contains("consent-scopes")
            && page.body.contains("An app")
            && page.body.contains("15 minutes")
    );
    let form = [("tx", &*page.field("tx")), ("csrf", &page.field("csrf")), ("action", "allow")];
    let answer = browser.post(&app, "/consent", &form).await;
    assert!(answer.location().starts_with("https://app.example/cb?code=chy_ac_"));
    assert_eq!(answer.param("state").as_deref(), Some("s1"));
    assert_eq!(answer.param("iss").as_deref(), Some(app.url.as_str()));
    let code = answer.param("code").unwrap();
    let tokens = redeem(&app, &code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let tokens: serde_json::Value = serde_json::from_str(&tokens.body).unwrap();
    assert_eq!(tokens["scope"], "openid profile");
    assert!(tokens["id_token"].is_string() && tokens.get("refresh_token").is_none(), "{tokens}");
}

/// R18
#[tokio::test]
async fn what_was_consented_is_remembered_and_anything_more_is_asked() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    assert!(browser.get(&app, &request("&prompt=none")).await.param("code").is_some());
    let more = request("&prompt=none").replace("profile", "profile%20offline_access");
    assert_eq!(browser.get(&app, &more).await.param("error").as_deref(), Some("consent_required"));
    assert!(browser.get(&app, &request("&prompt=consent")).await.location().starts_with("/consent?"));
    assert!(browser.get(&app, &request("&prompt=login")).await.location().starts_with("/login?"));
    assert!(browser.get(&app, &request("&max_age=0")).await.location().starts_with("/login?"));
}

#[tokio::test]
async fn a_person_may_say_no() {
    let app = site().await;
    let mut browser = Browser::default();
    let signed_in = browser.sign_in(&app, &request("")).await;
    let answer = browser.answer_consent(&app, signed_in.location(), "deny").await;
    assert_eq!(answer.param("error").as_deref(), Some("access_denied"));
    assert_eq!(answer.param("iss").as_deref(), Some(app.url.as_str()));
    let begun = Browser::default().get(&app, &request("&prompt=none")).await;
    assert_eq!(begun.param("error").as_deref(), Some("login_required"));
}

/// R2, R4, T01
#[tokio::test]
async fn an_uncertain_client_or_redirect_uri_is_an_error_page() {
    let app = site().await;
    let good = request("");
    for bad in [
        good.replace("client_id=app", "client_id=nobody"),
        good.replace("client_id=app&", ""),
        good.replace("app.example", "evil.example"),
        good.replace("redirect_uri=https://app.example/cb&", ""),
        good.clone() + "&redirect_uri=https://app.example/cb",
        good.clone() + "&state=s2",
        good.clone() + "&scope[]=openid",
    ] {
        let answer = Browser::default().get(&app, &bad).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(!answer.error_code().is_empty());
        assert_eq!(Browser::default().post_target(&app, &bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_request_in_a_form_is_understood_with_the_cookies_that_a_get_would_have() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    assert!(browser.post_target(&app, &request("&prompt=none")).await.param("code").is_some());
    // From another site the browser sends no cookies with the POST.
    let again = Browser::default().post_target(&app, &request("&prompt=none")).await;
    assert!(again.location().starts_with("/oauth/authorize?"));
    assert!(browser.get(&app, again.location()).await.param("code").is_some());
}

#[tokio::test]
async fn form_post_answers_with_a_form() {
    let app = site_with(|client| client.skip_consent = true).await;
    let answer = Browser::default().sign_in(&app, &request("&response_mode=form_post")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.field("code").starts_with("chy_ac_"));
    assert_eq!(answer.field("state"), "s1");
    assert!(answer.header("content-security-policy").contains("form-action 'self' https://app.example;"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Near misses of a registered URI. The whole corpus is tried on the matching itself, in `redirect_uri.rs`.
#[rustfmt::skip]
const NEAR_MISSES: [&str; 58] = [
    "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb", "http://app.example/cb",
    "https://app.example/cb/", "https://app.example/cb/..", "https://app.example/cb/../cb", "https://app.example/cb%2f",
    "https://app.example/%63b", "https://app.example/cb%2e%2e", "https://app.example//cb", "https://app.example\\cb",
    "https:\\\\app.example/cb", "https:///app.example/cb", "https:app.example/cb", "//app.example/cb", "/cb", "cb",
    "https://app.example@evil.example/cb", "https://evil.example@app.example/cb", "https://app.example:x@evil.example/cb",
    "https://app.example.evil.example/cb", "https://evilapp.example/cb", "https://app.example./cb",
    "https://app.example:443/cb", "https://app.example:4443/cb", "https://app.example:/cb", "https://xn--pp-nia.example/cb",
    "https://\u{430}pp.example/cb", "https://app\u{3002}example/cb", "https://app.example/cb?", "https://app.example/cb?a=1",
    "https://app.example/cb?x=y&code=1", "https://app.example/cb#", "https://app.example/cb#x", "https://app.example/cb;x",
    "https://app.example/cb\t", "\thttps://app.example/cb", "https://app.example/cb\n", "https://app.example/cb\r\nSet-Cookie: a=b",
    "https://app.example/cb%0d%0aLocation:%20https://evil.example", " https://app.example/cb", "https://app.example/cb ",
    "https://app.example/cb\0", "https://app.example/cb%00", "https://[::1]/cb", "https://127.0.0.1/cb", "https://2130706433/cb",
    "https://0x7f.1/cb", "https://[::ffff:127.0.0.1]/cb", "javascript:alert(1)", "javascript://app.example/cb%0aalert(1)",
    "data:text/html,<script>alert(1)</script>", "blob:https://app.example/cb", "https://*/cb", "https://app.example/*",
    "com.example.app:/cb", "view-source:https://app.example/cb",
];

/// R1, R2, T01: an error page, never a `Location`, and nothing to click on that leads there.
#[tokio::test]
async fn no_near_miss_of_a_redirect_uri_is_ever_answered() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    for uri in NEAR_MISSES {
        for more in
            [&[][..], &[("prompt", "none")], &[("response_mode", "form_post")], &[("response_type", "token")]]
        {
            let answer = browser.get(&app, &request_with(&[&[("redirect_uri", uri)], more].concat())).await;
            assert_eq!((answer.status, &*answer.error_code()), (400, "invalid_request"), "{uri}");
            assert!(!answer.body.contains("evil.example") && !answer.body.contains("<form"), "{uri}");
        }
    }
    assert_eq!(events(&app, "redirect_uri_rejected").await, 4 * NEAR_MISSES.len() as u64);
}

/// R1: RFC 8252 §7.3, and its abuse.
#[tokio::test]
async fn only_the_port_of_a_native_clients_loopback_uri_may_differ() {
    let app = site().await;
    let registered =
        ["http://127.0.0.1/cb", "http://[::1]/cb", "http://127.0.0.1/q?a=1", "com.example.app:/cb"];
    for (client_id, application_type) in [("native", ApplicationType::Native), ("web", ApplicationType::Web)]
    {
        app.client(client_id, |client| {
            client.application_type = application_type;
            client.redirect_uris = registered.map(String::from).to_vec();
        })
        .await;
    }
    let status = async |client_id, uri| {
        let request = request_with(&[("client_id", client_id), ("redirect_uri", uri)]);
        Browser::default().get(&app, &request).await.status
    };
    for uri in [
        "http://127.0.0.1:8081/cb",
        "http://127.0.0.1:1/cb",
        "http://[::1]:65535/cb",
        "http://127.0.0.1:9/q?a=1",
    ] {
        assert_eq!((status("native", uri).await, status("web", uri).await), (303, 400), "{uri}");
    }
    for uri in registered {
        assert_eq!(status("native", uri).await, 303, "{uri}");
    }
    for uri in [
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:8081/cb?x=1",
        "http://127.0.0.1:8081/q?a=2",
        "http://127.0.0.1:8081/q",
        "http://localhost:8081/cb",
        "https://127.0.0.1:8081/cb",
        "http://127.0.0.2:8081/cb",
        "com.example.app://cb",
        "com.example.app:/cb/..",
        "COM.example.app:/cb",
    ] {
        assert_eq!(status("native", uri).await, 400, "{uri}");
    }
}

/// R5, R6, R31, T17
#[tokio::test]
async fn nothing_but_a_code_is_ever_issued_here() {
    let app = site().await;
    let machine = |client: &mut Client| {
        client.redirect_uris = vec!["https://app.example/cb".into()];
        client.grants = vec!["client_credentials".into()];
    };
    app.client("machine", machine).await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    for response_type in [
        "token",
        "id_token",
        "code token",
        "code id_token",
        "id_token token",
        "none",
        "CODE",
        "code code",
        "x",
    ] {
        let answer = browser.get(&app, &request_with(&[("response_type", response_type)])).await;
        assert_eq!(answer.refused(), "unsupported_response_type", "{response_type}");
        assert!(!answer.location().contains('#') && !answer.location().contains("token="), "{response_type}");
    }
    let answer = browser.get(&app, &request_with(&[("response_type", "")])).await;
    assert_eq!(answer.refused(), "invalid_request");
    for mode in ["fragment", "web_message", "query.jwt", "form_post.jwt", "jwt", "QUERY"] {
        let answer = browser.get(&app, &request_with(&[("response_mode", mode)])).await;
        assert_eq!(answer.refused(), "invalid_request", "{mode}");
        assert!(!answer.location().contains('#'), "{mode}");
    }
    let answer = browser.get(&app, &request_with(&[("client_id", "machine")])).await;
    assert_eq!(answer.refused(), "unauthorized_client");
}

/// R11, R16, T43: every refusal that a client hears of, in both modes.
#[tokio::test]
async fn every_answer_carries_iss_and_state_and_a_clean_description() {
    let app = site_with(|client| client.skip_consent = true).await;
    let state = "a b&c=d#e\"'<f>%20ü\u{1f512}";
    let mut browser = Browser::default();
    browser.sign_in(&app, &request("")).await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "x<script>"), "invalid_request"),
        (("request", "eyJ.eyJ."), "request_not_supported"),
        (("request_uri", "https://evil.example/r"), "request_uri_not_supported"),
        (("registration", "{}"), "registration_not_supported"),
        (("scope", "openid admin"), "invalid_scope"),
        (("scope", "openid \"<script>"), "invalid_scope"),
        (("scope", &"a".repeat(1025)), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("max_age", "x"), "invalid_request"),
        (("claims", "{"), "invalid_request"),
        (("prompt", "none consent"), "invalid_request"),
        (("resource", "https://nowhere.example"), "invalid_target"),
        (("resource", "not absolute"), "invalid_target"),
        (("id_token_hint", "x"), "invalid_request"),
        (("nonce", &"n".repeat(5000)), "invalid_request"),
        (("prompt", "login none"), "invalid_request"),
        (("ui_locales", ""), "none"),
    ] {
        for mode in ["query", "form_post"] {
            let unknown_mode = change.0 == "response_mode";
            let mode_too = Some(("response_mode", mode)).filter(|_| !unknown_mode);
            let changes: Vec<_> = [("state", state), change].into_iter().chain(mode_too).collect();
            let answer = browser.get(&app, &request_with(&changes)).await;
            let value = |name: &str| match mode {
                "form_post" if !unknown_mode => {
                    answer.body.contains(&format!("name=\"{name}\"")).then(|| answer.field(name))
                }
                _ => answer.param(name),
            };
            let case = format!("{change:?} {mode}");
            assert_eq!(value("iss").as_deref(), Some(&*app.url), "{case}");
            assert_eq!(value("state").as_deref(), Some(state), "{case}");
            assert_eq!(value("error").unwrap_or("none".into()), error, "{case}");
            assert_eq!(value("code").is_some(), error == "none", "{case}");
            let description = value("error_description").unwrap_or_default();
            // RFC 6749 §4.1.2.1
            let allowed = |c| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
            assert!(description.chars().all(allowed) && !description.contains('<'), "{case}: {description}");
        }
    }
}

/// R4, T02: with any parameter there is, and before anything is believed.
#[tokio::test]
async fn a_parameter_given_twice_is_never_redirected() {
    let app = site().await;
    let begun = Browser::default().get(&app, &request("")).await;
    let tx = begun.param("tx").unwrap();
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "nonce",
        "prompt",
        "code_challenge",
        "x",
    ] {
        for twice in [
            format!("&{name}=1&{name}=1"),
            format!("&{name}=&{name}="),
            format!("&{name}[]=1"),
            format!("&{name}[0]=1"),
        ] {
            let answer = Browser::default().get(&app, &request(&twice)).await;
            assert_eq!((answer.status, &*answer.error_code()), (400, "invalid_request"), "{twice}");
        }
    }
    for path in [
        format!("/login?tx={tx}&tx={tx}"),
        format!("/consent?tx={tx}&tx={tx}"),
        "/oauth/logout?state=1&state=2".into(),
    ] {
        assert_eq!(Browser::default().get(&app, &path).await.error_code(), "invalid_request", "{path}");
    }
    for path in ["/login", "/consent", "/oauth/logout", "/oauth/authorize", "/account/sessions/end"] {
        let twice = app
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("csrf=a&csrf=b");
        assert_eq!(Browser::default().send(&app, twice).await.error_code(), "invalid_request", "{path}");
        let mixed = app.request("POST", &format!("{path}?csrf=a")).form(&[("tx", "b")]);
        assert_eq!(Browser::default().send(&app, mixed).await.error_code(), "invalid_request", "{path}");
        let json = app.request("POST", path).header("content-type", "application/json").body("{}");
        assert_eq!(Browser::default().send(&app, json).await.error_code(), "invalid_request", "{path}");
    }
}

/// R16, R17, R25: CVE-2023-6134 and its like.
#[tokio::test]
async fn form_post_escapes_what_it_carries_and_posts_to_the_registered_uri_only() {
    let uri = "https://app.example/cb?a=1&b='2'";
    let app = site_with(|client| {
        client.skip_consent = true;
        client.redirect_uris = vec![uri.into()];
    })
    .await;
    let state = "\"><script>alert(1)</script><input value='";
    let request = request_with(&[("redirect_uri", uri), ("state", state), ("response_mode", "form_post")]);
    let page = Browser::default().sign_in(&app, &request).await;
    assert_eq!((page.status, page.field("state").as_str()), (200, state));
    assert!(!page.body.contains("<script>alert"));
    let action =
        page.body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an action");
    assert_eq!(crate::http::browser::unescape(action), uri);
    assert_eq!(page.body.matches("<form").count(), 1);
    assert_eq!(page.body.matches("<script").count(), 1, "ours, by src");
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "no-referrer"));
    assert!(page.header("content-security-policy").contains("script-src 'self';"));
    assert_eq!(page.field("iss"), app.url);
}

/// R15
#[tokio::test]
async fn no_page_of_a_browser_can_be_read_by_another_origin() {
    let app = site_with(|client| client.allowed_origins = vec!["https://app.example".into()]).await;
    for path in [&*request(""), "/login", "/consent", "/account", "/oauth/logout"] {
        for origin in ["https://app.example", "null", "https://evil.example"] {
            let answer = app.send(app.request("GET", path).header("origin", origin)).await;
            let cors = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(cors.count(), 0, "{path} {origin}");
            let preflight = app.request("OPTIONS", path).header("origin", origin);
            let preflight = app.send(preflight.header("access-control-request-method", "POST")).await;
            assert_eq!(preflight.status, 405, "{path} {origin}");
            assert_eq!(preflight.header("access-control-allow-origin"), "", "{path} {origin}");
        }
    }
}

/// R28: RFC 8707 §2.1
#[tokio::test]
async fn resources_asked_for_here_become_the_audience() {
    let app = site_with(|client| {
        client.resources =
            ["https://a.example", "https://b.example", "https://gone.example"].map(String::from).to_vec();
        client.token_format = TokenFormat::Jwt(SigningAlg::EdDSA);
    })
    .await;
    app.resource("https://a.example", None).await;
    app.resource("https://b.example", None).await;
    app.resource("https://c.example", None).await;
    let both = request("&resource=https://a.example&resource=https://b.example");
    let mut browser = Browser::default();
    let tokens = redeem(&app, &browser.authorized(&app, &both).await.code()).await;
    let audience = crate::http::browser::claims(&tokens.text("access_token"))["aud"].clone();
    let audience: Vec<_> =
        audience.as_array().expect("an array").iter().filter_map(|aud| aud.as_str()).collect();
    assert!(
        audience.contains(&"https://a.example") && audience.contains(&"https://b.example"),
        "{audience:?}"
    );
    for refused in
        ["https://c.example", "https://gone.example", "https://a.example/", "https://A.example", "/x"]
    {
        let answer = browser.get(&app, &request_with(&[("resource", refused)])).await;
        assert_eq!(answer.refused(), "invalid_target", "{refused}");
    }
}

/// R69: what is accepted at the beginning arrives at the end.
#[tokio::test]
async fn the_largest_request_that_is_accepted_can_be_finished() {
    let app = site().await;
    let mut browser = Browser::default();
    let state = "s".repeat(2048);
    let fits = |nonce: usize| {
        let nonce = "n".repeat(nonce);
        request_with(&[
            ("state", &state),
            ("nonce", &nonce),
            ("prompt", "login consent"),
            ("scope", "openid offline_access"),
        ])
    };
    let (mut low, mut high) = (0, 4000);
    while low + 1 < high {
        let middle = (low + high) / 2;
        match browser.get(&app, &fits(middle)).await.asks_to_sign_in() {
            true => low = middle,
            false => high = middle,
        }
    }
    assert!(low > 1000, "{low}");
    let answer = browser.authorized(&app, &fits(low)).await;
    assert_eq!(answer.param("state"), Some(state.clone()));
    let tokens = redeem(&app, &answer.code()).await;
    assert_eq!(
        crate::http::browser::claims(&tokens.text("id_token"))["nonce"].as_str().map(str::len),
        Some(low)
    );
    assert_eq!(browser.get(&app, &fits(high)).await.refused(), "invalid_request");
    let longer = "s".repeat(2049);
    assert_eq!(browser.get(&app, &request_with(&[("state", &longer)])).await.error_code(), "invalid_request");
}

/// R21: a code lives 60 seconds, also when it came through the pages.
#[tokio::test]
async fn a_code_that_is_not_redeemed_in_time_is_dead() {
    let app = site().await;
    let mut browser = Browser::default();
    let code = browser.authorized(&app, &request("")).await.code();
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(redeem(&app, &code).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn authorization_requests_are_counted_by_their_outcome() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    browser.get(&app, &request("&prompt=none")).await;
    browser.get(&app, &request_with(&[("scope", "admin")])).await;
    browser.get(&app, &request_with(&[("client_id", "nobody")])).await;
    let counted = async |label: &str| count(&app, "chancery_authorize_requests_total", &[label]).await;
    assert_eq!(counted("outcome=\"success\"").await, 2);
    assert_eq!(counted("error=\"invalid_scope\"").await, 1);
    assert_eq!(counted("error=\"invalid_client\"").await, 1);
    assert_eq!(events(&app, "scope_escalation").await, 1);
}
