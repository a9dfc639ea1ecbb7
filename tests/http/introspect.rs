//! RFC 7662 — `POST /oauth/introspect` and `/oauth/introspect/batch`.

use std::time::Duration;

use chancery::{
    model::{AuthMethod, SigningAlg, TokenFormat},
    store::Effect,
};

use crate::http::app::{SECRET, TestApp};

/// R40
#[tokio::test]
async fn an_active_token_is_described_to_its_client() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let token = app
        .token("machine", &[("grant_type", "client_credentials"), ("scope", "read")])
        .await
        .text("access_token");
    let said = app.introspect("machine", &token).await;
    assert_eq!(said.header("cache-control"), "no-store");
    let json = said.json();
    for (member, value) in [
        ("client_id", "machine"),
        ("sub", "machine"),
        ("scope", "read"),
        ("token_type", "Bearer"),
        ("iss", &app.url),
        ("aud", &app.url),
    ] {
        assert_eq!(json[member], value, "{member}");
    }
    assert_eq!(json["exp"].as_u64().unwrap() - json["iat"].as_u64().unwrap(), 900);
}

/// R32, R40
#[tokio::test]
async fn nothing_is_said_before_the_caller_is_authenticated() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    app.client("public", |client| {
        client.auth_method = AuthMethod::None;
        client.secrets.clear();
    })
    .await;
    let token = app.machine_token("machine").await;
    for path in ["/oauth/introspect"] {
        for form in [
            vec![("token", &*token)],
            vec![("token", "x")],
            vec![("token", &*token), ("client_id", "public")],
            vec![],
        ] {
            let answer = app.post(path, None, &form).await;
            assert_eq!(answer.error(), (401, "invalid_client".into()), "{form:?}");
            assert!(answer.header("www-authenticate").starts_with("Basic"));
        }
        let wrong = app.request("POST", path).basic_auth("machine", Some("wrong")).form(&[("token", &token)]);
        assert_eq!(app.send(wrong).await.error(), (401, "invalid_client".into()));
    }
}

/// R40
#[tokio::test]
async fn a_token_is_inactive_for_strangers_and_active_for_owners_and_the_trusted() {
    let app = TestApp::start().await;
    let owner = app.client("owner", |_| {}).await;
    app.client("stranger", |_| {}).await;
    app.client("trusted", |client| client.introspect_any = true).await;
    app.resource("urn:api", Some(&owner)).await;
    app.client("machine", |client| client.default_audience = Some("urn:api".into())).await;
    let token = app.machine_token("machine").await;
    assert!(app.is_active("machine", &token).await);
    assert!(app.is_active("owner", &token).await);
    assert!(app.is_active("trusted", &token).await);
    assert!(!app.is_active("stranger", &token).await);
}

/// R40
#[tokio::test]
async fn a_refresh_token_is_described_only_to_its_client() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    app.client("trusted", |client| client.introspect_any = true).await;
    let held = app.authorized(&client, &app.user("alice").await, "read offline_access").await;
    assert!(app.is_active("web", &held.refresh_token).await);
    assert!(!app.is_active("trusted", &held.refresh_token).await);
    app.refresh("web", &held.refresh_token).await;
    assert!(!app.is_active("web", &held.refresh_token).await, "a rotated token is not active");
}

