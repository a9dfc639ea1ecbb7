//! `/account`: sessions and consents.

use crate::http::browser::{Browser, PASSWORD, add_user, count, redeem, request, request_with, site};

/// R20, R61
#[tokio::test]
async fn the_account_page_ends_sessions_and_withdraws_consents() {
    let app = site().await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    one.authorized(&app, &request("")).await;
    other.sign_in(&app, &request("&prompt=login")).await;
    let page = one.get(&app, "/account").await;
    assert_eq!(page.body.matches("action=\"/account/sessions/end\"").count(), 2);
    assert!(page.body.contains("An app"));
    let csrf = page.field("csrf");
    // The current session is listed first; the last id of a session is the other's.
    let sessions = page.body.split("id=\"account-consents\"").next().unwrap();
    let id = sessions.rsplit("name=\"id\" value=\"").next().unwrap().split('"').next().unwrap();
    one.post(&app, "/account/sessions/end", &[("csrf", &csrf), ("id", id)]).await;
    assert_eq!(other.get(&app, "/account").await.location(), "/login");
    let client = app.provider.store.client("app").await.unwrap().unwrap().key.to_string();
    assert_eq!(
        one.post(&app, "/account/consents/withdraw", &[("csrf", &csrf), ("id", &client)]).await.location(),
        "/account"
    );
    let again = one.get(&app, &request("&prompt=none")).await;
    assert_eq!(again.param("error").as_deref(), Some("consent_required"));
    assert_eq!(one.post(&app, "/account/sign-out-everywhere", &[("csrf", &csrf)]).await.location(), "/login");
    assert_eq!(one.get(&app, "/account").await.location(), "/login");
}

/// R20: only one's own.
#[tokio::test]
async fn nobody_ends_the_session_of_somebody_else() {
    let app = site().await;
    add_user(&app, "bob").await;
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    alice.sign_in(&app, &request("")).await;
    bob.sign_in_as(&app, "bob", PASSWORD).await;
    let id = alice.get(&app, "/account").await.field("id");
    let csrf = bob.get(&app, "/account").await.field("csrf");
    bob.post(&app, "/account/sessions/end", &[("csrf", &csrf), ("id", &id)]).await;
    assert_eq!(alice.get(&app, "/account").await.status, 200);
}

#[tokio::test]
async fn nobody_sees_or_changes_an_account_without_signing_in() {
    let app = site().await;
    let mut browser = Browser::default();
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    let csrf = browser.get(&app, "/login").await.field("csrf");
    for path in ["/account/sessions/end", "/account/consents/withdraw", "/account/sign-out-everywhere"] {
        let answer = browser.post(&app, path, &[("csrf", &csrf), ("id", "x")]).await;
        assert_eq!(answer.location(), "/login", "{path}");
    }
}

/// R20, R61: in this browser and everywhere else, with every token.
#[tokio::test]
async fn signing_out_everywhere_ends_sessions_codes_and_tokens() {
    let app = site().await;
    app.client("machine", |client| client.introspect_any = true).await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let offline = request_with(&[("scope", "openid offline_access")]);
    let tokens = redeem(&app, &one.authorized(&app, &offline).await.code()).await;
    let code = other.sign_in(&app, &offline).await.code();
    let page = one.get(&app, "/account").await;
    let done = one.submit(&app, &page, "/account/sign-out-everywhere", &[]).await;
    assert_eq!((done.location(), one.0.contains_key("chancery_session")), ("/login", false));
    assert_eq!(other.get(&app, "/account").await.location(), "/login");
    assert!(!app.is_active("machine", &tokens.text("access_token")).await);
    assert_eq!(redeem(&app, &code).await.error(), (400, "invalid_grant".into()));
    let refresh = tokens.text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*refresh)];
    assert_eq!(app.post("/oauth/token", None, &form).await.error(), (400, "invalid_grant".into()));
    assert_eq!(count(&app, "chancery_logouts_total", &["type=\"account\""]).await, 1);
    let revoked = ["cause=\"user\"", "token_type=\"all\""];
    assert_eq!(count(&app, "chancery_revocations_total", &revoked).await, 1);
    // What was agreed to is remembered: it is the sign-ins that were ended.
    assert!(one.sign_in(&app, &offline).await.param("code").is_some());
}

#[tokio::test]
async fn ending_ones_own_session_here_signs_this_browser_out() {
    let app = site().await;
    let mut browser = Browser::default();
    let code = browser.authorized(&app, &request("")).await.code();
    let tokens = redeem(&app, &code).await;
    let page = browser.get(&app, "/account").await;
    let id = page.field("id");
    let done = browser.submit(&app, &page, "/account/sessions/end", &[("id", &id)]).await;
    assert_eq!((done.location(), browser.0.contains_key("chancery_session")), ("/login", false));
    assert_eq!(app.userinfo(&tokens.text("access_token")).await.status, 401, "R61");
}

#[tokio::test]
async fn only_live_sessions_are_listed_and_the_current_one_first() {
    let app = site().await;
    let idle = app.provider.policy.session_idle_lifetime;
    let (mut old, mut new) = (Browser::default(), Browser::default());
    old.sign_in_as(&app, "alice", PASSWORD).await;
    app.clock.advance(std::time::Duration::from_secs(idle / 2));
    new.sign_in_as(&app, "alice", PASSWORD).await;
    let listed =
        |page: &crate::http::app::Answer| page.body.matches("action=\"/account/sessions/end\"").count();
    let page = old.get(&app, "/account").await;
    assert_eq!(listed(&page), 2);
    let (badge, second) =
        (page.body.find("This browser").unwrap(), page.body.rfind("/account/sessions/end").unwrap());
    assert!(badge < second);
    app.clock.advance(std::time::Duration::from_secs(idle - 1));
    assert_eq!(listed(&old.get(&app, "/account").await), 2);
    app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(listed(&old.get(&app, "/account").await), 1, "the other has been idle for too long");
}

/// Ids that are nobody's, or no ids at all.
#[tokio::test]
async fn an_id_that_is_not_on_the_page_changes_nothing() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let page = browser.get(&app, "/account").await;
    for (id, status) in [("x", 400), ("", 400), ("01a3185c-5000-7000-8000-000000000000", 303)] {
        for path in ["/account/sessions/end", "/account/consents/withdraw"] {
            let answer = browser.submit(&app, &page, path, &[("id", id)]).await;
            assert_eq!(answer.status, status, "{path} {id}: {answer:?}");
        }
    }
    assert!(browser.get(&app, &request("&prompt=none")).await.param("code").is_some());
}
