//! The crate `openidconnect`: discovery, PKCE and nonce, ID tokens of every algorithm, userinfo.

use chancery::model::{AuthMethod, SigningAlg, TokenFormat};
use chrono::DateTime;
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims},
};

use crate::http::{
    app::{SECRET, TestApp},
    browser::{Browser, add_user},
};

fn http() -> openidconnect::reqwest::Client {
    let redirects = openidconnect::reqwest::redirect::Policy::none();
    openidconnect::reqwest::Client::builder().redirect(redirects).build().expect("a client")
}

async fn discovered(app: &TestApp) -> CoreProviderMetadata {
    let issuer = IssuerUrl::new(app.url.clone()).expect("a URL");
    CoreProviderMetadata::discover_async(issuer, &http()).await.expect("the metadata and the keys")
}

/// From discovery to userinfo, once for each algorithm; the library verifies everything.
#[tokio::test]
async fn a_relying_party_verifies_id_tokens_of_every_algorithm() {
    let app = TestApp::start_with_all_keys().await;
    let alice = add_user(&app, "alice").await;
    let metadata = discovered(&app).await;
    for (alg, format) in [
        (SigningAlg::RS256, TokenFormat::Sealed),
        (SigningAlg::ES256, TokenFormat::Sealed),
        (SigningAlg::PS256, TokenFormat::Jwt(SigningAlg::ES256)),
        (SigningAlg::EdDSA, TokenFormat::Jwt(SigningAlg::EdDSA)),
    ] {
        let client_id = alg.as_str();
        app.client(client_id, |client| {
            client.id_token_alg = alg;
            client.token_format = format;
        })
        .await;
        let secret = Some(ClientSecret::new(SECRET.into()));
        let library =
            CoreClient::from_provider_metadata(metadata.clone(), ClientId::new(client_id.into()), secret)
                .set_redirect_uri(RedirectUrl::new("https://app.example/callback".into()).unwrap());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (link, state, nonce) = library
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(["profile", "email", "offline_access"].map(|scope| Scope::new(scope.into())))
            .set_pkce_challenge(challenge)
            .url();
        let answer = Browser::default().authorized(&app, link.as_str().strip_prefix(&app.url).unwrap()).await;
        assert_eq!(answer.param("state").as_ref(), Some(state.secret()));

        let request = library.exchange_code(AuthorizationCode::new(answer.code())).expect("a token endpoint");
        let tokens = request.set_pkce_verifier(verifier).request_async(&http()).await.expect("tokens");
        let now = i64::try_from(app.clock.now().0).expect("a time");
        let clock = move || DateTime::from_timestamp(now, 0).expect("a time");
        let verifier = library.id_token_verifier().set_time_fn(clock);
        let id_token = tokens.id_token().expect("an ID token");
        let claims =
            id_token.claims(&verifier, &nonce).unwrap_or_else(|error| panic!("{client_id}: {error}"));
        assert_eq!(claims.subject().as_str(), alice.id.to_string());
        let hash = AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg().expect("an algorithm"),
            id_token.signing_key(&verifier).expect("a key"),
        );
        assert_eq!(claims.access_token_hash(), hash.ok().as_ref(), "{client_id}");
        let other = id_token.claims(&verifier, &Nonce::new("another".into()));
        assert!(matches!(other, Err(ClaimsVerificationError::InvalidNonce(_))), "{other:?}");

        let subject = claims.subject().clone();
        let userinfo = library.user_info(tokens.access_token().clone(), Some(subject)).expect("an endpoint");
        let userinfo: CoreUserInfoClaims = userinfo.request_async(&http()).await.expect("claims");
        assert_eq!(userinfo.email().map(|email| email.as_str()), Some("alice@example.org"));

        let refresh = tokens.refresh_token().expect("offline access was allowed");
        let renewed = library.exchange_refresh_token(refresh).expect("a token endpoint");
        let renewed = renewed.request_async(&http()).await.expect("tokens");
        // OpenID Connect Core §12.2: a new ID token of the same person, without the nonce.
        if let Some(id_token) = renewed.id_token() {
            let again = id_token.claims(&verifier, |_: Option<&Nonce>| Ok(())).expect("a good ID token");
            assert_eq!(again.subject(), claims.subject());
            assert_eq!(again.auth_time(), claims.auth_time());
        }
    }
}

/// A program on the person's own machine: no secret, any loopback port.
#[tokio::test]
async fn a_native_client_is_answered_on_the_port_it_got() {
    let app = TestApp::start_with_all_keys().await;
    add_user(&app, "alice").await;
    app.client("native", |client| {
        client.auth_method = AuthMethod::None;
        client.secrets = vec![];
        client.application_type = chancery::model::ApplicationType::Native;
        client.redirect_uris = vec!["http://127.0.0.1/callback".into()];
        client.grants = vec!["authorization_code".into()];
        client.id_token_alg = SigningAlg::RS256;
    })
    .await;
    let redirect = "http://127.0.0.1:51234/callback";
    let library =
        CoreClient::from_provider_metadata(discovered(&app).await, ClientId::new("native".into()), None)
            .set_redirect_uri(RedirectUrl::new(redirect.into()).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (link, _, nonce) = library
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .set_pkce_challenge(challenge)
        .url();
    let answer = Browser::default().authorized(&app, link.as_str().strip_prefix(&app.url).unwrap()).await;
    assert!(answer.location().starts_with(redirect));
    let request = library.exchange_code(AuthorizationCode::new(answer.code())).expect("a token endpoint");
    let tokens = request.set_pkce_verifier(verifier).request_async(&http()).await.expect("tokens");
    let now = i64::try_from(app.clock.now().0).expect("a time");
    let clock = move || DateTime::from_timestamp(now, 0).expect("a time");
    let verifier = library.id_token_verifier().set_time_fn(clock);
    tokens.id_token().expect("an ID token").claims(&verifier, &nonce).expect("a good ID token");
}
