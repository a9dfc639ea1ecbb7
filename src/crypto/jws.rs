//! RFC 7515 — JSON Web Signature, compact, under keys of our own choosing (RFC 8725).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::base64url;
use super::sign::{PrivateKey, PublicKey};
use crate::model::SigningAlg;

/// Longer texts are refused unread.
pub const MAX_LENGTH: usize = 16 * 1024;
/// No key of ours, nor of a reasonable client, has a longer name.
const MAX_KID: usize = 256;

/// Why a JWS is refused. The reasons are for logs and metrics, not for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum JwsError {
    /// Over [`MAX_LENGTH`].
    TooLong,
    /// Not three parts of canonical base64url, or not a header.
    Malformed,
    /// The header asks for an extension (`crit`, `b64`) that is not supported here.
    Extension,
    /// The header brings a key of its own (`jku`, `jwk`, `x5u`, `x5c`).
    KeyInHeader,
    /// `none`, a MAC, or any algorithm but the four.
    Algorithm,
    /// Another kind of token than expected.
    Type,
    /// No `kid`, or none that is known.
    UnknownKey,
    /// Not the algorithm of the key.
    AlgorithmOfKey,
    /// The signature is not good.
    Signature,
}

impl JwsError {
    /// The reason in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Extension => "extension",
            Self::KeyInHeader => "key_in_header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
            Self::AlgorithmOfKey => "algorithm_of_key",
            Self::Signature => "signature",
        }
    }
}

/// Signs a payload as a compact JWS with `alg`, `typ` and `kid` (RFC 7515 §7.1).
pub fn jws_sign(key: &PrivateKey, typ: &str, payload: &[u8]) -> String {
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        typ: &'a str,
        kid: &'a str,
    }
    let header = Protected { alg: key.alg().as_str(), typ, kid: key.kid() };
    let header = serde_json::to_vec(&header).expect("strings become JSON");
    let mut text = String::with_capacity((header.len() + payload.len() + 256) / 3 * 4 + 8);
    base64url::encode_into(&header, &mut text);
    text.push('.');
    base64url::encode_into(payload, &mut text);
    let signature = key.sign(text.as_bytes());
    text.push('.');
    base64url::encode_into(&signature, &mut text);
    text
}

/// Verifies a compact JWS and returns its payload. Times, issuer and audience are the caller's to check.
///
/// `accept_typ` are the acceptable `typ` values; `""` stands for an absent one. `keys` looks a `kid` up.
pub fn jws_verify(
    text: &str,
    accept_typ: &[&str],
    keys: impl Fn(&str) -> Option<Arc<PublicKey>>,
) -> Result<Vec<u8>, JwsError> {
    if text.len() > MAX_LENGTH {
        return Err(JwsError::TooLong);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    let [header, payload, signature] =
        [header, payload, signature].map(|part| base64url::decode(part).ok_or(JwsError::Malformed));
    let (header, payload, signature) = (header?, payload?, signature?);

    let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Malformed)?;
    let key = header.check(accept_typ, keys)?;
    if key.verify(signed.as_bytes(), &signature) { Ok(payload) } else { Err(JwsError::Signature) }
}

/// What of a header matters. Unknown members are ignored (RFC 7515 §4), repeated ones are an error.
#[derive(Default)]
struct Header {
    alg: Option<String>,
    typ: Option<String>,
    kid: Option<String>,
    extension: bool,
    key: bool,
}

