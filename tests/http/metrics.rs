//! What is counted: each metric rises by the event it is named after, as a scraper sees it.

use std::{
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use chancery::store::Effect;

use crate::http::app::{SECRET, TestApp};

/// Nothing here takes longer, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The value of a series.
async fn value(app: &TestApp, series: &str) -> f64 {
    let text = app.get_operations("/metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}")).parse().expect("a number")
}

/// Waits until a series has a value that is wanted.
async fn until(app: &TestApp, series: &str, wanted: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    loop {
        let value = value(app, series).await;
        if wanted(value) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{series} stays at {value}");
    }
}

#[tokio::test]
async fn connections_of_both_listeners_are_counted_while_they_are_open() {
    let app = TestApp::start().await;
    let connections = "chancery_http_connections";
    assert_eq!(value(&app, connections).await, 1.0, "the one that asks");
    let connect = |url: &str| TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    let open = [connect(&app.url), connect(&app.url), connect(&app.operations)];
    until(&app, connections, |open| open == 4.0).await;
    drop(open);
    until(&app, connections, |open| open == 1.0).await;
}

#[tokio::test]
async fn bodies_are_counted_with_their_sizes() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let answer = app.token("machine", &[("grant_type", "client_credentials")]).await;
    app.get("/health/live").await;
    let of = |which: &str, route: &str| format!("chancery_http_{which}_body_bytes_sum{{route=\"{route}\"}}");
    let sent = "grant_type=client_credentials".len();
    assert_eq!(value(&app, &of("request", "/oauth/token")).await, sent as f64);
    assert_eq!(value(&app, &of("response", "/oauth/token")).await, answer.body.len() as f64);
    let none = "chancery_http_request_body_bytes_count{route=\"/health/live\"}";
    assert_eq!(value(&app, none).await, 0.0, "it has no body");
    let before = value(&app, &of("response", "/health/live")).await;
    assert!(before > 0.0);
    app.request("HEAD", "/health/live").send().await.expect("an answer");
    assert_eq!(value(&app, &of("response", "/health/live")).await, before, "nothing was sent");
    // What is refused was read all the same, up to the limit.
    let large = "x".repeat(200_000);
    let refused = app.token("machine", &[("grant_type", &large)]).await;
    assert_eq!(refused.status, 413);
    let above = "chancery_http_request_body_bytes_count{route=\"/oauth/token\"}";
    assert_eq!(value(&app, above).await, 2.0);
}

#[tokio::test]
async fn the_exposition_is_compressed_for_those_who_accept_it() {
    let app = TestApp::start().await;
    let plain = app.get_operations("/metrics").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    let request = reqwest::Client::new().get(format!("{}/metrics", app.operations));
    let coded = request.header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(coded.headers()["content-encoding"], "gzip");
    assert_eq!(coded.headers()["content-type"], plain.header("content-type"));
    let packed = coded.bytes().await.expect("a body");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).expect("gzip");
    assert!(packed.len() * 5 < unpacked.len(), "{} of {}", packed.len(), unpacked.len());
    let families = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("# TYPE ")).map(str::to_owned).collect()
    };
    assert_eq!(families(&unpacked), families(&plain.body));
    let series = plain.body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 6_000, "{series}");
}

#[tokio::test]
async fn clients_are_counted_each_only_if_they_are_named() {
    let nobody = TestApp::start().await;
    nobody.client("machine", |_| {}).await;
    nobody.machine_token("machine").await;
    assert!(!nobody.get_operations("/metrics").await.body.contains("client_id"));

    let app = TestApp::start_with(&[("CHANCERY_METRICS_CLIENTS", "machine, stranger")]).await;
    app.client("machine", |_| {}).await;
    app.client("watcher", |client| client.introspect_any = true).await;
    let token = app.machine_token("machine").await;
    assert!(app.is_active("machine", &token).await && app.is_active("watcher", &token).await);
    assert!(!app.is_active("machine", "garbage").await);
    app.introspect("stranger", &token).await;
    app.token("machine", &[("grant_type", "client_credentials"), ("scope", "nonsense")]).await;
    for _ in 0..2 {
        // Revoking once more changes nothing, and is answered as well.
        assert_eq!(app.revoke("machine", &token).await.status, 200);
    }
    let text = app.get_operations("/metrics").await.body;
    let counted: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("chancery_client_requests_total{client_id="))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    let expected = [
        r#""machine",endpoint="token",outcome="failure"} 1"#,
        r#""machine",endpoint="token",outcome="success"} 1"#,
        r#""machine",endpoint="introspect",outcome="success"} 2"#,
        r#""machine",endpoint="revoke",outcome="success"} 2"#,
        r#""stranger",endpoint="introspect",outcome="failure"} 1"#,
    ];
    assert_eq!(counted, expected);
}

