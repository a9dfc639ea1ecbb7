//! `/consent`: what is asked, what is remembered, and what `offline_access` takes.

use chancery::model::RefreshPolicy;

use crate::http::{
    app::{Answer, TestApp},
    browser::{Browser, PASSWORD, add_user, redeem, request, request_with, site, site_with},
};

const OFFLINE: (&str, &str) = ("scope", "openid offline_access");

/// The consent page that a request leads to for Alice.
async fn page(app: &TestApp, browser: &mut Browser, request: &str) -> Answer {
    let signed_in = browser.sign_in(app, request).await;
    assert!(signed_in.asks_for_consent(), "{signed_in:?}");
    browser.get(app, signed_in.location()).await
}

/// R19
#[tokio::test]
async fn the_page_names_client_person_scopes_resources_lifetimes_and_destination() {
    let app = site_with(|client| {
        client.name = "Notes <of> \"Ann\" & Bob".into();
        client.resources = vec!["https://api.example/notes".into()];
        client.access_lifetime = 300;
    })
    .await;
    app.resource("https://api.example/notes", None).await;
    let request = request_with(&[
        ("scope", "openid email read offline_access"),
        ("resource", "https://api.example/notes"),
    ]);
    let page = page(&app, &mut Browser::default(), &request).await;
    for shown in [
        "Notes &lt;of&gt; &quot;Ann&quot; &amp; Bob",
        "id=\"consent-user\">alice<",
        "data-scope=\"email\"",
        "data-scope=\"read\"",
        "data-scope=\"offline_access\"",
        "https:&#x2f;&#x2f;api.example&#x2f;notes",
        "5 minutes",
        "90 days",
        "id=\"consent-returns-to\">app.example<",
        "id=\"consent-allow\"",
        "id=\"consent-deny\"",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}

/// R18
#[tokio::test]
async fn consent_covers_a_user_a_client_scopes_and_resources_and_nothing_else() {
    let app = site_with(|client| client.resources = vec!["https://api.example".into()]).await;
    app.resource("https://api.example", None).await;
    app.client("other", |client| client.redirect_uris = vec!["https://app.example/cb".into()]).await;
    add_user(&app, "bob").await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request_with(&[("scope", "openid profile read")])).await;
    for covered in ["openid profile read", "openid", "read profile"] {
        assert!(
            browser.get(&app, &request_with(&[("scope", covered)])).await.param("code").is_some(),
            "{covered}"
        );
    }
    for beyond in [
        [("scope", "openid email"), ("nonce", "x")],
        [("scope", "openid offline_access"), ("nonce", "x")],
        [("scope", "openid"), ("resource", "https://api.example")],
        [("scope", "openid"), ("client_id", "other")],
        [("scope", "openid"), ("prompt", "consent")],
    ] {
        assert!(browser.get(&app, &request_with(&beyond)).await.asks_for_consent(), "{beyond:?}");
    }
    assert!(Browser::default().sign_in_to(&app, &request(""), "bob").await.asks_for_consent());
    let mut elsewhere = Browser::default();
    assert!(
        elsewhere.sign_in(&app, &request("")).await.param("code").is_some(),
        "it is the person's, not the browser's"
    );
}

/// What was agreed to before is kept when more is agreed to.
#[tokio::test]
async fn consents_add_up() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.authorized(&app, &request_with(&[("scope", "openid profile")])).await;
    let more = browser.get(&app, &request_with(&[("scope", "openid email")])).await;
    browser.answer_consent(&app, more.location(), "allow").await;
    let both = browser.get(&app, &request_with(&[("scope", "openid profile email")])).await;
    assert!(both.param("code").is_some());
}

/// R59
#[tokio::test]
async fn a_refusal_is_final() {
    let app = site().await;
    let mut browser = Browser::default();
    let asked = browser.sign_in(&app, &request("")).await;
    let page = browser.get(&app, asked.location()).await;
    assert_eq!(
        browser.submit(&app, &page, "/consent", &[("action", "deny")]).await.refused(),
        "access_denied"
    );
    let again = browser.submit(&app, &page, "/consent", &[("action", "allow")]).await;
    assert!(again.status == 400 && again.body.contains("already used"), "{again:?}");
}

