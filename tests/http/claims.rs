//! OpenID Connect Core §5.5 — the `claims` parameter, from the request to userinfo and ID token.

use crate::http::browser::{Browser, add_user, claims, redeem, request_with, site, site_with};

#[tokio::test]
async fn claims_asked_for_by_name_are_in_userinfo_and_in_the_id_token() {
    let app = site().await;
    let wanted = r#"{"userinfo":{"email":{"essential":true},"phone_number":null},"id_token":{"name":null}}"#;
    let request = request_with(&[("scope", "openid"), ("claims", wanted)]);
    let tokens = redeem(&app, &Browser::default().authorized(&app, &request).await.code()).await;
    let id_token = claims(&tokens.text("id_token"));
    assert_eq!(id_token["name"], "Alice Example");
    assert_eq!(id_token.get("email"), None);
    let userinfo = app.userinfo(&tokens.text("access_token")).await.json();
    assert_eq!((&userinfo["email"], userinfo.get("name")), (&"alice@example.org".into(), None));
    assert_eq!(userinfo["sub"], id_token["sub"]);
}

/// §5.4: with an access token, the scopes' claims are at userinfo.
#[tokio::test]
async fn scopes_alone_put_nothing_about_the_person_into_the_id_token() {
    let app = site().await;
    let request = request_with(&[("scope", "openid profile email"), ("nonce", "n-1")]);
    let tokens = redeem(&app, &Browser::default().authorized(&app, &request).await.code()).await;
    let id_token = claims(&tokens.text("id_token"));
    for (name, value) in [("iss", app.url.as_str()), ("aud", "app"), ("nonce", "n-1"), ("acr", "aal1")] {
        assert_eq!(id_token[name], value, "{name}");
    }
    assert_eq!(id_token["amr"], serde_json::json!(["pwd"]));
    assert!(id_token["sid"].is_string() && id_token["at_hash"].is_string());
    assert!(id_token.get("name").is_none() && id_token.get("email").is_none());
    let userinfo = app.userinfo(&tokens.text("access_token")).await.json();
    assert_eq!(
        (&userinfo["email"], &userinfo["name"]),
        (&"alice@example.org".into(), &"Alice Example".into())
    );
}

/// §5.5.1: a `sub` value is an identity; nobody else will do.
#[tokio::test]
async fn a_subject_asked_for_in_claims_is_the_only_one_answered() {
    let app = site_with(|client| client.skip_consent = true).await;
    let bob = add_user(&app, "bob").await;
    let wanted = format!(r#"{{"id_token":{{"sub":{{"value":"{}"}}}}}}"#, bob.id);
    let request = request_with(&[("claims", &wanted)]);
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in_to(&app, &request, "alice").await.refused(), "login_required");
    let tokens = redeem(&app, &browser.sign_in_to(&app, &request, "bob").await.code()).await;
    assert_eq!(claims(&tokens.text("id_token"))["sub"], bob.id.to_string());
}

#[tokio::test]
async fn a_malformed_claims_parameter_is_told_to_the_client() {
    let app = site().await;
    let deep = format!("{}1{}", r#"{"userinfo":"#.repeat(50), "}".repeat(50));
    let long = format!(r#"{{"userinfo":{{"{}":null}}}}"#, "a".repeat(3000));
    for wrong in ["x", "[]", "1", "null", r#"{"userinfo":1}"#, r#"{"id_token":{"a":1}}"#, &deep, &long] {
        let answer = Browser::default().get(&app, &request_with(&[("claims", wrong)])).await;
        assert_eq!(answer.refused(), "invalid_request", "{wrong}");
    }
}
