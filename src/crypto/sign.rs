//! RFC 7518 §3, RFC 8037 — signing and verifying, over parsed keys that are kept.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use zeroize::Zeroizing;

use super::base64url;
use super::jwk::Jwk;
use crate::model::SigningAlg;

pub use super::jws::{JwsError, jws_sign, jws_verify};

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyMaterialError {
    /// The operating system or the library could not make a key.
    #[error("a signing key could not be made")]
    Generate,
    /// Not a private key for the algorithm.
    #[error("not a PKCS#8 private key for its algorithm")]
    Private,
    /// Not a public key for a supported algorithm, or a weak one.
    #[error("not an acceptable public key")]
    Public,
}

/// A private key, parsed once and kept. The library wipes it on drop.
pub struct PrivateKey {
    pair: AnyKeyPair,
    public: Arc<PublicKey>,
}

enum AnyKeyPair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Makes a key and its PKCS#8 form. RSA keys have 2048 bits and take a noticeable time.
    pub fn generate(alg: SigningAlg) -> Result<(Self, Zeroizing<Vec<u8>>), KeyMaterialError> {
        let pkcs8 = match alg {
            SigningAlg::RS256 | SigningAlg::PS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyMaterialError::Generate)?;
                let der = pair.as_der().map_err(|_| KeyMaterialError::Generate)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            SigningAlg::ES256 => {
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let document = EcdsaKeyPair::generate_pkcs8(alg, &SystemRandom::new());
                Zeroizing::new(document.map_err(|_| KeyMaterialError::Generate)?.as_ref().to_vec())
            }
            SigningAlg::EdDSA => {
                let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
                Zeroizing::new(document.map_err(|_| KeyMaterialError::Generate)?.as_ref().to_vec())
            }
        };
        Ok((Self::from_pkcs8(alg, &pkcs8)?, pkcs8))
    }

    /// Parses a PKCS#8 key; weak and inconsistent keys are refused.
    pub fn from_pkcs8(alg: SigningAlg, pkcs8: &[u8]) -> Result<Self, KeyMaterialError> {
        let (pair, jwk) = match alg {
            SigningAlg::RS256 | SigningAlg::PS256 => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyMaterialError::Private)?;
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let jwk = Jwk::rsa(&public.n, &public.e);
                (AnyKeyPair::Rsa(pair), jwk)
            }
            SigningAlg::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_| KeyMaterialError::Private)?;
                // SEC 1 §2.3.3: 0x04 ‖ x ‖ y
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let jwk = Jwk::p256(x, y);
                (AnyKeyPair::P256(pair), jwk)
            }
            SigningAlg::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyMaterialError::Private)?;
                let jwk = Jwk::ed25519(pair.public_key().as_ref());
                (AnyKeyPair::Ed25519(pair), jwk)
            }
        };
        let public = Arc::new(PublicKey::for_alg(alg, jwk)?);
        Ok(Self { pair, public })
    }

    /// Signs a message. ES256 signatures are the two numbers, 64 bytes (RFC 7518 §3.4).
    ///
    /// # Panics
    ///
    /// If the library's own check of the signature it made fails: such a signature may disclose the key.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        const REASON: &str = "a parsed key signs any message";
        let random = SystemRandom::new();
        match &self.pair {
            AnyKeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = match self.public.alg {
                    SigningAlg::PS256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature).expect(REASON);
                signature
            }
            AnyKeyPair::P256(pair) => pair.sign(&random, message).expect(REASON).as_ref().to_vec(),
            AnyKeyPair::Ed25519(pair) => pair.try_sign(message).expect(REASON).as_ref().to_vec(),
        }
    }

    /// The algorithm it signs with.
    pub fn alg(&self) -> SigningAlg {
        self.public.alg
    }

    /// The key's name: its thumbprint.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The public half.
    pub fn public(&self) -> &Arc<PublicKey> {
        &self.public
    }

    /// The public half as JSON, for the key set.
    pub fn public_jwk(&self) -> &Jwk {
        self.public.jwk()
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} {})", self.alg().as_str(), self.kid())
    }
}

/// A public key, checked and parsed once and kept.
pub struct PublicKey {
    alg: SigningAlg,
    kid: String,
    jwk: Jwk,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Takes a key from a key set. It must name its one algorithm (RFC 8725 §3.1) and, if it says what it
    /// is for, be for signatures. Points must be on their curve, moduli 2048 bits or more.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyMaterialError> {
        let alg = jwk.alg.as_deref().and_then(SigningAlg::parse).ok_or(KeyMaterialError::Public)?;
        if jwk.key_use.as_deref().is_some_and(|key_use| key_use != "sig") {
            return Err(KeyMaterialError::Public);
        }
        Self::for_alg(alg, jwk.clone())
    }

    fn for_alg(alg: SigningAlg, jwk: Jwk) -> Result<Self, KeyMaterialError> {
        let parsed = match alg {
            SigningAlg::RS256 | SigningAlg::PS256 => parse_rsa(alg, &jwk),
            SigningAlg::ES256 => parse_p256(&jwk),
            SigningAlg::EdDSA => parse_ed25519(&jwk),
        }
        .ok_or(KeyMaterialError::Public)?;
        let kid = jwk.thumbprint().ok_or(KeyMaterialError::Public)?;
        let jwk = jwk.named(alg, &kid);
        Ok(Self { alg, kid, jwk, parsed })
    }

    /// Whether a signature of the message is good.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// The only algorithm it is used with.
    pub fn alg(&self) -> SigningAlg {
        self.alg
    }

    /// The key's thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key as JSON, with `use`, `alg` and `kid`.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} {})", self.alg.as_str(), self.kid)
    }
}

