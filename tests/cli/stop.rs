//! SIGTERM: readiness fails first, requests under way are finished, then the process ends (F14).

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use crate::cli::{
    process::{DEADLINE, Place, terminate},
    server::credentials,
};

/// A connection that is kept, for one exchange after the other.
struct Kept(TcpStream);

impl Kept {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        Self(stream)
    }

    /// The status of the next answer; `None` when the server has closed the connection.
    fn status(&mut self) -> Option<u16> {
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(answer).expect("UTF-8").to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        self.0.read_exact(&mut body).expect("a body");
        Some(head[9..12].parse().expect("a status"))
    }

    fn ready(&mut self) -> Option<u16> {
        self.0.write_all(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        self.status()
    }
}

#[test]
fn readiness_fails_before_connections_do() {
    let place = Place::new();
    let mut server = place.serve();
    let mut balancer = Kept::open(&server.listen);
    assert_eq!(balancer.ready(), Some(200));
    terminate(&server.child);
    let begun = Instant::now();
    let first_refusal = loop {
        match balancer.ready() {
            Some(200) => assert!(begun.elapsed() < DEADLINE, "it never notices"),
            other => break other,
        }
    };
    assert_eq!(first_refusal, Some(503), "told, not cut off");
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_request_under_way_is_finished() {
    let place = Place::new();
    let app = credentials(&place, "app", &[]);
    let mut server = place.serve();
    let mut client = Kept::open(&server.listen);
    let body = format!("{app}&grant_type=client_credentials");
    let (early, late) = body.split_at(10);
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{early}",
        body.len()
    );
    client.0.write_all(head.as_bytes()).expect("it takes the head");
    // Another connection proves that the signal has arrived.
    let mut balancer = Kept::open(&server.listen);
    assert_eq!(balancer.ready(), Some(200));
    terminate(&server.child);
    while balancer.ready() == Some(200) {}
    client.0.write_all(late.as_bytes()).expect("it takes the rest");
    assert_eq!(client.status(), Some(200));
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
}

/// RFC 9113 §6.8: a client of HTTP/2 is told to go, and what it has asked for is answered.
#[test]
fn a_connection_of_http_2_is_ended_gently() {
    let place = Place::new().with("CHANCERY_SERVER_SHUTDOWN_TIMEOUT", "60s");
    let mut server = place.serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&server.listen).await.expect("it listens");
        let (send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let mut send = send.ready().await.expect("a connection");
        let begun = http::Request::post(format!("http://{}/oauth/token", server.listen));
        let begun = begun.header("content-type", "application/x-www-form-urlencoded").body(());
        let (answer, mut body) = send.send_request(begun.expect("a request"), false).expect("it is sent");
        let mut balancer = Kept::open(&server.listen);
        assert_eq!(balancer.ready(), Some(200));
        terminate(&server.child);
        while balancer.ready() == Some(200) {}
        body.send_data("grant_type=x".into(), true).expect("it takes the rest");
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("in time").expect("an answer");
        assert_eq!(answer.status().as_u16(), 400, "there is no such grant, but an answer");
        tokio::time::timeout(DEADLINE, connection)
            .await
            .expect("in time")
            .expect("no panic")
            .expect("gently");
    });
    let begun = Instant::now();
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
    assert!(begun.elapsed() < DEADLINE / 2, "nobody had to wait for the shutdown timeout");
}
