//! Health and figures.

use chancery::http::{RouteAudience, route_table::ROUTES};

use crate::http::app::TestApp;

#[tokio::test]
async fn health_is_public_and_figures_are_not() {
    let app = TestApp::start().await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!((app.get(path).await.status, app.get_operations(path).await.status), (200, 200), "{path}");
    }
    let figures = ROUTES.iter().filter(|route| route.audience == RouteAudience::Operator);
    for path in figures.map(|route| route.path).filter(|path| !path.starts_with("/debug/")) {
        assert_eq!(app.get(path).await.status, 404, "{path}");
        assert_eq!(app.get_operations(path).await.status, 200, "{path}");
    }
}

/// T34
#[tokio::test]
async fn no_spelling_of_a_path_reaches_the_figures_from_the_public_listener() {
    let app = TestApp::start().await;
    for path in [
        "//metrics",
        "/metrics;x",
        "/%6detrics",
        "/metrics/",
        "/./metrics",
        "/health/..%2fmetrics",
        "/oauth/../metrics",
        "/api//cache/stats",
        "/api/performance//metrics",
    ] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn requests_tokens_and_introspections_are_counted() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let token = app.machine_token("machine").await;
    app.is_active("machine", &token).await;
    app.is_active("machine", "garbage").await;
    app.revoke("machine", &token).await;
    app.token("machine", &[("grant_type", "password")]).await;
    let metrics = app.get_operations("/metrics").await.body;
    for line in [
        "chancery_tokens_issued_total{token_type=\"access\",grant_type=\"client_credentials\"} 1",
        "chancery_introspections_total{active=\"true\"} 1",
        "chancery_introspections_total{active=\"false\"} 1",
        "chancery_revocations_total{cause=\"client\",token_type=\"access\"} 1",
        "chancery_http_requests_total{method=\"POST\",route=\"/oauth/introspect\",status=\"200\"} 2",
        "chancery_client_auth_total{method=\"client_secret_basic\",outcome=\"success\"} 4",
    ] {
        let name = line.split_once('{').expect("labels").0;
        let series: Vec<_> =
            metrics.lines().filter(|have| have.starts_with(name) && !have.ends_with(" 0")).collect();
        assert!(metrics.contains(line), "missing: {line} in {series:#?}");
    }
}

#[tokio::test]
async fn a_stale_node_is_not_ready_and_calls_nothing_active() {
    let app = TestApp::start().await;
    app.client("machine", |_| {}).await;
    let token = app.machine_token("machine").await;
    assert!(app.is_active("machine", &token).await);
    app.break_table("feed");
    app.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(app.get("/health/ready").await.status, 503);
    assert_eq!(app.get("/health/live").await.status, 200);
    let answer = app.introspect("machine", &token).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    assert!(["1", "2", "3"].contains(&answer.header("retry-after")), "{answer:?}");
}
