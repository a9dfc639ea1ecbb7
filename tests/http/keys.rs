//! R50 — signing keys turn over without a token failing to verify.

use std::time::Duration;

use chancery::{
    model::{KeyState, SigningAlg, TokenFormat},
    protocol::key_rotation::{KeyRotation, RotationStep},
    provider::KeyChangeError,
    store::Effect,
};

use crate::http::app::TestApp;

const ALG: SigningAlg = SigningAlg::EdDSA;

fn rules() -> KeyRotation {
    KeyRotation { algorithms: vec![ALG], period: 90 * 86_400, lead: 3_603, keep: 86_400 }
}

async fn kids(app: &TestApp) -> Vec<String> {
    let keys = app.get("/.well-known/jwks.json").await.json()["keys"].as_array().unwrap().clone();
    let ours = keys.iter().filter(|key| key["alg"] == ALG.as_str());
    ours.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// R50
#[tokio::test]
async fn a_commanded_rotation_publishes_waits_and_keeps_the_old_key() {
    let app = TestApp::start().await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(ALG)).await;
    let old = app.machine_token("jwt").await;
    let step = app.provider.keys.rotate(ALG, &rules()).await.unwrap();
    assert_eq!(step, RotationStep::Create(ALG, KeyState::Next));
    assert_eq!(kids(&app).await.len(), 2, "the next key is published");
    assert_eq!(kid_of(&app.machine_token("jwt").await), kid_of(&old), "and does not sign yet");
    let early = app.provider.keys.rotate(ALG, &rules()).await;
    assert!(matches!(early, Err(KeyChangeError::TooEarly(3_603))), "{early:?}");
    app.clock.advance(Duration::from_secs(3_603));
    assert!(matches!(app.provider.keys.rotate(ALG, &rules()).await, Ok(RotationStep::Activate { .. })));
    let new = app.machine_token("jwt").await;
    assert_ne!(kid_of(&new), kid_of(&old));
    assert!(kids(&app).await.contains(&kid_of(&old)), "the retiring key is still published");
    assert!(app.is_active("jwt", &new).await);
    app.clock.advance(Duration::from_secs(86_400));
    app.provider.keys.rotate_due(&rules(), |_| true).await.unwrap();
    assert_eq!(kids(&app).await, [kid_of(&new)], "gone after its last token");
}

/// R50
#[tokio::test]
async fn a_token_of_a_retiring_key_is_still_active() {
    let app = TestApp::start().await;
    app.client("jwt", |client| {
        client.token_format = TokenFormat::Jwt(ALG);
        client.access_lifetime = 86_400;
    })
    .await;
    let old = app.machine_token("jwt").await;
    app.provider.keys.rotate(ALG, &rules()).await.unwrap();
    app.clock.advance(Duration::from_secs(3_603));
    app.provider.keys.rotate(ALG, &rules()).await.unwrap();
    assert!(app.is_active("jwt", &old).await);
}

#[tokio::test]
async fn a_revoked_key_is_withdrawn_with_everything_it_signed() {
    let app = TestApp::start().await;
    app.client("jwt", |client| client.token_format = TokenFormat::Jwt(ALG)).await;
    let old = app.machine_token("jwt").await;
    app.provider.keys.revoke(&kid_of(&old), &rules()).await.unwrap();
    assert!(!app.is_active("jwt", &old).await);
    let new = app.machine_token("jwt").await;
    assert_ne!(kid_of(&new), kid_of(&old));
    assert_eq!(kids(&app).await, [kid_of(&new)]);
    let unknown = app.provider.keys.revoke("no-such-key", &rules()).await;
    assert!(matches!(unknown, Err(KeyChangeError::Unknown(_))));
}

/// T09: a node that slept asks before it answers; then it must also know which keys were withdrawn.
#[tokio::test]
async fn a_node_that_wakes_does_not_accept_a_key_that_was_withdrawn_meanwhile() {
    // The feed is read when the node finds that it is stale, and not before.
    let quiet = [("CHANCERY_FEED_MAX_STALENESS", "60s"), ("CHANCERY_FEED_INTERVAL", "30s")];
    let app = TestApp::start_with(&quiet).await;
    let client = app.client("jwt", |client| client.token_format = TokenFormat::Jwt(ALG)).await;
    let user = app.user("alice").await;
    for round in 0..20 {
        let code = app.code(&client, &user, "openid").await;
        let old = app.redeem(&client, &code).await.text("access_token");
        assert!(app.is_active("jwt", &old).await);
        let gone = Effect::SetKeyState { kid: kid_of(&old), from: KeyState::Active, to: KeyState::Gone };
        app.commit_elsewhere(vec![gone]).await;
        app.clock.advance(Duration::from_secs(120));
        match round % 2 {
            0 => assert!(!app.is_active("jwt", &old).await, "round {round}"),
            _ => assert_eq!(app.userinfo(&old).await.status, 401, "round {round}"),
        }
        app.provider.keys.rotate_due(&rules(), |_| true).await.unwrap();
    }
}
