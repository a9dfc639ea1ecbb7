//! RFC 9112 — what is plain is answered by a loop of our own and the rest by actix; from outside they are one
//! server.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::http::app::{SECRET, TestApp};

/// Nothing here takes longer, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// actix's: our own loop leaves it every connection on which somebody says this.
const OUT_OF_THE_ORDINARY: &str = "connection: keep-alive, keep-alive\r\n";

struct Wire(TcpStream);

impl Wire {
    async fn open(app: &TestApp) -> Self {
        let stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Self(stream)
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("it is heard");
    }

    /// The next answer, by its stated length; `bodiless` if it was a HEAD that asked.
    async fn hear(&mut self, bodiless: bool) -> Heard {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(DEADLINE, self.0.read_u8()).await.expect("in time").expect("an answer"));
        }
        let head = String::from_utf8(head).expect("text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.filter(|_| !bodiless).map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        timeout(DEADLINE, self.0.read_exact(&mut body)).await.expect("in time").expect("a body");
        Heard { head, body: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn ask(&mut self, text: &str) -> Heard {
        self.say(text).await;
        self.hear(text.starts_with("HEAD")).await
    }

    /// Whether the server ends the connection.
    async fn ends(&mut self) -> bool {
        timeout(DEADLINE, self.0.read(&mut [0; 1])).await.is_ok_and(|read| matches!(read, Ok(0) | Err(_)))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Heard {
    head: String,
    body: String,
}

impl Heard {
    fn status(&self) -> &str {
        &self.head["HTTP/1.1 ".len()..][..3]
    }

    /// What is the same however often it is asked: not the time, an id, a token or a nonce.
    fn lasting(&self) -> (String, usize) {
        let passing = ["date", "x-request-id", "set-cookie", "content-security-policy"];
        let is_passing = |line: &&str| passing.iter().any(|name| line.starts_with(&format!("{name}:")));
        let mut lines: Vec<_> = self.head.lines().filter(|line| !is_passing(line)).collect();
        lines[1..].sort_unstable();
        (lines.join("\n"), self.body.len())
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// A form with its client's name and secret in it.
fn post(path: &str, form: &str) -> String {
    let form = format!("{form}&client_id=machine&client_secret={SECRET}");
    let kind = "content-type: application/x-www-form-urlencoded";
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{kind}\r\ncontent-length: {}\r\n\r\n{form}", form.len())
}

fn token() -> String {
    post("/oauth/token", "grant_type=client_credentials")
}

async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.client("machine", |client| client.auth_method = chancery::model::AuthMethod::ClientSecretPost).await;
    app
}

#[tokio::test]
async fn an_answer_is_the_same_whoever_reads_the_request() {
    let app = app().await;
    let (mut ours, mut actix) = (Wire::open(&app).await, Wire::open(&app).await);
    let requests = [
        get("/.well-known/openid-configuration"),
        get("/.well-known/jwks.json").replace("host", "accept-encoding: gzip\r\nhost"),
        get("/.well-known/jwks.json").replace("GET", "HEAD"),
        get("/health/live"),
        get("/health/live").replace("GET", "HEAD"),
        get("/assets/chancery.css"),
        get("/login"),
        get("/nowhere"),
        get("/oauth/token"),
        get("/oauth/userinfo?access_token=x"),
        get("/oauth/userinfo").replace("GET", "OPTIONS").replace("host", "origin: https://a.example\r\nhost"),
        get("http://x/health/live"),
        get("/oauth/token").replace("GET", "PURGE"),
        token(),
        post("/oauth/introspect", "token=chy_at_x"),
        post("/oauth/introspect", "token=x&token=y"),
        post("/oauth/revoke", "token=x"),
        post("/oauth/token", "grant_type=%ff"),
    ];
    for request in requests {
        let odd = request.replacen("\r\n", &format!("\r\n{OUT_OF_THE_ORDINARY}"), 1);
        let (one, other) = (ours.ask(&request).await, actix.ask(&odd).await);
        assert_eq!(one.lasting(), other.lasting(), "{request}");
        assert!(one.head.contains("\r\ndate: "), "{one:?}");
    }
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_turn() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    wire.say(&[get("/health/live"), token(), get("/nowhere"), token()].concat()).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(wire.hear(false).await.status().to_owned());
    }
    assert_eq!(statuses, ["200", "200", "404", "200"]);
}

#[tokio::test]
async fn a_request_may_come_in_pieces() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    let request = token();
    for at in [1, 20, request.find("\r\n\r\n").expect("a head") + 4, request.len() - 1] {
        wire.say(&request[..at]).await;
        tokio::task::yield_now().await;
        assert_eq!(wire.ask(&request[at..]).await.status(), "200", "cut at {at}");
    }
}

/// T32: each piece is looked at with all that came before it, so that there must not be very many.
#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    for byte in token().chars() {
        wire.say(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.hear(false).await.status(), "200");
    assert_eq!(wire.ask(&token()).await.status(), "200");
}

/// RFC 9112 §9.3, §9.6
#[tokio::test]
async fn a_connection_goes_on_until_its_client_says_so() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    assert!(!wire.ask(&token()).await.head.contains("connection:"));
    let last = token().replacen("host", "connection: close\r\nhost", 1);
    let answer = wire.ask(&last).await;
    assert!(answer.head.contains("\r\nconnection: close\r\n"), "{answer:?}");
    assert!(wire.ends().await);
}

