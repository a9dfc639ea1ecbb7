//! Whatever is sent, the answer is a specified error: never a 5xx, never a panic, never a changed row.

use chancery::http::{Listener, RouteAudience, route_table::ROUTES};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::http::app::{SECRET, TestApp};

const ENDPOINTS: [&str; 4] = ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/userinfo"];

/// R4, T02
#[tokio::test]
async fn duplicate_and_array_parameters_and_query_mixes_are_refused_everywhere() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    for path in &ENDPOINTS[..3] {
        for (query, body) in [
            ("", "token=a&token=b&grant_type=client_credentials"),
            ("", "token=a&grant_type=client_credentials&grant_type=client_credentials"),
            ("", "token=a&grant_type=client_credentials&scope[]=read"),
            ("?grant_type=client_credentials", "token=a"),
        ] {
            let request = app.request("POST", &format!("{path}{query}")).basic_auth("machine", Some(SECRET));
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            assert_eq!(
                app.send(request).await.error(),
                (400, "invalid_request".into()),
                "{path}{query} {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_content_type_is_an_invalid_request() {
    let app = TestApp::start().await;
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        for path in &ENDPOINTS[..3] {
            let request = app.request("POST", path).header("content-type", content_type).body("{}");
            assert_eq!(
                app.send(request).await.error(),
                (400, "invalid_request".into()),
                "{path} {content_type}"
            );
        }
    }
    let charset = "application/x-www-form-urlencoded; charset=UTF-8";
    let request = app.request("POST", "/oauth/token").header("content-type", charset).body("grant_type=x");
    assert_eq!(app.send(request).await.error(), (400, "unsupported_grant_type".into()));
}

/// R69, T32
#[tokio::test]
async fn oversized_requests_are_refused() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let body = format!("grant_type=client_credentials&x={}", "a".repeat(64 * 1024));
    let request = app.request("POST", "/oauth/token").basic_auth("machine", Some(SECRET));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    assert_eq!(app.send(request).await.status, 413);
    let many = (0..101).map(|at| (format!("p{at}"), "1".to_owned())).collect::<Vec<_>>();
    let request = app.request("POST", "/oauth/token").basic_auth("machine", Some(SECRET)).form(&many);
    assert_eq!(app.send(request).await.error(), (400, "invalid_request".into()));
    let scope = "a".repeat(1025);
    let form = [("grant_type", "client_credentials"), ("scope", &scope)];
    assert_eq!(app.token("machine", &form).await.error(), (400, "invalid_request".into()));
    let request = app.request("GET", "/health/live").header("x-large", "a".repeat(17 * 1024));
    assert_eq!(app.send(request).await.status, 431);
    let request = app.request("GET", "/health/live").header("cookie", "a=b; ".repeat(4000));
    assert_eq!(app.send(request).await.status, 431);
}

/// T32: a compressed body is not unpacked.
#[tokio::test]
async fn compressed_bodies_are_refused() {
    let app = TestApp::start().await;
    let request = app.request("POST", "/oauth/token").header("content-encoding", "gzip");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("x");
    assert_eq!(app.send(request).await.status, 415);
}

#[tokio::test]
async fn wrong_methods_and_unknown_paths_are_answered_in_json() {
    let app = TestApp::start().await;
    let wrong = app.send(app.request("GET", "/oauth/token")).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST, OPTIONS"));
    assert_eq!(wrong.json()["error"], "invalid_request");
    assert_eq!(app.get("/nowhere").await.error(), (404, "not_found".into()));
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "FOO"] {
        let status = app.send(app.request(method, "/oauth/introspect")).await.status;
        assert!((400..500).contains(&status), "{method} {status}");
    }
}

/// RFC 9110 §15.5.6: each route answers other methods than its own with 405, in the form its audience reads.
#[tokio::test]
async fn every_route_says_which_methods_it_has() {
    let app = TestApp::start().await;
    for route in ROUTES.iter().filter(|route| route.listeners.contains(&Listener::Public)) {
        let answer = app.send(app.request("PATCH", &route.path.replace(['{', '}'], ""))).await;
        let methods: Vec<_> = route.methods().collect();
        assert_eq!((answer.status, answer.header("allow")), (405, &*methods.join(", ")), "{}", route.path);
        let form = if route.audience == RouteAudience::Person {
            "text/html; charset=utf-8"
        } else {
            "application/json"
        };
        assert_eq!(answer.header("content-type"), form, "{}", route.path);
    }
}

/// R77: a proxy that compares paths as they are sent, and the server behind it, agree.
#[tokio::test]
async fn a_percent_encoded_spelling_of_a_page_is_not_the_page() {
    let app = TestApp::start().await;
    for path in
        ["/%6cogin", "/oauth/%61uthorize", "/oauth%2fauthorize", "/%61ccount", "/%61ssets/chancery.css"]
    {
        assert_eq!(app.get(path).await.error(), (404, "not_found".into()), "{path}");
    }
}

/// R69: arbitrary bytes at every endpoint.
#[test]
fn arbitrary_bodies_and_headers_never_make_a_5xx_or_change_a_row() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime.block_on(async {
        let app = TestApp::start_with_all_keys().await;
        app.client("machine", |_| {}).await;
        app
    });
    let rows = || runtime.block_on(app.provider.store.statistics()).unwrap().rows;
    let before = rows();
    let names = [
        "grant_type",
        "token",
        "code",
        "refresh_token",
        "scope",
        "resource",
        "client_id",
        "client_secret",
        "redirect_uri",
        "code_verifier",
        "x",
    ];
    let name = proptest::sample::select(names.to_vec());
    let value = prop_oneof![
        any::<String>(),
        proptest::sample::select(vec![
            "client_credentials",
            "authorization_code",
            "refresh_token",
            "machine",
            SECRET,
            "chy_rt_AAAA",
            "a.b.c"
        ])
        .prop_map(String::from),
    ];
    let form = proptest::collection::vec((name, value), 0..8).prop_map(|pairs| {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
    });
    let body = prop_oneof![form, proptest::collection::vec(any::<u8>(), 0..300)];
    let case = (proptest::sample::select(ENDPOINTS.to_vec()), body, any::<bool>(), "[ -~]{0,60}");
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&case, |(path, body, genuine, header)| {
            let mut request = app.request("POST", path).body(body);
            request = request.header("content-type", "application/x-www-form-urlencoded");
            request = if genuine {
                request.basic_auth("machine", Some(SECRET))
            } else {
                request.header("authorization", header)
            };
            let answer = runtime.block_on(app.send(request));
            prop_assert!(answer.status < 500, "{:?}", answer);
            if answer.status >= 400 && !answer.body.is_empty() {
                prop_assert!(answer.json()["error"].is_string(), "{:?}", answer);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(rows(), before);
}

/// R69, T32: a head or body that trickles in ends with the connection, not with the patience.
#[tokio::test]
async fn a_slow_head_or_body_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let settings = [("CHANCERY_SERVER_HEAD_TIMEOUT", "1s"), ("CHANCERY_SERVER_BODY_TIMEOUT", "1s")];
    let app = TestApp::start_with(&settings).await;
    let head = "POST /oauth/token HTTP/1.1\r\nhost: x\r\n";
    let body = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\ngrant_type=";
    for (sent, whole_head) in [(head.to_owned(), false), (format!("{head}{body}"), true)] {
        let address = app.url.trim_start_matches("http://");
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), connection.read(&mut answer));
        let length = read.await.expect("the server does not wait for ever").unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.is_empty() && !whole_head || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}
