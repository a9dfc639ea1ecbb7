//! `/login` and `/consent`: what a browser may do, and what not.

use std::time::Duration;

use chancery::{model::Secret, store::Effect};

use crate::http::{
    app::TestApp,
    browser::{Browser, PASSWORD, add_user, count, events, redeem, request, request_with, site, site_with},
};

/// R59, T15
#[tokio::test]
async fn a_sign_in_begun_in_one_browser_cannot_be_continued_in_another() {
    let app = site().await;
    let mut attacker = Browser::default();
    let begun = attacker.get(&app, &request("")).await;
    let page = attacker.get(&app, begun.location()).await;
    let mut victim = Browser::default();
    let shown = victim.get(&app, begun.location()).await;
    assert_eq!((shown.status, shown.error_code().as_str()), (400, "invalid_request"));
    let csrf = victim.get(&app, "/login").await.field("csrf");
    let form = [("tx", &*page.field("tx")), ("csrf", &csrf), ("username", "alice"), ("password", PASSWORD)];
    assert_eq!(victim.post(&app, "/login", &form).await.status, 400);
}

/// R59, T16
#[tokio::test]
async fn a_transaction_is_used_once_and_ends() {
    let app = site().await;
    let mut browser = Browser::default();
    let signed_in = browser.sign_in(&app, &request("&prompt=consent")).await;
    let page = browser.get(&app, signed_in.location()).await;
    let form = [("tx", &*page.field("tx")), ("csrf", &page.field("csrf")), ("action", "allow")];
    assert!(browser.post(&app, "/consent", &form).await.param("code").is_some());
    assert_eq!(browser.post(&app, "/consent", &form).await.error_code(), "invalid_request");
    let begun = browser.get(&app, &request("&prompt=login")).await;
    app.clock.advance(Duration::from_secs(app.provider.policy.login_lifetime));
    let late = browser.get(&app, begun.location()).await;
    assert_eq!((late.status, late.error_code().as_str()), (400, "invalid_request"));
}

/// T16
#[tokio::test]
async fn no_step_can_be_skipped() {
    let app = site().await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("")).await;
    let tx = begun.param("tx").unwrap();
    let early = browser.get(&app, &format!("/consent?tx={tx}")).await;
    assert!(early.location().starts_with("/login?tx="));
    let csrf = browser.get(&app, begun.location()).await.field("csrf");
    let posted = browser.post(&app, "/consent", &[("tx", &tx), ("csrf", &csrf), ("action", "allow")]).await;
    assert!(posted.location().starts_with("/login?tx="));
    assert_eq!(browser.post(&app, "/login", &[("tx", &tx), ("csrf", &csrf)]).await.status, 400);
    assert_eq!(browser.get(&app, "/consent").await.error_code(), "invalid_request");
    assert_eq!(browser.get(&app, "/login?tx=garbage").await.error_code(), "invalid_request");
}

/// R64
#[tokio::test]
async fn every_form_needs_the_csrf_token_of_its_own_browser() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let foreign = Browser::default().get(&app, "/login").await.field("csrf");
    for path in [
        "/login",
        "/consent",
        "/account/sessions/end",
        "/account/consents/withdraw",
        "/account/sign-out-everywhere",
        "/oauth/logout",
    ] {
        for csrf in ["", "x", foreign.as_str()] {
            let answer = browser
                .post(
                    &app,
                    path,
                    &[("csrf", csrf), ("action", "confirm"), ("username", "alice"), ("password", PASSWORD)],
                )
                .await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (403, "access_denied"),
                "{path} {csrf}"
            );
        }
    }
    assert_eq!(browser.get(&app, "/account").await.status, 200, "still signed in");
}

/// R58, T15
#[tokio::test]
async fn signing_in_again_renews_the_session_and_ends_the_old_one() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let old = browser.0.clone();
    browser.sign_in(&app, &request("&prompt=login")).await;
    assert_ne!(browser.0["chancery_session"], old["chancery_session"]);
    assert_eq!(browser.get(&app, "/account").await.status, 200);
    assert_eq!(Browser(old).get(&app, "/account").await.location(), "/login");
}

