//! What can be measured of how the pages look: on a phone, in light and in dark.

use serde_json::json;

use crate::{
    browser::{site::Site, webdriver::Chromium},
    http::browser::PASSWORD,
};

/// Contrast of every visible text against what is behind it (WCAG 2.2 §1.4.3), the smallest first;
/// whether something is wider than the window; and the smallest thing to press.
const MEASURE: &str = r"
const channel = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
const parse = css => { const n = css.match(/[\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n };
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = node => {
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color[3] > 0.99) return color;
  }
  return parse(getComputedStyle(document.documentElement).colorScheme.includes('dark') ? 'rgb(18,18,18)' : 'rgb(255,255,255)');
};
let worst = [21, ''];
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
  if (!own && node.tagName !== 'INPUT' || node.closest('.sr') || !node.getClientRects().length) continue;
  const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < worst[0]) worst = [contrast, node.outerHTML.slice(0, 80)];
}
const pressed = [...document.querySelectorAll('button, input:not([type=hidden])')].map(node => node.getBoundingClientRect().height);
return [worst[0], worst[1], document.documentElement.scrollWidth - innerWidth, Math.min(100, ...pressed)]";

/// Saves the page where `CHANCERY_SCREENSHOTS` says, for people to look at.
async fn picture(chromium: &Chromium, name: &str) {
    if let Ok(folder) = std::env::var("CHANCERY_SCREENSHOTS") {
        let png = chromium.screenshot().await;
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), png)
            .expect("it is written");
    }
}

async fn measure(chromium: &Chromium, page: &str) {
    for (size, width, height) in [("wide", 1280, 800), ("phone", 360, 740)] {
        for scheme in ["light", "dark"] {
            chromium.look(width, height, scheme).await;
            let case = format!("{page}-{size}-{scheme}");
            picture(chromium, &case).await;
            let found = chromium.script(MEASURE).await;
            assert!(found[0].as_f64().expect("a number") >= 4.5, "{case}: {found}");
            assert!(found[2].as_f64().expect("a number") <= 0.0, "{case} is wider than the window: {found}");
            assert!(
                found[3].as_f64().expect("a number") >= 24.0,
                "{case} has things too small to press: {found}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn every_page_is_readable_on_a_phone_and_in_the_dark() {
    let site = Site::start(|client| {
        client.name = "A notebook with quite a long name for such a small window".into();
        client.resources =
            vec!["https://api.example/a/rather/long/address/that/does/not/break/anywhere/at/all".into()];
    })
    .await;
    site.app
        .resource("https://api.example/a/rather/long/address/that/does/not/break/anywhere/at/all", None)
        .await;
    let chromium = Chromium::start().await;
    let asked = [
        ("scope", "openid profile email read write offline_access"),
        ("resource", "https://api.example/a/rather/long/address/that/does/not/break/anywhere/at/all"),
    ];
    chromium.open(&site.link(&asked)).await;
    measure(&chromium, "login").await;
    chromium.fill("username", "alice").await;
    chromium.fill("password", "wrong").await;
    chromium.click("login-submit").await;
    chromium.wait_for("login-error").await;
    measure(&chromium, "login-error").await;
    chromium.fill("password", PASSWORD).await;
    chromium.click("login-submit").await;
    chromium.wait_for("consent-allow").await;
    measure(&chromium, "consent").await;
    chromium.click("consent-allow").await;
    chromium.wait_for("arrived").await;
    for (page, path) in [
        ("account", "/account"),
        ("logout", "/oauth/logout?client_id=app"),
        ("error", "/oauth/authorize?client_id=nobody"),
    ] {
        chromium.open(&format!("{}{path}", site.app.url)).await;
        measure(&chromium, page).await;
    }
    chromium.open(&format!("{}/oauth/logout", site.app.url)).await;
    chromium.click("logout-confirm").await;
    chromium.wait_for("logout-success").await;
    measure(&chromium, "signed-out").await;
    chromium.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    chromium
        .open(&site.link(&[asked.as_slice(), &[("response_mode", "form_post"), ("prompt", "none")]].concat()))
        .await;
    chromium.wait_for("form-post-submit").await;
}
