//! Signing and verifying JWTs with every algorithm: with keys that are parsed once and kept, against the
//! `jsonwebtoken` crate over the same library, which parses the key at each call.

use std::{hint::black_box, sync::Arc};

use chancery::{
    crypto::sign::{PrivateKey, jws_sign, jws_verify},
    model::SigningAlg,
};
use criterion::Criterion;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::turns::{Way, compare};

const TYPE: &str = "at+jwt";

/// Signs and verifies with each algorithm.
pub fn measure(criterion: &mut Criterion) {
    let claims = json!({
        "iss": "https://id.example", "sub": "0188d7e5-8b60-7c5a-9d3b-2f1e0a9b8c7d", "aud": "https://id.example",
        "exp": 4_000_000_000_u64, "iat": 1_800_000_000, "jti": "0188d7e5-8b60-7c5a-9d3b-2f1e0a9b8c7e",
        "client_id": "example", "scope": "openid profile email"
    });
    let payload = claims.to_string();
    for alg in SigningAlg::ALL {
        let (key, pkcs8) = PrivateKey::generate(alg).expect("a key");
        let theirs = Theirs::new(alg, &key, &pkcs8);
        let ours = jws_sign(&key, TYPE, payload.as_bytes());
        assert_eq!(theirs.verify(&ours), claims, "both read the same");
        assert!(jws_verify(&theirs.sign(&claims), &[TYPE], |_| Some(Arc::clone(key.public()))).is_ok());
        let public = key.public();
        let verify = || jws_verify(black_box(&ours), &[TYPE], |_| Some(Arc::clone(public))).expect("good");
        let name = alg.as_str();
        let sign = vec![
            Way::new("jsonwebtoken, which parses the key", || theirs.sign(black_box(&claims))),
            Way::new("a key that is kept", || jws_sign(&key, TYPE, black_box(payload.as_bytes()))),
        ];
        compare(criterion, &format!("{name} sign"), 1, sign);
        let check = vec![
            Way::new("jsonwebtoken, which parses the key", || theirs.verify(black_box(&ours))),
            Way::new("a key that is kept", verify),
        ];
        compare(criterion, &format!("{name} verify"), 1, check);
    }
}

/// The same keys in the other crate's types.
struct Theirs {
    header: Header,
    private: EncodingKey,
    public: DecodingKey,
    rules: Validation,
}

impl Theirs {
    fn new(alg: SigningAlg, key: &PrivateKey, pkcs8: &[u8]) -> Self {
        let (name, private) = match alg {
            SigningAlg::RS256 => (Algorithm::RS256, EncodingKey::from_rsa_der(pkcs1(pkcs8))),
            SigningAlg::PS256 => (Algorithm::PS256, EncodingKey::from_rsa_der(pkcs1(pkcs8))),
            SigningAlg::ES256 => (Algorithm::ES256, EncodingKey::from_ec_der(pkcs8)),
            SigningAlg::EdDSA => (Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8)),
        };
        let mut header = Header::new(name);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid().to_owned());
        let jwk = serde_json::to_value(key.public_jwk()).expect("a JWK is JSON");
        let jwk = serde_json::from_value(jwk).expect("they read JWKs");
        let public = DecodingKey::from_jwk(&jwk).expect("they take our keys");
        // Ours leaves times and audiences to its caller.
        let mut rules = Validation::new(name);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.required_spec_claims.clear();
        Self { header, private, public, rules }
    }

    fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.private).expect("a token")
    }

    fn verify(&self, text: &str) -> Value {
        jsonwebtoken::decode(text, &self.public, &self.rules).expect("a good signature").claims
    }
}

/// The RSAPrivateKey (RFC 8017 A.1.2) inside of a PKCS#8 key of 2048 bits, behind a header of fixed length.
fn pkcs1(pkcs8: &[u8]) -> &[u8] {
    let (header, key) = pkcs8.split_at(26);
    assert!(header.starts_with(&[0x30, 0x82]) && key.starts_with(&[0x30, 0x82]), "two sequences");
    key
}
