//! Every kind of event that the metrics tell of, in an order in which each can happen.

use crate::observability::driver::{Answer, Browser, Driver};

pub const CALLBACK: &str = "https://app.example/cb";
pub const PASSWORD: &str = "four wooden clocks tick";
/// RFC 7636 Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A JWS without a signature: `{"alg":"none","typ":"at+jwt"}`.
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.";

/// What programs do, and do wrong.
pub async fn machines(driver: &Driver) {
    let credentials = [("grant_type", "client_credentials")];
    let mut tokens = Vec::new();
    for _ in 0..10 {
        tokens.push(driver.token("service", &credentials, Ok(())).await.text("access_token"));
    }
    for token in &tokens[..3] {
        driver.revoke("service", token, "access").await;
    }
    for (at, token) in tokens.iter().enumerate() {
        driver.introspect(token, at >= 3).await;
        driver.introspect(token, at >= 3).await;
    }
    let batch = serde_json::json!({"tokens": tokens, "client_id": "service", "client_secret": driver.node.secrets["service"]});
    let path = "/oauth/introspect/batch";
    driver.send(("POST", path), driver.request("POST", path).json(&batch)).await.with(200);
    driver.introspected(7, 3);
    wrong_requests(driver).await;
    wrong_jwts(driver).await;
    for path in ["/.well-known/openid-configuration", "/.well-known/jwks.json"] {
        driver.get(path).await.with(200);
    }
    driver.get("/no-such-page").await.with(404);
    driver.get("/oauth/token").await.with(405);
    let large = "x".repeat(2 * 1024 * 1024);
    driver.raw_form("/oauth/introspect", &[("token", &large)]).await.with(413);
    driver.tally.add("chancery_http_rejected_total", &[("reason", "body_too_large")], 1);
    let long = driver.request("GET", "/no-such-page").header("x-long", "x".repeat(17 * 1024));
    driver.send(("GET", "/no-such-page"), long).await.with(431);
    driver.tally.add("chancery_http_rejected_total", &[("reason", "header_too_large")], 1);
}

async fn wrong_requests(driver: &Driver) {
    for (form, error) in [
        (&[("grant_type", "password")][..], "unsupported_grant_type"),
        (&[("grant_type", "authorization_code"), ("code", "x")], "unauthorized_client"),
        (&[("grant_type", "client_credentials"), ("scope", "everything")], "invalid_scope"),
    ] {
        driver.token("service", form, Err(error)).await;
    }
    driver.event("scope_escalation");
    let unknown = [("grant_type", "refresh_token"), ("refresh_token", "chy_rt_unknown")];
    driver.token("web", &unknown, Err("invalid_grant")).await;
    let wrong = [("grant_type", "client_credentials"), ("client_id", "service"), ("client_secret", "wrong")];
    let answer = driver.raw_form("/oauth/token", &wrong).await.with(401);
    driver.count_token(&wrong, &answer, Err("invalid_client"), false);
    let userinfo = driver.request("GET", "/oauth/userinfo").bearer_auth("chy_at_unknown");
    driver.send(("GET", "/oauth/userinfo"), userinfo).await.with(401);
}

async fn wrong_jwts(driver: &Driver) {
    let form = [("grant_type", "client_credentials")];
    let signed = driver.token("signed", &form, Ok(())).await.text("access_token");
    driver.introspect(&signed, true).await;
    let (body, signature) = signed.rsplit_once('.').expect("a JWT");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{body}.{first}{}", &signature[1..]);
    for (jwt, reason) in [(&*forged, "signature"), ("not.a.jwt", "malformed"), (UNSIGNED, "algorithm")] {
        driver.introspect(jwt, false).await;
        let labels = [("use", "access"), ("reason", reason)];
        driver.tally.add("chancery_jwt_verify_failures_total", &labels, 1);
    }
    driver.event("jwt_alg_rejected");
}

/// Where an application sends a person to.
fn authorize(client: &str, more: &str) -> String {
    format!(
        "/oauth/authorize?client_id={client}&redirect_uri={CALLBACK}&response_type=code&state=s1\
         &scope=openid%20profile%20offline_access&code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
    )
}

fn redemption<'a>(code: &'a str, verifier: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ]
}

async fn redeem(driver: &Driver, code: &str) -> Answer {
    driver.token("web", &redemption(code, VERIFIER), Ok(())).await
}

/// Comes with a request, signs in and agrees; the code.
async fn sign_in(driver: &Driver, browser: &mut Browser<'_>) -> String {
    let begun = browser.get(&authorize("web", "&prompt=consent")).await.with(303);
    let page = browser.get(&begun.location).await.with(200);
    let filled = [("username", "alice"), ("password", PASSWORD), ("action", "login")];
    let signed_in = browser.submit(&page, "/login", &filled).await.with(303);
    driver.signed_in("none");
    let page = browser.get(&signed_in.location).await.with(200);
    browser.submit(&page, "/consent", &[("action", "allow")]).await.with(303).param("code")
}