#[tokio::test]
async fn a_refusal_is_told_and_remembers_nothing() {
    let app = site().await;
    let mut browser = Browser::default();
    let asked = browser.sign_in(&app, &request("")).await;
    assert_eq!(browser.answer_consent(&app, asked.location(), "deny").await.refused(), "access_denied");
    assert_eq!(browser.get(&app, &request("&prompt=none")).await.refused(), "consent_required");
    let cancelled = browser.get(&app, &request("&prompt=login")).await;
    let page = browser.get(&app, cancelled.location()).await;
    let answer = browser.submit(&app, &page, "/login", &[("action", "cancel")]).await;
    assert_eq!((answer.refused(), answer.param("iss")), ("access_denied".into(), Some(app.url.clone())));
}

/// OpenID Connect Core §11: with consent now or remembered, whether or not `prompt=consent` is there.
#[tokio::test]
async fn offline_access_takes_consent_and_gives_a_refresh_token() {
    let app = site().await;
    let mut browser = Browser::default();
    let first = redeem(&app, &browser.authorized(&app, &request_with(&[OFFLINE])).await.code()).await;
    assert!(first.json()["refresh_token"].is_string());
    let remembered = redeem(&app, &browser.get(&app, &request_with(&[OFFLINE])).await.code()).await;
    assert!(remembered.json()["refresh_token"].is_string());
    let without = redeem(&app, &browser.get(&app, &request_with(&[("scope", "openid")])).await.code()).await;
    assert_eq!(without.json().get("refresh_token"), None);
}

#[tokio::test]
async fn a_client_may_get_refresh_tokens_always_or_never() {
    for (policy, scope, refreshed, granted) in [
        (RefreshPolicy::Always, "openid", true, "openid"),
        (RefreshPolicy::Always, "openid offline_access", true, "openid offline_access"),
        (RefreshPolicy::Never, "openid offline_access", false, "openid"),
        (RefreshPolicy::OfflineAccess, "openid", false, "openid"),
    ] {
        let app = site_with(|client| client.refresh_policy = policy).await;
        let answer = Browser::default().authorized(&app, &request_with(&[("scope", scope)])).await;
        let tokens = redeem(&app, &answer.code()).await;
        assert_eq!(tokens.json()["refresh_token"].is_string(), refreshed, "{policy:?} {scope}");
        assert_eq!(tokens.text("scope"), granted, "{policy:?} {scope}");
    }
    let app = site_with(|client| {
        client.grants = vec!["authorization_code".into()];
        client.refresh_policy = RefreshPolicy::Always;
    });
    let app = app.await;
    let answer = Browser::default().authorized(&app, &request_with(&[OFFLINE])).await;
    let tokens = redeem(&app, &answer.code()).await;
    assert_eq!((tokens.json().get("refresh_token"), tokens.text("scope").as_str()), (None, "openid"));
}

/// R18: a trusted client is not asked about, unless it asks for it.
#[tokio::test]
async fn skip_consent_skips_the_page_and_prompt_consent_does_not() {
    let app = site_with(|client| client.skip_consent = true).await;
    let mut browser = Browser::default();
    assert!(browser.sign_in(&app, &request("")).await.param("code").is_some());
    assert!(browser.get(&app, &request("&prompt=consent")).await.asks_for_consent());
}

