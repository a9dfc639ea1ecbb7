//! Digests and comparisons: SHA-256, RFC 7636's S256, OpenID Connect's `at_hash`.

use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::base64url;
use crate::model::{Digest, SigningAlg};

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// SHA-256 of several parts, each preceded by its length, so that no two lists of parts collide.
pub fn sha256_parts(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// Whether two values are equal, in a time that depends on their lengths only.
#[must_use]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The S256 code challenge of a verifier (RFC 7636 §4.2, §4.6).
pub fn s256(verifier: &str) -> String {
    base64url::encode(&Sha256::digest(verifier))
}

/// The left half of a value's digest, for `at_hash` and `c_hash` (OpenID Connect Core §3.1.3.6).
pub fn left_half(alg: SigningAlg, value: &str) -> String {
    match alg {
        SigningAlg::RS256 | SigningAlg::ES256 | SigningAlg::PS256 => {
            base64url::encode(&Sha256::digest(value)[..16])
        }
        // RFC 8032 §5.1: Ed25519 hashes with SHA-512.
        SigningAlg::EdDSA => base64url::encode(&Sha512::digest(value)[..32]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s256_gives_the_challenge_of_rfc_7636_appendix_b() {
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn sha256_gives_the_digest_of_fips_180_4() {
        let Digest(bytes) = sha256(b"abc");
        assert_eq!(bytes[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
    }

    #[test]
    fn parts_that_join_alike_have_different_digests() {
        assert_ne!(sha256_parts(&[b"ab", b"c"]), sha256_parts(&[b"a", b"bc"]));
        assert_ne!(sha256_parts(&[b"a"]), sha256_parts(&[b"a", b""]));
        assert_eq!(sha256_parts(&[b"a", b"b"]), sha256_parts(&[b"a", b"b"]));
    }

    /// R34
    #[test]
    fn values_are_equal_only_if_every_byte_is() {
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreT"));
        assert!(!equal(b"secret", b"secre"));
        assert!(equal(b"", b""));
    }

    #[test]
    fn at_hash_is_half_of_the_algorithms_own_digest() {
        // OpenID Connect Core, appendix A.3: access token and at_hash of the example.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(left_half(SigningAlg::RS256, token), "77QmUPtjPfzWtF2AnpK9RQ");
        for alg in [SigningAlg::ES256, SigningAlg::PS256] {
            assert_eq!(left_half(alg, token), left_half(SigningAlg::RS256, token));
        }
        // FIPS 180-4, SHA-512 of "abc".
        let half = base64url::decode(&left_half(SigningAlg::EdDSA, "abc")).expect("base64url");
        assert_eq!(half[..8], [0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba]);
        assert_eq!(half[28..], [0x4b, 0x55, 0xd3, 0x9a]);
    }
}
