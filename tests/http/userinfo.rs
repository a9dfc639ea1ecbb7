//! OpenID Connect Core §5.3, RFC 6750 — `GET|POST /oauth/userinfo`.

use crate::http::app::{Answer, TestApp};

async fn access_token(app: &TestApp, scope: &str) -> String {
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let code = app.code(&client, &user, scope).await;
    app.redeem(&client, &code).await.text("access_token")
}

#[tokio::test]
async fn scopes_decide_which_claims_are_shown() {
    let app = TestApp::start().await;
    let token = access_token(&app, "openid email").await;
    let answer = app.userinfo(&token).await;
    let json = answer.json();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((answer.status, names), (200, vec!["email", "sub"]));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_token_may_come_in_the_form_body() {
    let app = TestApp::start().await;
    let token = access_token(&app, "openid").await;
    assert_eq!(app.post("/oauth/userinfo", None, &[("access_token", &token)]).await.status, 200);
    let header = app.request("POST", "/oauth/userinfo").bearer_auth(&token);
    assert_eq!(app.send(header).await.status, 200);
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_refused_whatever_the_header_says() {
    let app = TestApp::start().await;
    let token = access_token(&app, "openid").await;
    let request = app.request("POST", "/oauth/userinfo").bearer_auth(&token);
    let request =
        request.header("content-type", "application/x-www-form-urlencoded").body("x".repeat(70_000));
    assert_eq!(app.send(request).await.status, 413);
    let other = app.request("POST", "/oauth/userinfo").bearer_auth(&token).json(&1);
    assert_eq!(app.send(other).await.error(), (400, "invalid_request".into()));
}

fn challenge(answer: &Answer) -> (u16, String) {
    (answer.status, answer.header("www-authenticate").to_owned())
}

/// RFC 6750 §3.1
#[tokio::test]
async fn failures_are_bearer_challenges() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let (status, text) = challenge(&app.get("/oauth/userinfo").await);
    assert_eq!((status, text), (401, format!("Bearer realm=\"{}\"", app.url)), "no token, no error code");
    // An unsupported method is no token either.
    let basic = app.request("GET", "/oauth/userinfo").basic_auth("machine", Some("x"));
    let (status, text) = challenge(&app.send(basic).await);
    assert_eq!((status, text), (401, format!("Bearer realm=\"{}\"", app.url)), "Basic");
    let twice = app.request("POST", "/oauth/userinfo").form(&[("access_token", "a"), ("access_token", "b")]);
    let (status, text) = challenge(&app.send(twice).await);
    assert!(status == 400 && text.contains("error=\"invalid_request\""), "{text}");
    let (status, text) = challenge(&app.userinfo("garbage").await);
    assert!(status == 401 && text.contains("error=\"invalid_token\""), "{text}");
    let machine = app.machine_token("machine").await;
    let (status, text) = challenge(&app.userinfo(&machine).await);
    assert!(status == 403 && text.contains("error=\"insufficient_scope\""), "{text}");
}

/// R43
#[tokio::test]
async fn a_token_in_the_query_is_refused() {
    let app = TestApp::start().await;
    let token = access_token(&app, "openid").await;
    let answer = app.get(&format!("/oauth/userinfo?access_token={token}")).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    let both = app.request("POST", "/oauth/userinfo").bearer_auth(&token).form(&[("access_token", &token)]);
    assert_eq!(app.send(both).await.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn the_claims_parameter_of_the_authorization_is_honoured() {
    use chancery::{model::*, store::Effect};
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let held = app.authorized(&client, &user, "openid").await;
    let provider = &app.provider;
    let family = provider.store.family(held.family).await.unwrap().unwrap();
    let asked = RequestedClaims { userinfo: vec!["email".into()], id_token: vec![] };
    let family =
        Family { id: FamilyId(provider.random.id(app.clock.millis())), claims: asked, ..(*family).clone() };
    let (text, token) = provider.opaque.issue_refresh_token(family.id, 0, &provider.random);
    let expires_at = app.clock.now().plus(1000);
    let effects =
        vec![Effect::InsertFamily(Box::new(family)), Effect::InsertRefreshToken { token, expires_at }];
    app.commit(effects).await;
    let access = app.refresh("web", text.expose()).await.text("access_token");
    assert_eq!(app.userinfo(&access).await.json()["email"], "alice@example.org");
}

/// R27, T10
#[tokio::test]
async fn a_disabled_user_has_no_userinfo() {
    use chancery::store::Effect;
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    let user = app.user("alice").await;
    let code = app.code(&client, &user, "openid").await;
    let token = app.redeem(&client, &code).await.text("access_token");
    let until = app.clock.now().plus(100_000);
    app.commit(vec![Effect::SetUserEnabled(user.id, false), Effect::RaiseUserEpoch { user: user.id, until }])
        .await;
    assert_eq!(app.userinfo(&token).await.status, 401);
}
