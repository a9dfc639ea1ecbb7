//! Signing in, consenting, refusing and signing out, as a person does.

use chancery::model::ApplicationType;

use crate::browser::{
    site::{Site, value},
    webdriver::{Chromium, ENTER, TAB},
};

/// `form-action` is applied by browsers to the redirect after a form's POST: the answer arrives only
/// if it names the application (R13).
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_person_signs_in_consents_and_arrives_at_the_application() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    site.sign_in(&chromium, "alice").await;
    assert!(chromium.text("consent-scopes").await.contains("profile"));
    assert_eq!(chromium.text("consent-client").await, "Notes");
    chromium.click("consent-allow").await;
    let answer = site.answer(&chromium).await;
    assert!(value(&answer, "code").starts_with("chy_ac_"));
    assert_eq!((value(&answer, "state"), value(&answer, "iss")), ("s1", &*site.app.url));
    chromium.wait_for("arrived").await;
    assert_eq!(chromium.log().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_person_says_no_and_the_application_hears_of_it() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    chromium.fill("username", "alice").await;
    chromium.fill("password", "wrong").await;
    chromium.click("login-submit").await;
    chromium.wait_for("login-error").await;
    chromium.fill("password", crate::http::browser::PASSWORD).await;
    chromium.click("login-submit").await;
    chromium.click("consent-deny").await;
    let answer = site.answer(&chromium).await;
    assert_eq!((value(&answer, "error"), value(&answer, "iss")), ("access_denied", &*site.app.url));
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn cancelling_the_sign_in_goes_back_to_the_application() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    chromium.click("login-cancel").await;
    assert_eq!(value(&site.answer(&chromium).await, "error"), "access_denied");
}

/// R17: the page posts itself, with a script of our own origin.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn form_post_arrives_by_itself() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium
        .open(&site.link(&[("response_mode", "form_post"), ("state", "\"><script>window.pwned=1</script>")]))
        .await;
    site.sign_in(&chromium, "alice").await;
    chromium.click("consent-allow").await;
    let answer = site.answer(&chromium).await;
    assert!(value(&answer, "code").starts_with("chy_ac_"));
    assert_eq!(value(&answer, "state"), "\"><script>window.pwned=1</script>");
    assert_eq!(value(&answer, "iss"), site.app.url);
    assert_eq!(chromium.log().await, [""; 0]);
}

/// Everything works without scripts; form_post then needs its button.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn nothing_needs_scripts() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.devtools("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true})).await;
    chromium.open(&site.link(&[("response_mode", "form_post")])).await;
    site.sign_in(&chromium, "alice").await;
    chromium.click("consent-allow").await;
    chromium.click("form-post-submit").await;
    assert!(value(&site.answer(&chromium).await, "code").starts_with("chy_ac_"));
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_keyboard_is_enough() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    chromium.wait_for("login-submit").await;
    // The cursor is in the first field already.
    chromium.press(&format!("alice{TAB}{}{ENTER}", crate::http::browser::PASSWORD)).await;
    chromium.wait_for("consent-allow").await;
    for _ in 0..5 {
        if chromium.script("return document.activeElement.id").await == "consent-allow" {
            break;
        }
        chromium.press(&TAB.to_string()).await;
    }
    let ring = "const style = getComputedStyle(document.activeElement); \
                return document.activeElement.id + ' ' + (style.outlineStyle !== 'none' || style.boxShadow !== 'none')";
    assert_eq!(chromium.script(ring).await, "consent-allow true", "the focus can be seen");
    chromium.press(&ENTER.to_string()).await;
    assert!(value(&site.answer(&chromium).await, "code").starts_with("chy_ac_"));
}

/// RFC 8252 §7.1: the browser hands the answer to the system; the policy does not stop it.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_custom_scheme_is_not_blocked_by_the_policy() {
    let site = Site::start(|client| {
        client.application_type = ApplicationType::Native;
        client.redirect_uris = vec!["com.example.notes:/cb".into()];
        client.skip_consent = true;
    })
    .await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[("redirect_uri", "com.example.notes:/cb")])).await;
    site.sign_in(&chromium, "alice").await;
    // Nobody here takes the scheme, so the sign-in page stays; what matters is that it was tried.
    let signed_in = async || {
        crate::http::browser::count(&site.app, "chancery_authorize_requests_total", &["outcome=\"success\""])
            .await
            .eq(&1)
            .then_some(())
    };
    chromium.until("code", signed_in).await;
    // By the time another page is there, everything about the last one has been told.
    chromium.open(&format!("{}/account", site.app.url)).await;
    let log = chromium.log().await;
    assert!(!log.iter().any(|line| line.contains("Content Security Policy")), "{log:?}");
}

/// R62, R20
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_person_sees_the_account_and_signs_out() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    site.sign_in(&chromium, "alice").await;
    chromium.click("consent-allow").await;
    chromium.wait_for("arrived").await;
    let account = format!("{}/account", site.app.url);
    chromium.open(&account).await;
    assert_eq!(chromium.text("account-user").await, "alice");
    assert!(chromium.text("account-consents").await.contains("Notes"));
    assert!(chromium.text("account-sessions").await.contains("This browser"));
    chromium.open(&format!("{}/oauth/logout", site.app.url)).await;
    chromium.click("logout-cancel").await;
    chromium.wait_for("logout-cancelled").await;
    // With a way back: form-action names it, or the browser would not go there.
    let back = form_urlencoded::byte_serialize(site.redirect_uri.as_bytes()).collect::<String>();
    chromium
        .open(&format!("{}/oauth/logout?client_id=app&post_logout_redirect_uri={back}", site.app.url))
        .await;
    chromium.click("logout-confirm").await;
    chromium.wait_for("arrived").await;
    chromium.open(&format!("{}/oauth/logout", site.app.url)).await;
    chromium.wait_for("logout-success").await;
    chromium.open(&account).await;
    chromium.wait_for("username").await;
    assert_eq!(chromium.log().await, [""; 0]);
}

/// Another site's form starts a sign-in here; the one that is open in the next tab goes on working.
#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_form_of_another_site_does_not_disturb_an_open_sign_in() {
    let site = Site::start(|_| ()).await;
    let chromium = Chromium::start().await;
    chromium.open(&site.link(&[])).await;
    chromium.wait_for("username").await;
    let open = chromium.url().await;
    // `localhost` is another site than 127.0.0.1.
    let other = site.redirect_uri.replace("127.0.0.1", "localhost");
    chromium.open(&other).await;
    let form = format!(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '{}/oauth/logout'; \
         document.body.append(form); form.submit()",
        site.app.url
    );
    chromium.script(&form).await;
    chromium.wait_for("logout-success").await;
    chromium.open(&open).await;
    site.sign_in(&chromium, "alice").await;
    chromium.click("consent-allow").await;
    assert!(value(&site.answer(&chromium).await, "code").starts_with("chy_ac_"));
}