/// R20, R27, R61
#[tokio::test]
async fn withdrawing_a_consent_revokes_every_token_of_that_client() {
    let app = site().await;
    app.client("machine", |client| client.introspect_any = true).await;
    app.client("other", |client| {
        client.redirect_uris = vec!["https://app.example/cb".into()];
        client.skip_consent = true;
        client.auth_method = chancery::model::AuthMethod::ClientSecretBasic;
    })
    .await;
    let mut browser = Browser::default();
    let tokens = redeem(&app, &browser.authorized(&app, &request_with(&[OFFLINE])).await.code()).await;
    let unredeemed = browser.get(&app, &request_with(&[OFFLINE])).await.code();
    let other = browser.get(&app, &request_with(&[("client_id", "other")])).await.code();
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    assert!(app.is_active("machine", &access).await);

    let account = browser.get(&app, "/account").await;
    assert!(account.body.contains("An app"));
    let client = app.provider.store.client("app").await.unwrap().unwrap().key.to_string();
    let form = [("csrf", &*account.field("csrf")), ("id", &client)];
    assert_eq!(browser.post(&app, "/account/consents/withdraw", &form).await.location(), "/account");

    assert!(!browser.get(&app, "/account").await.body.contains("An app"));
    assert!(!app.is_active("machine", &access).await);
    assert_eq!(app.userinfo(&access).await.status, 401);
    let refreshed = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*refresh)];
    assert_eq!(app.post("/oauth/token", None, &refreshed).await.error(), (400, "invalid_grant".into()));
    assert_eq!(redeem(&app, &unredeemed).await.error(), (400, "invalid_grant".into()));
    assert!(browser.get(&app, &request("")).await.asks_for_consent());
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &*other),
        ("redirect_uri", "https://app.example/cb"),
        ("code_verifier", crate::http::app::VERIFIER),
    ];
    assert_eq!(app.token("other", &form).await.status, 200, "another client's are untouched");
}

/// R64, T16: the form's choice is the only thing believed in it.
#[tokio::test]
async fn a_consent_form_cannot_ask_for_more_than_the_page_showed() {
    let app = site().await;
    let mut browser = Browser::default();
    let page = page(&app, &mut browser, &request_with(&[("scope", "openid")])).await;
    let more = [
        ("action", "allow"),
        ("scope", "openid email offline_access"),
        ("client_id", "other"),
        ("redirect_uri", "https://evil.example/"),
    ];
    let answer = browser.submit(&app, &page, "/consent", &more).await;
    assert!(answer.location().starts_with("https://app.example/cb?code="));
    assert_eq!(redeem(&app, &answer.code()).await.text("scope"), "openid");
}

/// The person who sees the page is the one who answers it.
#[tokio::test]
async fn an_answer_counts_for_whoever_is_signed_in_by_then() {
    let app = site().await;
    let bob = add_user(&app, "bob").await;
    let mut browser = Browser::default();
    let page = page(&app, &mut browser, &request("")).await;
    browser.sign_in_as(&app, "bob", PASSWORD).await;
    let answer = browser.submit(&app, &page, "/consent", &[("action", "allow")]).await;
    // Alice's page, Bob's session: nobody may agree for the other.
    assert!(answer.asks_for_consent() || answer.asks_to_sign_in(), "{answer:?}");
    assert!(app.provider.store.consents(bob.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_allow_and_deny_are_answers() {
    let app = site().await;
    let mut browser = Browser::default();
    let page = page(&app, &mut browser, &request("")).await;
    for answers in
        [&[][..], &[("action", "")], &[("action", "Allow")], &[("action", "allow"), ("action", "deny")]]
    {
        let answer = browser.submit(&app, &page, "/consent", answers).await;
        assert_eq!((answer.status, &*answer.error_code()), (400, "invalid_request"), "{answers:?}");
    }
}

/// What changed while the page was open is judged anew.
#[tokio::test]
async fn a_client_that_lost_a_scope_or_was_disabled_meanwhile_gets_nothing() {
    use chancery::store::Effect;
    let app = site().await;
    let client = app.provider.store.client("app").await.unwrap().unwrap();
    let mut browser = Browser::default();
    let page = page(&app, &mut browser, &request("")).await;
    app.commit(vec![Effect::SetClientEnabled(client.key, false)]).await;
    let answer = browser.submit(&app, &page, "/consent", &[("action", "allow")]).await;
    assert_eq!((answer.status, answer.header("location")), (400, ""), "{answer:?}");
}
