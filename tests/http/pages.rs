//! What holds for every page.

use proptest::{
    collection,
    prelude::*,
    sample,
    test_runner::{Config, TestRunner},
};

use crate::http::{
    app::TestApp,
    browser::{Browser, PASSWORD, furnish, request, site, site_with},
};

/// R67, T26
#[tokio::test]
async fn nothing_follows_the_host_a_request_names() {
    let app = site().await;
    let hostile = |path: &str| {
        let request = app.request("GET", path).header("host", "evil.example");
        request
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example;proto=https")
    };
    let mut browser = Browser::default();
    let begun = browser.send(&app, hostile(&request(""))).await;
    assert!(begun.location().starts_with("/login?"));
    assert!(begun.header("set-cookie").starts_with("chancery_browser="));
    let page = browser.send(&app, hostile(begun.location())).await;
    assert!(!page.body.contains("evil.example") && page.body.contains("127.0.0.1"));
}

/// R13, R14, R17: every kind of page, shown and refused.
#[tokio::test]
async fn every_page_has_the_security_headers() {
    let app =
        site_with(|client| client.post_logout_redirect_uris = vec!["https://app.example/bye".into()]).await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("&response_mode=form_post")).await;
    let login = browser.get(&app, begun.location()).await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    let wrong = browser.submit(&app, &login, "/login", &[("username", "alice"), ("password", "x")]).await;
    let signed_in = browser.submit(&app, &login, "/login", &form).await;
    let consent = browser.get(&app, signed_in.location()).await;
    let form_post = browser.submit(&app, &consent, "/consent", &[("action", "allow")]).await;
    let account = browser.get(&app, "/account").await;
    let logout = browser
        .get(&app, "/oauth/logout?client_id=app&post_logout_redirect_uri=https://app.example/bye")
        .await;
    let stayed = browser.submit(&app, &logout, "/oauth/logout", &[("action", "cancel")]).await;
    let mut pages = vec![
        ("login", 200, login),
        ("login again", 400, wrong),
        ("consent", 200, consent),
        ("form_post", 200, form_post),
        ("account", 200, account),
        ("logout", 200, logout),
        ("stayed", 200, stayed),
        ("signed out", 200, Browser::default().get(&app, "/oauth/logout").await),
        ("forged", 403, browser.post(&app, "/login", &[]).await),
    ];
    for path in [
        "/oauth/authorize",
        "/consent",
        "/login?tx=x",
        "/consent?tx=x",
        "/login?%ff",
        "/oauth/logout?a=1&a=2",
    ] {
        pages.push((path, 400, Browser::default().get(&app, path).await));
    }
    for (name, status, page) in pages {
        assert_eq!(page.status, status, "{name}");
        let policy = page.header("content-security-policy");
        for part in [
            "default-src 'none';",
            "script-src 'self';",
            "style-src 'self';",
            "form-action 'self'",
            "frame-ancestors 'none';",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{name}: {policy}");
        let leads_away = ["login", "login again", "consent", "form_post", "logout"].contains(&name);
        assert_eq!(policy.contains("https://app.example"), leads_away, "{name}: {policy}");
        for (header, value) in [
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("cross-origin-opener-policy", "same-origin"),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(page.header(header), value, "{name}: {header}");
        }
        // Nothing inline, nothing from elsewhere.
        for inline in
            ["<style", " style=", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"http"]
        {
            let allowed = name == "stayed" && inline == "href=\"http";
            assert!(allowed || !page.body.contains(inline), "{name}: {inline}");
        }
        assert_eq!(
            page.body.contains("id=\"error-request-id\""),
            page.body.contains("id=\"error-code\""),
            "{name}"
        );
    }
}

