//! RFC 6749 §1.5 — refresh tokens: opaque values that name their row.
//!
//! Text = prefix ‖ base64url(version ‖ family ‖ generation ‖ 32 random bytes ‖ 8-byte MAC over all of it).
//! The store keeps the digest of the family's present token; the name in front of the random bytes is how
//! its row is found, by primary key. As with every opaque value the MAC is there so that garbage costs no
//! statement: what it names was issued here.

use zeroize::Zeroizing;

use super::{
    base64url,
    digest::sha256,
    opaque::{MAC, Opaques, RANDOM},
    random::Random,
};
use crate::model::{FamilyId, Id, RefreshToken, Secret};

/// What a refresh token begins with.
pub const REFRESH_TOKEN_PREFIX: &str = "chy_rt_";

const VERSION: u8 = 1;
const FAMILY: usize = 16;
const GENERATION: usize = 8;
const VALUE: usize = 1 + FAMILY + GENERATION + RANDOM;

impl Opaques {
    /// A new token of a family, which keeps what it says of itself.
    pub fn issue_refresh_token(
        &self,
        family: FamilyId,
        generation: u64,
        random: &Random,
    ) -> (Secret<String>, RefreshToken) {
        let mut bytes = Zeroizing::new([0; VALUE + MAC]);
        bytes[0] = VERSION;
        bytes[1..1 + FAMILY].copy_from_slice(&family.0.0);
        bytes[1 + FAMILY..VALUE - RANDOM].copy_from_slice(&generation.to_be_bytes());
        random.fill(&mut bytes[VALUE - RANDOM..VALUE]);
        let mac = self.mac(REFRESH_TOKEN_PREFIX, &bytes[..VALUE]);
        bytes[VALUE..].copy_from_slice(&mac);
        let length = REFRESH_TOKEN_PREFIX.len() + base64url::encoded_len(VALUE + MAC);
        let mut text = String::with_capacity(length);
        text.push_str(REFRESH_TOKEN_PREFIX);
        base64url::encode_into(bytes.as_slice(), &mut text);
        let digest = sha256(text.as_bytes());
        (Secret::new(text), RefreshToken { family, generation, digest })
    }

    /// What a token says of itself; `None` unless it was issued here, under any master key.
    pub fn refresh_token(&self, text: &str) -> Option<RefreshToken> {
        let encoded = text.strip_prefix(REFRESH_TOKEN_PREFIX)?;
        let bytes = Zeroizing::new(base64url::decode_array::<{ VALUE + MAC }>(encoded)?);
        let (value, given) = bytes.split_at(VALUE);
        if !self.is_mac(REFRESH_TOKEN_PREFIX, value, given) {
            return None;
        }
        let (&version, rest) = value.split_first()?;
        let (family, rest) = rest.split_first_chunk::<FAMILY>()?;
        let (generation, _) = rest.split_first_chunk::<GENERATION>()?;
        (version == VERSION).then(|| RefreshToken {
            family: FamilyId(Id(*family)),
            generation: u64::from_be_bytes(*generation),
            digest: sha256(text.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::{
        keys::{MasterKey, MasterKeys},
        opaque::Opaque,
    };

    const FAMILY_ID: FamilyId = FamilyId(Id([7; 16]));

    fn opaques(keys: &[u8]) -> Opaques {
        let keys = keys.iter().map(|byte| MasterKey::new(Zeroizing::new([*byte; 32])));
        Opaques::new(&MasterKeys::new(keys.collect()).expect("good keys"))
    }

    /// R21, R34
    #[test]
    fn a_refresh_token_says_which_row_it_names() {
        let opaques = opaques(&[1]);
        for generation in [0, 1, 4_294_967_296, u64::MAX] {
            let (text, issued) = opaques.issue_refresh_token(FAMILY_ID, generation, &Random::os());
            assert_eq!(text.expose().len(), 7 + 87);
            let expected =
                RefreshToken { family: FAMILY_ID, generation, digest: sha256(text.expose().as_bytes()) };
            assert_eq!((issued, opaques.refresh_token(text.expose())), (expected, Some(expected)));
        }
    }

    #[test]
    fn no_two_tokens_of_a_generation_are_the_same() {
        let issue = || opaques(&[1]).issue_refresh_token(FAMILY_ID, 3, &Random::os()).1;
        assert_ne!(issue(), issue());
    }

    #[test]
    fn any_master_key_recognises_a_refresh_token() {
        let (old, both, new) = (opaques(&[1]), opaques(&[2, 1]), opaques(&[2]));
        let (text, issued) = old.issue_refresh_token(FAMILY_ID, 1, &Random::os());
        assert_eq!(both.refresh_token(text.expose()), Some(issued));
        assert_eq!(new.refresh_token(text.expose()), None);
    }

    /// T07
    #[test]
    fn a_refresh_token_is_no_other_opaque_value() {
        let opaques = opaques(&[1]);
        let (text, _) = opaques.issue_refresh_token(FAMILY_ID, 1, &Random::os());
        for kind in Opaque::ALL {
            let renamed = text.expose().replace(REFRESH_TOKEN_PREFIX, kind.prefix());
            assert_eq!(opaques.digest_of(kind, &renamed), None, "{kind:?}");
            let (other, _) = opaques.issue(kind, &Random::os());
            let renamed = other.expose().replace(kind.prefix(), REFRESH_TOKEN_PREFIX);
            assert_eq!(opaques.refresh_token(&renamed), None, "{kind:?}");
        }
    }

    /// T08
    #[test]
    fn every_mutation_of_a_refresh_token_is_refused() {
        let opaques = opaques(&[1]);
        let (text, _) = opaques.issue_refresh_token(FAMILY_ID, 1, &Random::os());
        let text = text.expose();
        for end in 0..text.len() {
            assert_eq!(opaques.refresh_token(&text[..end]), None);
        }
        for suffix in ["A", "=", "\n", "é"] {
            assert_eq!(opaques.refresh_token(&format!("{text}{suffix}")), None);
        }
        for at in 0..text.len() {
            for with in "Aa0-_+/=é".chars().filter(|with| !text[at..].starts_with(*with)) {
                let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                assert_eq!(opaques.refresh_token(&changed), None, "{at}: {with}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_refresh_token(text: String, encoded in "[A-Za-z0-9_-]{87}") {
            let opaques = opaques(&[1]);
            prop_assert_eq!(opaques.refresh_token(&text), None);
            prop_assert_eq!(opaques.refresh_token(&format!("chy_rt_{encoded}")), None);
        }
    }
}
