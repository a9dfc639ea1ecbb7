//! The log: no line for a request that went well, an id in every line about one, and never a secret.

use serde_json::Value;

use crate::cli::{
    process::{Place, post},
    server::{credentials, is_active, issue},
};

/// R72
#[test]
fn no_secret_token_or_code_is_logged_and_requests_that_go_well_leave_no_line() {
    let place = Place::new().with("RUST_LOG", "debug");
    let app = credentials(&place, "app", &[]);
    let secret = app.split("client_secret=").nth(1).expect("a secret").to_owned();
    let server = place.serve();
    let at = server.listen.clone();
    let token = issue(&at, &app);
    assert!(is_active(&at, &app, &token));
    let canary = "canary-of-this-test-0123456789-abcdefghijklmnopq";
    for (path, form) in [
        ("/oauth/token", format!("client_id=app&client_secret={canary}&grant_type=client_credentials")),
        (
            "/oauth/token",
            format!(
                "{app}&grant_type=authorization_code&code={canary}&redirect_uri=x&code_verifier={canary}"
            ),
        ),
        ("/oauth/token", format!("{app}&grant_type=refresh_token&refresh_token={canary}")),
        ("/oauth/token", format!("{app}&grant_type=client_credentials&scope={canary}")),
        ("/oauth/introspect", format!("{app}&token={canary}")),
        ("/login", format!("username={canary}&password={canary}&csrf={canary}&tx={canary}")),
    ] {
        post(&at, path, &form);
    }
    post(&at, "/oauth/revoke", &format!("{app}&token={token}"));
    let log = format!("{}{}", server.log.clone(), server.logged());
    for secret in [&*secret, &token, canary] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line["message"] != "request"), "{log}");
    let page = include_str!("../../docs/logs-and-traces.md");
    let ours = |line: &&Value| line["target"].as_str().expect("a target").starts_with("chancery");
    for line in lines.iter().filter(ours) {
        for field in line.as_object().expect("an object").keys() {
            assert!(page.contains(&format!("`{field}`")), "docs/logs-and-traces.md lacks {field}: {line}");
        }
    }
}

#[test]
fn requests_are_logged_with_their_id_when_asked_for() {
    let place = Place::new().with("CHANCERY_LOG_REQUESTS", "true");
    let server = place.serve();
    let (status, body) = post(&server.listen, "/oauth/token", "grant_type=x");
    assert_eq!(status, 400);
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let log = server.logged();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = lines.iter().find(|line| line["message"] == "request").expect("a line");
    assert_eq!((&line["route"], &line["status"]), (&"/oauth/token".into(), &400.into()));
    assert_eq!(line["request_id"], told["request_id"], "what the client was told is in the log");
}
