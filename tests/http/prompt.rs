//! OpenID Connect Core §3.1.2.1 — `prompt`, `max_age`, `login_hint` and `id_token_hint`.

use std::time::Duration;

use crate::http::browser::{Browser, add_user, claims, redeem, request, request_with, site, site_with};

#[tokio::test]
async fn prompt_none_shows_no_page_and_says_what_is_missing() {
    let app = site().await;
    let mut browser = Browser::default();
    let none = request("&prompt=none");
    assert_eq!(browser.get(&app, &none).await.refused(), "login_required");
    browser.sign_in(&app, &request("")).await;
    assert_eq!(browser.get(&app, &none).await.refused(), "consent_required");
    browser.get(&app, &none).await;
    let page = browser.get(&app, &request("")).await;
    browser.answer_consent(&app, page.location(), "allow").await;
    assert_eq!(redeem(&app, &browser.get(&app, &none).await.code()).await.status, 200);
    let both = request_with(&[("prompt", "none login")]);
    assert_eq!(browser.get(&app, &both).await.refused(), "invalid_request");
    app.clock.advance(Duration::from_secs(app.provider.policy.session_lifetime));
    assert_eq!(browser.get(&app, &none).await.refused(), "login_required");
}

#[tokio::test]
async fn prompt_none_works_for_a_trusted_client_without_consent() {
    let app = site_with(|client| client.skip_consent = true).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, &request("")).await;
    assert!(browser.get(&app, &request("&prompt=none")).await.param("code").is_some());
}

/// A new sign-in means a new `auth_time`, and once is enough.
#[tokio::test]
async fn prompt_login_and_select_account_ask_again_exactly_once() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    for prompt in ["login", "select_account", "login consent", "select_account login"] {
        app.clock.advance(Duration::from_secs(100));
        let asked = request_with(&[("prompt", prompt)]);
        let mut answer = browser.sign_in(&app, &asked).await;
        if prompt.contains("consent") {
            assert!(answer.asks_for_consent(), "{prompt}");
            answer = browser.answer_consent(&app, answer.location(), "allow").await;
        }
        let tokens = redeem(&app, &answer.code()).await;
        assert_eq!(claims(&tokens.text("id_token"))["auth_time"], app.clock.now().0, "{prompt}");
    }
}

#[tokio::test]
async fn select_account_lets_somebody_else_sign_in() {
    let app = site_with(|client| client.skip_consent = true).await;
    let bob = add_user(&app, "bob").await;
    let mut browser = Browser::default();
    browser.sign_in(&app, &request("")).await;
    let answer = browser.sign_in_to(&app, &request("&prompt=select_account"), "bob").await;
    let tokens = redeem(&app, &answer.code()).await;
    assert_eq!(claims(&tokens.text("id_token"))["sub"], bob.id.to_string());
    let page = browser.get(&app, "/account").await;
    assert!(page.body.contains(">bob<") && !page.body.contains(">alice<"));
}

/// §2: `auth_time` is there when `max_age` was asked for.
#[tokio::test]
async fn max_age_asks_again_when_the_sign_in_is_older() {
    let app = site_with(|client| client.skip_consent = true).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, &request("")).await;
    let signed_in = app.clock.now().0;
    app.clock.advance(Duration::from_secs(60));
    let fresh = browser.get(&app, &request("&max_age=60")).await;
    assert_eq!(claims(&redeem(&app, &fresh.code()).await.text("id_token"))["auth_time"], signed_in);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&app, &request("&max_age=60&prompt=none")).await.refused(), "login_required");
    let again = browser.sign_in(&app, &request("&max_age=60")).await;
    let tokens = redeem(&app, &again.code()).await;
    assert_eq!(claims(&tokens.text("id_token"))["auth_time"], signed_in + 61);
    assert!(
        browser.sign_in(&app, &request("&max_age=0")).await.param("code").is_some(),
        "and once is enough"
    );
    for wrong in ["-1", "x", "1.5", "99999999999999999999", "+1"] {
        let answer = browser.get(&app, &request_with(&[("max_age", wrong)])).await;
        assert_eq!(answer.refused(), "invalid_request", "{wrong}");
    }
}

#[tokio::test]
async fn a_login_hint_is_filled_in_and_nothing_more() {
    let app = site().await;
    let mut browser = Browser::default();
    let hint = "bob\"><script>alert(1)</script>";
    let begun = browser.get(&app, &request_with(&[("login_hint", hint)])).await;
    let page = browser.get(&app, begun.location()).await;
    assert_eq!(page.field("username"), hint);
    assert!(!page.body.contains("<script>alert"));
    let answer = browser.submit(
        &app,
        &page,
        "/login",
        &[("username", "alice"), ("password", crate::http::browser::PASSWORD)],
    );
    assert!(answer.await.asks_for_consent(), "anybody may sign in");
}

#[tokio::test]
async fn an_id_token_hint_lets_nobody_else_in() {
    let app = site_with(|client| client.skip_consent = true).await;
    app.client("other", |_| {}).await;
    add_user(&app, "bob").await;
    let mut browser = Browser::default();
    let tokens = redeem(&app, &browser.sign_in(&app, &request("")).await.code()).await;
    let hint = tokens.text("id_token");
    let hinted = |more: &[(&str, &str)]| request_with(&[&[("id_token_hint", &*hint)], more].concat());
    // Long after the hint has expired.
    app.clock.advance(Duration::from_secs(3600));
    assert!(browser.get(&app, &hinted(&[("prompt", "none")])).await.param("code").is_some());

    let mut bobs = Browser::default();
    bobs.sign_in_as(&app, "bob", crate::http::browser::PASSWORD).await;
    assert_eq!(bobs.get(&app, &hinted(&[("prompt", "none")])).await.refused(), "login_required");
    assert!(bobs.get(&app, &hinted(&[])).await.asks_to_sign_in());
    assert_eq!(bobs.sign_in_to(&app, &hinted(&[]), "bob").await.refused(), "login_required");
    assert!(bobs.sign_in_to(&app, &hinted(&[]), "alice").await.param("code").is_some());

    let foreign = request_with(&[
        ("client_id", "other"),
        ("redirect_uri", "https://app.example/callback"),
        ("id_token_hint", &hint),
    ]);
    assert_eq!(browser.get(&app, &foreign).await.refused(), "invalid_request");
    for broken in [format!("{hint}x"), "x".into(), "a.b.c".into(), tokens.text("access_token")] {
        let answer = browser.get(&app, &request_with(&[("id_token_hint", &broken)])).await;
        assert_eq!(answer.refused(), "invalid_request", "{broken}");
    }
}

/// What is only a wish does not matter.
#[tokio::test]
async fn wishes_that_cannot_be_granted_are_ignored() {
    let app = site().await;
    for wish in [
        ("display", "popup"),
        ("ui_locales", "fr-CA fr <x>"),
        ("acr_values", "urn:mace:incommon:iap:silver"),
        ("claims_locales", "fr"),
        ("prompt", "create"),
        ("unknown", "x"),
    ] {
        assert!(Browser::default().get(&app, &request_with(&[wish])).await.asks_to_sign_in(), "{wish:?}");
    }
}
