//! RFC 6749 §6, R24 — rotation, families, the retry window.

use std::time::Duration;

use chancery::store::Effect;

use crate::http::app::TestApp;

const SCOPE: &str = "openid read offline_access";

/// R24
#[tokio::test]
async fn a_refresh_token_is_rotated_and_the_old_one_is_no_longer_active() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let first = app.refresh("web", &held.refresh_token).await;
    assert_eq!(first.status, 200, "{first:?}");
    let next = first.text("refresh_token");
    assert_ne!(next, held.refresh_token);
    assert_eq!(app.refresh("web", &next).await.status, 200);
}

/// R24, T05
#[tokio::test]
async fn a_retry_inside_the_window_gets_the_same_bytes() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let first = app.refresh("web", &held.refresh_token).await;
    app.clock.advance(Duration::from_secs(9));
    let again = app.refresh("web", &held.refresh_token).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(app.refresh("web", &first.text("refresh_token")).await.status, 200, "the successor works");
    let metrics = app.get_operations("/metrics").await.body;
    assert!(metrics.contains("chancery_security_events_total{event=\"refresh_retry\",severity=\"info\"} 1"));
}

/// R24, T05
#[tokio::test]
async fn a_retry_outside_the_window_revokes_the_family() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let first = app.refresh("web", &held.refresh_token).await;
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert!(!app.is_active("web", &first.text("access_token")).await);
    assert_eq!(app.refresh("web", &first.text("refresh_token")).await.error(), (400, "invalid_grant".into()));
}

/// R24, T05
#[tokio::test]
async fn a_retry_after_the_successor_was_used_revokes_the_family() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let first = app.refresh("web", &held.refresh_token).await;
    let second = app.refresh("web", &first.text("refresh_token")).await;
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert!(!app.is_active("web", &second.text("access_token")).await);
}

/// R24
#[tokio::test]
async fn a_retry_that_asks_for_something_else_revokes_the_family() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let first = app.refresh("web", &held.refresh_token).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*held.refresh_token), ("scope", "read")];
    assert_eq!(app.token("web", &form).await.error(), (400, "invalid_grant".into()));
    assert!(!app.is_active("web", &first.text("access_token")).await);
}

/// R26
#[tokio::test]
async fn scope_and_resource_can_be_narrowed_but_not_widened() {
    let app = TestApp::start().await;
    for uri in ["urn:a", "urn:b", "urn:c"] {
        app.resource(uri, None).await;
    }
    let client = app.client("web", |client| client.resources = vec!["urn:a".into(), "urn:b".into()]).await;
    let held = app.authorized(&client, &app.user("alice").await, "read write").await;
    let ask = async |extra: (&str, &str)| {
        app.token("web", &[("grant_type", "refresh_token"), ("refresh_token", &held.refresh_token), extra])
            .await
    };
    assert_eq!(ask(("scope", "read admin")).await.error(), (400, "invalid_scope".into()));
    assert_eq!(ask(("scope", "read openid")).await.error(), (400, "invalid_scope".into()));
    assert_eq!(ask(("resource", "urn:c")).await.error(), (400, "invalid_target".into()));
    let narrowed = ask(("resource", "urn:b")).await;
    assert_eq!(app.introspect("web", &narrowed.text("access_token")).await.json()["aud"], "urn:b");
}

/// R26, T06
#[tokio::test]
async fn another_client_cannot_use_a_refresh_token_and_breaks_nothing_by_trying() {
    let app = TestApp::start().await;
    let mine = app.client("mine", |_| {}).await;
    app.client("theirs", |_| {}).await;
    let held = app.authorized(&mine, &app.user("alice").await, SCOPE).await;
    assert_eq!(app.refresh("theirs", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    let first = app.refresh("mine", &held.refresh_token).await;
    assert_eq!(app.refresh("theirs", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert!(app.is_active("mine", &first.text("access_token")).await);
}

/// R25
#[tokio::test]
async fn the_idle_lifetime_ends_a_token_and_the_absolute_lifetime_the_family() {
    let app = TestApp::start().await;
    let client = app
        .client("web", |client| {
            client.refresh_idle_lifetime = 100;
            client.refresh_lifetime = 250;
        })
        .await;
    let (alice, pass) = (app.user("alice").await, async |seconds| {
        app.clock.advance(Duration::from_secs(seconds));
    });
    let idle = app.authorized(&client, &alice, SCOPE).await;
    let mut token = app.authorized(&client, &alice, SCOPE).await.refresh_token;
    for _ in 0..3 {
        pass(80).await;
        token = app.refresh("web", &token).await.text("refresh_token");
    }
    assert_eq!(app.refresh("web", &idle.refresh_token).await.error(), (400, "invalid_grant".into()));
    pass(10).await;
    assert_eq!(
        app.refresh("web", &token).await.error(),
        (400, "invalid_grant".into()),
        "250 s after the start"
    );
}

/// R27
#[tokio::test]
async fn a_retry_does_not_outlive_the_user() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let held = app.authorized(&client, &user, SCOPE).await;
    assert_eq!(app.refresh("web", &held.refresh_token).await.status, 200);
    let until = app.clock.now().plus(100_000);
    app.commit(vec![Effect::SetUserEnabled(user.id, false), Effect::RaiseUserEpoch { user: user.id, until }])
        .await;
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
}

/// R28: a family remembers what it was granted, but nobody gets new tokens for what is gone.
#[tokio::test]
async fn no_new_token_is_issued_for_a_resource_that_was_deleted() {
    let app = TestApp::start().await;
    let resources = ["urn:kept", "urn:gone"];
    for uri in resources {
        app.resource(uri, None).await;
    }
    let client = app.client("web", |client| client.resources = resources.map(String::from).to_vec()).await;
    let user = app.user("alice").await;
    let held = app.authorized(&client, &user, SCOPE).await;
    let code = app.code(&client, &user, SCOPE).await;
    app.commit(vec![Effect::DeleteResource("urn:gone".into())]).await;
    assert_eq!(app.redeem(&client, &code).await.error(), (400, "invalid_target".into()));
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_target".into()));
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", &*held.refresh_token), ("resource", "urn:kept")];
    assert_eq!(app.token("web", &form).await.status, 200, "the refusal spent nothing");
}

/// R24, T05: the row remembers nothing of it, and need not.
#[tokio::test]
async fn a_token_of_long_ago_revokes_its_family() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let mut token = held.refresh_token.clone();
    for _ in 0..5 {
        token = app.refresh("web", &token).await.text("refresh_token");
    }
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    assert_eq!(app.refresh("web", &token).await.error(), (400, "invalid_grant".into()));
    assert!(!app.is_active("web", &token).await);
}

/// A store that was set back, by a failover or a backup, meets tokens that it has never issued.
#[tokio::test]
async fn a_token_that_is_newer_than_the_store_revokes_its_family() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let held = app.authorized(&client, &app.user("alice").await, SCOPE).await;
    let provider = &app.provider;
    let (newer, _) = provider.opaque.issue_refresh_token(held.family, 1, &provider.random);
    assert!(!app.is_active("web", newer.expose()).await);
    assert_eq!(app.refresh("web", newer.expose()).await.error(), (400, "invalid_grant".into()));
    assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
    let metrics = app.get_operations("/metrics").await.body;
    assert!(
        metrics.contains("chancery_security_events_total{event=\"store_behind\",severity=\"critical\"} 1")
    );
}
