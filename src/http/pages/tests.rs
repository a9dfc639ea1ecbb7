//! The pages as a browser, an attacker and an operator meet them.

use std::{collections::BTreeSet, fs};

use super::*;

fn pages() -> PageTemplates {
    PageTemplates::new(None).expect("the built-in pages compile")
}

/// Every page with all that it can show.
fn bodies(pages: &PageTemplates) -> Vec<(&'static str, String)> {
    vec![
        ("login", pages.login(&samples::login(true)).0),
        ("login_own", pages.login(&samples::login(false)).0),
        ("consent", pages.consent(&samples::consent(true)).0),
        ("consent_least", pages.consent(&samples::consent(false)).0),
        ("error", pages.error(&samples::error(true)).0),
        ("logout", pages.logout(&samples::logout(true)).0),
        ("logged_out", pages.logged_out(&samples::logged_out(true)).0),
        ("stayed", pages.logged_out(&samples::logged_out(false)).0),
        ("account", pages.account(&samples::account(true)).0),
        ("account_least", pages.account(&samples::account(false)).0),
        ("form_post", pages.form_post(&samples::form_post()).0),
    ]
}

fn body(name: &str) -> String {
    let found = bodies(&pages()).into_iter().find(|(held, _)| *held == name);
    found.expect("the page is listed").1
}

/// The values of an attribute, in order.
fn values<'a>(body: &'a str, attribute: &str) -> Vec<&'a str> {
    let mark = format!(" {attribute}=\"");
    body.split(&mark).skip(1).filter_map(|rest| rest.split_once('"')).map(|(value, _)| value).collect()
}

#[test]
fn every_page_has_the_ids_that_automation_relies_on() {
    let table: [(&str, &[&str]); 8] = [
        ("login", &["username", "password", "login-submit", "login-cancel", "login-error"]),
        (
            "consent",
            &["consent-scopes", "consent-allow", "consent-deny", "consent-lifetime", "consent-resources"],
        ),
        ("error", &["error-code", "error-description", "error-request-id"]),
        ("logout", &["logout-confirm", "logout-cancel"]),
        ("logged_out", &["logout-success", "logout-continue"]),
        ("stayed", &["logout-cancelled"]),
        ("account", &["account-sessions", "account-consents", "account-sign-out-everywhere"]),
        ("form_post", &["form-post", "form-post-submit"]),
    ];
    for (name, ids) in table {
        let body = body(name);
        for id in ids {
            assert_eq!(values(&body, "id").iter().filter(|held| held == &id).count(), 1, "{name} #{id}");
        }
    }
}

#[test]
fn every_form_goes_where_its_handler_is_and_carries_its_csrf_token() {
    let table: [(&str, &[&str]); 5] = [
        ("login", &["/login"]),
        ("consent", &["/consent"]),
        ("logout", &["/oauth/logout"]),
        ("account_least", &["/account/sessions/end", "/account/sign-out-everywhere"]),
        ("form_post", &["https:&#x2f;&#x2f;library.example.com&#x2f;callback"]),
    ];
    for (name, targets) in table {
        let body = body(name);
        assert_eq!(values(&body, "action"), targets, "{name}");
        assert_eq!(body.matches("<form method=\"post\"").count(), targets.len(), "{name}");
        // R64; the response to a client is no form of ours.
        let tokens = body.matches("name=\"csrf\" value=\"sample-csrf\"").count();
        assert_eq!(tokens, if name == "form_post" { 0 } else { targets.len() }, "{name}");
    }
    assert!(body("account").contains("action=\"/account/consents/withdraw\""));
}

#[test]
fn enter_signs_in_and_does_not_cancel() {
    let body = body("login");
    // HTML §4.10.21.2: implicit submission presses the first submit button in tree order.
    assert!(body.find("id=\"login-submit\"") < body.find("id=\"login-cancel\""));
    assert!(!self::body("login_own").contains("login-cancel"), "nothing to go back to");
}