/// R60
#[tokio::test]
async fn a_session_ends_when_idle_and_lives_while_used() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let idle = Duration::from_secs(app.provider.policy.session_idle_lifetime);
    for _ in 0..3 {
        app.clock.advance(idle - Duration::from_secs(1));
        assert_eq!(browser.get(&app, "/account").await.status, 200);
    }
    app.clock.advance(idle);
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
}

/// R60: however much it is used.
#[tokio::test]
async fn a_session_ends_at_its_age() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let policy = &app.provider.policy;
    let (idle, lifetime) = (policy.session_idle_lifetime, policy.session_lifetime);
    let steps = lifetime / (idle - 1);
    for _ in 0..steps {
        app.clock.advance(Duration::from_secs(idle - 1));
        assert_eq!(browser.get(&app, "/account").await.status, 200);
    }
    app.clock.advance(Duration::from_secs(lifetime - steps * (idle - 1)));
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    assert!(browser.get(&app, &request("")).await.asks_to_sign_in());
}

/// R61, T10
#[tokio::test]
async fn a_disabled_person_is_signed_out_everywhere_and_cannot_finish_anything() {
    let app = site().await;
    let mut browser = Browser::default();
    let code = browser.authorized(&app, &request("")).await.code();
    let consent = browser.get(&app, &request("&prompt=consent")).await;
    let page = browser.get(&app, consent.location()).await;
    app.provider.administration.set_user_enabled("alice", false).await.unwrap();
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    assert!(browser.submit(&app, &page, "/consent", &[("action", "allow")]).await.asks_to_sign_in());
    assert_eq!(redeem(&app, &code).await.error(), (400, "invalid_grant".into()));
    assert_eq!(browser.sign_in(&app, &request("")).await.status, 400);
    app.provider.administration.set_user_enabled("alice", true).await.unwrap();
    assert_eq!(browser.get(&app, "/account").await.location(), "/login", "the old session stays dead");
}

/// R61: a new password ends what the old one opened.
#[tokio::test]
async fn a_new_password_ends_every_session() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let password = Secret::new("another good passphrase".to_owned());
    app.provider.administration.set_user_password("alice", &password).await.unwrap();
    assert_eq!(browser.get(&app, "/account").await.location(), "/login");
    assert_eq!(browser.sign_in_as(&app, "alice", PASSWORD).await.status, 400);
    assert_eq!(browser.sign_in_as(&app, "alice", "another good passphrase").await.location(), "/account");
}

/// R52: what is typed is compared in one form, and never cut.
#[tokio::test]
async fn passwords_are_compared_whole_and_in_one_unicode_form() {
    let app = site().await;
    let user = app.provider.store.user_by_name("alice").await.unwrap().unwrap();
    let long = format!("Ünïcödé {}", "x".repeat(119));
    let normal = chancery::protocol::password_policy::normalise(&long).unwrap();
    let password = app.provider.sign_in.passwords.hash(normal).await.unwrap();
    app.commit(vec![Effect::SetPassword { user: user.id, password }]).await;
    let cut: String = long.chars().take(126).collect();
    assert_eq!(Browser::default().sign_in_as(&app, "alice", &cut).await.status, 400);
    let decomposed = long.replace('Ü', "U\u{308}");
    for same in [&*long, &decomposed] {
        let answer = Browser::default().sign_in_as(&app, "\u{ff21}lice", same).await;
        assert_eq!(answer.location(), "/account");
    }
}

/// R58
#[tokio::test]
async fn cookies_are_kept_from_scripts_and_other_sites() {
    let app = site().await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("")).await;
    let page = browser.get(&app, begun.location()).await;
    assert_eq!(page.header("set-cookie"), "", "a browser keeps the cookie it has");
    let form = [("username", "alice"), ("password", PASSWORD)];
    let signed_in = browser.submit(&app, &page, "/login", &form).await;
    for (answer, name) in [(&begun, "chancery_browser=chy_tx_"), (&signed_in, "chancery_session=chy_se_")] {
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with(name), "{cookie}");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        // 32 random bytes and a MAC.
        assert!(cookie.split(';').next().unwrap().len() > name.len() + 50, "{cookie}");
    }
}

