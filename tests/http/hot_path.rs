//! What must cost no statement: the promise behind the speed.

use crate::http::app::TestApp;

/// The feed is not read while the test counts, and no RSA keys are made and stored, which takes seconds.
const QUIET: [(&str, &str); 3] = [
    ("CHANCERY_FEED_MAX_STALENESS", "60s"),
    ("CHANCERY_FEED_INTERVAL", "30s"),
    ("CHANCERY_KEYS_ALGORITHMS", "EdDSA"),
];

/// How often each request is made: one that took a statement would take as many.
const ROUNDS: u64 = 20;

#[tokio::test]
async fn issuing_and_introspecting_sealed_tokens_takes_no_statement_when_the_client_is_cached() {
    let app = TestApp::start_with(&QUIET).await;
    app.client("machine", |_| {}).await;
    app.client("watcher", |client| client.introspect_any = true).await;
    let (warm, other) = (app.machine_token("machine").await, app.machine_token("machine").await);
    assert!(app.is_active("machine", &warm).await && app.is_active("watcher", &warm).await);
    let before = app.statements();
    for _ in 0..ROUNDS {
        let token = app.machine_token("machine").await;
        assert!(app.is_active("machine", &token).await && app.is_active("machine", &other).await);
        assert!(app.is_active("watcher", &token).await);
        for garbage in ["x", "chy_rt_garbage", "a.b.c", "chy_at_AAAA"] {
            assert!(!app.is_active("machine", garbage).await);
        }
    }
    // The node itself may have looked at its keys and its feed, as it does after a start and a commit.
    let statements = app.statements() - before;
    assert!(statements < ROUNDS, "{statements} statements");
    app.revoke("machine", &warm).await;
    assert!(app.statements() > before, "the counter counts");
}