#[test]
fn the_sign_in_form_tells_password_managers_and_screen_readers_what_is_what() {
    let body = body("login_own");
    for expected in [
        "<html lang=\"en\">",
        "<label for=\"username\">",
        "<label for=\"password\">",
        "autocomplete=\"username\"",
        "autocomplete=\"current-password\"",
        "type=\"password\"",
    ] {
        assert!(body.contains(expected), "{expected}");
    }
    assert_eq!(body.matches("autofocus").count(), 1);
    let failed = self::body("login");
    assert!(failed.contains("id=\"login-error\" role=\"alert\""));
    assert_eq!(values(&failed, "aria-describedby"), ["login-error", "login-error"]);
}

/// R19
#[test]
fn the_consent_page_names_client_scopes_resource_and_lifetime() {
    let body = body("consent");
    for expected in [
        "Riverside Library",
        "Recognise you",
        "See your e-mail address",
        "<code><bdi>loans:renew</bdi></code>",
        "https:&#x2f;&#x2f;api.library.example.com&#x2f;",
        "Each access lasts 1 hour and can be renewed without asking you for up to 30 days.",
        "library.example.com",
    ] {
        assert!(body.contains(expected), "{expected}");
    }
    assert!(self::body("consent_least").contains("Access lasts 1 hour."));
}

#[test]
fn every_page_is_sound_html_without_inline_code_or_foreign_resources() {
    for (name, body) in bodies(&pages()) {
        assert!(body.starts_with("<!doctype html>"), "{name}");
        assert_eq!(body.matches("<h1").count(), 1, "{name}");
        assert_eq!(body.matches("<main").count(), 1, "{name}");
        if let Some(second) = body.find("<h2") {
            assert!(body.find("<h1").is_some_and(|first| first < second), "{name}");
        }
        assert!(!body.contains("<h3"), "{name}");
        for forbidden in
            ["<style", " style=", " onclick=", " onload=", " onsubmit=", "javascript:", "<iframe"]
        {
            assert!(!body.contains(forbidden), "{name} has {forbidden}");
        }
        assert!(!body.contains("<script>"), "{name}");
        for url in values(&body, "src").into_iter().chain(link_targets(&body)) {
            assert!(url.starts_with("/assets/") && url.contains("?v="), "{name} loads {url}");
        }
        let ids = values(&body, "id");
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{name} repeats an id");
    }
}

fn link_targets(body: &str) -> Vec<&str> {
    body.split("<link ").skip(1).filter_map(|rest| values(rest.split('>').next()?, "href").pop()).collect()
}

const PAYLOADS: [&str; 11] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=\"alert(1)",
    "</textarea></title></script><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}${7*7}<%= 7*7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--<b>--><b/onclick=alert(1)>",
    "\u{202e}\u{2066}gnp.exe\u{0}\u{7f}",
    "`${alert(1)}`<\u{ff1c}script>",
];