/// What people do, and what is done in their name.
pub async fn people(driver: &Driver) {
    let mut browser = Browser::new(driver);
    strangers(driver, &mut browser).await;
    let code = sign_in(driver, &mut browser).await;
    // A code in the wrong hands, with the wrong proof, at last in the right ones, and once more.
    driver.token("other", &redemption(&code, VERIFIER), Err("invalid_grant")).await;
    driver.event("foreign_token");
    driver.token("web", &redemption(&code, &VERIFIER.replace('d', "e")), Err("invalid_grant")).await;
    driver.event("pkce_mismatch");
    driver.token("web", &redemption(&code, VERIFIER)[..3], Err("invalid_grant")).await;
    driver.event("pkce_downgrade");
    redeem(driver, &code).await;
    driver.token("web", &redemption(&code, VERIFIER), Err("invalid_grant")).await;
    driver.event("code_replay");
    driver.revoked("reuse", "family");

    let silent = authorize("web", "&prompt=none");
    let tokens = redeem(driver, &browser.get(&silent).await.param("code")).await;
    let userinfo = driver.request("GET", "/oauth/userinfo").bearer_auth(tokens.text("access_token"));
    driver.send(("GET", "/oauth/userinfo"), userinfo).await.with(200);
    refreshing(driver, &tokens.text("refresh_token")).await;
    let tokens = redeem(driver, &browser.get(&silent).await.param("code")).await;
    driver.revoke("web", &tokens.text("refresh_token"), "refresh").await;
    leaving(driver, &mut browser, &tokens.text("id_token")).await;
}

/// A refresh token that stands.
pub async fn refresh_token(driver: &Driver) -> String {
    let code = sign_in(driver, &mut Browser::new(driver)).await;
    redeem(driver, &code).await.text("refresh_token")
}

/// Requests of somebody who has no business here.
async fn strangers(driver: &Driver, browser: &mut Browser<'_>) {
    let elsewhere = authorize("web", "").replace("app.example", "evil.example");
    browser.get(&elsewhere).await.with(400);
    driver.event("redirect_uri_rejected");
    assert_eq!(browser.get(&authorize("web", "&prompt=none")).await.param("error"), "login_required");
    let begun = browser.get(&authorize("web", "")).await.with(303);
    let page = browser.get(&begun.location).await.with(200);
    let style = page.body.split("href=\"/assets/").nth(1).and_then(|rest| rest.split('"').next());
    browser.get(&format!("/assets/{}", style.expect("a page has a style sheet"))).await.with(200);
    Browser::new(driver).get(&begun.location).await.with(400);
    driver.event("session_fixation_blocked");
    browser.post("/login", &[("username", "alice"), ("password", PASSWORD)]).await.with(403);
    driver.event("csrf_rejected");
    for (name, reason) in [
        ("alice", "wrong_password"),
        ("nobody", "unknown_user"),
        ("carol", "no_password"),
        ("dave", "disabled"),
    ] {
        let filled = [("username", name), ("password", "five wooden clocks tick"), ("action", "login")];
        browser.submit(&page, "/login", &filled).await;
        driver.signed_in(reason);
    }
}

/// A refresh token that is used, used once more because the answer was lost, and used when it is long spent.
async fn refreshing(driver: &Driver, first: &str) {
    let form = [("grant_type", "refresh_token"), ("refresh_token", first)];
    let second = driver.token("web", &form, Ok(())).await.text("refresh_token");
    let again = driver.form("/oauth/token", "web", &form).await;
    driver.count_token(&form, &again, Ok(()), false);
    driver.event("refresh_retry");
    let next = [("grant_type", "refresh_token"), ("refresh_token", &*second)];
    driver.token("web", &next, Ok(())).await;
    driver.token("web", &form, Err("invalid_grant")).await;
    driver.event("refresh_reuse");
    driver.revoked("reuse", "family");
}

async fn leaving(driver: &Driver, browser: &mut Browser<'_>, id_token: &str) {
    browser.get("/oauth/logout?id_token_hint=not.a.hint").await.with(200);
    let labels = [("use", "id_token_hint"), ("reason", "malformed")];
    driver.tally.add("chancery_jwt_verify_failures_total", &labels, 1);
    browser.get(&format!("/oauth/logout?id_token_hint={id_token}")).await;
    driver.tally.add("chancery_logouts_total", &[("type", "rp")], 1);
    assert_eq!(browser.get("/account").await.with(303).location, "/login", "signed out");
    sign_in(driver, browser).await;
    let page = browser.get("/account").await.with(200);
    browser.submit(&page, "/account/sign-out-everywhere", &[]).await.with(303);
    driver.tally.add("chancery_logouts_total", &[("type", "account")], 1);
    driver.revoked("user", "all");
}
