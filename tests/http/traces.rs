//! What is exported of a whole flow: the right spans, in the caller's trace, and no secret (R72).

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    http::{
        app::{SECRET, TestApp, VERIFIER},
        browser::{Browser, PASSWORD, furnish, redeem, request_with},
    },
    servers::{Collector, Span},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Everything that a span may say.
const ALLOWED: [&str; 10] = [
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "oauth.grant_type",
    "oauth.client_id",
    "error.type",
    "db.operation.name",
    "db.system.name",
    "chancery.password.operation",
    "chancery.signature.algorithm",
];

/// A server that traces only those whose caller does: others in this process must not be traced.
async fn traced(collector: &Collector) -> TestApp {
    let settings = [("CHANCERY_TRACING_ENDPOINT", &*collector.url), ("CHANCERY_TRACING_SAMPLE", "0")];
    let app = TestApp::start_with(&settings).await;
    app.with_header("traceparent", &format!("00-{TRACE}-{CALLER}-01"))
}

/// Signs in, redeems, refreshes, introspects, and makes mistakes; returns every secret there was.
async fn drive(app: &TestApp) -> Vec<String> {
    let web = app.client("web", |client| client.introspect_any = true).await;
    let mut browser = Browser::default();
    browser.sign_in_as(app, "alice", "a wrong password, typed by mistake").await;
    let offline = request_with(&[("scope", "openid email offline_access"), ("prompt", "consent")]);
    let code = browser.authorized(app, &offline).await.code();
    let redeemed = redeem(app, &code).await;
    let tokens = ["access_token", "refresh_token", "id_token"].map(|name| redeemed.text(name));
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*tokens[1])];
    let refreshed = app.post("/oauth/token", None, &form).await;
    assert!(app.is_active("web", &tokens[0]).await);
    app.userinfo(&tokens[0]).await;
    redeem(app, &code).await;
    for (id, secret) in [("web", &*tokens[0]), (SECRET, SECRET)] {
        for grant in [VERIFIER, "authorization_code"] {
            let form = [("client_id", id), ("client_secret", secret), ("grant_type", grant), ("code", &code)];
            app.post("/oauth/token", None, &form).await;
        }
    }
    let (mine, form) = (&web.client_id, [("grant_type", "client_credentials"), ("client_secret", SECRET)]);
    let refused = app.token(mine, &form).await;
    assert_eq!(refused.json()["trace_id"], json!(TRACE), "{refused:?}");
    app.get(&format!("/nothing/{code}?token={}", tokens[0])).await;
    browser.post(app, "/login", &[("username", "alice"), ("password", PASSWORD), ("csrf", &code)]).await;
    let mut secrets: Vec<String> =
        [PASSWORD, SECRET, VERIFIER, "a wrong password", "alice"].map(str::to_owned).into();
    secrets.extend(["alice@example.org", "127.0.0.1", "Test/1", "Bearer", "Basic"].map(str::to_owned));
    secrets.extend(tokens);
    secrets.extend([code, refreshed.text("access_token"), refreshed.text("refresh_token")]);
    secrets.extend(browser.0.into_values());
    secrets
}

/// R72
#[tokio::test]
async fn a_flow_is_traced_in_the_callers_trace_and_no_secret_is_exported() {
    let collector = Collector::start();
    let app = furnish(traced(&collector).await, |_| ()).await;
    let secrets = drive(&app).await;
    let state = app.request("GET", "/.well-known/jwks.json").header("tracestate", "rojo=1,congo=t61rcWkgMzE");
    app.send(state).await;
    let spans = collector.wait_for(&["GET /.well-known/jwks.json", "POST /login", "GET"]);

    // The head of the export names the collector's own address.
    let secrets = secrets.iter().filter(|secret| **secret != "127.0.0.1");
    for secret in secrets {
        assert!(!collector.holds(secret), "{secret} is in what was exported");
    }
    for span in &spans {
        assert_eq!(span.trace, TRACE, "{span:?}");
        let strange: Vec<_> = span.attributes.keys().filter(|key| !ALLOWED.contains(&&***key)).collect();
        assert!(strange.is_empty(), "{strange:?} in {span:?}");
        assert!(span.attributes.values().all(|value| !value.contains("127.0.0.1")), "{span:?}");
        assert_eq!(
            span.kind == 2,
            span.parent == CALLER,
            "requests hang on the caller, nothing else: {span:?}"
        );
    }
    let jwks = spans.iter().find(|span| span.name.ends_with("jwks.json")).expect("a span");
    assert_eq!(jwks.state, "rojo=1,congo=t61rcWkgMzE");
    assert_eq!(collector.service()["service.name"], "chancery");
    the_family_is_right(&spans);
    only_the_callers_decide(&app, &collector).await;
}

