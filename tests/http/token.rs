//! RFC 6749 — `POST /oauth/token`.

use chancery::{
    model::{RefreshPolicy, SigningAlg, TokenFormat, User},
    store::Effect,
};

use crate::http::app::TestApp;

/// R29, R42
#[tokio::test]
async fn client_credentials_issue_a_sealed_token_that_is_not_stored_by_caches() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let answer = app.token("machine", &[("grant_type", "client_credentials"), ("scope", "read")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert!(json["access_token"].as_str().unwrap().starts_with("chy_at_"));
    assert_eq!(
        (&json["token_type"], &json["expires_in"], &json["scope"]),
        (&"Bearer".into(), &900.into(), &"read".into())
    );
    assert_eq!(json.get("refresh_token"), None, "RFC 6749 §4.4.3");
}

#[tokio::test]
async fn a_code_is_exchanged_for_access_refresh_and_id_token() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let code = app.code(&client, &user, "openid email offline_access").await;
    let answer = app.redeem(&client, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id_token = answer.text("id_token");
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(&app.get("/.well-known/jwks.json").await.body).unwrap();
    let kid = jsonwebtoken::decode_header(&id_token).unwrap().kid.unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.set_audience(&["web"]);
    rules.set_issuer(&[&app.url]);
    let claims = jsonwebtoken::decode::<serde_json::Value>(&id_token, &key, &rules).unwrap().claims;
    assert_eq!(claims["sub"], user.id.to_string());
    assert_eq!(claims["nonce"], "n-0S6_WzA2Mj");
    let userinfo = app.userinfo(&answer.text("access_token")).await.json();
    assert_eq!((&userinfo["sub"], &userinfo["email"]), (&claims["sub"], &"alice@example.org".into()));
}

/// Every signing algorithm is verified by a library that others wrote.
#[tokio::test]
async fn jwt_access_tokens_verify_against_the_published_keys_in_every_algorithm() {
    let app = TestApp::start_with_all_keys().await;
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(&app.get("/.well-known/jwks.json").await.body).unwrap();
    for alg in SigningAlg::ALL {
        let name = format!("jwt-{}", alg.as_str().to_lowercase());
        app.client(&name, |client| client.token_format = TokenFormat::Jwt(alg)).await;
        let token = app.machine_token(&name).await;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"), "RFC 9068 §2.1");
        let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(alg.as_str().parse().unwrap());
        rules.set_audience(&[&app.url]);
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!((&claims["client_id"], &claims["sub"]), (&name.as_str().into(), &name.as_str().into()));
        assert!(app.is_active(&name, &token).await);
    }
}

/// R6, R31, T17
#[tokio::test]
async fn what_is_not_registered_is_refused() {
    let app = TestApp::start().await;
    app.client("narrow", |client| client.grants = vec!["authorization_code".into()]).await;
    let ask = async |form: &[(&str, &str)]| app.token("narrow", form).await.error();
    assert_eq!(ask(&[("grant_type", "client_credentials")]).await, (400, "unauthorized_client".into()));
    assert_eq!(ask(&[("grant_type", "password")]).await, (400, "unsupported_grant_type".into()));
    assert_eq!(ask(&[("scope", "read")]).await, (400, "invalid_request".into()));
}

/// R30, T18
#[tokio::test]
async fn a_scope_outside_the_list_is_invalid() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let form = [("grant_type", "client_credentials"), ("scope", "read admin")];
    assert_eq!(app.token("machine", &form).await.error(), (400, "invalid_scope".into()));
}

/// R28
#[tokio::test]
async fn the_audience_is_the_resource_asked_for_and_unknown_ones_are_invalid_targets() {
    let app = TestApp::start().await;
    app.resource("https://api.example/", None).await;
    app.resource("https://others.example/", None).await;
    app.client("machine", |client| client.resources = vec!["https://api.example/".into(), "urn:gone".into()])
        .await;
    let ask = async |resource: &str| {
        app.token("machine", &[("grant_type", "client_credentials"), ("resource", resource)]).await
    };
    let token = ask("https://api.example/").await.text("access_token");
    assert_eq!(app.introspect("machine", &token).await.json()["aud"], "https://api.example/");
    // Registered but another client's, neither, the client's but not registered any more, malformed.
    for unknown in ["https://others.example/", "https://unknown.example/", "urn:gone", "not a uri"] {
        assert_eq!(ask(unknown).await.error(), (400, "invalid_target".into()), "{unknown}");
    }
}

/// R22, R23, T06
#[tokio::test]
async fn another_client_cannot_redeem_a_code_and_does_not_kill_it_by_trying() {
    let app = TestApp::start().await;
    let (mine, theirs) = (app.client("mine", |_| {}).await, app.client("theirs", |_| {}).await);
    let code = app.code(&mine, &app.user("alice").await, "read").await;
    assert_eq!(app.redeem(&theirs, &code).await.error(), (400, "invalid_grant".into()));
    assert_eq!(app.redeem(&mine, &code).await.status, 200);
}

/// R21
#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let (early, late) = (app.code(&client, &user, "read").await, app.code(&client, &user, "read").await);
    app.clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(app.redeem(&client, &early).await.status, 200);
    app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(app.redeem(&client, &late).await.error(), (400, "invalid_grant".into()));
}

