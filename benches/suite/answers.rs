//! Answers as JSON: written as they are, against a tree of values that is built first.

use std::hint::black_box;

use chancery::{crypto::random::Random, model::TokenFormat, protocol::token::TokenResponse};
use criterion::Criterion;
use serde_json::{Value, json};

use crate::{
    site::{self, Site},
    turns::{Way, compare},
};

const TOKEN: &str = "chy_at_AY7dvF218Encb9IyJYJ7k2CnGRF3kLcTxgbE8F5gx8DihHGyh0wwf_4-TtCyctMXAQRuTF_oQg";

/// Writes both answers.
pub fn measure(criterion: &mut Criterion) {
    introspection(criterion);
    token(criterion);
}

fn introspection(criterion: &mut Criterion) {
    let site = Site::open(Random::os());
    let issuer = &site.provider().policy.issuer;
    let claims = site::claims(&site.client("example", TokenFormat::Sealed));
    let tree = || {
        let claims = black_box(&claims);
        let value = json!({
            "active": true, "scope": claims.scopes.to_string(), "client_id": claims.client_id,
            "token_type": "Bearer", "exp": claims.expires_at.0, "iat": claims.issued_at.0,
            "sub": claims.subject(), "aud": claims.audience[0], "iss": issuer,
            "jti": claims.token.to_string(),
        });
        serde_json::to_vec(&value).expect("JSON")
    };
    let written = || {
        let mut out = Vec::with_capacity(384);
        black_box(&claims).write_introspection(issuer, &mut out);
        out
    };
    assert_eq!(parsed(&tree()), parsed(&written()));
    let ways = vec![Way::new("a tree of values", tree), Way::new("written", written)];
    compare(criterion, "introspection answer", 1, ways);
}

fn token(criterion: &mut Criterion) {
    let response = TokenResponse {
        access_token: TOKEN,
        expires_in: 900,
        refresh_token: None,
        id_token: None,
        scope: "read",
    };
    let written = || black_box(&response).to_json();
    let tree = || {
        let token = black_box(TOKEN);
        let value =
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 900, "scope": "read"});
        serde_json::to_vec(&value).expect("JSON")
    };
    assert_eq!(parsed(&tree()), parsed(&written()));
    let ways = vec![Way::new("a tree of values", tree), Way::new("written", written)];
    compare(criterion, "token answer", 1, ways);
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}