/// R58: over https the names keep other hosts of the domain out.
#[tokio::test]
async fn cookies_of_an_https_issuer_are_host_cookies() {
    let app = TestApp::start_with(&[("CHANCERY_SERVER_ISSUER", "https://id.example")]).await;
    let begun = Browser::default().get(&app, "/login").await;
    let cookie = begun.header("set-cookie");
    assert!(cookie.starts_with("__Host-chancery_browser=") && cookie.ends_with("; Secure"), "{cookie}");
}

/// R58, T15: an attacker's session in the victim's browser is not the one they sign in to.
#[tokio::test]
async fn a_planted_session_is_not_continued() {
    let app = site().await;
    add_user(&app, "mallory").await;
    let mut attacker = Browser::default();
    attacker.sign_in_as(&app, "mallory", PASSWORD).await;
    let mut victim = Browser(attacker.0.clone());
    victim.sign_in_as(&app, "alice", PASSWORD).await;
    assert_ne!(victim.0["chancery_session"], attacker.0["chancery_session"]);
    assert_eq!(attacker.get(&app, "/account").await.location(), "/login", "what was planted is dead");
    let mut invented = Browser::default();
    invented.0.insert("chancery_session".into(), "chy_se_invented".into());
    invented.sign_in_as(&app, "alice", PASSWORD).await;
    assert_ne!(invented.0["chancery_session"], "chy_se_invented");
}

/// R59, R64: refusals are counted.
#[tokio::test]
async fn forged_forms_and_foreign_transactions_are_counted() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.post(&app, "/login", &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(events(&app, "csrf_rejected").await, 1);
    assert_eq!(count(&app, "chancery_login_attempts_total", &[]).await, 0, "no password was looked at");
    let begun = Browser::default().get(&app, &request("")).await;
    browser.get(&app, begun.location()).await;
    assert_eq!(events(&app, "session_fixation_blocked").await, 1);
}

/// R64: a CSRF token ends too.
#[tokio::test]
async fn a_form_left_open_for_more_than_a_day_is_refused() {
    let app = site().await;
    let mut browser = Browser::default();
    let page = browser.get(&app, "/login").await;
    app.clock.advance(Duration::from_secs(24 * 60 * 60));
    let form = [("username", "alice"), ("password", PASSWORD)];
    assert_eq!(browser.submit(&app, &page, "/login", &form).await.status, 403);
}

/// T07: what is good in one place is nothing in another.
#[tokio::test]
async fn no_opaque_value_is_taken_for_one_of_another_kind() {
    let app =
        site_with(|client| client.post_logout_redirect_uris = vec!["https://app.example/bye".into()]).await;
    let mut browser = Browser::default();
    let offline = request_with(&[("scope", "openid offline_access")]);
    let tokens = redeem(&app, &browser.authorized(&app, &offline).await.code()).await;
    let code = browser.get(&app, &offline).await.code();
    let consent = browser.get(&app, &request("&prompt=consent")).await;
    let page = browser.get(&app, consent.location()).await;
    let bye = "/oauth/logout?client_id=app&post_logout_redirect_uri=https://app.example/bye";
    let leaving = browser.get(&app, bye).await;
    let values = [
        ("code", code),
        ("refresh", tokens.text("refresh_token")),
        ("access", tokens.text("access_token")),
        ("id token", tokens.text("id_token")),
        ("tx", page.field("tx")),
        ("csrf", page.field("csrf")),
        ("logout tx", leaving.field("tx")),
        ("session", browser.0["chancery_session"].clone()),
        ("browser", browser.0["chancery_browser"].clone()),
    ];
    let csrf = page.field("csrf");
    for (kind, value) in &values {
        let form = [("tx", &**value), ("csrf", &*csrf), ("action", "allow")];
        let query = format!("tx={value}");
        if *kind != "tx" {
            assert_eq!(browser.post(&app, "/consent", &form).await.status, 400, "{kind} as tx");
            assert_eq!(browser.get(&app, &format!("/login?{query}")).await.status, 400, "{kind} as tx");
        }
        if *kind != "logout tx" {
            let form = [("tx", &**value), ("csrf", &*csrf), ("action", "cancel")];
            assert_eq!(browser.post(&app, "/oauth/logout", &form).await.status, 400, "{kind} as logout tx");
        }
        if *kind != "csrf" {
            let form = [("csrf", &**value), ("action", "cancel")];
            assert_eq!(browser.post(&app, "/oauth/logout", &form).await.status, 403, "{kind} as csrf");
        }
        if *kind != "session" {
            let cookies = [("chancery_session".to_owned(), value.clone())];
            let mut forged = Browser(cookies.into());
            assert_eq!(forged.get(&app, "/account").await.location(), "/login", "{kind} as session");
        }
        if *kind != "code" {
            assert_eq!(redeem(&app, value).await.error(), (400, "invalid_grant".into()), "{kind} as code");
        }
        if *kind != "refresh" {
            let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", value)];
            let answer = app.post("/oauth/token", None, &form).await;
            assert_eq!(answer.error(), (400, "invalid_grant".into()), "{kind} as refresh token");
        }
        if *kind != "access" {
            assert_eq!(app.userinfo(value).await.status, 401, "{kind} as access token");
        }
    }
}