impl Header {
    fn check(
        &self,
        accept_typ: &[&str],
        keys: impl Fn(&str) -> Option<Arc<PublicKey>>,
    ) -> Result<Arc<PublicKey>, JwsError> {
        if self.extension {
            return Err(JwsError::Extension);
        }
        if self.key {
            return Err(JwsError::KeyInHeader);
        }
        let alg = self.alg.as_deref().and_then(SigningAlg::parse).ok_or(JwsError::Algorithm)?;
        let typ = media_type(self.typ.as_deref().unwrap_or_default());
        if !accept_typ.iter().any(|accepted| typ.eq_ignore_ascii_case(media_type(accepted))) {
            return Err(JwsError::Type);
        }
        let kid = self.kid.as_deref().filter(|kid| kid.len() <= MAX_KID);
        let key = kid.and_then(keys).ok_or(JwsError::UnknownKey)?;
        // RFC 8725 §3.1: the key says which algorithm it is for, the header may only agree.
        if key.alg() == alg { Ok(key) } else { Err(JwsError::AlgorithmOfKey) }
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out where no other slash follows; case does not matter.
fn media_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest))
            if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') && !rest.is_empty() =>
        {
            rest
        }
        _ => typ,
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "alg" => header.alg = Some(map.next_value()?),
                "typ" => header.typ = Some(map.next_value()?),
                "kid" => header.kid = Some(map.next_value()?),
                other => {
                    header.extension |= matches!(other, "crit" | "b64");
                    header.key |= matches!(other, "jku" | "jwk" | "x5u" | "x5c");
                    map.next_value::<IgnoredAny>()?;
                }
            }
            // RFC 7515 §4: names are unique.
            if !seen.insert(name) {
                return Err(A::Error::custom("a header member is repeated"));
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken as jwt;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::crypto::sign::tests::key;

    const TYP: &str = "at+jwt";
    const PAYLOAD: &[u8] = br#"{"sub":"alice"}"#;

    fn ring(kid: &str) -> Option<Arc<PublicKey>> {
        let keys = SigningAlg::ALL.map(|alg| &key(alg).0);
        keys.into_iter().find(|key| key.kid() == kid).map(|key| Arc::clone(key.public()))
    }

    fn verify(text: &str) -> Result<Vec<u8>, JwsError> {
        jws_verify(text, &[TYP], ring)
    }

    /// A JWS with any header, rightly signed by a key.
    fn forge(alg: SigningAlg, header: &str) -> String {
        let signed = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(PAYLOAD));
        let signature = base64url::encode(&key(alg).0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The header of an acceptable EdDSA token with some members changed or, if null, left out.
    fn header(changes: serde_json::Value) -> String {
        let mut header = json!({"alg": "EdDSA", "typ": TYP, "kid": key(SigningAlg::EdDSA).0.kid()});
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                serde_json::Value::Null => header.as_object_mut().expect("an object").remove(name),
                value => header.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
            };
        }
        header.to_string()
    }

    fn jwt_alg(alg: SigningAlg) -> jwt::Algorithm {
        alg.as_str().parse().expect("a known algorithm")
    }

    #[test]
    fn an_independent_verifier_accepts_what_we_sign() {
        for alg in SigningAlg::ALL {
            let (key, _) = key(alg);
            let text = jws_sign(key, TYP, PAYLOAD);
            let jwk: jwt::jwk::Jwk =
                serde_json::from_value(serde_json::to_value(key.public_jwk()).expect("JSON")).expect("a JWK");
            assert_eq!(jwk.thumbprint(jwt::jwk::ThumbprintHash::SHA256).ok().as_deref(), Some(key.kid()));
            let mut validation = jwt::Validation::new(jwt_alg(alg));
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            let decoding = jwt::DecodingKey::from_jwk(&jwk).expect("a key");
            let token =
                jwt::decode::<serde_json::Value>(&text, &decoding, &validation).expect("a good token");
            assert_eq!(token.claims, json!({"sub": "alice"}));
            assert_eq!(token.header.typ.as_deref(), Some(TYP));
            assert_eq!(token.header.kid.as_deref(), Some(key.kid()));
        }
    }

    #[test]
    fn we_accept_what_an_independent_signer_signs() {
        for alg in SigningAlg::ALL {
            let (key, pkcs8) = key(alg);
            let encoding = match alg {
                // PKCS#1 is what PKCS#8 wraps, after 26 bytes for keys of this size (RFC 5208 §5).
                SigningAlg::RS256 | SigningAlg::PS256 => jwt::EncodingKey::from_rsa_der(&pkcs8[26..]),
                SigningAlg::ES256 => jwt::EncodingKey::from_ec_der(pkcs8),
                SigningAlg::EdDSA => jwt::EncodingKey::from_ed_der(pkcs8),
            };
            let mut header = jwt::Header::new(jwt_alg(alg));
            header.typ = Some("application/AT+jwt".into());
            header.kid = Some(key.kid().into());
            let text = jwt::encode(&header, &json!({"sub": "alice"}), &encoding).expect("a token");
            assert_eq!(verify(&text), Ok(PAYLOAD.to_vec()), "{}", alg.as_str());
        }
    }

    #[test]
    fn what_we_sign_we_verify() {
        for alg in SigningAlg::ALL {
            assert_eq!(verify(&jws_sign(&key(alg).0, TYP, PAYLOAD)), Ok(PAYLOAD.to_vec()));
        }
        assert_eq!(
            verify(&forge(SigningAlg::EdDSA, &header(json!({"x5t": "unknown"})))),
            Ok(PAYLOAD.to_vec())
        );
    }

    /// R44, R45, T12
    #[test]
    fn confusing_headers_are_refused_though_rightly_signed() {
        let jwk = serde_json::to_value(key(SigningAlg::EdDSA).0.public_jwk()).expect("JSON");
        let kid = |kid: &str| (json!({"kid": kid}), JwsError::UnknownKey);
        let cases = [
            (json!({"alg": "none"}), JwsError::Algorithm),
            (json!({"alg": "None"}), JwsError::Algorithm),
            (json!({"alg": "nOnE"}), JwsError::Algorithm),
            (json!({"alg": ""}), JwsError::Algorithm),
            (json!({"alg": null}), JwsError::Algorithm),
            (json!({"alg": "HS256"}), JwsError::Algorithm),
            (json!({"alg": "RSA1_5"}), JwsError::Algorithm),
            (json!({"alg": "eddsa"}), JwsError::Algorithm),
            (json!({"alg": "RS256"}), JwsError::AlgorithmOfKey),
            (json!({"alg": "ES256"}), JwsError::AlgorithmOfKey),
            (json!({"alg": ["EdDSA"]}), JwsError::Malformed),
            (json!({"crit": ["exp"], "exp": 1}), JwsError::Extension),
            (json!({"crit": []}), JwsError::Extension),
            (json!({"b64": false}), JwsError::Extension),
            (json!({"b64": true}), JwsError::Extension),
            (json!({"jwk": jwk}), JwsError::KeyInHeader),
            (json!({"jku": "https://evil.example/jwks"}), JwsError::KeyInHeader),
            (json!({"x5u": "https://evil.example/cert"}), JwsError::KeyInHeader),
            (json!({"x5c": ["MII="]}), JwsError::KeyInHeader),
            (json!({"kid": null}), JwsError::UnknownKey),
            (json!({"kid": 1}), JwsError::Malformed),
            (json!({"typ": {"a": 1}}), JwsError::Malformed),
            kid(""),
            kid("../../../dev/null"),
            kid("' OR 1=1 --"),
            kid("https://evil.example/key"),
            kid(&"k".repeat(300)),
        ];
        for (changes, error) in cases {
            let text = forge(SigningAlg::EdDSA, &header(changes.clone()));
            assert_eq!(verify(&text), Err(error), "{changes}");
        }
    }

    /// R46, T12
    #[test]
    fn a_token_of_one_kind_is_refused_as_another() {
        let kinds = ["at+jwt", "JWT", "logout+jwt", "dpop+jwt", "oauth-authz-req+jwt"];
        for kind in kinds {
            let text = jws_sign(&key(SigningAlg::EdDSA).0, kind, PAYLOAD);
            for accepted in kinds {
                let expected = if kind == accepted { Ok(PAYLOAD.to_vec()) } else { Err(JwsError::Type) };
                assert_eq!(jws_verify(&text, &[accepted], ring), expected, "{kind} as {accepted}");
            }
            assert_eq!(jws_verify(&text, &kinds, ring), Ok(PAYLOAD.to_vec()));
            assert_eq!(jws_verify(&text, &[""], ring), Err(JwsError::Type));
        }
        let without = forge(SigningAlg::EdDSA, &header(json!({"typ": null})));
        assert_eq!(jws_verify(&without, &["JWT"], ring), Err(JwsError::Type));
        assert_eq!(jws_verify(&without, &["JWT", ""], ring), Ok(PAYLOAD.to_vec()));
        for typ in ["application/", "at+jwt/x", "application/x/at+jwt", "at+jwt "] {
            let text = forge(SigningAlg::EdDSA, &header(json!({"typ": typ})));
            assert_eq!(verify(&text), Err(JwsError::Type), "{typ}");
        }
    }

    /// T12: the public key as the secret of a MAC.
    #[test]
    fn a_mac_under_the_public_key_is_refused() {
        let rsa = key(SigningAlg::RS256).0.public_jwk();
        let secret = base64url::decode(rsa.n.as_deref().expect("n")).expect("base64url");
        let mut header = jwt::Header::new(jwt::Algorithm::HS256);
        header.typ = Some(TYP.into());
        header.kid = rsa.kid.clone();
        let text =
            jwt::encode(&header, &json!({}), &jwt::EncodingKey::from_secret(&secret)).expect("a token");
        assert_eq!(verify(&text), Err(JwsError::Algorithm));
    }

    /// T12: RS256 and PS256 keys are both RSA, but never interchangeable.
    #[test]
    fn a_signature_by_another_key_or_padding_is_refused() {
        let ps = key(SigningAlg::PS256);
        let as_rs = PrivateKey::from_pkcs8(SigningAlg::RS256, &ps.1).expect("an RSA key");
        assert_eq!(verify(&jws_sign(&as_rs, TYP, PAYLOAD)), Err(JwsError::AlgorithmOfKey));
        let stolen_name = header(json!({"alg": "ES256", "kid": key(SigningAlg::ES256).0.kid()}));
        assert_eq!(verify(&forge(SigningAlg::EdDSA, &stolen_name)), Err(JwsError::Signature));
    }

    #[test]
    fn repeated_members_and_other_forms_are_malformed() {
        let kid = key(SigningAlg::EdDSA).0.kid();
        let whole = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}""#);
        for header in [
            format!(r#"{whole},"alg":"EdDSA"}}"#),
            format!(r#"{whole},"a":1,"a":1}}"#),
            format!(r#"{whole},"\u0061lg":"none"}}"#),
            format!("{whole}}} x"),
            whole.clone(),
            "[]".into(),
            "null".into(),
            "\"EdDSA\"".into(),
            String::new(),
        ] {
            assert_eq!(verify(&forge(SigningAlg::EdDSA, &header)), Err(JwsError::Malformed), "{header}");
        }
        let good = jws_sign(&key(SigningAlg::EdDSA).0, TYP, PAYLOAD);
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        assert_eq!(verify(&format!("{signed}.")), Err(JwsError::Signature));
        for text in [
            signed.to_owned(),
            format!("{good}=="),
            format!("{good}.{signature}"),
            format!("{good}.a.b"), // a JWE has five parts (RFC 7516 §7.1)
            format!(" {good}"),
            format!("{good}\n"),
            format!(".{good}"),
            ".".into(),
            String::new(),
        ] {
            assert_eq!(verify(&text), Err(JwsError::Malformed), "{text}");
        }
    }

    #[test]
    fn too_long_a_text_is_refused_unread() {
        assert_eq!(verify(&"a".repeat(MAX_LENGTH + 1)), Err(JwsError::TooLong));
        let deep = format!(r#"{{"a":{}}}"#, "[".repeat(8000));
        assert_eq!(
            verify(&format!("{}.AA.AA", base64url::encode(deep.as_bytes()))),
            Err(JwsError::Malformed)
        );
    }

    /// T08
    #[test]
    fn every_changed_character_is_noticed() {
        for alg in [SigningAlg::ES256, SigningAlg::EdDSA] {
            let good = jws_sign(&key(alg).0, TYP, PAYLOAD);
            for at in 0..good.len() {
                for with in ["A", "b", "-", ".", "="].into_iter().filter(|with| !good[at..].starts_with(with))
                {
                    let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
                    assert!(verify(&changed).is_err(), "{at}: {with}");
                }
            }
        }
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        use JwsError::*;
        let all = [
            TooLong,
            Malformed,
            Extension,
            KeyInHeader,
            Algorithm,
            Type,
            UnknownKey,
            AlgorithmOfKey,
            Signature,
        ];
        assert_eq!(all.iter().map(|error| error.as_str()).collect::<HashSet<_>>().len(), all.len());
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused(text: String, header: String, parts in "[A-Za-z0-9_.=-]{0,80}") {
            prop_assert!(verify(&text).is_err());
            prop_assert!(verify(&parts).is_err());
            let text = format!("{}.AA.AA", base64url::encode(header.as_bytes()));
            prop_assert!(verify(&text).is_err());
        }

        #[test]
        fn any_payload_comes_back(payload: Vec<u8>) {
            let text = jws_sign(&key(SigningAlg::EdDSA).0, TYP, &payload);
            prop_assert_eq!(verify(&text), Ok(payload));
        }
    }
}
