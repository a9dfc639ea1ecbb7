//! `/oauth/logout`: RP-Initiated Logout.

use std::time::Duration;

use chancery::model::Client;

use crate::http::{
    app::TestApp,
    browser::{Browser, PASSWORD, add_user, count, furnish, redeem, request, site, site_with},
};

/// R62, T25
#[tokio::test]
async fn logout_asks_unless_a_hint_of_this_session_is_given() {
    let app =
        site_with(|client| client.post_logout_redirect_uris = vec!["https://app.example/bye".into()]).await;
    let mut browser = Browser::default();
    let code = browser.authorized(&app, &request("")).await.param("code").unwrap();
    let tokens = redeem(&app, &code).await;
    let tokens: serde_json::Value = serde_json::from_str(&tokens.body).unwrap();
    let hint = tokens["id_token"].as_str().unwrap();

    let bye = "post_logout_redirect_uri=https://app.example/bye&state=s9";
    let asked = browser.get(&app, &format!("/oauth/logout?client_id=app&{bye}")).await;
    assert!(asked.body.contains("logout-confirm") && asked.body.contains("An app"));
    let form = [("csrf", &*asked.field("csrf")), ("tx", &asked.field("tx")), ("action", "cancel")];
    assert!(browser.post(&app, "/oauth/logout", &form).await.body.contains("logout-cancelled"));
    let evil = format!("/oauth/logout?id_token_hint={hint}&post_logout_redirect_uri=https://evil.example/");
    assert_eq!(browser.get(&app, &evil).await.error_code(), "invalid_request");
    let forged = format!("/oauth/logout?id_token_hint={hint}x&client_id=app&{bye}");
    assert!(browser.get(&app, &forged).await.body.contains("logout-confirm"));
    assert_eq!(browser.get(&app, "/account").await.status, 200, "still signed in");

    // Long after the ID token has expired.
    app.clock.advance(Duration::from_secs(3600));
    let ended = browser.get(&app, &format!("/oauth/logout?id_token_hint={hint}&{bye}")).await;
    assert_eq!(ended.location(), "https://app.example/bye?state=s9");
    assert!(!browser.0.contains_key("chancery_session"));
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    let nobody = browser.get(&app, "/oauth/logout").await;
    assert!(nobody.body.contains("logout-success"));
}

/// R61: what was authorized in the session ends with it, but offline access.
#[tokio::test]
async fn logging_out_revokes_the_sessions_families() {
    let app = site().await;
    let mut browser = Browser::default();
    let code = browser.authorized(&app, &request("")).await.param("code").unwrap();
    let asked = browser.get(&app, "/oauth/logout").await;
    let done =
        browser.post(&app, "/oauth/logout", &[("csrf", &asked.field("csrf")), ("action", "confirm")]).await;
    assert!(done.body.contains("logout-success"));
    assert_eq!(redeem(&app, &code).await.status, 400);
}

/// A site where Alice is signed in at the client `app`; its ID token, and an access token that is
/// offline.
async fn signed_in(app: &TestApp, browser: &mut Browser) -> (String, String) {
    let tokens = redeem(app, &browser.authorized(app, &request("")).await.code()).await;
    (tokens.text("id_token"), tokens.text("access_token"))
}

fn with_bye(client: &mut Client) {
    client.post_logout_redirect_uris = vec!["https://app.example/bye?from=op".into()];
}

const BYE: &str = "https://app.example/bye?from=op";

fn logout(params: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params);
    format!("/oauth/logout?{}", query.finish())
}

