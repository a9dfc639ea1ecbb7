//! The metrics as a scraper sees them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::model::{AuthMethod, KeyState, SecurityEvent, SigningAlg, SigningKey, UnixTime};

fn metrics() -> Arc<Metrics> {
    // As many of everything as the server has, or more.
    Metrics::new(Labels {
        version: "1.2.3",
        revision: "abc",
        rustc: "1.95",
        routes: routes(),
        grants: vec!["authorization_code", "client_credentials", "refresh_token"],
        token_errors: vec!["invalid_request", "invalid_client", "invalid_grant"],
        authorize_errors: vec!["access_denied", "login_required"],
        tables: vec!["clients", "codes", "families", "rotations", "sessions"],
        caches: vec!["client", "user", "jwks"],
        operations: vec!["client", "commit", "feed"],
        backend: "sqlite",
        pools: vec!["request", "feed"],
        redis_commands: vec!["publish", "ping"],
        redis_errors: vec!["timeout", "connection"],
        clients: vec!["web \"shop\"".to_owned()],
    })
}

fn routes() -> Vec<(&'static str, &'static str)> {
    let pages = ["/login", "/consent", "/account", "/oauth/authorize", "/oauth/logout", "/oauth/userinfo"];
    let methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"];
    let rest = pages.into_iter().flat_map(|page| methods.map(|method| (method, page)));
    [("POST", "/oauth/token")].into_iter().chain(rest).collect()
}

/// Every sample by its series.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').expect("a series and a value"));
    let mut samples = BTreeMap::new();
    for (series, value) in pairs {
        let before = samples.insert(series.to_owned(), value.parse().expect("a number"));
        assert_eq!(before, None, "{series} is there twice");
    }
    samples
}

#[test]
fn every_series_is_there_at_zero_from_the_start() {
    let samples = samples(&metrics().encode());
    for (series, value) in samples.iter().filter(|(series, _)| series.starts_with("chancery_")) {
        if series == "chancery_memory_limit_bytes" {
            assert!(*value > 0.0, "{value}");
            continue;
        }
        let expected = if series.starts_with("chancery_build_info") { 1.0 } else { 0.0 };
        assert_eq!(*value, expected, "{series}");
    }
    for series in [
        r#"chancery_security_events_total{event="code_replay",severity="critical"}"#,
        r#"chancery_http_request_duration_seconds_count{method="POST",route="/oauth/token",status_class="5xx"}"#,
        r#"chancery_http_requests_total{method="other",route="unmatched",status="404"}"#,
        r#"chancery_token_requests_total{grant_type="refresh_token",outcome="failure",error="invalid_grant"}"#,
        r#"chancery_login_attempts_total{method="password",outcome="failure",reason="wrong_password"}"#,
        r#"chancery_cache_requests_total{cache="client",result="miss"}"#,
        r#"chancery_db_errors_total{backend="sqlite",kind="io"}"#,
        r#"chancery_signing_keys{alg="EdDSA",state="next"}"#,
        r#"chancery_build_info{version="1.2.3",revision="abc",rustc="1.95"}"#,
        "chancery_revocation_propagation_seconds_count",
        "chancery_panics_total",
        "chancery_http_connections",
        r#"chancery_http_request_body_bytes_bucket{route="/oauth/token",le="256"}"#,
        r#"chancery_http_response_body_bytes_count{route="unmatched"}"#,
        "chancery_runtime_busy_ratio",
        r#"chancery_runtime_blocking_queue{lane="signing"}"#,
        r#"chancery_cache_load_duration_seconds_count{cache="user"}"#,
        r#"chancery_cache_invalidations_total{cache="user",source="feed"}"#,
        r#"chancery_client_requests_total{client_id="web \"shop\"",endpoint="token",outcome="failure"}"#,
        "chancery_trace_spans_dropped_total",
        r#"chancery_tls_renewals_total{outcome="failure"}"#,
    ] {
        assert!(samples.contains_key(series), "{series}");
    }
}

#[test]
fn there_are_fewer_than_six_thousand_series() {
    let count = samples(&metrics().encode()).len();
    assert!(count < 6_000, "{count}");
}

#[test]
fn help_and_type_lines_come_before_their_samples_and_names_follow_the_rules() {
    let text = metrics().encode();
    let (mut family, mut kind, mut seen) = ("", "", Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            let declared = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            (family, kind) = declared.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(!seen.contains(&family), "{family} is there twice");
            seen.push(family);
            check_name(family, kind);
            continue;
        }
        let name = &line[..line.find(['{', ' ']).unwrap()];
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line}");
    }
    assert!(seen.len() > 35, "{}", seen.len());
}