/// R59, T16
#[tokio::test]
async fn a_step_replayed_after_the_code_was_issued_is_refused_and_signs_nobody_out() {
    let app = site_with(|client| client.skip_consent = true).await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("")).await;
    let page = browser.get(&app, begun.location()).await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    assert!(browser.submit(&app, &page, "/login", &form).await.param("code").is_some());
    // The person went back and pressed the button once more.
    let again = browser.submit(&app, &page, "/login", &form).await;
    assert_eq!((again.status, &*again.error_code()), (400, "invalid_request"));
    assert_eq!(browser.get(&app, "/account").await.status, 200, "still signed in");
}

/// Two requests of one browser at once, each in a tab of its own.
#[tokio::test]
async fn two_sign_ins_side_by_side_do_not_disturb_each_other() {
    let app = site_with(|client| client.skip_consent = true).await;
    let mut browser = Browser::default();
    let (one, two) = (browser.get(&app, &request("")).await, browser.get(&app, &request("&nonce=2")).await);
    let (one, two) = (browser.get(&app, one.location()).await, browser.get(&app, two.location()).await);
    let form = [("username", "alice"), ("password", PASSWORD)];
    for page in [one, two] {
        assert!(browser.submit(&app, &page, "/login", &form).await.param("code").is_some());
    }
}

/// A page of another site that posts here must not break the sign-in in the next tab: its request
/// comes without cookies (SameSite=Lax), and what the answer sets would replace the browser's own.
#[tokio::test]
async fn a_post_without_cookies_is_given_none() {
    let app = site().await;
    for target in
        [request(""), "/oauth/logout?client_id=app".into(), "/login?a=b".into(), "/consent?a=b".into()]
    {
        let answer = Browser::default().post_target(&app, &target).await;
        assert_eq!(answer.header("set-cookie"), "", "{target}");
    }
    // A sign-in that is over leaves the session alone, too.
    let mut browser = Browser::default();
    browser.authorized(&app, &request("")).await;
    let held = browser.0.clone();
    for path in ["/login", "/consent", "/oauth/logout", "/account/sessions/end"] {
        Browser::default().post(&app, path, &[]).await;
        browser.post(&app, path, &[]).await;
        assert_eq!(browser.0, held, "{path}");
    }
}

