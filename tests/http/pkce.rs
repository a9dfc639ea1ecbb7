//! RFC 7636 — PKCE, from the authorization request to the redeemed code.

use chancery::model::AuthMethod;

use crate::http::{
    app::{CHALLENGE, TestApp, VERIFIER},
    browser::{Browser, events, redeem, request_with, site},
};

/// What an authorization request may bring, and whether it is answered with a code.
const CHALLENGES: [(&str, &str, &str); 8] = [
    ("no challenge", "", ""),
    ("S256", CHALLENGE, "S256"),
    ("plain", VERIFIER, "plain"),
    ("the default method, plain", VERIFIER, ""),
    ("a method in other letters", CHALLENGE, "s256"),
    ("a method without a challenge", "", "S256"),
    ("a challenge too short", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "S256"),
    ("a challenge with padding", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", "S256"),
];

/// What a token request may bring for [`CHALLENGE`].
fn verifiers() -> [(&'static str, String); 7] {
    [
        ("none", String::new()),
        ("right", VERIFIER.to_owned()),
        ("wrong", VERIFIER.replace('d', "e")),
        ("the challenge itself", CHALLENGE.to_owned()),
        ("42 characters", VERIFIER[..42].to_owned()),
        ("129 characters", "a".repeat(129)),
        ("a foreign character", format!("{}!", &VERIFIER[..42])),
    ]
}

async fn three_clients(app: &TestApp) -> [&'static str; 3] {
    let redirect_uris = || vec!["https://app.example/cb".to_owned()];
    app.client("public", |client| {
        client.auth_method = AuthMethod::None;
        client.secrets = vec![];
        client.redirect_uris = redirect_uris();
        client.skip_consent = true;
        // Whatever the record says, PKCE is all that a public client has.
        client.require_pkce = false;
    })
    .await;
    for (client_id, require_pkce) in [("confidential", true), ("relaxed", false)] {
        app.client(client_id, |client| {
            client.redirect_uris = redirect_uris();
            client.skip_consent = true;
            client.require_pkce = require_pkce;
        })
        .await;
    }
    ["public", "confidential", "relaxed"]
}

async fn redeem_as(app: &TestApp, client_id: &str, code: &str, verifier: &str) -> (u16, String) {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "https://app.example/cb"),
    ];
    form.extend((!verifier.is_empty()).then_some(("code_verifier", verifier)));
    let basic = (client_id != "public").then_some(client_id);
    form.extend((client_id == "public").then_some(("client_id", client_id)));
    app.post("/oauth/token", basic, &form).await.error()
}

/// R7, R8, R9, T03: {challenges} × {verifiers} × {public, confidential, confidential without PKCE}.
#[tokio::test]
async fn only_the_right_pairs_of_challenge_and_verifier_succeed() {
    let app = site().await;
    let mut browser = Browser::default();
    browser.sign_in_as(&app, "alice", crate::http::browser::PASSWORD).await;
    for client_id in three_clients(&app).await {
        for (challenge_name, challenge, method) in CHALLENGES {
            let request = request_with(&[
                ("client_id", client_id),
                ("code_challenge", challenge),
                ("code_challenge_method", method),
            ]);
            let accepted =
                challenge_name == "S256" || (client_id, challenge_name) == ("relaxed", "no challenge");
            for (verifier_name, verifier) in verifiers() {
                let case = format!("{client_id}, {challenge_name}, {verifier_name} verifier");
                let answer = browser.get(&app, &request).await;
                if !accepted {
                    assert_eq!(answer.refused(), "invalid_request", "{case}");
                    continue;
                }
                let redeemed = redeem_as(&app, client_id, &answer.code(), &verifier).await;
                let right = verifier_name == if challenge.is_empty() { "none" } else { "right" };
                if right {
                    assert_eq!(redeemed.0, 200, "{case}");
                } else {
                    assert!(
                        ["invalid_grant", "invalid_request"].contains(&&*redeemed.1),
                        "{case}: {redeemed:?}"
                    );
                    assert_eq!(redeemed.0, 400, "{case}");
                }
            }
        }
    }
    assert!(events(&app, "pkce_downgrade").await > 0 && events(&app, "pkce_mismatch").await > 0);
}

/// R22: a code stays good when somebody else fails with it.
#[tokio::test]
async fn a_wrong_verifier_does_not_use_up_the_code() {
    let app = site().await;
    let code = Browser::default().authorized(&app, &request_with(&[])).await.code();
    assert_eq!(redeem_as(&app, "app", &code, &"a".repeat(43)).await.0, 401, "the public client app");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", &*code),
        ("redirect_uri", "https://app.example/cb"),
        ("code_verifier", &"a".repeat(43)),
    ];
    assert_eq!(app.post("/oauth/token", None, &form).await.error(), (400, "invalid_grant".into()));
    assert_eq!(redeem(&app, &code).await.status, 200);
}