/// Who hangs on whom.
fn the_family_is_right(spans: &[Span]) {
    let parents = |name: &str| -> BTreeSet<&str> {
        let children = spans.iter().filter(|span| span.name == name);
        let parent = |span: &Span| {
            let parent = spans.iter().find(|other| other.id == span.parent);
            parent.unwrap_or_else(|| panic!("no parent of {span:?}")).name.as_str()
        };
        children.map(parent).collect()
    };
    let authenticating = parents("client authentication");
    assert!(
        authenticating.contains("POST /oauth/token") && authenticating.contains("POST /oauth/introspect")
    );
    assert!(parents("store client").contains("client authentication"), "{:?}", parents("store client"));
    assert!(parents("store commit").contains("POST /oauth/token"), "{:?}", parents("store commit"));
    assert_eq!(parents("password verify"), BTreeSet::from(["POST /login"]));
    assert_eq!(parents("sign"), BTreeSet::from(["POST /oauth/token"]));
    let tokens: Vec<_> = spans.iter().filter(|span| span.name == "POST /oauth/token").collect();
    let said = |span: &Span, key: &str| span.attributes.get(key).cloned().unwrap_or_default();
    assert!(tokens.iter().any(|span| said(span, "oauth.grant_type") == "refresh_token"
        && said(span, "oauth.client_id") == "app"
        && said(span, "http.response.status_code") == "200"));
    // Who has not authenticated is not named.
    assert!(tokens.iter().filter(|span| said(span, "http.response.status_code") == "401").count() >= 1);
    assert!(tokens.iter().all(|span| said(span, "http.response.status_code") != "401"
        || !span.attributes.contains_key("oauth.client_id")));
    let failed = spans.iter().filter(|span| span.failed && span.name == "client authentication");
    assert!(failed.map(|span| said(span, "error.type")).any(|error| error == "invalid_client"));
    let verified = spans.iter().find(|span| span.name == "password verify").expect("a span");
    assert!(verified.nanos > 100_000, "it takes its time: {verified:?}");
}

/// What is not sampled leaves nothing, and its errors name a trace only if the caller did.
async fn only_the_callers_decide(app: &TestApp, collector: &Collector) {
    let ask = async |traceparent: &str| {
        let request = app.request("POST", "/oauth/revoke").header("traceparent", traceparent);
        app.send(request.form(&[("token", "x")])).await.json()["trace_id"].clone()
    };
    let other = TRACE.replace('4', "5");
    assert_eq!(ask(&format!("00-{other}-{CALLER}-00")).await, json!(other), "a no is a no");
    for malformed in ["", "00-x", &format!("00-{}-{CALLER}-01", TRACE.to_uppercase())] {
        assert_eq!(ask(malformed).await, json!(null), "{malformed}");
    }
    assert_eq!(app.get_operations("/nothing").await.json()["trace_id"], json!(null));
    // The next span comes after those would have come.
    app.get("/.well-known/openid-configuration").await;
    let spans = collector.wait_for(&["GET /.well-known/openid-configuration"]);
    assert!(spans.iter().all(|span| span.trace == TRACE && span.name != "POST /oauth/revoke"), "{spans:?}");
}