fn check_name(name: &str, kind: &str) {
    assert!(name.starts_with("chancery_") || name.starts_with("process_"), "{name}");
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    assert!(!["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
    assert!(
        kind != "histogram" || ["_seconds", "_size", "_bytes"].iter().any(|unit| name.ends_with(unit)),
        "{name}"
    );
    for unit in ["_ms", "_milliseconds", "_minutes", "_kb", "_kib", "_percent"] {
        assert!(!name.contains(unit), "{name}: base units only");
    }
}

#[test]
fn what_eight_threads_count_is_all_there() {
    const EACH: u64 = 5_000;
    let metrics = metrics();
    let (route, grant) = (metrics.route("POST", "/oauth/token"), metrics.grant("refresh_token"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for at in 0..EACH {
                    metrics.request_arrived();
                    metrics.request(route, if at % 5 == 0 { 503 } else { 200 }, Duration::from_millis(7));
                    metrics.token_issued(TokenType::Access, grant);
                    metrics.request_left();
                }
            });
        }
    });
    let samples = samples(&metrics.encode());
    let of = |series: &str| samples[series] as u64;
    let at = r#"method="POST",route="/oauth/token""#;
    assert_eq!(of(&format!("chancery_http_requests_total{{{at},status=\"200\"}}")), 8 * EACH * 4 / 5);
    assert_eq!(of(&format!("chancery_http_requests_total{{{at},status=\"503\"}}")), 8 * EACH / 5);
    let durations = "chancery_http_request_duration_seconds";
    assert_eq!(of(&format!("{durations}_count{{{at},status_class=\"5xx\"}}")), 8 * EACH / 5);
    assert_eq!(of(&format!("{durations}_bucket{{{at},status_class=\"2xx\",le=\"0.005\"}}")), 0);
    assert_eq!(of(&format!("{durations}_bucket{{{at},status_class=\"2xx\",le=\"0.01\"}}")), 8 * EACH * 4 / 5);
    assert_eq!(of(&format!("{durations}_sum{{{at},status_class=\"2xx\"}}")), 8 * EACH * 4 / 5 * 7 / 1000);
    assert_eq!(
        of(r#"chancery_tokens_issued_total{token_type="access",grant_type="refresh_token"}"#),
        8 * EACH
    );
    assert_eq!(of("chancery_http_requests_in_flight"), 0);
}