/// R70, T31
#[tokio::test]
async fn a_flood_of_passwords_is_refused_at_once_and_tokens_are_issued_meanwhile() {
    let app = TestApp::start_with(&[
        ("CHANCERY_PASSWORD_THREADS", "1"),
        ("CHANCERY_PASSWORD_QUEUE", "1"),
        // Slow enough that a queue forms.
        ("CHANCERY_PASSWORD_MEMORY_KIB", "65536"),
    ])
    .await;
    app.client("machine", |_| {}).await;
    let mut browser = Browser::default();
    let page = browser.get(&app, "/login").await;
    let csrf = page.field("csrf");
    let tries = (0..12).map(|_| {
        let mut browser = browser.clone();
        let (app, csrf) = (&app, &csrf);
        let form = [("csrf", csrf.as_str()), ("username", "alice"), ("password", "wrong")];
        async move { browser.post(app, "/login", &form).await }
    });
    let tokens = async {
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            app.machine_token("machine").await;
        }
        begun.elapsed()
    };
    let (answers, tokens) = futures_util::future::join(futures_util::future::join_all(tries), tokens).await;
    let (refused, checked): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 503);
    assert!(checked.iter().all(|answer| answer.status == 400) && checked.len() >= 2, "{}", checked.len());
    assert!(!refused.is_empty());
    for answer in &refused {
        let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
        assert!(seconds >= 1, "{answer:?}");
        assert!(answer.body.contains("id=\"login-error\"") && answer.body.contains("value=\"alice\""));
    }
    assert!(tokens < crate::within(Duration::from_secs(2)), "{tokens:?}");
    assert_eq!(count(&app, "chancery_password_hash_rejected_total", &[]).await as usize, refused.len());
    let overloads = count(&app, "chancery_login_attempts_total", &["reason=\"overload\""]).await;
    assert_eq!(overloads as usize, refused.len());
}

#[tokio::test]
async fn sign_ins_are_counted_by_their_outcome() {
    let app = site().await;
    let mallory = add_user(&app, "mallory").await;
    app.commit(vec![Effect::SetUserEnabled(mallory.id, false)]).await;
    app.user("peter").await;
    for (name, reason) in
        [("alice", "none"), ("nobody", "unknown_user"), ("mallory", "disabled"), ("peter", "no_password")]
    {
        Browser::default().sign_in_as(&app, name, PASSWORD).await;
        let counted = count(&app, "chancery_login_attempts_total", &[&format!("reason=\"{reason}\"")]).await;
        assert_eq!(counted, 1, "{reason}");
    }
    Browser::default().sign_in_as(&app, "alice", "wrong").await;
    assert_eq!(count(&app, "chancery_login_attempts_total", &["outcome=\"failure\""]).await, 4);
    assert_eq!(count(&app, "chancery_login_attempts_total", &["outcome=\"success\""]).await, 1);
}

/// R59, T36
#[tokio::test]
async fn of_many_answers_to_one_consent_page_one_gets_a_code() {
    let app = site().await;
    let mut browser = Browser::default();
    for _ in 0..10 {
        let begun = browser.sign_in(&app, &request("&prompt=login%20consent")).await;
        let page = browser.get(&app, begun.location()).await;
        let form = [("tx", &*page.field("tx")), ("csrf", &page.field("csrf")), ("action", "allow")];
        let mut browsers = vec![browser.clone(); 20];
        let answers = browsers.iter_mut().map(|browser| browser.post(&app, "/consent", &form));
        let answers = futures_util::future::join_all(answers).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 303);
        assert!(won.len() == 1 && won[0].param("code").is_some());
        assert!(lost.iter().all(|answer| answer.error_code() == "invalid_request"));
    }
}

/// T33
#[tokio::test]
async fn a_sign_in_that_nobody_finishes_costs_the_store_nothing() {
    let app = site().await;
    // Signing keys are made meanwhile, and the feed tells of them.
    let theirs = |row: &(&str, u64)| !["signing_keys", "changes"].contains(&row.0);
    let rows = || async {
        let rows = app.provider.store.statistics().await.expect("statistics").rows;
        rows.into_iter().filter(theirs).collect::<Vec<_>>()
    };
    let before = rows().await;
    for _ in 0..50 {
        let mut browser = Browser::default();
        let begun = browser.get(&app, &request("")).await;
        assert_eq!(browser.get(&app, begun.location()).await.status, 200);
        assert_eq!(browser.sign_in_as(&app, "alice", "wrong").await.status, 400);
    }
    assert_eq!(rows().await, before);
}