/// R22
#[tokio::test]
async fn a_second_redemption_revokes_what_the_first_one_issued() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let code = app.code(&client, &user, "openid offline_access").await;
    let first = app.redeem(&client, &code).await;
    let (access, refresh) = (first.text("access_token"), first.text("refresh_token"));
    assert!(app.is_active("web", &access).await && app.is_active("web", &refresh).await);
    assert_eq!(app.redeem(&client, &code).await.error(), (400, "invalid_grant".into()));
    assert!(!app.is_active("web", &access).await && !app.is_active("web", &refresh).await);
    assert_eq!(app.userinfo(&access).await.status, 401);
}

/// R23, T07
#[tokio::test]
async fn a_value_of_one_kind_is_refused_as_every_other() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let code = app.code(&client, &user, "read").await;
    let held = app.authorized(&client, &user, "read").await;
    let access = app.machine_token("web").await;
    for wrong in [&held.refresh_token, &access] {
        assert_eq!(app.redeem(&client, wrong).await.error(), (400, "invalid_grant".into()));
    }
    for wrong in [&code, &access] {
        assert_eq!(app.refresh("web", wrong).await.error(), (400, "invalid_grant".into()));
    }
    assert!(!app.is_active("web", &code).await, "a code is not a token");
    assert_eq!(app.userinfo(&held.refresh_token).await.status, 401);
    assert_eq!(app.userinfo(&code).await.status, 401);
}

/// R27, T10
#[tokio::test]
async fn a_disabled_client_can_do_nothing_and_its_tokens_are_dead() {
    use chancery::store::Effect;
    let app = TestApp::start().await;
    app.client("watcher", |client| client.introspect_any = true).await;
    let client = app.client("machine", |_| {}).await;
    let token = app.machine_token("machine").await;
    assert!(app.is_active("watcher", &token).await);
    let until = app.clock.now().plus(100_000);
    app.commit(vec![
        Effect::SetClientEnabled(client.key, false),
        Effect::RaiseClientEpoch { client: client.key, until },
    ])
    .await;
    assert!(!app.is_active("watcher", &token).await);
    let form = [("grant_type", "client_credentials")];
    assert_eq!(app.token("machine", &form).await.error(), (401, "invalid_client".into()));
}

/// R15, T37
#[tokio::test]
async fn only_registered_origins_may_read_answers() {
    let app = TestApp::start().await;
    app.client("spa", |client| client.allowed_origins = vec!["https://app.example".into()]).await;
    let ask = async |origin: &str| {
        let request = app.request("POST", "/oauth/token").basic_auth("spa", Some(crate::http::app::SECRET));
        let form = [("grant_type", "client_credentials")];
        app.send(request.header("origin", origin).form(&form)).await
    };
    let allowed = ask("https://app.example").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    for foreign in ["https://evil.example", "null", "https://sub.app.example", "https://app.example.evil"] {
        assert_eq!(ask(foreign).await.header("access-control-allow-origin"), "", "{foreign}");
    }
}

/// R69: what is issued can be introspected and revoked; a longer token would be neither.
#[tokio::test]
async fn a_token_too_long_to_be_looked_at_is_not_issued() {
    let app = TestApp::start().await;
    let resources: Vec<_> = (0..8).map(|n| format!("urn:{}{n}", "x".repeat(500))).collect();
    for uri in &resources {
        app.resource(uri, None).await;
    }
    for (name, format) in [("sealed", TokenFormat::Sealed), ("jwt", TokenFormat::Jwt(SigningAlg::EdDSA))] {
        app.client(name, |client| {
            client.token_format = format;
            client.resources = resources.clone();
        })
        .await;
        let ask = async |count: usize| {
            let mut form = vec![("grant_type", "client_credentials")];
            form.extend(resources[..count].iter().map(|uri| ("resource", &**uri)));
            app.token(name, &form).await
        };
        let fits = ask(2).await.text("access_token");
        assert!(app.is_active(name, &fits).await);
        assert_eq!(ask(8).await.error(), (400, "invalid_target".into()), "{name}");
    }
}

/// The feed is not read while these tests run, so that what the node has cached is older than the store.
const BEHIND: [(&str, &str); 2] = [("CHANCERY_FEED_MAX_STALENESS", "60s"), ("CHANCERY_FEED_INTERVAL", "30s")];

#[tokio::test]
async fn a_code_whose_authorization_ended_on_another_node_is_refused_at_once() {
    let app = TestApp::start_with(&BEHIND).await;
    let client = app.client("web", |client| client.refresh_policy = RefreshPolicy::Always).await;
    let user = app.user("alice").await;
    let (first, code) = (app.code(&client, &user, "read").await, app.code(&client, &user, "read").await);
    assert_eq!(app.redeem(&client, &first).await.status, 200, "client and user are cached");
    let until = app.clock.now().plus(3_600);
    app.commit_elsewhere(vec![Effect::RaiseUserEpoch { user: user.id, until }]).await;
    assert_eq!(app.redeem(&client, &code).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_token_has_the_epochs_of_its_authorization_even_if_the_cached_user_is_older() {
    let app = TestApp::start_with(&BEHIND).await;
    let client = app.client("web", |client| client.strict = true).await;
    let user = app.user("alice").await;
    let first = app.code(&client, &user, "read").await;
    assert_eq!(app.redeem(&client, &first).await.status, 200, "client and user are cached");
    let until = app.clock.now().plus(3_600);
    app.commit_elsewhere(vec![Effect::RaiseUserEpoch { user: user.id, until }]).await;
    let signed_in_again = User { epoch: user.epoch + 1, ..user };
    let code = app.code(&client, &signed_in_again, "read").await;
    let answer = app.redeem(&client, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // A strict answer reads the feed first, so the raised epoch is in force.
    assert!(app.is_active("web", &answer.text("access_token")).await);
}
