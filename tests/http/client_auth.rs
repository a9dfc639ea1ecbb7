//! RFC 6749 §2.3 — client authentication over HTTP.

use chancery::model::AuthMethod;

use crate::http::app::{SECRET, TestApp};

const FORM: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// R31, R33
#[tokio::test]
async fn each_client_has_one_way_to_authenticate() {
    let app = TestApp::start().await;
    app.client("basic", |_| {}).await;
    app.client("post", |client| client.auth_method = AuthMethod::ClientSecretPost).await;
    let body = |id| [FORM[0], ("client_id", id), ("client_secret", SECRET)];
    assert_eq!(app.token("basic", &FORM).await.status, 200);
    assert_eq!(app.post("/oauth/token", None, &body("post")).await.status, 200);
    let refused = (401, "invalid_client".to_owned());
    assert_eq!(app.token("post", &FORM).await.error(), refused);
    assert_eq!(app.post("/oauth/token", None, &body("basic")).await.error(), refused);
    assert_eq!(app.token("basic", &body("basic")).await.error(), (400, "invalid_request".into()));
}

/// R33
#[tokio::test]
async fn two_authorization_headers_are_an_invalid_request() {
    let app = TestApp::start().await;
    app.client("basic", |_| {}).await;
    let twice = app.request("POST", "/oauth/token").form(&FORM).basic_auth("basic", Some(SECRET));
    let twice = twice.header("authorization", "Basic eDp5");
    assert_eq!(app.send(twice).await.error(), (400, "invalid_request".into()));
}

/// R34: unknown clients and wrong secrets cannot be told apart.
#[tokio::test]
async fn unknown_clients_and_wrong_secrets_get_the_same_answer() {
    let app = TestApp::start().await;
    app.client("known", |_| {}).await;
    app.client("disabled", |client| client.enabled = false).await;
    let ask = async |id: &str, secret: &str| {
        let request = app.request("POST", "/oauth/token").form(&FORM).basic_auth(id, Some(secret));
        let mut json = app.send(request).await.json();
        json.as_object_mut().unwrap().remove("request_id");
        json
    };
    let wrong = ask("known", "wrong").await;
    assert_eq!(wrong["error"], "invalid_client");
    assert_eq!(ask("unknown", SECRET).await, wrong);
    assert_eq!(ask("disabled", SECRET).await, wrong);
}