/// T08: every change of a single character is noticed.
#[tokio::test]
async fn mangled_tokens_are_inactive() {
    let app = TestApp::start().await;
    let client = app.client("machine", |_| {}).await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(SigningAlg::EdDSA)).await;
    let refresh = app.authorized(&client, &app.user("alice").await, "read").await.refresh_token;
    for (owner, token) in [
        ("machine", app.machine_token("machine").await),
        ("jwt", app.machine_token("jwt").await),
        ("machine", refresh),
    ] {
        assert!(app.is_active(owner, &token).await);
        let mut mangled = vec![
            format!("{token}A"),
            format!(" {token}"),
            format!("{token}="),
            token.to_uppercase(),
            token[1..].to_owned(),
            token[..token.len() - 1].to_owned(),
        ];
        for at in (0..token.len()).step_by(7) {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            mangled.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
        }
        for wrong in mangled {
            assert!(!app.is_active(owner, &wrong).await, "{wrong}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_inactive() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let token = app.machine_token("machine").await;
    app.clock.advance(Duration::from_secs(899));
    assert!(app.is_active("machine", &token).await);
    app.clock.advance(Duration::from_secs(1));
    assert!(!app.is_active("machine", &token).await);
}

/// R44, R45, R46, T12
#[tokio::test]
async fn forged_jwts_are_inactive() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let app = TestApp::start().await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(SigningAlg::EdDSA)).await;
    let genuine = app.machine_token("jwt").await;
    let kid = jsonwebtoken::decode_header(&genuine).unwrap().kid;
    let part = |at: usize| genuine.split('.').nth(at).unwrap().to_owned();
    let claims: serde_json::Value =
        serde_json::from_slice(&chancery::crypto::base64url::decode(&part(1)).unwrap()).unwrap();
    let keys = app.get("/.well-known/jwks.json").await.body;
    let public = serde_json::from_str::<serde_json::Value>(&keys).unwrap()["keys"][0].to_string();
    let forged_header = |header: serde_json::Value| {
        let header = chancery::crypto::base64url::encode(header.to_string().as_bytes());
        format!("{header}.{}.{}", part(1), part(2))
    };
    let header = |typ: &str, kid: Option<String>| {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(typ.into());
        header.kid = kid;
        header
    };
    let hmac = |header| encode(&header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let forged = [
        hmac(header("at+jwt", kid.clone())),
        hmac(header("at+jwt", Some("../../etc/passwd".into()))),
        hmac(header("at+jwt", Some("' OR 1=1 --".into()))),
        forged_header(serde_json::json!({"alg": "none", "typ": "at+jwt", "kid": kid})),
        forged_header(serde_json::json!({"alg": "EdDSA", "typ": "JWT", "kid": kid})),
        forged_header(
            serde_json::json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "crit": ["x"], "x": 1}),
        ),
        forged_header(
            serde_json::json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jku": "https://evil.example"}),
        ),
        format!("{}.{}.", part(0), part(1)),
    ];
    for token in forged {
        assert!(!app.is_active("jwt", &token).await, "{token}");
    }
    assert!(app.is_active("jwt", &genuine).await);
}

/// R46: an ID token is not an access token.
#[tokio::test]
async fn an_id_token_is_not_accepted_as_an_access_token() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let code = app.code(&client, &user, "openid").await;
    let id_token = app.redeem(&client, &code).await.text("id_token");
    assert!(!app.is_active("web", &id_token).await);
    assert_eq!(app.userinfo(&id_token).await.status, 401);
}

#[tokio::test]
async fn a_batch_is_answered_in_order_under_one_authentication() {
    let app = TestApp::start().await;
    let client = app.client("machine", |_| {}).await;
    let (first, second) = (app.machine_token("machine").await, app.machine_token("machine").await);
    let refresh = app.authorized(&client, &app.user("alice").await, "read").await.refresh_token;
    app.revoke("machine", &second).await;
    let tokens = serde_json::json!({"tokens": [first, "garbage", second, refresh, "x".repeat(5000)]});
    let request = app.request("POST", "/oauth/introspect/batch").basic_auth("machine", Some(SECRET));
    let answer = app.send(request.json(&tokens)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    let active: Vec<_> = results.iter().map(|result| result["active"].as_bool().unwrap()).collect();
    assert_eq!(active, [true, false, false, true, false]);
    assert_eq!(results[0]["client_id"], "machine");
}

/// R31
#[tokio::test]
async fn a_client_with_its_secret_in_the_body_can_ask_for_a_batch() {
    let app = TestApp::start().await;
    app.client("post", |client| client.auth_method = AuthMethod::ClientSecretPost).await;
    let ask = async |secret: &str| {
        let body = serde_json::json!({"tokens": ["x"], "client_id": "post", "client_secret": secret});
        app.send(app.request("POST", "/oauth/introspect/batch").json(&body)).await
    };
    assert_eq!(ask(SECRET).await.json(), serde_json::json!({"results": [{"active": false}]}));
    assert_eq!(ask("wrong").await.error(), (401, "invalid_client".into()));
}

/// R69
#[tokio::test]
async fn a_batch_has_bounds() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let ask = async |body: String| {
        let request = app.request("POST", "/oauth/introspect/batch").basic_auth("machine", Some(SECRET));
        app.send(request.header("content-type", "application/json").body(body)).await
    };
    let many = |count: usize| serde_json::json!({"tokens": vec!["x"; count]}).to_string();
    assert_eq!(ask(many(1000)).await.status, 200);
    assert_eq!(ask(many(1001)).await.error(), (400, "invalid_request".into()));
    for malformed in ["", "{}", "[]", "{\"tokens\":[1]}", "{\"tokens\":\"x\"}"] {
        assert_eq!(ask(malformed.into()).await.error(), (400, "invalid_request".into()), "{malformed}");
    }
    assert_eq!(ask("[".repeat(100_000)).await.error(), (400, "invalid_request".into()));
    let huge = format!("{{\"tokens\":[\"{}\"]}}", "x".repeat(2 * 1024 * 1024));
    assert_eq!(ask(huge).await.status, 413);
    let nobody = app.request("POST", "/oauth/introspect/batch").json(&serde_json::json!({"tokens": []}));
    assert_eq!(app.send(nobody).await.error(), (401, "invalid_client".into()));
}

