//! RFC 9113 — the public listener speaks HTTP/2 to clients that begin with it, and every limit holds there.

use std::time::Duration;

use actix_web::web::Bytes;
use chancery::model::AuthMethod;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::http::app::{SECRET, TestApp};

/// Nothing here takes longer, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection, and how it ends.
async fn connect(app: &TestApp) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.expect("it listens");
    let (send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    (send.ready().await.expect("a connection"), tokio::spawn(connection))
}

fn request(app: &TestApp, method: &str, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("{}{path}", app.url))
}

async fn ended(connection: JoinHandle<Result<(), h2::Error>>) -> Result<(), h2::Error> {
    tokio::time::timeout(DEADLINE, connection).await.expect("it ends").expect("no panic")
}

#[tokio::test]
async fn tokens_are_issued_and_described_over_http_2() {
    let app = TestApp::start().await.over_http2();
    app.client("machine", |client| client.introspect_any = true).await;
    let token = app.machine_token("machine").await;
    assert!(app.is_active("machine", &token).await);
    let answer = app.request("GET", "/.well-known/openid-configuration").send().await.expect("an answer");
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert!(answer.headers().contains_key("date") && answer.headers().contains_key("etag"));
    let length = answer.content_length().expect("a length");
    assert_eq!(answer.bytes().await.expect("a body").len() as u64, length);
    let head = app.request("HEAD", "/.well-known/openid-configuration").send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], length.to_string());
    assert_eq!(head.bytes().await.expect("no body").len(), 0);
    assert_eq!(app.get("/nowhere").await.error(), (404, "not_found".into()));
    // The other HTTP is spoken beside it.
    let old = reqwest::get(format!("{}/health/live", app.url)).await.expect("an answer");
    assert_eq!((old.version(), old.status().as_u16()), (reqwest::Version::HTTP_11, 200));
}

/// RFC 9113 §8.2.3: the cookies of a browser come in a header each.
#[tokio::test]
async fn a_browser_is_known_by_its_cookies() {
    let app = TestApp::start().await.over_http2();
    let first = app.get("/account").await;
    let cookie = first.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    assert!(cookie.starts_with("chancery_browser="), "{first:?}");
    let again = app.request("GET", "/account").header("cookie", "other=1").header("cookie", &cookie);
    assert_eq!(app.send(again).await.header("set-cookie"), "");
}

