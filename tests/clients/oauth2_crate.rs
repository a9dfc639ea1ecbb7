//! The crate `oauth2`: authorization code with PKCE, refresh, introspection, revocation, and machines.

use chancery::model::{AuthMethod, RefreshPolicy};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    HttpClientError, HttpRequest, HttpResponse, IntrospectionUrl, PkceCodeChallenge, RedirectUrl,
    RequestTokenError, RevocationUrl, Scope, StandardRevocableToken, TokenIntrospectionResponse,
    TokenResponse, TokenUrl, basic::BasicClient, basic::BasicErrorResponseType,
};

use crate::http::{
    app::{SECRET, TestApp},
    browser::{Browser, add_user},
};

const REDIRECT: &str = "https://app.example/callback";

fn http() -> oauth2::reqwest::Client {
    oauth2::reqwest::Client::builder()
        .redirect(oauth2::reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// Sends a request for an https URL to the test server, which has no TLS.
async fn over_http(
    mut request: HttpRequest,
) -> Result<HttpResponse, HttpClientError<oauth2::reqwest::Error>> {
    *request.uri_mut() = request.uri().to_string().replacen("https", "http", 1).parse().expect("a URI");
    http().call(request).await
}

/// A client as the crate's own documents set it up.
macro_rules! library {
    ($app:expr, $client_id:expr) => {
        BasicClient::new(ClientId::new($client_id.into()))
            .set_auth_uri(AuthUrl::new(format!("{}/oauth/authorize", $app.url)).unwrap())
            .set_token_uri(TokenUrl::new(format!("{}/oauth/token", $app.url)).unwrap())
            .set_introspection_url(IntrospectionUrl::new(format!("{}/oauth/introspect", $app.url)).unwrap())
            // The library revokes over https only; see `over_http`.
            .set_revocation_url(
                RevocationUrl::new(format!("{}/oauth/revoke", $app.url).replace("http:", "https:")).unwrap(),
            )
            .set_redirect_uri(RedirectUrl::new(REDIRECT.into()).unwrap())
    };
}

/// The whole life of an authorization, with each way a client can authenticate.
#[tokio::test]
async fn the_code_flow_from_the_first_link_to_the_revocation() {
    let app = TestApp::start().await;
    add_user(&app, "alice").await;
    for (client_id, method) in [
        ("basic", AuthMethod::ClientSecretBasic),
        ("post", AuthMethod::ClientSecretPost),
        ("public", AuthMethod::None),
    ] {
        app.client(client_id, |client| {
            client.auth_method = method;
            client.refresh_policy = RefreshPolicy::Always;
            if method == AuthMethod::None {
                client.secrets = vec![];
                client.grants.retain(|grant| grant != "client_credentials");
            }
        })
        .await;
        let mut library = library!(app, client_id);
        if method != AuthMethod::None {
            library = library.set_client_secret(ClientSecret::new(SECRET.into()));
        }
        if method == AuthMethod::ClientSecretPost {
            library = library.set_auth_type(AuthType::RequestBody);
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (link, state) = library
            .authorize_url(CsrfToken::new_random)
            .add_scope(Scope::new("read".into()))
            .add_scope(Scope::new("write".into()))
            .set_pkce_challenge(challenge)
            .url();
        let answer = Browser::default().authorized(&app, link.as_str().strip_prefix(&app.url).unwrap()).await;
        assert!(answer.location().starts_with(REDIRECT));
        assert_eq!(answer.param("state").as_ref(), Some(state.secret()), "{client_id}");

        let tokens = library
            .exchange_code(AuthorizationCode::new(answer.code()))
            .set_pkce_verifier(verifier)
            .request_async(&http())
            .await
            .unwrap_or_else(|error| panic!("{client_id}: {error:?}"));
        assert_eq!(tokens.scopes().map(Vec::len), Some(2), "{client_id}");
        assert_eq!(tokens.expires_in().map(|life| life.as_secs()), Some(900));
        let refresh = tokens.refresh_token().expect("a refresh token").clone();
        let renewed =
            library.exchange_refresh_token(&refresh).request_async(&http()).await.expect("new tokens");
        assert_ne!(renewed.access_token().secret(), tokens.access_token().secret());
        assert_ne!(renewed.refresh_token().map(|token| token.secret()), Some(refresh.secret()), "rotated");

        if method != AuthMethod::None {
            let said =
                library.introspect(renewed.access_token()).request_async(&http()).await.expect("an answer");
            assert!(said.active() && said.client_id().map(|id| id.as_str()) == Some(client_id));
            assert_eq!(said.scopes().map(Vec::len), Some(2));
        }
        let newest = renewed.refresh_token().expect("a refresh token").clone();
        let revocable = StandardRevocableToken::RefreshToken(newest.clone());
        library.revoke_token(revocable).unwrap().request_async(&over_http).await.expect("it is revoked");
        if method != AuthMethod::None {
            let said =
                library.introspect(renewed.access_token()).request_async(&http()).await.expect("an answer");
            assert!(!said.active(), "{client_id}: the access token goes with it");
        }
        let dead = library.exchange_refresh_token(&newest).request_async(&http()).await;
        match dead {
            Err(RequestTokenError::ServerResponse(error)) => {
                assert_eq!(*error.error(), BasicErrorResponseType::InvalidGrant, "{client_id}");
            }
            other => panic!("{client_id}: {other:?}"),
        }
    }
}

/// The library percent-encodes what goes into Basic, as RFC 6749 §2.3.1 says.
#[tokio::test]
async fn a_machine_with_odd_characters_in_its_name_gets_a_token() {
    let app = TestApp::start().await;
    let client_id = "machine:1 of 2+%/ü";
    app.client(client_id, |_| {}).await;
    let library = library!(app, client_id).set_client_secret(ClientSecret::new(SECRET.into()));
    let request = library.exchange_client_credentials().add_scope(Scope::new("read".into()));
    let tokens = request.request_async(&http()).await.expect("a token");
    assert!(tokens.refresh_token().is_none());
    let wrong = library.clone().set_client_secret(ClientSecret::new("wrong".into()));
    match wrong.exchange_client_credentials().request_async(&http()).await {
        Err(RequestTokenError::ServerResponse(error)) => {
            assert_eq!(*error.error(), BasicErrorResponseType::InvalidClient);
        }
        other => panic!("{other:?}"),
    }
}
