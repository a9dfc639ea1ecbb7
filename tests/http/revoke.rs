//! RFC 7009 — `POST /oauth/revoke`.

use chancery::model::{AuthMethod, SigningAlg, TokenFormat};

use crate::http::app::TestApp;

/// R40, R41
#[tokio::test]
async fn a_revoked_access_token_is_dead_when_the_answer_comes() {
    let app = TestApp::start().await;
    app.client("sealed", |_| {}).await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(SigningAlg::EdDSA)).await;
    for name in ["sealed", "jwt"] {
        let (token, other) = (app.machine_token(name).await, app.machine_token(name).await);
        assert!(app.is_active(name, &token).await);
        let answer = app.revoke(name, &token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert!(!app.is_active(name, &token).await);
        assert!(app.is_active(name, &other).await, "only the one token");
        assert_eq!(app.revoke(name, &token).await.status, 200, "a second time is no error");
    }
}

#[tokio::test]
async fn revoking_a_refresh_token_revokes_its_familys_access_tokens() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let held = app.authorized(&client, &user, "openid offline_access").await;
    let answer = app.refresh("web", &held.refresh_token).await;
    let (access, refresh) = (answer.text("access_token"), answer.text("refresh_token"));
    let other = app.authorized(&client, &user, "openid offline_access").await;
    assert_eq!(app.revoke("web", &refresh).await.status, 200);
    assert!(!app.is_active("web", &access).await);
    assert_eq!(app.userinfo(&access).await.status, 401);
    assert_eq!(app.refresh("web", &refresh).await.error(), (400, "invalid_grant".into()));
    assert!(app.is_active("web", &other.refresh_token).await, "another authorization stands");
}

/// R40
#[tokio::test]
async fn unknown_tokens_are_answered_with_200() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    for unknown in ["garbage", "chy_rt_AAAA", "a.b.c", "chy_at_xxxx"] {
        assert_eq!(app.revoke("machine", unknown).await.status, 200, "{unknown}");
    }
}

/// R40
#[tokio::test]
async fn a_client_cannot_revoke_the_token_of_another() {
    let app = TestApp::start().await;
    let mine = app.client("mine", |_| {}).await;
    app.client("theirs", |_| {}).await;
    let access = app.machine_token("mine").await;
    let refresh = app.authorized(&mine, &app.user("alice").await, "read").await.refresh_token;
    for token in [&access, &refresh] {
        assert_eq!(app.revoke("theirs", token).await.error(), (400, "invalid_grant".into()));
        assert!(app.is_active("mine", token).await);
    }
}

/// R32
#[tokio::test]
async fn the_caller_is_authenticated_and_public_clients_name_themselves() {
    let app = TestApp::start().await;
    let public = app
        .client("public", |client| {
            client.auth_method = AuthMethod::None;
            client.secrets.clear();
        })
        .await;
    let held = app.authorized(&public, &app.user("alice").await, "read").await;
    let form = [("token", &*held.refresh_token)];
    assert_eq!(app.post("/oauth/revoke", None, &form).await.error(), (401, "invalid_client".into()));
    let form = [("token", &*held.refresh_token), ("client_id", "public")];
    assert_eq!(app.post("/oauth/revoke", None, &form).await.status, 200);
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", &*held.refresh_token), ("client_id", "public")];
    assert_eq!(app.post("/oauth/token", None, &form).await.error(), (400, "invalid_grant".into()));
}

/// R41, T11: a store that cannot write is an error, never a 200.
#[tokio::test]
async fn a_revocation_that_cannot_be_stored_is_an_error() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let token = app.machine_token("web").await;
    let code = app.code(&client, &app.user("alice").await, "read").await;
    app.break_table("revocations");
    app.break_table("codes");
    assert_eq!(app.revoke("web", &token).await.error(), (500, "server_error".into()));
    assert_eq!(app.redeem(&client, &code).await.error(), (500, "server_error".into()));
    let metrics = app.get_operations("/metrics").await.body;
    let failures = "chancery_db_errors_total{backend=\"sqlite\",kind=\"other\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(failures)).expect("the series");
    assert_ne!(count, "0", "a failed commit is counted");
}