/// Every page with `text` in every field that is text.
fn filled(pages: &PageTemplates, text: &str) -> Vec<(&'static str, Html)> {
    let some = || Some(text.to_owned());
    let own = || text.to_owned();
    let mut login = samples::login(true);
    (login.issuer_host, login.client_name, login.tx) = (own(), some(), some());
    (login.csrf, login.username) = (own(), own());
    let mut consent = samples::consent(true);
    (consent.issuer_host, consent.client_name, consent.user_name) = (own(), own(), own());
    (consent.scopes, consent.resources) = (vec![ScopeLine::of(text)], vec![own()]);
    (consent.returns_to, consent.tx, consent.csrf) = (some(), own(), own());
    let mut error = samples::error(true);
    (error.issuer_host, error.code, error.description, error.request_id) = (own(), own(), own(), some());
    let mut logout = samples::logout(true);
    (logout.issuer_host, logout.client_name, logout.user_name) = (own(), some(), some());
    (logout.tx, logout.csrf) = (some(), own());
    let mut logged_out = samples::logged_out(true);
    (logged_out.issuer_host, logged_out.continue_to, logged_out.client_name) = (own(), some(), some());
    let mut account = samples::account(true);
    (account.issuer_host, account.user_name, account.notice, account.csrf) = (own(), own(), some(), own());
    account.sessions.iter_mut().for_each(|session| session.user_agent = own());
    for consent in &mut account.consents {
        (consent.client_name, consent.scopes) = (own(), vec![ScopeLine::of(text)]);
    }
    let mut form_post = samples::form_post();
    (form_post.issuer_host, form_post.returns_to, form_post.params) = (own(), own(), vec![(own(), own())]);
    form_post.redirect_uri =
        format!("https://library.example.com/{}", text.replace(|c: char| !c.is_ascii_graphic(), ""));
    vec![
        ("login", pages.login(&login)),
        ("consent", pages.consent(&consent)),
        ("error", pages.error(&error)),
        ("logout", pages.logout(&logout)),
        ("logged_out", pages.logged_out(&logged_out)),
        ("account", pages.account(&account)),
        ("form_post", pages.form_post(&form_post)),
    ]
}

/// The tags of a body, without their attributes' values, in order: what markup the browser will see.
fn skeleton(body: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for rest in body.split('<').skip(1) {
        let mut tag = String::new();
        let mut quoted = false;
        for c in rest.chars() {
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => break,
                c if !quoted => tag.push(c),
                _ => {}
            }
        }
        tags.push(tag);
    }
    tags
}

/// T24, R16, R17: whatever a field holds, the markup is the same as with a harmless word.
#[test]
fn no_field_of_any_page_can_add_markup() {
    let pages = pages();
    for payload in PAYLOADS {
        let harmless = filled(&pages, "https://harmless.example");
        for ((name, hostile), (_, harmless)) in filled(&pages, payload).into_iter().zip(harmless) {
            let mut expected = skeleton(&harmless.0);
            if name == "logged_out" {
                // Its link is left out when it is none; then so is what surrounds it.
                let actual = skeleton(&hostile.0);
                expected.retain(|tag| actual.contains(tag));
                let known = skeleton(&harmless.0);
                assert!(actual.iter().all(|tag| known.contains(tag)), "{name} {payload}");
                continue;
            }
            assert_eq!(skeleton(&hostile.0), expected, "{name} with {payload}");
        }
    }
}

/// T24
#[test]
fn a_value_that_looks_like_a_template_is_not_run() {
    let pages = pages();
    for (name, html) in filled(&pages, "{{ 7*7 }}") {
        assert!(html.0.contains("{{ 7*7 }}") && !html.0.contains("49<"), "{name}");
    }
}

#[test]
fn values_of_forms_arrive_unchanged_and_names_lose_what_turns_text() {
    let pages = pages();
    let odd = "a\u{202e}b \"c\" <d> & e";
    let mut view = samples::form_post();
    view.params = vec![("state".to_owned(), odd.to_owned())];
    let body = pages.form_post(&view).0;
    assert!(body.contains("value=\"a\u{202e}b &quot;c&quot; &lt;d&gt; &amp; e\""), "{body}");
    let mut view = samples::consent(true);
    view.client_name = odd.to_owned();
    assert!(!pages.consent(&view).0.contains('\u{202e}'));
}

/// R16
#[test]
fn the_error_page_shows_the_characters_of_rfc_6749_only() {
    let mut view = samples::error(true);
    view.code = "<b>\u{e9}\"".to_owned();
    view.description = "line\none \u{1f600} \\".to_owned();
    let body = pages().error(&view).0;
    assert!(body.contains("id=\"error-code\">&lt;b&gt;?&#x27;</code>"), "{body}");
    assert!(body.contains("id=\"error-description\">line one ? &#x2f;</p>"), "{body}");
}