/// R62, T25
#[tokio::test]
async fn a_post_logout_redirect_uri_is_compared_byte_for_byte() {
    let app = site_with(with_bye).await;
    let mut browser = Browser::default();
    let (hint, _) = signed_in(&app, &mut browser).await;
    for uri in [
        "https://app.example/bye",
        "https://app.example/bye?from=op&x=1",
        "https://app.example/bye?from=OP",
        "https://app.example/BYE?from=op",
        "https://APP.example/bye?from=op",
        "https://app.example:443/bye?from=op",
        "https://app.example/bye/?from=op",
        "https://app.example/bye?from=op#",
        "https://app.example/bye?from=op\n",
        "https://app.example.evil.example/bye?from=op",
        "https://app.example@evil.example/bye?from=op",
        "//app.example/bye?from=op",
        "javascript:alert(1)",
        // Registered for the code, not for this.
        "https://app.example/cb",
    ] {
        for params in [&[("id_token_hint", &*hint)][..], &[("client_id", "app")]] {
            let answer =
                browser.get(&app, &logout(&[params, &[("post_logout_redirect_uri", uri)]].concat())).await;
            assert_eq!((answer.status, &*answer.error_code()), (400, "invalid_request"), "{uri}");
            assert!(!answer.body.contains("evil.example"), "{uri}");
        }
    }
    let nobodys = logout(&[("post_logout_redirect_uri", BYE)]);
    assert_eq!(browser.get(&app, &nobodys).await.error_code(), "invalid_request", "whose is it?");
    assert_eq!(browser.get(&app, "/account").await.status, 200, "still signed in");
}

/// R62
#[tokio::test]
async fn a_person_confirms_and_is_brought_back_with_the_state() {
    let app = site_with(with_bye).await;
    app.client("machine", |client| client.introspect_any = true).await;
    let mut browser = Browser::default();
    let (_, access) = signed_in(&app, &mut browser).await;
    let state = "a b&c=<d>";
    let asked = browser
        .get(&app, &logout(&[("client_id", "app"), ("post_logout_redirect_uri", BYE), ("state", state)]))
        .await;
    assert!(asked.body.contains("id=\"logout-confirm\"") && asked.body.contains("id=\"logout-cancel\""));
    assert!(asked.header("content-security-policy").contains("form-action 'self' https://app.example;"));
    assert!(app.is_active("machine", &access).await);
    let done = browser.submit(&app, &asked, "/oauth/logout", &[("action", "confirm")]).await;
    assert!(done.location().starts_with("https://app.example/bye?from=op&state="));
    assert_eq!(done.param("state").as_deref(), Some(state));
    assert!(
        done.header("set-cookie").starts_with("chancery_session=;")
            && done.header("set-cookie").contains("Max-Age=0")
    );
    assert!(!app.is_active("machine", &access).await, "R61");
    assert_eq!(count(&app, "chancery_logouts_total", &["type=\"rp\""]).await, 1);
    // Once more: there is nothing left to end, and nothing left to ask.
    let again = browser.submit(&app, &asked, "/oauth/logout", &[("action", "confirm")]).await;
    assert_eq!(again.param("state").as_deref(), Some(state));
    assert_eq!(count(&app, "chancery_logouts_total", &["type=\"rp\""]).await, 1);
}

/// R62: only a hint about this very session makes the question unnecessary.
#[tokio::test]
async fn a_hint_about_another_person_or_session_is_asked_about() {
    let app = site_with(with_bye).await;
    add_user(&app, "bob").await;
    app.client("other", |_| {}).await;
    let (mut browser, mut elsewhere, mut bobs) = (Browser::default(), Browser::default(), Browser::default());
    let (hint, _) = signed_in(&app, &mut browser).await;
    elsewhere.sign_in(&app, &request("")).await;
    bobs.sign_in_as(&app, "bob", PASSWORD).await;
    for browser in [&mut elsewhere, &mut bobs] {
        let asked = browser.get(&app, &logout(&[("id_token_hint", &hint)])).await;
        assert!(asked.body.contains("id=\"logout-confirm\""));
        assert_eq!(browser.get(&app, "/account").await.status, 200);
    }
    let confused = logout(&[("id_token_hint", &hint), ("client_id", "other")]);
    assert_eq!(browser.get(&app, &confused).await.error_code(), "invalid_request");
    for broken in ["x", "a.b.c", &format!("{hint}x")] {
        assert!(
            browser.get(&app, &logout(&[("id_token_hint", broken)])).await.body.contains("logout-confirm")
        );
    }
    assert!(
        browser.get(&app, &logout(&[("id_token_hint", &hint)])).await.body.contains("id=\"logout-success\"")
    );
    assert_eq!(elsewhere.get(&app, "/account").await.status, 200, "the other session lives on");
}

