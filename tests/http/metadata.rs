//! RFC 8414, OpenID Connect Discovery, RFC 7517 — the public documents.

use crate::http::app::TestApp;

/// R10, R11
#[tokio::test]
async fn both_metadata_addresses_serve_what_the_code_does() {
    let app = TestApp::start().await;
    let openid = app.get("/.well-known/openid-configuration").await;
    let oauth = app.get("/.well-known/oauth-authorization-server").await;
    assert_eq!((openid.status, &openid.body), (200, &oauth.body));
    let text = serde_json::to_string_pretty(&openid.json()).unwrap();
    insta::assert_snapshot!("metadata", text.replace(&app.url, "ISSUER"));
}

#[tokio::test]
async fn public_documents_can_be_cached_and_revalidated() {
    let app = TestApp::start().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ] {
        let first = app.get(path).await;
        assert_eq!(first.header("cache-control"), "public, max-age=3600", "{path}");
        let again = app.request("GET", path).header("if-none-match", first.header("etag"));
        let again = app.send(again).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(first.header("access-control-allow-origin"), "*");
        assert_eq!(app.send(app.request("HEAD", path)).await.status, 200);
    }
}

/// R50: the key set holds public members only, and one key for each algorithm.
#[tokio::test]
async fn the_key_set_has_public_keys_only() {
    let app = TestApp::start_with_all_keys().await;
    let keys = app.get("/.well-known/jwks.json").await.json()["keys"].as_array().unwrap().clone();
    let algs: std::collections::BTreeSet<_> =
        keys.iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect();
    assert_eq!(algs.into_iter().collect::<Vec<_>>(), ["ES256", "EdDSA", "PS256", "RS256"]);
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(key.get(private), None, "{private}");
        }
        assert_eq!(key["use"], "sig");
    }
}

/// R67, T26
#[tokio::test]
async fn no_header_of_a_request_changes_the_issuer() {
    let app = TestApp::start().await;
    let mut request = app.request("GET", "/.well-known/openid-configuration");
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
    ] {
        request = request.header(name, value);
    }
    let answer = app.send(request).await;
    assert_eq!(answer.json()["issuer"], app.url.as_str());
    assert!(!answer.body.contains("evil"));
}
