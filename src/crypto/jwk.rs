//! RFC 7517 — JSON Web Key, and RFC 7638 — its thumbprint.
//!
//! Public signature keys only: symmetric keys, private members and certificate chains cannot even be
//! represented.

use serde::{Deserialize, Serialize};

use super::base64url;
use super::digest::sha256;
use crate::model::{Digest, SigningAlg};

/// A public key as JSON. Values are as they came; [`super::sign::PublicKey::from_jwk`] checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jwk {
    /// `EC`, `OKP` or `RSA`.
    pub kty: String,
    /// What the key is for; `sig`.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// The one algorithm the key is used with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The curve of `EC` and `OKP` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The x coordinate of `EC` keys, the public key of `OKP` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The y coordinate of `EC` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus of `RSA` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent of `RSA` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl Jwk {
    /// A P-256 key from its affine coordinates (RFC 7518 §6.2.1).
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Self {
        Self {
            kty: "EC".into(),
            crv: Some("P-256".into()),
            x: Some(base64url::encode(x)),
            y: Some(base64url::encode(y)),
            ..Self::default()
        }
    }

    /// An Ed25519 key (RFC 8037 §2).
    pub(super) fn ed25519(key: &[u8]) -> Self {
        Self {
            kty: "OKP".into(),
            crv: Some("Ed25519".into()),
            x: Some(base64url::encode(key)),
            ..Self::default()
        }
    }

    /// An RSA key from modulus and exponent, big-endian without leading zeroes (RFC 7518 §6.3.1).
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self {
            kty: "RSA".into(),
            n: Some(base64url::encode(n)),
            e: Some(base64url::encode(e)),
            ..Self::default()
        }
    }

    /// The same key with everything a verifier is to know about it.
    pub(super) fn named(self, alg: SigningAlg, kid: &str) -> Self {
        Self { key_use: Some("sig".into()), alg: Some(alg.as_str().into()), kid: Some(kid.into()), ..self }
    }

    /// The SHA-256 thumbprint (RFC 7638 §3); `None` if a required member is missing.
    pub fn thumbprint(&self) -> Option<String> {
        // RFC 7638 §3.2, RFC 8037 §2: the required members only, in lexicographic order, no white space.
        let members = match self.kty.as_str() {
            "EC" => vec![
                ("crv", self.crv.as_deref()),
                ("kty", Some("EC")),
                ("x", self.x.as_deref()),
                ("y", self.y.as_deref()),
            ],
            "OKP" => vec![("crv", self.crv.as_deref()), ("kty", Some("OKP")), ("x", self.x.as_deref())],
            "RSA" => vec![("e", self.e.as_deref()), ("kty", Some("RSA")), ("n", self.n.as_deref())],
            _ => return None,
        };
        let mut json = serde_json::Map::new();
        for (name, value) in members {
            json.insert(name.into(), value?.into());
        }
        let text = serde_json::to_string(&json).expect("strings become JSON");
        let Digest(digest) = sha256(text.as_bytes());
        Some(base64url::encode(&digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let jwk: Jwk = serde_json::from_str(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        )
        .expect("a JWK");
        assert_eq!(jwk.thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
        let jwk: Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        )
        .expect("a JWK");
        assert_eq!(jwk.thumbprint().as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }

    #[test]
    fn a_key_without_its_members_has_no_thumbprint() {
        for kty in ["EC", "OKP", "RSA", "oct", ""] {
            assert_eq!(Jwk { kty: kty.into(), ..Jwk::default() }.thumbprint(), None);
        }
    }

    #[test]
    fn private_members_are_not_carried_on() {
        let json = r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"c2VjcmV0","k":"c2VjcmV0"}"#;
        let jwk: Jwk = serde_json::from_str(json).expect("a JWK");
        assert!(!serde_json::to_string(&jwk).expect("JSON").contains("c2VjcmV0"));
    }
}