#[tokio::test]
async fn what_is_out_of_the_ordinary_is_answered_too_and_so_is_what_follows() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    assert_eq!(wire.ask(&token()).await.status(), "200");
    let form = format!("grant_type=client_credentials&client_id=machine&client_secret={SECRET}");
    let chunked = token().split("content-length").next().expect("a head").to_owned()
        + &format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n", form.len());
    assert_eq!(wire.ask(&chunked).await.status(), "200");
    assert_eq!(wire.ask(&token()).await.status(), "200");
    // RFC 9110 §10.1.1
    let mut wire = Wire::open(&app).await;
    let expecting = token().replacen("host", "expect: 100-continue\r\nhost", 1);
    let (head, body) = expecting.split_at(expecting.find("\r\n\r\n").expect("a head") + 4);
    assert_eq!(wire.ask(head).await.status(), "100");
    assert_eq!(wire.ask(body).await.status(), "200");
}

/// T32: two readers of one connection who differed about where a request ends could be played against each
/// other.
#[tokio::test]
async fn what_readers_could_differ_about_is_refused_and_ends_the_connection() {
    let app = app().await;
    for fields in [
        "content-length: 4\r\ncontent-length: 4",
        "content-length: 4\r\ntransfer-encoding: chunked",
        "content-length: +4",
        "content-length: 4, 4",
        "transfer-encoding: xchunked",
        "host: y",
        "bad name: 1",
    ] {
        let mut wire = Wire::open(&app).await;
        assert_eq!(wire.ask(&get("/health/live")).await.status(), "200");
        let smuggled = get("/oauth/nowhere");
        wire.say(&format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\nabcd{smuggled}")).await;
        assert_eq!(wire.hear(false).await.status(), "400", "{fields}");
        assert!(wire.ends().await, "{fields}");
    }
    let metrics = app.get_operations("/metrics").await.body;
    assert!(metrics.contains("chancery_http_rejected_total{reason=\"malformed\"} 7\n"), "{metrics}");
}

/// R69
#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let app = TestApp::start_with(&[("CHANCERY_SERVER_KEEP_ALIVE", "1s")]).await;
    let mut wire = Wire::open(&app).await;
    assert_eq!(wire.ask(&get("/health/live")).await.status(), "200");
    assert!(wire.ends().await);
}

#[tokio::test]
async fn a_client_that_stops_halfway_leaves_nothing_open() {
    let app = TestApp::start_with(&[("CHANCERY_SERVER_HEAD_TIMEOUT", "1s")]).await;
    for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HT"] {
        let mut wire = Wire::open(&app).await;
        wire.say(beginning).await;
        wire.0.shutdown().await.expect("a socket");
        let mut rest = Vec::new();
        timeout(DEADLINE, wire.0.read_to_end(&mut rest)).await.expect("in time").expect("the end");
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{beginning:?}");
    }
}

/// A large answer reaches a client that reads it slowly, byte for byte.
#[tokio::test]
async fn a_large_answer_is_taken_as_slowly_as_its_client_likes() {
    let app = app().await;
    let mut wire = Wire::open(&app).await;
    let requests = get("/.well-known/openid-configuration").repeat(300);
    let whole =
        reqwest::get(format!("{}/.well-known/openid-configuration", app.url)).await.expect("an answer");
    let whole = whole.text().await.expect("a body");
    wire.say(&requests).await;
    for _ in 0..300 {
        assert_eq!(wire.hear(false).await.body, whole);
    }
}