/// R3, R17, T25
#[test]
fn nothing_is_posted_or_linked_to_an_address_that_runs_script() {
    let pages = pages();
    for address in ["javascript:alert(1)", "data:text/html,x", "/relative", "https://a b"] {
        let mut view = samples::form_post();
        view.redirect_uri = address.to_owned();
        let body = pages.form_post(&view).0;
        assert!(body.contains("error-code") && !body.contains("sample-code"), "{address}");
        let mut view = samples::logged_out(true);
        view.continue_to = Some(address.to_owned());
        assert!(!pages.logged_out(&view).0.contains("logout-continue"), "{address}");
    }
}

#[test]
fn a_template_folder_replaces_what_it_names_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let layout = "<!doctype html><link href=\"{{ asset('chancery.css') }}\"><p>Our brand</p>{% block main %}{% endblock %}";
    fs::write(folder.path().join("layout.html"), layout).expect("written");
    fs::write(folder.path().join("chancery.css"), "body { color: #123456 }").expect("written");
    fs::write(folder.path().join(".gitignore"), "*").expect("written");
    let pages = PageTemplates::new(Some(folder.path())).expect("the folder is sound");
    let css = pages.asset("/assets/chancery.css").expect("it is served");
    assert_eq!(css.body, "body { color: #123456 }");
    assert_ne!(css.etag, ASSETS[0].etag);
    let body = pages.login(&samples::login(true)).0;
    assert!(body.contains("<p>Our brand</p>") && body.contains("id=\"login-submit\""));
    assert!(body.contains(&css.url()), "{body}");
    let mut hostile = samples::login(true);
    hostile.client_name = Some("<b>".to_owned());
    assert!(pages.login(&hostile).0.contains("&lt;b&gt;"), "replaced templates escape too");
}

#[test]
fn everything_that_is_wrong_with_a_template_folder_is_said_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in [("signin.html", ""), ("notes.txt", "")] {
        fs::write(folder.path().join(name), content).expect("written");
    }
    let error = PageTemplates::new(Some(folder.path())).expect_err("two names are unknown");
    assert_eq!(error.faults.len(), 2);
    assert!(error.faults[1].starts_with("signin.html: no page has this name; there are account.html,"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in [
        ("login.html", "{% if %}"),
        ("error.html", "{{ descripton }}"),
        ("consent.html", "<form method=post action=\"/consent\"><button value=\"allow\">"),
    ] {
        fs::write(folder.path().join(name), content).expect("written");
    }
    let message = PageTemplates::new(Some(folder.path())).expect_err("all three are wrong").to_string();
    for expected in ["login.html:1", "error.html:1", "consent.html: name=\"csrf\" is missing"] {
        assert!(message.contains(expected), "{expected} not in {message}");
    }
    assert!(PageTemplates::new(Some(&folder.path().join("nowhere"))).is_err());
}

#[test]
fn a_replaced_template_that_fails_later_costs_its_branding_and_not_the_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Sound with the samples, not with a status of 503.
    let source = "branded {{ code }} {% if status == 503 %}{{ nothing }}{% endif %}";
    fs::write(folder.path().join("error.html"), source).expect("written");
    let pages = PageTemplates::new(Some(folder.path())).expect("sound with the samples");
    let mut view = samples::error(true);
    assert!(pages.error(&view).0.starts_with("branded"));
    view.status = 503;
    assert!(pages.error(&view).0.contains("id=\"error-code\""));
}

#[test]
fn the_pages_look_as_they_did() {
    let asset_versions: Vec<&str> = ASSETS.iter().map(Asset::version).collect();
    for (name, mut body) in bodies(&pages()) {
        // A changed stylesheet is no changed page.
        for version in &asset_versions {
            body = body.replace(version, "VERSION");
        }
        insta::assert_snapshot!(name, body);
    }
}