/// T10: each way to revoke, each way to look.
#[tokio::test]
async fn whatever_is_revoked_is_dead_everywhere() {
    let app = TestApp::start().await;
    let client = app.client("web", |_| {}).await;
    for way in ["token", "family", "user", "client"] {
        let user = app.user(&format!("user-of-{way}")).await;
        let held = app.authorized(&client, &user, "openid offline_access").await;
        // A client's epoch outlives the loop's round, so the families of later rounds are born under it.
        let tokens = app.refresh("web", &held.refresh_token).await;
        let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
        let until = app.clock.now().plus(100_000);
        let effect = match way {
            "token" => {
                assert_eq!(app.revoke("web", &access).await.status, 200);
                None
            }
            "family" => Some(Effect::RevokeFamily { family: held.family, client: client.key, until }),
            "user" => Some(Effect::RaiseUserEpoch { user: user.id, until }),
            _ => Some(Effect::RaiseClientEpoch { client: client.key, until }),
        };
        if let Some(effect) = effect {
            app.commit(vec![effect]).await;
            assert!(!app.is_active("web", &refresh).await, "{way}");
            assert_eq!(app.refresh("web", &refresh).await.error(), (400, "invalid_grant".into()), "{way}");
        }
        assert!(!app.is_active("web", &access).await, "{way}");
        assert_eq!(app.userinfo(&access).await.status, 401, "{way}");
    }
}

/// A strict caller's batch waits for one read of the feed, however many tokens it has.
#[tokio::test]
async fn a_strict_batch_of_refresh_tokens_waits_for_one_read_of_the_feed() {
    // Nothing else reads the feed meanwhile, and no key is made and stored that takes its time.
    let quiet = [
        ("CHANCERY_FEED_MAX_STALENESS", "60s"),
        ("CHANCERY_FEED_INTERVAL", "30s"),
        ("CHANCERY_KEYS_ALGORITHMS", "ES256,EdDSA"),
    ];
    let app = TestApp::start_with(&quiet).await;
    let client = app.client("web", |client| client.strict = true).await;
    let user = app.user("alice").await;
    let mut tokens = vec![app.machine_token("web").await];
    for _ in 0..20 {
        tokens.push(app.authorized(&client, &user, "read").await.refresh_token);
    }
    let before = app.statements();
    let request = app.request("POST", "/oauth/introspect/batch").basic_auth("web", Some(SECRET));
    let answer = app.send(request.json(&serde_json::json!({ "tokens": tokens }))).await;
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert!(results.iter().all(|result| result["active"] == true), "{answer:?}");
    // Its token and its family for each, the user once, and BEGIN, the head and COMMIT of the feed. A commit's
    // notification may have had the feed read once more, and the probe of the store comes every few seconds;
    // a read of the feed for each token would be 60 more.
    let most = 2 * 20 + 1 + 6 * 3;
    assert!(app.statements() - before <= most, "{} statements", app.statements() - before);
}