/// Nobody is signed in: with a hint the way back is taken, without one it is offered.
#[tokio::test]
async fn without_a_session_nobody_is_sent_away_unasked() {
    let app = site_with(with_bye).await;
    let mut browser = Browser::default();
    let (hint, _) = signed_in(&app, &mut browser).await;
    let back = [("post_logout_redirect_uri", BYE), ("client_id", "app")];
    let shown = Browser::default().get(&app, &logout(&back)).await;
    assert!(shown.status == 200 && shown.body.contains("id=\"logout-continue\""));
    let taken =
        Browser::default().get(&app, &logout(&[&back[..], &[("id_token_hint", &hint)]].concat())).await;
    assert_eq!(taken.location(), BYE);
}

/// RP-Initiated Logout §2: by POST as well, also from another site.
#[tokio::test]
async fn a_clients_post_is_understood_with_the_cookies_that_a_get_would_have() {
    let app = site_with(with_bye).await;
    let mut browser = Browser::default();
    let (hint, _) = signed_in(&app, &mut browser).await;
    let target = logout(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);
    let again = Browser::default().post_target(&app, &target).await;
    assert!(again.location().starts_with("/oauth/logout?"));
    assert_eq!(browser.get(&app, again.location()).await.location(), BYE);
    browser.sign_in(&app, &request("")).await;
    assert!(
        browser.post_target(&app, &logout(&[("client_id", "app")])).await.body.contains("logout-confirm")
    );
}

/// R27, R61: offline access is for when the person is not there; withdrawing the consent ends it.
#[tokio::test]
async fn offline_access_outlives_the_session_but_not_the_consent() {
    let app = site().await;
    let mut browser = Browser::default();
    let offline = request("").replace("profile", "offline_access");
    let code = browser.authorized(&app, &offline).await.param("code").unwrap();
    let refresh = |token: String| {
        let app = &app;
        async move {
            let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*token)];
            app.post("/oauth/token", None, &form).await
        }
    };
    let token = redeem(&app, &code).await.text("refresh_token");
    let asked = browser.get(&app, "/oauth/logout").await;
    browser.post(&app, "/oauth/logout", &[("csrf", &asked.field("csrf")), ("action", "confirm")]).await;
    let renewed = refresh(token).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);

    browser.sign_in_as(&app, "alice", PASSWORD).await;
    let csrf = browser.get(&app, "/account").await.field("csrf");
    let client = app.provider.store.client("app").await.unwrap().unwrap().key.to_string();
    browser.post(&app, "/account/consents/withdraw", &[("csrf", &csrf), ("id", &client)]).await;
    assert_eq!(refresh(renewed.text("refresh_token")).await.error(), (400, "invalid_grant".into()));
}

/// The operator may let tokens live on.
#[tokio::test]
async fn tokens_may_outlive_a_logout_by_policy() {
    let app = TestApp::start_with(&[("CHANCERY_SESSION_LOGOUT_REVOKES", "false")]).await;
    let (app, mut browser) = (furnish(app, |_| ()).await, Browser::default());
    let (_, access) = signed_in(&app, &mut browser).await;
    let asked = browser.get(&app, "/oauth/logout").await;
    browser.submit(&app, &asked, "/oauth/logout", &[("action", "confirm")]).await;
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    assert_eq!(app.userinfo(&access).await.status, 200);
}

/// T11: a logout that could not be written is no logout.
#[tokio::test]
async fn a_logout_that_is_not_durable_is_an_error() {
    let app = site().await;
    let mut browser = Browser::default();
    signed_in(&app, &mut browser).await;
    let asked = browser.get(&app, "/oauth/logout").await;
    app.break_table("families");
    let answer = browser.submit(&app, &asked, "/oauth/logout", &[("action", "confirm")]).await;
    assert!(answer.status >= 500 && !answer.body.contains("logout-success"), "{answer:?}");
    assert!(browser.0.contains_key("chancery_session"), "the cookie is kept");
    assert!(!answer.body.contains("families"), "nothing about the inside: {}", answer.body);
}