/// What is answered one by one and in a batch is counted by what was answered.
#[tokio::test]
async fn introspections_are_counted_by_whether_the_token_is_active() {
    let app = TestApp::start_with(&[("CHANCERY_METRICS_CLIENTS", "machine")]).await;
    app.client("machine", |_| {}).await;
    let token = app.machine_token("machine").await;
    let counted = async || {
        let of = |active| format!("chancery_introspections_total{{active=\"{active}\"}}");
        (value(&app, &of(true)).await, value(&app, &of(false)).await)
    };
    assert!(app.is_active("machine", &token).await);
    assert!(!app.is_active("machine", "garbage").await && !app.is_active("machine", "chy_at_").await);
    assert_eq!(counted().await, (1.0, 2.0));
    let batch = async |body: serde_json::Value| {
        let request = app.request("POST", "/oauth/introspect/batch").basic_auth("machine", Some(SECRET));
        app.send(request.json(&body)).await
    };
    let answer = batch(serde_json::json!({ "tokens": ["a", token, "b", "c"] })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(counted().await, (2.0, 5.0));
    let of = |outcome| {
        format!(
            "chancery_client_requests_total{{client_id=\"machine\",endpoint=\"introspect\",outcome=\"{outcome}\"}}"
        )
    };
    let (succeeded, failed) = (value(&app, &of("success")).await, value(&app, &of("failure")).await);
    assert_eq!((succeeded, failed), (4.0, 0.0));
    let malformed = batch(serde_json::json!({ "token": "a" })).await;
    assert_eq!(malformed.error(), (400, "invalid_request".into()));
    assert_eq!(counted().await, (2.0, 5.0), "nothing was answered");
    assert_eq!((value(&app, &of("success")).await, value(&app, &of("failure")).await), (4.0, 1.0));
}

#[tokio::test]
async fn loads_and_changes_of_a_cache_are_counted_by_where_they_come_from() {
    let app = TestApp::start().await;
    let changes =
        |source| format!("chancery_cache_invalidations_total{{cache=\"client\",source=\"{source}\"}}");
    let loads = "chancery_cache_load_duration_seconds_count{cache=\"client\"}";
    let before = value(&app, loads).await;
    let client = app.client("machine", |_| {}).await;
    assert_eq!(value(&app, &changes("local")).await, 1.0);
    until(&app, &changes("feed"), |changes| changes == 1.0).await;
    app.machine_token("machine").await;
    app.machine_token("machine").await;
    assert_eq!(value(&app, loads).await, before + 1.0, "the second is a hit");
    app.commit_elsewhere(vec![Effect::SetClientEnabled(client.key, false)]).await;
    until(&app, &changes("feed"), |changes| changes == 2.0).await;
    assert_eq!(value(&app, &changes("local")).await, 1.0);
    let stats = app.get_operations("/api/cache/stats").await.json();
    let cache = stats["caches"].as_array().expect("caches").iter().find(|cache| cache["cache"] == "client");
    let cache = cache.expect("the cache of clients");
    assert_eq!((&cache["changed_here"], &cache["changed_by_feed"]), (&1.into(), &2.into()), "{cache}");
    assert!(cache["loads"].as_u64() > Some(0) && cache["load_seconds"].as_f64() > Some(0.0), "{cache}");
}

#[tokio::test]
async fn workers_that_work_are_busy_and_memory_is_what_the_kernel_says() {
    let app = TestApp::start_with(&[("CHANCERY_METRICS_MEMORY_LIMIT", "3GiB")]).await;
    let begun = Instant::now();
    let busy = loop {
        app.get("/health/live").await;
        let busy = value(&app, "chancery_runtime_busy_ratio").await;
        if busy > 0.0 {
            break busy;
        }
        assert!(begun.elapsed() < DEADLINE, "they are never busy");
    };
    assert!(busy <= 1.0, "{busy}");
    assert_eq!(value(&app, "chancery_memory_limit_bytes").await, 3.0 * f64::from(1 << 30));
    let resident = value(&app, "process_resident_memory_bytes").await;
    assert!(resident > 1e6 && value(&app, "process_virtual_memory_bytes").await >= resident);
}

#[tokio::test]
async fn what_the_node_does_is_told_without_prometheus() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    for _ in 0..20 {
        app.machine_token("machine").await;
    }
    let found = app.get_operations("/api/performance/metrics").await.json();
    let number = |pointer: &str| {
        let value = found.pointer(pointer).and_then(serde_json::Value::as_f64);
        value.unwrap_or_else(|| panic!("no number at {pointer} in {found}"))
    };
    let routes = found["routes"].as_array().expect("routes");
    let token = routes.iter().position(|route| route["route"] == "/oauth/token").expect("it was asked for");
    assert_eq!(
        (number(&format!("/routes/{token}/requests")), &routes[token]["method"]),
        (20.0, &"POST".into())
    );
    let seconds = |which| number(&format!("/routes/{token}/seconds/{which}"));
    assert!(seconds("p50") > 0.0 && seconds("p50") <= seconds("p95") && seconds("p95") <= seconds("p99"));
    assert!(seconds("mean") > 0.0);
    let window = number("/requests/window_seconds");
    assert!(window > 0.0 && window < 62.0, "{found}");
    assert!(number("/requests/per_second") * window > 19.0, "{found}");
    assert_eq!(number("/requests/server_errors_per_second"), 0.0);
    for ratio in ["/runtime/workers_busy_ratio", "/memory/resident_ratio"] {
        assert!((0.0..=1.0).contains(&number(ratio)), "{found}");
    }
    for nothing in ["/lanes/password/waiting", "/lanes/password/refused", "/lanes/signing/waiting"] {
        assert_eq!(number(nothing), 0.0, "{nothing}");
    }
    for something in [
        "/runtime/cpu_seconds",
        "/lanes/password/threads",
        "/memory/virtual_bytes",
        "/memory/limit_bytes",
        "/allocator/anonymous_resident_bytes",
        "/allocator/minor_page_faults",
    ] {
        assert!(number(something) > 0.0, "{something}");
    }
    assert_eq!(found["pools"], serde_json::json!([]), "the embedded store has none");
    assert!(found["allocator"]["name"].is_string() && number("/uptime_seconds") >= 0.0);
}
