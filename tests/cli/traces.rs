//! Traces of the real server: off without the setting, flushed at the stop, and never in anybody's way.

use std::{net::TcpListener, time::Instant};

use serde_json::Value;

use crate::{
    cli::{
        process::{Place, http, post},
        server::{credentials, issue},
    },
    servers::Collector,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const HEADER: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A token request without a grant type that its caller traces.
fn refused(address: &str) -> Value {
    let head =
        format!("POST /oauth/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n{HEADER}");
    let (status, body) = http(address, &head, "grant_type=x");
    assert_eq!(status, 400, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn request_line(log: &str) -> Value {
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.find(|line| line["message"] == "request").unwrap_or_else(|| panic!("no line: {log}"))
}

#[test]
fn without_the_setting_nothing_is_exported_and_the_callers_trace_is_still_told() {
    let collector = Collector::start();
    // What other programs are told by is not for this one.
    let place = Place::new()
        .with("CHANCERY_LOG_REQUESTS", "true")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .with("OTEL_TRACES_EXPORTER", "otlp");
    let server = place.serve();
    assert_eq!(refused(&server.listen)["trace_id"], TRACE);
    let line = request_line(&server.logged());
    assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &"00f067aa0ba902b7".into()), "{line}");
    assert_eq!(collector.taken(), 0);
}

#[test]
fn what_was_traced_is_sent_before_the_server_ends() {
    let collector = Collector::start();
    let place = Place::new()
        .with("CHANCERY_TRACING_ENDPOINT", &collector.url)
        .with("CHANCERY_TRACING_SERVICE_NAME", "identity")
        .with("CHANCERY_LOG_REQUESTS", "true");
    let server = place.serve();
    let told = refused(&server.listen);
    let line = request_line(&server.logged());
    let spans = collector.spans();
    let span = spans.iter().find(|span| span.name == "POST /oauth/token").expect("it was sent");
    assert_eq!((&*span.trace, &*span.parent), (TRACE, "00f067aa0ba902b7"));
    assert_eq!((&told["trace_id"], &line["trace_id"]), (&TRACE.into(), &TRACE.into()));
    assert_eq!(line["span_id"], *span.id, "the line leads to the span");
    assert_eq!(collector.service()["service.name"], "identity");
}

#[test]
fn a_collector_that_is_away_is_a_line_in_the_log_and_a_figure() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let place = Place::new().with("CHANCERY_TRACING_ENDPOINT", &format!("http://{nobody}"));
    let app = credentials(&place, "app", &[]);
    let server = place.serve();
    issue(&server.listen, &app);
    let metrics = || http(&server.operations, "GET /metrics HTTP/1.1", "").1;
    crate::cli::process::eventually(crate::cli::process::DEADLINE, "the drop is counted", || {
        !metrics().contains("chancery_trace_spans_dropped_total 0")
    });
    let begun = Instant::now();
    issue(&server.listen, &app);
    let log = server.logged();
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(log.matches("exporting traces failed").count(), 1, "once a minute: {log}");
}

/// A collector that takes the connection and says nothing must not hold up the stop.
#[test]
fn a_collector_that_hangs_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("a socket"));
    let place = Place::new().with("CHANCERY_TRACING_ENDPOINT", &url);
    let server = place.serve();
    assert_eq!(post(&server.listen, "/oauth/token", "grant_type=x").0, 400);
    let begun = Instant::now();
    let log = server.logged();
    // The grace, the farewell to the collector, and a slow machine.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert!(log.contains("exporting the last traces failed"), "{log}");
}
