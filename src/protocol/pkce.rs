//! RFC 7636 — proof key for code exchange; S256 only (RFC 9700 §2.1.1).

use super::OauthError;
use crate::{
    crypto::digest::{equal, s256},
    model::SecurityEvent,
};

/// The one `code_challenge_method` there is (RFC 7636 §4.3; `plain` is refused, RFC 9700 §2.1.1).
pub const METHODS: &[&str] = &["S256"];

/// Compares the verifier of a token request with the challenge its code was issued for.
pub fn verify(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), (OauthError, SecurityEvent)> {
    let refuse = |text, event| Err((OauthError::invalid_grant(text), event));
    match (challenge, verifier) {
        (None, None) => Ok(()),
        // RFC 9700 §2.1.1: a verifier without a challenge is a downgrade attack.
        (None, Some(_)) => refuse(
            "The authorization request had no code_challenge, so code_verifier is not accepted.",
            SecurityEvent::PkceDowngrade,
        ),
        (Some(_), None) => refuse("The parameter code_verifier is missing.", SecurityEvent::PkceDowngrade),
        // RFC 7636 §4.6
        (Some(challenge), Some(verifier))
            if well_formed(verifier) && equal(s256(verifier).as_bytes(), challenge.as_bytes()) =>
        {
            Ok(())
        }
        (Some(_), Some(_)) => {
            refuse("The code_verifier does not match the code_challenge.", SecurityEvent::PkceMismatch)
        }
    }
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters.
fn well_formed(verifier: &str) -> bool {
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 Appendix B
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    /// R9, T03
    #[test]
    fn only_the_right_pairs_succeed() {
        let long = "a".repeat(129);
        let longest = "a".repeat(128);
        let cases = [
            (None, None, true),
            (None, Some(VERIFIER), false),
            (Some(CHALLENGE), None, false),
            (Some(CHALLENGE), Some(VERIFIER), true),
            (Some(CHALLENGE), Some(&VERIFIER[..42]), false),
            (Some(CHALLENGE), Some("wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong"), false),
            (Some(CHALLENGE), Some(CHALLENGE), false),
        ];
        for (challenge, verifier, right) in cases {
            assert_eq!(verify(challenge, verifier).is_ok(), right, "{challenge:?} {verifier:?}");
        }
        assert!(verify(Some(&s256(&longest)), Some(&longest)).is_ok());
        assert!(verify(Some(&s256(&long)), Some(&long)).is_err(), "129 characters are too many");
        assert!(verify(Some(&s256(&VERIFIER[..42])), Some(&VERIFIER[..42])).is_err(), "42 are too few");
    }
}
