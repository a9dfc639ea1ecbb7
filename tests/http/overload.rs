//! Deadlines and shedding: a store that stalls costs its callers a bounded wait, and nobody else anything.

use std::time::{Duration, Instant};

use crate::http::app::{Answer, TestApp};

/// A refusal that tells when to come back, and no page of a browser cached it.
fn is_unavailable(answer: &Answer) -> bool {
    answer.error() == (503, "temporarily_unavailable".to_owned())
        && ["1", "2", "3"].contains(&answer.header("retry-after"))
        && answer.header("cache-control") == "no-store"
}

/// I8
#[tokio::test]
async fn a_stalled_store_is_told_within_the_deadline_while_metadata_is_still_served() {
    let app = TestApp::start_with(&[("CHANCERY_SERVER_REQUEST_TIMEOUT", "2s")]).await;
    let client = app.client("app", |_| {}).await;
    let user = app.user("alice").await;
    let before = app.authorized(&client, &user, "openid offline_access").await;
    let stall = app.stall_writes();
    let begun = Instant::now();
    let refresh = app.refresh("app", &before.refresh_token);
    let metadata = async {
        for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/health/live"] {
            assert_eq!(app.get(path).await.status, 200, "{path}");
        }
    };
    let (refused, ()) = futures_util::future::join(refresh, metadata).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    // SQLite itself would have waited for five seconds.
    assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
    drop(stall);
}

/// I8
#[tokio::test]
async fn more_requests_than_a_worker_may_have_in_hand_are_refused_at_once() {
    let settings = [
        ("CHANCERY_SERVER_WORKERS", "1"),
        ("CHANCERY_SERVER_MAX_IN_FLIGHT", "1"),
        ("CHANCERY_SERVER_REQUEST_TIMEOUT", "2s"),
    ];
    let app = TestApp::start_with(&settings).await;
    let client = app.client("app", |_| {}).await;
    let user = app.user("alice").await;
    let before = app.authorized(&client, &user, "openid offline_access").await;
    let stall = app.stall_writes();
    let refresh = app.refresh("app", &before.refresh_token);
    let others = async {
        app.until_in_flight(1).await;
        let refused = app.token("app", &[("grant_type", "client_credentials")]).await;
        assert!(is_unavailable(&refused), "{refused:?}");
        for path in ["/health/live", "/health/ready", "/.well-known/jwks.json"] {
            assert_eq!(app.get(path).await.status, 200, "{path}");
        }
        // A person is told in words, with all that pages promise.
        let page = app.get("/login").await;
        assert_eq!(page.status, 503, "{page:?}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.body.contains("Try again in a moment."), "{page:?}");
        assert!(page.body.contains(page.header("x-request-id")) && page.header("x-request-id").len() == 36);
        assert!(["1", "2", "3"].contains(&page.header("retry-after")), "{page:?}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        let metrics = app.get_operations("/metrics").await.body;
        for line in [
            "chancery_http_rejected_total{reason=\"overload\"} 2\n",
            "chancery_http_requests_total{method=\"POST\",route=\"/oauth/token\",status=\"503\"} 1\n",
            "chancery_http_requests_total{method=\"GET\",route=\"/login\",status=\"503\"} 1\n",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
        // What was admitted is done.
        drop(stall);
    };
    let (admitted, ()) = futures_util::future::join(refresh, others).await;
    assert_eq!(admitted.status, 200, "{admitted:?}");
    assert_eq!(app.token("app", &[("grant_type", "client_credentials")]).await.status, 200);
}

/// A slow client is not the server's fault: its request is refused as slow, or served.
#[tokio::test]
async fn the_time_that_a_body_takes_is_not_counted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    // The server's own first writes are given no longer than a request, on a machine that is busy.
    let settings = [("CHANCERY_SERVER_REQUEST_TIMEOUT", "2s"), ("CHANCERY_SERVER_BODY_TIMEOUT", "4s")];
    let app = TestApp::start_with(&settings).await;
    let address = app.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 20\r\nConnection: close\r\n\r\ngrant"
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer));
    read.await.expect("an answer").expect("text");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let metrics = app.get_operations("/metrics").await.body;
    assert!(metrics.contains("chancery_http_rejected_total{reason=\"timeout\"} 1\n"), "{metrics}");
}
