//! What must be absent from a layer: drivers, frameworks, clocks, randomness, logging.

use crate::{
    assert_none, assert_one,
    source::{Source, has_word, sources},
};

/// A word, and the only places of `src/` where it may stand.
const HOMES: &[(&str, &[&str])] = &[
    ("actix_web", &["http/", "app", "cli"]),
    ("actix_rt", &["http/", "app", "cli"]),
    // What actix-web is made of: requests as they are before it sees them, and for accepting connections.
    ("actix_http", &["http/"]),
    ("actix_service", &["http/"]),
    ("actix_server", &["http/connection/"]),
    ("h2", &["http/connection/"]),
    ("httparse", &["http/connection/"]),
    ("tokio_rustls", &["http/connection/"]),
    ("rusqlite", &["store/sqlite/"]),
    ("refinery", &["store/sqlite/", "store/postgres/"]),
    ("tokio_postgres", &["store/postgres/"]),
    ("deadpool_postgres", &["store/postgres/"]),
    // Also a section of the configuration, which the composition root hands to the cache.
    ("redis", &["cache/", "config/", "app", "cli"]),
    ("prometheus", &["observe/"]),
    // Where it is decided what may be compressed.
    ("flate2", &["http/compression.rs"]),
    ("minijinja", &["http/pages/"]),
    ("chrono", &["http/pages/calendar.rs"]),
    ("clap", &["cli"]),
    // TLS names the provider it runs on.
    ("aws_lc_rs", &["crypto/", "store/postgres/tls.rs", "http/tls.rs", "observe/trace/collector.rs"]),
    ("rustls", &["store/postgres/", "cache/redis/", "http/tls.rs", "observe/trace/collector.rs"]),
    ("opentelemetry", &["observe/trace/"]),
    ("opentelemetry_sdk", &["observe/trace/"]),
    ("opentelemetry_otlp", &["observe/trace/"]),
    ("pprof", &["observe/profile.rs"]),
    ("ureq", &["observe/trace/collector.rs"]),
    ("aes_gcm", &["crypto/"]),
    ("argon2", &["crypto/"]),
    ("hkdf", &["crypto/"]),
    ("hmac", &["crypto/"]),
    ("getrandom", &["crypto/random.rs"]),
    ("rand_chacha", &["crypto/random.rs"]),
    // Time is an argument; the one clock can be set in tests. Logs and process metrics tell real time.
    ("SystemTime", &["resilience/clock.rs", "observe/"]),
    // Deadlines, and stopwatches for metrics; never a decision of the protocol.
    (
        "Instant",
        &["resilience/", "store/", "cache/", "observe/", "provider/password.rs", "http/", "app", "cli"],
    ),
];

/// Layers, and words that must not stand in them.
const ABSENT: &[(&str, &[&str])] = &[
    ("protocol/", &["async", "await", "tokio", "tracing", "std::fs", "std::net", "std::env", "std::thread"]),
    ("crypto/", &["async", "await", "tokio", "std::fs", "std::net", "std::env"]),
    ("model/", &["async", "await", "tokio", "tracing", "std::fs", "std::net", "std::env", "std::thread"]),
    ("provider/", &["std::fs", "std::net", "std::env"]),
];

#[test]
fn drivers_frameworks_clocks_and_randomness_stay_at_home() {
    assert_none(sources().iter().flat_map(strays).collect());
}

#[test]
fn a_driver_away_from_home_is_noticed() {
    let check = |path: &str, line: &str| strays(&Source::new(path, &format!("//! A.\n{line}\n")));
    assert_one(&check("src/provider/a.rs", "use rusqlite::Connection;"), "src/provider/a.rs:2: rusqlite");
    assert_one(&check("src/store/mod.rs", "fn f(c: &rusqlite::Connection) {}"), "rusqlite");
    assert_one(&check("src/provider/a.rs", "use actix_web::web;"), "actix_web");
    assert_one(&check("src/protocol/a.rs", "let now = SystemTime::now();"), "SystemTime");
    assert_none(check("src/store/sqlite/a.rs", "use rusqlite::Connection; // not actix_web"));
}

#[test]
fn the_pure_layers_hold_no_io_and_no_async() {
    assert_none(sources().iter().flat_map(impurities).collect());
}

#[test]
fn async_in_a_pure_layer_is_noticed() {
    let check = |path: &str, line: &str| impurities(&Source::new(path, &format!("//! A.\n{line}\n")));
    assert_one(&check("src/protocol/a.rs", "async fn f() {}"), "src/protocol/a.rs:2: async");
    assert_one(&check("src/protocol/a.rs", "tracing::info!(\"x\");"), "tracing");
    assert_one(&check("src/crypto/a.rs", "use tokio::sync::Mutex;"), "tokio");
    assert_one(&check("src/model/a.rs", "use std::fs;"), "std::fs");
    assert_none(check("src/provider/a.rs", "async fn f() {}"));
}

/// The names of metrics have one home, so that help, labels and documents cannot drift apart.
const METRICS: &str = "src/observe/metrics.rs";

#[test]
fn metrics_are_named_in_one_file() {
    assert_none(sources().iter().flat_map(stray_metrics).collect());
}

#[test]
fn a_metric_named_elsewhere_is_noticed() {
    let text = "//! A.\nlet name = \"chancery_http_requests_total\";\n";
    assert_one(&stray_metrics(&Source::new("src/http/a.rs", text)), "src/http/a.rs:2: ");
    assert_none(stray_metrics(&Source::new(METRICS, text)));
}

fn strays(source: &Source) -> Vec<String> {
    let Some(path) = source.path.strip_prefix("src/") else { return Vec::new() };
    let mut findings = Vec::new();
    for (word, homes) in HOMES.iter().filter(|(_, homes)| !homes.iter().any(|home| path.starts_with(home))) {
        for line in source.product().filter(|line| has_word(&line.code, word)) {
            let message = format!("{word} lives in {} only; move the code there", homes.join(", "));
            findings.push(source.at(line, &message));
        }
    }
    findings
}

fn impurities(source: &Source) -> Vec<String> {
    let Some(path) = source.path.strip_prefix("src/") else { return Vec::new() };
    let mut findings = Vec::new();
    for (layer, words) in ABSENT.iter().filter(|(layer, _)| path.starts_with(layer)) {
        for line in source.product() {
            for word in words.iter().filter(|word| has_word(&line.code, word)) {
                let message =
                    format!("{word} must be absent from {layer}; make it an argument or do it in provider/");
                findings.push(source.at(line, &message));
            }
        }
    }
    findings
}

fn stray_metrics(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") || source.path == METRICS {
        return Vec::new();
    }
    let named = |text: &String| {
        let name = |sign: char| sign.is_ascii_lowercase() || sign == '_';
        text.strip_prefix("chancery_").is_some_and(|rest| rest.starts_with(name) && rest.contains('_'))
    };
    let lines = source.product().filter(|line| line.strings.iter().any(named));
    lines
        .map(|line| source.at(line, "metrics are named in src/observe/metrics.rs only; add a field there"))
        .collect()
}
