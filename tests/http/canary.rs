//! R72: no secret in any output. What a client sends and gets is looked for in everything else.

use crate::http::{
    app::{Answer, SECRET, TestApp, VERIFIER},
    browser::{Browser, PASSWORD, add_user, request, request_with, site_with},
};

/// R72, T38
#[tokio::test]
async fn no_secret_token_code_or_verifier_is_in_an_error_or_a_metric() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let code = app.code(&client, &user, "openid offline_access").await;
    let tokens = app.redeem(&client, &code).await;
    let (access, refresh, id) =
        (tokens.text("access_token"), tokens.text("refresh_token"), tokens.text("id_token"));
    let rotated = app.refresh("web", &refresh).await;
    let mut seen = String::new();
    for answer in [
        app.redeem(&client, &code).await,
        app.refresh("web", &refresh).await,
        app.userinfo(&refresh).await,
        app.post("/oauth/token", None, &[("client_id", SECRET), ("client_secret", SECRET), ("code", &code)])
            .await,
        app.post("/oauth/introspect", None, &[("token", &access)]).await,
        app.token("web", &[("grant_type", SECRET), ("scope", VERIFIER)]).await,
        app.get(&format!("/{access}?code={code}")).await,
        app.get_operations("/metrics").await,
        app.get_operations("/health").await,
        app.get_operations("/api/cache/stats").await,
    ] {
        seen.push_str(&format!("{:?}\n{}\n", answer.headers, answer.body));
    }
    for canary in [
        SECRET,
        VERIFIER,
        &*code,
        &access,
        &refresh,
        &id,
        &rotated.text("refresh_token"),
        &rotated.text("access_token"),
    ] {
        assert!(!seen.contains(canary), "{canary} is in an output");
    }
}

/// R72: passwords, session cookies, codes and tokens on pages, error pages and in figures. A code may
/// be in the redirect that delivers it, a cookie in the `Set-Cookie` that sets it: nowhere else.
#[tokio::test]
async fn no_password_cookie_or_code_is_on_a_page() {
    const WRONG: &str = "a wrong password, typed by mistake";
    let app =
        site_with(|client| client.post_logout_redirect_uris = vec!["https://app.example/bye".into()]).await;
    add_user(&app, "bob").await;
    let mut browser = Browser::default();
    let mut seen: Vec<Answer> = vec![
        browser.sign_in_as(&app, "alice", WRONG).await,
        browser.sign_in_as(&app, "nobody", WRONG).await,
        browser.sign_in_as(&app, "alice", &WRONG.repeat(20)).await,
        // The password in the wrong field is shown again there, so that the person can see it; no other.
        browser.post(&app, "/login", &[("password", PASSWORD), ("username", "alice"), ("csrf", "x")]).await,
        browser.post(&app, "/login", &[("password", PASSWORD), ("password", PASSWORD)]).await,
        browser.get(&app, &format!("/login?password={WRONG}")).await,
    ];
    let offline = request_with(&[("scope", "openid offline_access"), ("prompt", "consent")]);
    let begun = browser.get(&app, &offline).await;
    let page = browser.get(&app, begun.location()).await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    let signed_in = browser.submit(&app, &page, "/login", &form).await;
    let consent = browser.get(&app, signed_in.location()).await;
    let answered = browser.submit(&app, &consent, "/consent", &[("action", "allow")]).await;
    let code = answered.code();
    let redeemed = crate::http::browser::redeem(&app, &code).await;
    let tokens = ["access_token", "refresh_token", "id_token"].map(|name| redeemed.text(name));
    let cookies: Vec<_> = browser.0.values().cloned().collect();
    let asked = browser.get(&app, "/oauth/logout?client_id=app").await;
    seen.extend([
        begun,
        page,
        // Without its cookie and without its code, which are what these answers are for.
        Answer { headers: without(&signed_in, "set-cookie"), ..signed_in },
        consent,
        browser.submit(&app, &asked, "/oauth/logout", &[("action", "cancel")]).await,
        asked,
        browser.get(&app, "/account").await,
        browser.get(&app, &format!("/oauth/authorize?client_id={code}&redirect_uri={code}")).await,
        browser.get(&app, &request_with(&[("scope", &tokens[0])])).await,
        browser.get(&app, &request_with(&[("id_token_hint", &tokens[2]), ("client_id", "other")])).await,
        browser.get(&app, &format!("/login?tx={}", tokens[1])).await,
        browser.get(&app, &format!("/consent?tx={code}")).await,
        browser.get(&app, &format!("/oauth/logout?id_token_hint={}x", tokens[2])).await,
        browser.get(&app, &format!("/nothing/{code}")).await,
        Browser::default().get(&app, &request("&prompt=none")).await,
        app.get_operations("/metrics").await,
        app.get_operations("/health").await,
        app.get_operations("/api/cache/stats").await,
    ]);
    let first = seen[0].headers.get("set-cookie").cloned();
    assert_eq!(first, None, "the page before it set the cookie");
    for (at, answer) in seen.iter().enumerate() {
        let mut headers = answer.headers.clone();
        if answer.header("set-cookie").starts_with("chancery_browser=") {
            headers.remove("set-cookie");
        }
        let text = format!("{headers:?}\n{}", answer.body);
        let canaries = [WRONG, PASSWORD, VERIFIER, &*code].into_iter().map(str::to_owned);
        for canary in canaries.chain(tokens.iter().cloned()).chain(cookies.iter().cloned()) {
            assert!(!text.contains(&canary), "answer {at} holds {canary}: {text}");
        }
    }
}

fn without(answer: &Answer, header: &str) -> reqwest::header::HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove(header);
    headers
}
