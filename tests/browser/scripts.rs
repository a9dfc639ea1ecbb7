//! T24: nothing that anybody may choose becomes a script.

use serde_json::json;

use crate::{
    browser::{site::Site, webdriver::Chromium},
    http::browser::add_user,
};

/// Each would set `window.pwned`, or open an alert, if it were taken for markup.
const PAYLOADS: [&str; 14] = [
    "<script>window.pwned=1;alert(1)</script>",
    "\"><script>window.pwned=1</script>",
    "'><img src=x onerror=window.pwned=1>",
    "\" autofocus onfocus=window.pwned=1 x=\"",
    "' onmouseover='window.pwned=1",
    "</title><svg onload=window.pwned=1>",
    "</textarea></style></script><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<a href=javascript:window.pwned=1 id=x>x</a>",
    "javascript:window.pwned=1",
    "{{7919*7927}}{% raw %}${7919*7927}<%= 7919*7927 %>",
    "<base href=https://evil.example/><meta http-equiv=refresh content=0;url=javascript:window.pwned=1>",
    "\u{202e}<script>window.pwned=1</script>\u{2066}",
    "<!--<script>window.pwned=1</script>--><style>*{display:none}</style>",
];

async fn is_harmless(chromium: &Chromium, page: &str, payload: &str) {
    assert_eq!(chromium.alert().await, None, "{page}: {payload}");
    let found = "return [window.pwned ?? null, document.querySelectorAll('iframe, base, style, svg:not(.seal), img, \
                 meta[http-equiv], script:not([src])').length, document.body.innerText.includes('62773913')]";
    assert_eq!(chromium.script(found).await, json!([null, 0, false]), "{page}: {payload}");
    assert_eq!(chromium.log().await, [""; 0], "{page}: {payload}");
}

/// The measure itself: a script that did get in is stopped by the policy, and the log tells.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn the_policy_stops_what_gets_in_and_the_log_tells() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    for attack in [
        "const it = document.createElement('script'); it.textContent = 'window.pwned = 1'; document.body.append(it)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned = 1\">')",
        "const it = document.createElement('form'); it.method = 'post'; it.action = 'http://localhost:1/'; \
         document.body.append(it); it.submit()",
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')",
    ] {
        chromium.open(&site.link(&[])).await;
        chromium.wait_for("username").await;
        chromium.script(attack).await;
        let told = async || {
            let log = chromium.log().await;
            log.iter().any(|line| line.contains("Content Security Policy")).then_some(())
        };
        chromium.until("report", told).await;
        assert_eq!(chromium.script("return window.pwned ?? null").await, serde_json::Value::Null, "{attack}");
        assert!(chromium.url().await.starts_with(&site.app.url), "{attack}");
    }
}

/// T24, R16: client name, user name, login hint, state, scope, resource and browser name.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn no_payload_runs_on_any_page() {
    let chromium = Chromium::start().await;
    for payload in PAYLOADS {
        // RFC 6749 §3.3 and our rules for user names leave out some characters; the rest of it stays.
        let scope: String = payload.chars().filter(|c| matches!(c, '!' | '#'..='[' | ']'..='~')).collect();
        let name: String = payload.chars().filter(|c| !c.is_whitespace() && c.is_ascii()).collect();
        let resource = format!("https://api.example/{}", encoded(payload));
        let site = Site::start(|client| {
            client.name = payload.into();
            client.scopes = [&*scope, "openid"].into_iter().collect();
            client.resources = vec![resource.clone()];
        })
        .await;
        site.app.resource(&resource, None).await;
        let name = name.to_lowercase();
        add_user(&site.app, &name).await;
        let agent = json!({"userAgent": payload.replace(|c: char| !c.is_ascii(), "")});
        chromium.devtools("Network.setUserAgentOverride", agent).await;

        let asked = [
            ("scope", &*format!("openid {scope}")),
            ("state", payload),
            ("login_hint", payload),
            ("nonce", payload),
            ("ui_locales", payload),
            ("resource", &resource),
        ];
        chromium.open(&site.link(&[("prompt", payload), ("max_age", payload)])).await;
        chromium.open(&format!("{}/oauth/authorize?client_id={}", site.app.url, encoded(payload))).await;
        chromium.wait_for("error-code").await;
        // The browser logs the 400 itself.
        let log = chromium.log().await;
        assert!(!log.iter().any(|line| line.contains("Content Security Policy")), "{log:?}");
        is_harmless(&chromium, "error", payload).await;

        chromium.open(&site.link(&asked)).await;
        chromium.wait_for("username").await;
        is_harmless(&chromium, "login", payload).await;
        chromium.script("document.getElementById('username').value = ''").await;
        site.sign_in(&chromium, &name).await;
        chromium.wait_for("consent-allow").await;
        is_harmless(&chromium, "consent", payload).await;
        chromium.click("consent-allow").await;
        chromium.wait_for("arrived").await;
        chromium.log().await;

        chromium.open(&site.link(&[asked.as_slice(), &[("response_mode", "form_post")]].concat())).await;
        chromium.wait_for("arrived").await;
        chromium.log().await;
        chromium.open(&format!("{}/account", site.app.url)).await;
        chromium.wait_for("account-user").await;
        is_harmless(&chromium, "account", payload).await;
        chromium
            .open(&format!("{}/oauth/logout?client_id=app&state={}", site.app.url, encoded(payload)))
            .await;
        chromium.wait_for("logout-confirm").await;
        is_harmless(&chromium, "logout", payload).await;
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