/// R69, T32
#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let app = TestApp::start().await.over_http2();
    app.client("machine", |_| {}).await;
    for size in [17 * 1024, 60 * 1024] {
        let request = app.request("GET", "/health/live").header("x-large", "a".repeat(size));
        assert_eq!(app.send(request).await.status, 431, "{size}");
    }
    // Many small ones, which the client's side packs into few bytes.
    let (mut send, _connection) = connect(&app).await;
    let mut many = request(&app, "GET", "/health/live");
    for at in 0..4000 {
        many = many.header("x-many", format!("{}", at % 2));
    }
    let (answer, _) = send.send_request(many.body(()).expect("a request"), true).expect("it is sent");
    let refused = answer.await.expect_err("so many end the connection");
    assert_eq!(refused.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM), "{refused}");
    let form = format!("grant_type=client_credentials&x={}", "a".repeat(64 * 1024));
    let request = app.request("POST", "/oauth/token").basic_auth("machine", Some(SECRET));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(app.send(request).await.status, 413);
    let metrics = app.get_operations("/metrics").await.body;
    for line in [
        "chancery_http_rejected_total{reason=\"header_too_large\"} 1\n",
        "chancery_http_rejected_total{reason=\"body_too_large\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// I8: what a connection brings at once is counted request by request.
#[tokio::test]
async fn requests_of_one_connection_are_shed_and_time_out_as_those_of_many() {
    let settings = [
        ("CHANCERY_SERVER_WORKERS", "1"),
        ("CHANCERY_SERVER_MAX_IN_FLIGHT", "1"),
        ("CHANCERY_SERVER_REQUEST_TIMEOUT", "2s"),
    ];
    let app = TestApp::start_with(&settings).await.over_http2();
    let client = app.client("app", |_| {}).await;
    let user = app.user("alice").await;
    let before = app.authorized(&client, &user, "openid offline_access").await;
    let stall = app.stall_writes();
    let refresh = app.refresh("app", &before.refresh_token);
    let others = async {
        app.until_in_flight(1).await;
        let refused = app.token("app", &[("grant_type", "client_credentials")]).await;
        assert_eq!(refused.error(), (503, "temporarily_unavailable".into()));
        assert!(["1", "2", "3"].contains(&refused.header("retry-after")), "{refused:?}");
        assert_eq!(app.get("/health/ready").await.status, 200);
    };
    let (late, ()) = futures_util::future::join(refresh, others).await;
    assert_eq!(late.error(), (503, "temporarily_unavailable".into()));
    drop(stall);
    assert_eq!(app.token("app", &[("grant_type", "client_credentials")]).await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_ends_its_request_only() {
    let app = TestApp::start_with(&[("CHANCERY_SERVER_BODY_TIMEOUT", "300ms")]).await;
    let (mut send, _connection) = connect(&app).await;
    let slow =
        request(&app, "POST", "/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    let (answer, mut body) = send.send_request(slow.body(()).expect("a request"), false).expect("it is sent");
    body.send_data(Bytes::from_static(b"grant"), false).expect("a part is sent");
    assert_eq!(answer.await.expect("an answer").status().as_u16(), 408);
    let other = request(&app, "GET", "/health/live").body(()).expect("a request");
    let mut send = send.ready().await.expect("a connection");
    assert_eq!(send.current_max_send_streams(), 128, "requests of one connection are bounded");
    let (answer, _) = send.send_request(other, true).expect("it is sent");
    assert_eq!(answer.await.expect("an answer").status().as_u16(), 200);
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_is_dropped() {
    let app = TestApp::start().await;
    let client = app.client("app", |client| client.auth_method = AuthMethod::ClientSecretPost).await;
    let user = app.user("alice").await;
    let before = app.authorized(&client, &user, "openid offline_access").await;
    let stall = app.stall_writes();
    let (mut send, _connection) = connect(&app).await;
    let credentials = format!("client_id=app&client_secret={}", SECRET.replace(' ', "+"));
    let form = format!("grant_type=refresh_token&refresh_token={}&{credentials}", before.refresh_token);
    let refresh = request(&app, "POST", "/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(())
        .expect("a request");
    let (answer, mut body) = send.send_request(refresh, false).expect("it is sent");
    body.send_data(Bytes::from(form), true).expect("it is sent");
    app.until_in_flight(1).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(answer);
    app.until_in_flight(0).await;
    drop(stall);
}

#[tokio::test]
async fn a_connection_that_is_silent_or_idle_is_closed() {
    let settings = [("CHANCERY_SERVER_HEAD_TIMEOUT", "300ms"), ("CHANCERY_SERVER_KEEP_ALIVE", "1s")];
    let app = TestApp::start_with(&settings).await;
    // Not a byte; a beginning that could become either; the beginning of HTTP/2 and no more.
    for first in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.expect("it listens");
        stream.write_all(first.as_bytes()).await.expect("it takes bytes");
        let mut rest = Vec::new();
        let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        end.unwrap_or_else(|_| panic!("{first:?} is waited for without end")).expect("it is closed");
    }
    // Before its first request, and after one: told to go, without an error.
    let (_send, connection) = connect(&app).await;
    ended(connection).await.expect("a gentle end");
    let (mut send, connection) = connect(&app).await;
    let live = request(&app, "GET", "/health/live").body(()).expect("a request");
    let (answer, _) = send.send_request(live, true).expect("it is sent");
    assert_eq!(answer.await.expect("an answer").status().as_u16(), 200);
    ended(connection).await.expect("a gentle end");
}