#[test]
fn each_method_counts_in_its_own_series() {
    let metrics = metrics();
    metrics.rejected(Rejection::Timeout);
    metrics.panicked();
    metrics.token_request(metrics.grant("client_credentials"), None);
    metrics.token_request(metrics.grant("password"), Some("unsupported_grant_type"));
    metrics.authorize_request(Some("login_required"));
    metrics.introspection(true);
    metrics.revocation(RevocationCause::Reuse, Revoked::Family);
    metrics.revocation_propagated(Duration::from_millis(300));
    metrics.client_auth(AuthMethod::ClientSecretPost, false);
    metrics.jwt_rejected(JwtUse::IdTokenHint, JwtFailure::Signature);
    SecurityEvent::ALL.iter().for_each(|event| metrics.security_event(*event));
    metrics.login(LoginResult::Success);
    metrics.login(LoginResult::WrongPassword);
    metrics.logout(LogoutKind::Rp);
    metrics.password_hashed(HashOperation::Verify, Duration::from_millis(10));
    metrics.password_hash_rejected();
    metrics.certificate_changed(true);
    metrics.key_rotated(true);
    metrics.query(metrics.operation("commit").unwrap(), Duration::ZERO);
    metrics.store_error("io");
    metrics.rows_deleted("codes", 3);
    metrics.cache_requests(metrics.cache("user").unwrap(), CacheResult::Hit, 1);
    metrics.cache_requests(metrics.cache("user").unwrap(), CacheResult::Miss, 1);
    metrics.batch_written(3);
    metrics.pool_waited("feed", Duration::from_millis(3));
    metrics.retried();
    metrics.redis_command("publish", Duration::from_millis(60));
    metrics.set_redis_errors(&[("timeout", 1)]);
    metrics.cache_evicted(metrics.cache("jwks").unwrap(), Eviction::Ttl, 2);
    metrics.cache_loaded(metrics.cache("user").unwrap(), Duration::from_millis(2));
    metrics.cache_invalidated(metrics.cache("user").unwrap(), ChangeSource::Feed, 4);
    let samples = samples(&metrics.encode());
    for (series, value) in [
        (r#"chancery_http_rejected_total{reason="timeout"}"#, 1.0),
        ("chancery_panics_total", 1.0),
        (r#"chancery_tls_renewals_total{outcome="success"}"#, 1.0),
        (
            r#"chancery_token_requests_total{grant_type="client_credentials",outcome="success",error="none"}"#,
            1.0,
        ),
        (r#"chancery_token_requests_total{grant_type="unknown",outcome="failure",error="other"}"#, 1.0),
        (r#"chancery_authorize_requests_total{outcome="failure",error="login_required"}"#, 1.0),
        (r#"chancery_introspections_total{active="true"}"#, 1.0),
        (r#"chancery_revocations_total{cause="reuse",token_type="family"}"#, 1.0),
        (r#"chancery_revocation_propagation_seconds_bucket{le="0.5"}"#, 1.0),
        (r#"chancery_client_auth_total{method="client_secret_post",outcome="failure"}"#, 1.0),
        (r#"chancery_jwt_verify_failures_total{use="id_token_hint",reason="signature"}"#, 1.0),
        (r#"chancery_security_events_total{event="refresh_reuse",severity="critical"}"#, 1.0),
        (r#"chancery_login_attempts_total{method="password",outcome="success",reason="none"}"#, 1.0),
        (
            r#"chancery_login_attempts_total{method="password",outcome="failure",reason="wrong_password"}"#,
            1.0,
        ),
        (r#"chancery_logouts_total{type="rp"}"#, 1.0),
        (r#"chancery_password_hash_duration_seconds_count{operation="verify"}"#, 1.0),
        ("chancery_password_hash_rejected_total", 1.0),
        (r#"chancery_key_rotations_total{outcome="success"}"#, 1.0),
        (r#"chancery_db_query_duration_seconds_count{backend="sqlite",operation="commit"}"#, 1.0),
        (r#"chancery_db_errors_total{backend="sqlite",kind="io"}"#, 1.0),
        (r#"chancery_expired_rows_deleted_total{table="codes"}"#, 3.0),
        (r#"chancery_cache_requests_total{cache="user",result="hit"}"#, 1.0),
        (r#"chancery_cache_requests_total{cache="user",result="miss"}"#, 1.0),
        (r#"chancery_db_batch_size_bucket{le="4"}"#, 1.0),
        (r#"chancery_db_pool_wait_seconds_bucket{pool="feed",le="0.005"}"#, 1.0),
        (r#"chancery_retries_total{dependency="sql"}"#, 1.0),
        (r#"chancery_redis_command_duration_seconds_count{command="publish"}"#, 1.0),
        (r#"chancery_redis_errors_total{kind="timeout"}"#, 1.0),
        (r#"chancery_cache_evictions_total{cache="jwks",reason="ttl"}"#, 2.0),
        (r#"chancery_cache_load_duration_seconds_bucket{cache="user",le="0.0025"}"#, 1.0),
        (r#"chancery_cache_invalidations_total{cache="user",source="feed"}"#, 4.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    let events: f64 = samples
        .iter()
        .filter(|(series, _)| series.starts_with("chancery_security_events"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(events as usize, SecurityEvent::ALL.len());
}

#[test]
fn a_status_nobody_listed_is_counted_as_its_class() {
    let metrics = metrics();
    let route = metrics.route("PATCH", "/nowhere");
    let before = samples(&metrics.encode()).len();
    for status in 0..1000 {
        metrics.request(route, status, Duration::ZERO);
    }
    let samples = samples(&metrics.encode());
    assert_eq!(samples.len(), before);
    let total: f64 = samples
        .iter()
        .filter(|(series, _)| series.starts_with("chancery_http_requests_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(total, 1000.0);
    assert_eq!(
        samples[r#"chancery_http_requests_total{method="other",route="unmatched",status="3xx"}"#],
        97.0
    );
}

#[test]
fn samplers_set_gauges_at_each_scrape() {
    let metrics = metrics();
    metrics.sample(|metrics| {
        metrics.set_backend_up(Dependency::Sql, true);
        metrics
            .set_breaker(Dependency::Redis, BreakerLevels { state: 2, transitions: [4, 5, 6], refused: 7 });
        metrics.set_pool("request", PoolLevels { in_use: 3, idle: 1, max: 8, timeouts: 2 });
        metrics.set_storage(&[("codes", 7), ("nothing", 1)], &[("codes", 8192)], &[("wal", 4096)]);
        metrics.set_schema_version(3);
        metrics.set_feed_staleness(Duration::from_millis(250));
        metrics.set_revocations(7, 1);
        metrics.set_password_queue(2, 66);
        metrics.set_lane(LaneLabel::Signing, 9);
        metrics.set_memory_limit(1 << 30);
        metrics.set_cache_size(metrics.cache("client").unwrap(), 5, 640);
    });
    let samples = samples(&metrics.encode());
    for (series, value) in [
        (r#"chancery_backend_up{backend="sql"}"#, 1.0),
        (r#"chancery_breaker_state{backend="redis"}"#, 2.0),
        (r#"chancery_breaker_transitions_total{backend="redis",to="half_open"}"#, 5.0),
        (r#"chancery_breaker_refused_total{backend="redis"}"#, 7.0),
        (r#"chancery_db_pool_connections{pool="request",state="in_use"}"#, 3.0),
        (r#"chancery_db_pool_connections{pool="request",state="max"}"#, 8.0),
        (r#"chancery_db_pool_timeouts_total{pool="request"}"#, 2.0),
        (r#"chancery_storage_rows{class="codes"}"#, 7.0),
        (r#"chancery_storage_class_bytes{class="codes"}"#, 8192.0),
        (r#"chancery_storage_bytes{file="wal"}"#, 4096.0),
        ("chancery_schema_version", 3.0),
        ("chancery_feed_staleness_seconds", 0.25),
        ("chancery_revocations", 7.0),
        ("chancery_revocation_clients_above_cap", 1.0),
        ("chancery_password_hash_queue", 2.0),
        ("chancery_password_hash_slots", 66.0),
        (r#"chancery_runtime_blocking_queue{lane="password"}"#, 2.0),
        (r#"chancery_runtime_blocking_queue{lane="signing"}"#, 9.0),
        ("chancery_memory_limit_bytes", 1_073_741_824.0),
        (r#"chancery_cache_entries{cache="client"}"#, 5.0),
        (r#"chancery_cache_weight_bytes{cache="client"}"#, 640.0),
    ] {
        assert_eq!(samples[series], value, "{series}");
    }
    assert!(samples["process_resident_memory_bytes"] > 0.0 && samples["process_start_time_seconds"] > 1.7e9);
}

#[test]
fn bodies_are_counted_by_route_whatever_the_method() {
    let metrics = metrics();
    let (get, post) = (metrics.route("GET", "/login"), metrics.route("POST", "/login"));
    metrics.request_body(post, 256);
    metrics.request_body(metrics.route("POST", "/nowhere"), 2 << 20);
    metrics.response_body(get, 257);
    metrics.response_body(post, 5_000);
    let samples = samples(&metrics.encode());
    for (series, value) in [
        (r#"request_body_bytes_bucket{route="/login",le="256"}"#, 1.0),
        (r#"request_body_bytes_sum{route="/login"}"#, 256.0),
        (r#"request_body_bytes_bucket{route="unmatched",le="1048576"}"#, 0.0),
        (r#"request_body_bytes_bucket{route="unmatched",le="+Inf"}"#, 1.0),
        (r#"response_body_bytes_bucket{route="/login",le="256"}"#, 0.0),
        (r#"response_body_bytes_bucket{route="/login",le="1024"}"#, 1.0),
        (r#"response_body_bytes_bucket{route="/login",le="16384"}"#, 2.0),
        (r#"response_body_bytes_sum{route="/login"}"#, 5_257.0),
    ] {
        assert_eq!(samples[&format!("chancery_http_{series}")], value, "{series}");
    }
}

#[test]
fn connections_are_those_that_are_open() {
    let metrics = metrics();
    (0..3).for_each(|_| metrics.connected());
    metrics.disconnected();
    assert_eq!(samples(&metrics.encode())["chancery_http_connections"], 2.0);
}

#[test]
fn requests_of_named_clients_are_counted_and_nobody_elses() {
    let metrics = metrics();
    let asked = |endpoint, client: Option<&str>, succeeds: bool| {
        let mut asked = metrics.count_request(endpoint);
        client.iter().for_each(|client| asked.by(client));
        if succeeds {
            asked.succeeded();
        }
    };
    asked(Endpoint::Token, Some("web \"shop\""), true);
    asked(Endpoint::Token, Some("web \"shop\""), false);
    asked(Endpoint::Introspect, Some("web \"shop\""), true);
    asked(Endpoint::Revoke, Some("somebody"), true);
    asked(Endpoint::Revoke, None, false);
    let counted: Vec<_> = samples(&metrics.encode())
        .into_iter()
        .filter(|(series, value)| series.starts_with("chancery_client_requests_total") && *value > 0.0)
        .map(|(series, value)| (series.split_once("endpoint").expect("the label").1.to_owned(), value))
        .collect();
    let expected = [
        (r#"="introspect",outcome="success"}"#.to_owned(), 1.0),
        (r#"="token",outcome="failure"}"#.to_owned(), 1.0),
        (r#"="token",outcome="success"}"#.to_owned(), 1.0),
    ];
    assert_eq!(counted, expected);
    let nobody = Metrics::new(Labels::default());
    nobody.count_request(Endpoint::Token).by("web");
    assert!(!nobody.encode().contains("chancery_client_requests_total"));
}

#[test]
fn the_busy_share_is_that_of_the_workers() {
    let metrics = metrics();
    metrics.sample_rates();
    assert_eq!(metrics.busy_ratio(), 0.0);
    let busy = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&busy);
    metrics.worker_started(move || Duration::from_secs(told.load(Ordering::Relaxed)));
    assert_eq!(metrics.busy_ratio(), 0.0, "it has not worked yet");
    // An hour of work in less than one: as busy as can be.
    busy.store(3_600, Ordering::Relaxed);
    assert_eq!(samples(&metrics.encode())["chancery_runtime_busy_ratio"], 1.0);
}

#[test]
fn routes_are_summed_up_with_their_errors_and_times() {
    let metrics = metrics();
    let route = metrics.route("POST", "/oauth/token");
    for _ in 0..99 {
        metrics.request(route, 200, Duration::from_micros(900));
    }
    metrics.request(route, 503, Duration::from_millis(80));
    metrics.request(metrics.route("GET", "/nowhere"), 404, Duration::from_millis(1));
    let found = metrics.routes();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].route, found[0].requests, found[0].server_errors), ("/oauth/token", 100, 1));
    assert!(found[0].quantiles.is_sorted() && found[0].quantiles[2] <= 0.001, "{found:?}");
    assert!((found[0].mean - (99.0 * 0.0009 + 0.08) / 100.0).abs() < 1e-9, "{found:?}");
    assert_eq!((found[1].method, found[1].route, found[1].server_errors), ("other", "unmatched", 0));
    metrics.sample_rates();
    metrics.request(route, 503, Duration::ZERO);
    let rates = metrics.rates();
    assert!(rates.answers > 0.0 && rates.answers == rates.server_errors, "{rates:?}");
}

#[test]
fn nobody_is_told_that_a_redis_is_down_that_there_is_not() {
    let metrics = metrics();
    let up = r#"chancery_backend_up{backend="redis"}"#;
    assert!(!metrics.encode().contains(up));
    metrics.set_backend_up(Dependency::Redis, false);
    assert_eq!(samples(&metrics.encode())[up], 0.0);
}

#[test]
fn an_algorithm_without_an_active_key_has_no_activation_time() {
    let metrics = metrics();
    let key = |kid: &str, state, at| SigningKey {
        kid: kid.to_owned(),
        alg: SigningAlg::ES256,
        state,
        sealed: Vec::new(),
        created_at: UnixTime(1),
        activated_at: at,
        retired_at: None,
        gone_at: None,
    };
    assert!(!metrics.encode().contains("chancery_signing_key_activated_timestamp_seconds"));
    metrics.set_signing_keys(&[
        key("a", KeyState::Retiring, Some(UnixTime(100))),
        key("b", KeyState::Active, Some(UnixTime(1_700_000_000))),
        key("c", KeyState::Next, None),
    ]);
    let samples = samples(&metrics.encode());
    let activated = "chancery_signing_key_activated_timestamp_seconds";
    assert_eq!(samples[&format!("{activated}{{alg=\"ES256\"}}")], 1_700_000_000.0);
    assert!(!samples.contains_key(&format!("{activated}{{alg=\"RS256\"}}")));
    for state in ["next", "active", "retiring"] {
        assert_eq!(samples[&format!("chancery_signing_keys{{alg=\"ES256\",state=\"{state}\"}}")], 1.0);
    }
}