/// R12: whatever a form leads to is fetched, never posted again with the password.
#[tokio::test]
async fn every_redirect_is_a_303() {
    let app = site().await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("")).await;
    let login = browser.get(&app, begun.location()).await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    let signed_in = browser.submit(&app, &login, "/login", &form).await;
    let consent = browser.get(&app, signed_in.location()).await;
    let answered = browser.submit(&app, &consent, "/consent", &[("action", "allow")]).await;
    let posted = browser.post_target(&app, &request("")).await;
    let account = browser.get(&app, "/account").await;
    let withdrawn = browser.submit(&app, &account, "/account/sign-out-everywhere", &[]).await;
    for answer in [begun, signed_in, answered, posted, withdrawn, browser.get(&app, "/account").await] {
        assert_eq!(answer.status, 303);
        assert!(answer.body.is_empty() && answer.header("cache-control") == "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    }
}

/// R34, T34: no other spelling of a path is a page.
#[tokio::test]
async fn a_page_has_one_path() {
    let app = site().await;
    for path in
        ["/login/", "//login", "/Login", "/login;x", "/oauth/authorize/", "/oauth//authorize", "/account/."]
    {
        assert_eq!(Browser::default().get(&app, path).await.status, 404, "{path}");
    }
}

/// R69: whatever a browser sends, the answer is a page or a redirect, and nobody's account changes.
#[test]
fn arbitrary_bytes_never_make_a_5xx_or_change_a_row() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (app, held, tx, csrf) = runtime.block_on(async {
        let app = furnish(TestApp::start_with_all_keys().await, |_| ()).await;
        let mut browser = Browser::default();
        browser.sign_in_as(&app, "alice", PASSWORD).await;
        let asked = browser.get(&app, &request("")).await;
        let page = browser.get(&app, asked.location()).await;
        (app, browser.0, page.field("tx"), page.field("csrf"))
    });
    let rows = || runtime.block_on(app.provider.store.statistics()).expect("statistics").rows;
    let before = rows();
    let names = sample::select(vec![
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "nonce",
        "prompt",
        "max_age",
        "claims",
        "id_token_hint",
        "login_hint",
        "code_challenge",
        "code_challenge_method",
        "resource",
        "response_mode",
        "tx",
        "csrf",
        "username",
        "password",
        "id",
        "post_logout_redirect_uri",
        "x",
    ]);
    let good = [
        "app",
        "https://app.example/cb",
        "code",
        "openid profile",
        crate::http::app::CHALLENGE,
        "S256",
        "form_post",
        "none",
        "0",
        "{\"userinfo\":{}}",
        "alice",
        &tx,
        &csrf,
    ]
    .map(String::from);
    let value = prop_oneof![2 => any::<String>(), 3 => sample::select(good.to_vec())];
    let form = collection::vec((names, value), 0..8).prop_map(|pairs| {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
    });
    let body = prop_oneof![4 => form, 1 => collection::vec(any::<u8>(), 0..300)];
    let paths = sample::select(vec![
        "/oauth/authorize",
        "/login",
        "/consent",
        "/oauth/logout",
        "/account",
        "/account/sessions/end",
        "/account/consents/withdraw",
        "/account/sign-out-everywhere",
    ]);
    let case = (paths, body, any::<bool>(), any::<bool>(), "[ -~]{0,60}");
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&case, |(path, body, is_get, genuine, cookie)| {
            let target = form_urlencoded::byte_serialize(&body).collect::<String>();
            let query = std::str::from_utf8(&body)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
            // Signing out everywhere is what a genuine form would rightly do.
            let genuine = genuine && path != "/account/sign-out-everywhere";
            let request = match path == "/account" || is_get && !path.starts_with("/account/") {
                true => app.request("GET", &format!("{path}?{}", query.unwrap_or(&target))),
                false => app.request("POST", path).body(body),
            };
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = runtime.block_on(async {
                match genuine {
                    true => Browser(held.clone()).send(&app, request).await,
                    false => app.send(request.header("cookie", cookie)).await,
                }
            });
            prop_assert!(answer.status < 500, "{:?}", answer);
            let said = answer.body.contains("<!doctype html>") || answer.status == 303;
            prop_assert!(said, "{:?}", answer);
            Ok(())
        })
        .expect("every answer is a page or a redirect");
    assert_eq!(rows(), before);
}

#[tokio::test]
async fn the_assets_that_a_page_names_are_served() {
    let app = site().await;
    let page = Browser::default().get(&app, "/login").await;
    let url = page
        .body
        .split("href=\"")
        .find(|rest| rest.starts_with("/assets/chancery.css"))
        .expect("a stylesheet");
    let url = url.split('"').next().expect("a URL");
    let answer = app.get(url).await;
    assert_eq!((answer.status, answer.header("x-content-type-options")), (200, "nosniff"));
    assert!(answer.header("cache-control").contains("immutable"));
    let again = app.request("GET", url).header("if-none-match", answer.header("etag"));
    assert_eq!(app.send(again).await.status, 304);
    assert_eq!(app.get("/assets/other.css").await.status, 404);
}