fn parse_rsa(alg: SigningAlg, jwk: &Jwk) -> Option<ParsedPublicKey> {
    let n = base64url::decode(jwk.n.as_deref()?)?;
    let e = base64url::decode(jwk.e.as_deref()?)?;
    // The library checks sizes only when it verifies; a weak key must not even be taken.
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let minimal = n.first() != Some(&0) && e.first() != Some(&0);
    let exponent = e.len() <= 4 && e.last()? & 1 == 1 && e != [1];
    // RFC 7518 §3.3: 2048 bits or larger. The upper bound keeps verification cheap.
    if jwk.kty != "RSA" || !minimal || !exponent || n.last()? & 1 == 0 || !(2048..=8192).contains(&bits) {
        return None;
    }
    let parameters = match alg {
        SigningAlg::PS256 => &RSA_PSS_2048_8192_SHA256,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok()
}

fn parse_p256(jwk: &Jwk) -> Option<ParsedPublicKey> {
    if jwk.kty != "EC" || jwk.crv.as_deref() != Some("P-256") {
        return None;
    }
    // RFC 7518 §6.2.1.2: coordinates have full length.
    let x = base64url::decode_array::<32>(jwk.x.as_deref()?)?;
    let y = base64url::decode_array::<32>(jwk.y.as_deref()?)?;
    let point = [&[4], x.as_slice(), &y].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

fn parse_ed25519(jwk: &Jwk) -> Option<ParsedPublicKey> {
    if jwk.kty != "OKP" || jwk.crv.as_deref() != Some("Ed25519") {
        return None;
    }
    let key = base64url::decode_array::<32>(jwk.x.as_deref()?)?;
    if of_small_order(key) {
        return None;
    }
    ParsedPublicKey::new(&ED25519, key).ok()
}

/// Whether an Ed25519 key is one of the points for which anybody can make signatures (RFC 8032 §8.5 leaves
/// them in). Five numbers, two of them with a second, non-canonical encoding; the sign bit aside.
fn of_small_order(mut key: [u8; 32]) -> bool {
    key[31] &= 0x7f;
    let near_p = |low: u8| {
        let mut number = [0xff; 32];
        (number[0], number[31]) = (low, 0x7f);
        number
    };
    let mut one = [0; 32];
    one[0] = 1;
    key == [0; 32]
        || key == one
        || [0xec, 0xed, 0xee].into_iter().any(|low| key == near_p(low))
        || ORDER_8.contains(&key)
}

/// The encodings of the points of order 8, without the sign bit.
const ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
pub(super) mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// A key of each algorithm, made once for all tests.
    pub(in crate::crypto) fn key(alg: SigningAlg) -> &'static (PrivateKey, Zeroizing<Vec<u8>>) {
        static KEYS: [OnceLock<(PrivateKey, Zeroizing<Vec<u8>>)>; 4] = [const { OnceLock::new() }; 4];
        KEYS[alg as usize].get_or_init(|| PrivateKey::generate(alg).expect("a key"))
    }

    fn jwk(json: &str) -> Jwk {
        serde_json::from_str(json).expect("a JWK")
    }

    #[test]
    fn a_key_survives_its_pkcs8_form_and_verifies_what_it_signed() {
        for alg in SigningAlg::ALL {
            let (key, pkcs8) = key(alg);
            let again = PrivateKey::from_pkcs8(alg, pkcs8).expect("our own PKCS#8");
            assert_eq!(again.kid(), key.kid());
            let signature = key.sign(b"message");
            let public = PublicKey::from_jwk(again.public_jwk()).expect("our own JWK");
            assert!(public.verify(b"message", &signature), "{}", alg.as_str());
            assert!(!public.verify(b"massage", &signature));
            assert!(!public.verify(b"message", &signature[1..]));
            assert!(!public.verify(b"message", b""));
        }
    }

    #[test]
    fn es256_signatures_are_the_two_numbers() {
        for _ in 0..20 {
            assert_eq!(key(SigningAlg::ES256).0.sign(b"message").len(), 64);
        }
    }

    #[test]
    fn a_private_key_is_refused_for_another_algorithm() {
        for alg in SigningAlg::ALL {
            for other in SigningAlg::ALL {
                let rsa = |alg| matches!(alg, SigningAlg::RS256 | SigningAlg::PS256);
                let accepted = PrivateKey::from_pkcs8(other, &key(alg).1).is_ok();
                assert_eq!(accepted, alg == other || rsa(alg) && rsa(other));
            }
            assert_eq!(PrivateKey::from_pkcs8(alg, b"").err(), Some(KeyMaterialError::Private));
        }
    }

    #[test]
    fn signatures_are_those_of_rfc_8037_appendix_a_4() {
        // RFC 8410 §7 around the seed of RFC 8037 appendix A.1.
        let seed = base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
        let mut pkcs8 = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
        ];
        pkcs8.extend_from_slice(&seed);
        let key = PrivateKey::from_pkcs8(SigningAlg::EdDSA, &pkcs8).expect("a key");
        assert_eq!(key.public_jwk().x.as_deref(), Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            base64url::encode(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    /// R48
    #[test]
    fn weak_and_inconsistent_public_keys_are_refused() {
        let p256 = key(SigningAlg::ES256).0.public_jwk();
        let rsa = key(SigningAlg::RS256).0.public_jwk();
        let ed = key(SigningAlg::EdDSA).0.public_jwk();
        let n = base64url::decode(rsa.n.as_deref().expect("n")).expect("base64url");
        let with_n = |n: &[u8]| Jwk { n: Some(base64url::encode(n)), ..rsa.clone() };
        let with_e = |e: &[u8]| Jwk { e: Some(base64url::encode(e)), ..rsa.clone() };
        let off_curve = base64url::encode(&[7; 32]);
        let refused = [
            Jwk { y: Some(off_curve.clone()), ..p256.clone() },
            Jwk { x: Some(base64url::encode(&[0; 31])), ..p256.clone() },
            Jwk { y: None, ..p256.clone() },
            Jwk { crv: Some("P-384".into()), ..p256.clone() },
            Jwk { crv: Some("secp256k1".into()), ..p256.clone() },
            with_n(&n[1..]), // 2,040 bits
            with_n(&[&[0], n.as_slice()].concat()),
            with_n(&[&n[..255], &[n[255] & 0xfe]].concat()),
            with_n(&[0xff; 2049]),
            with_n(&[]),
            with_e(&[1]),
            with_e(&[]),
            with_e(&[1, 0, 0]),
            with_e(&[0, 1, 0, 1]),
            with_e(&[1; 5]),
            Jwk { x: Some(base64url::encode(&[1; 33])), ..ed.clone() },
            Jwk { crv: Some("X25519".into()), ..ed.clone() },
            Jwk { kty: "EC".into(), ..ed.clone() },
            Jwk { kty: "oct".into(), ..ed.clone() },
            Jwk { alg: None, ..ed.clone() },
            Jwk { alg: Some("RS256".into()), ..ed.clone() },
            Jwk { alg: Some("HS256".into()), ..rsa.clone() },
            Jwk { alg: Some("none".into()), ..rsa.clone() },
            Jwk { alg: Some("RSA1_5".into()), ..rsa.clone() },
            Jwk { key_use: Some("enc".into()), ..rsa.clone() },
            Jwk::default(),
        ];
        for jwk in refused {
            assert_eq!(PublicKey::from_jwk(&jwk).err(), Some(KeyMaterialError::Public), "{jwk:?}");
        }
    }

    /// R48
    #[test]
    fn ed25519_keys_of_small_order_are_refused() {
        let mut small: Vec<[u8; 32]> = ORDER_8.to_vec();
        for (first, middle, last) in
            [(0, 0, 0), (1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f)]
        {
            let mut point = [middle; 32];
            (point[0], point[31]) = (first, last);
            small.push(point);
        }
        // The proof that they are what they are said to be: R = identity and S = 0 is a good signature of
        // about every eighth message, whoever made it.
        let mut forged = [0; 64];
        forged[0] = 1;
        for point in small {
            let raw = ParsedPublicKey::new(&ED25519, point).expect("the library takes them");
            let forgeable = (0..=255u8).any(|text| raw.verify_sig(&[text], &forged).is_ok());
            // Some builds of the library refuse the non-canonical encodings by themselves.
            let canonical = point[31] != 0x7f || point[0] == 0xec;
            assert!(forgeable || !canonical, "{point:02x?}");
            for sign in [0, 0x80] {
                let mut signed = point;
                signed[31] |= sign;
                let jwk = Jwk { alg: Some("EdDSA".into()), ..Jwk::ed25519(&signed) };
                assert_eq!(PublicKey::from_jwk(&jwk).err(), Some(KeyMaterialError::Public));
            }
        }
    }

    #[test]
    fn a_foreign_name_is_replaced_by_the_thumbprint() {
        let key = PublicKey::from_jwk(&jwk(
            r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"../../etc/passwd",
                "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        ))
        .expect("a good key");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.jwk().kid.as_deref(), Some(key.kid()));
    }

    /// R72
    #[test]
    fn debug_shows_no_key() {
        let (key, _) = key(SigningAlg::EdDSA);
        assert_eq!(format!("{key:?}"), format!("PrivateKey(EdDSA {})", key.kid()));
    }
}
