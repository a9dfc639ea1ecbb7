//! RFC 9110 §8.4 — what is compressed, and what never is.

use std::io::Read as _;

use chancery::model::{SigningAlg, TokenFormat};
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::http::app::{SECRET, TestApp};

/// Whatever a client says it can read.
const GREEDY: [&str; 4] = ["gzip", "*", "gzip, identity;q=0", "br, zstd, deflate, gzip;q=0.9"];

/// Asks for a path with these headers: status, headers, body as it came.
async fn ask(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let request =
        headers.iter().fold(app.request("GET", path), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await.expect("a body").to_vec())
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
    plain
}

#[tokio::test]
async fn public_documents_are_compressed_for_those_who_ask() {
    let app = TestApp::start_with_all_keys().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/assets/chancery.css",
        "/assets/chancery.svg",
    ] {
        let (status, plain, body) = ask(&app, path, &[]).await;
        assert_eq!((status, plain.get("content-encoding")), (200, None), "{path}");
        let (status, coded, packed) = ask(&app, path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((status, &coded["content-encoding"]), (200, &"gzip".parse().expect("a value")), "{path}");
        assert!(packed.len() < body.len(), "{path}: {} of {}", packed.len(), body.len());
        assert_eq!(unpacked(&packed), body, "{path}");
        assert_eq!(coded["content-type"], plain["content-type"], "{path}");
        assert_ne!(coded["etag"], plain["etag"], "{path}: a strong validator for each coding");
        let (plain_tag, coded_tag) =
            [&plain, &coded].map(|headers| headers["etag"].to_str().expect("text")).into();
        for (accepted, tag, expected) in [
            ("gzip", coded_tag, 304),
            ("gzip", plain_tag, 200),
            ("identity", plain_tag, 304),
            ("br", coded_tag, 200),
        ] {
            let again = [("accept-encoding", accepted), ("if-none-match", tag)];
            let (status, headers, body) = ask(&app, path, &again).await;
            assert_eq!(
                (status, &headers["vary"]),
                (expected, &"accept-encoding".parse().expect("a value")),
                "{path}"
            );
            assert_eq!(headers["etag"], if accepted == "gzip" { coded_tag } else { plain_tag }, "{path}");
            assert_eq!(body.is_empty(), expected == 304, "{path}");
        }
    }
}

#[tokio::test]
async fn large_batches_are_compressed_for_those_who_ask() {
    let app = TestApp::start().await;
    app.client("machine", |client| client.introspect_any = true).await;
    let token = app.machine_token("machine").await;
    for (tokens, accepted, packed) in [
        (200, Some("gzip"), true),
        (200, None, false),
        (200, Some("gzip;q=0"), false),
        (2, Some("gzip"), false),
    ] {
        let body = json!({ "tokens": vec![&token; tokens] });
        let request =
            app.request("POST", "/oauth/introspect/batch").basic_auth("machine", Some(SECRET)).json(&body);
        let request =
            accepted.into_iter().fold(request, |request, value| request.header("accept-encoding", value));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers().contains_key("content-encoding"), packed, "{tokens} {accepted:?}");
        assert_eq!(
            (&answer.headers()["vary"], &answer.headers()["cache-control"]),
            (&"accept-encoding".parse().expect("a value"), &"no-store".parse().expect("a value"))
        );
        let body = answer.bytes().await.expect("a body");
        let body = if packed { unpacked(&body) } else { body.to_vec() };
        let results: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let results = results["results"].as_array().expect("a list");
        assert!(results.len() == tokens && results.iter().all(|result| result["active"] == true));
    }
}

/// What holds a secret, or says something about somebody, must not tell by its length what is in it.
#[tokio::test]
async fn no_answer_with_a_secret_and_no_page_is_ever_compressed() {
    let app = TestApp::start().await;
    let client = app.client("app", |client| client.introspect_any = true).await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(SigningAlg::EdDSA)).await;
    let user = app.user_with("alice", json!({ "name": "a".repeat(12 * 1024) })).await;
    for accepted in GREEDY {
        let post = |client_id: &str, path: &str, form: &[(&str, &str)]| {
            let request = app.request("POST", path).basic_auth(client_id, Some(SECRET)).form(form);
            app.send(request.header("accept-encoding", accepted))
        };
        let family = app.authorized(&client, &user, "openid profile offline_access").await;
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", family.refresh_token.as_str())];
        let tokens = post("app", "/oauth/token", &refresh).await;
        let (access, id) = (tokens.text("access_token"), tokens.text("id_token"));
        let bearer =
            app.request("GET", "/oauth/userinfo").bearer_auth(&access).header("accept-encoding", accepted);
        let userinfo = app.send(bearer).await;
        assert!(userinfo.body.len() > 8 * 1024, "{}", userinfo.body.len());
        let mut answers = vec![
            post("jwt", "/oauth/token", &[("grant_type", "client_credentials")]).await,
            post("app", "/oauth/introspect", &[("token", &access)]).await,
            post("app", "/oauth/token", &[("grant_type", &"x".repeat(20_000))]).await,
            post("nobody", "/oauth/token", &[("grant_type", "client_credentials")]).await,
            post("app", "/oauth/revoke", &[("token", &access)]).await,
            tokens,
            userinfo,
        ];
        let ends = format!("/oauth/logout?id_token_hint={id}");
        for path in ["/login", "/account", "/oauth/authorize", &ends, "/nowhere", "/health/ready"] {
            let request = app.request("GET", path).header("accept-encoding", accepted);
            answers.push(app.send(request).await);
        }
        for answer in answers {
            assert_eq!(answer.header("content-encoding"), "", "{accepted}: {answer:?}");
        }
    }
}
