//! Opaque values: codes, client secrets, session and CSRF cookies.
//!
//! Text = prefix ‖ base64url(32 random bytes ‖ 8-byte MAC). The store keeps the digest. The MAC proves
//! nothing about the holder; it is there so that garbage costs no statement, and covers the prefix, so
//! that a value of one kind is never another's. A refresh token also names its row (`refresh_token.rs`).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::base64url;
use super::digest::sha256;
use super::keys::{MasterKeys, Purpose};
use super::random::Random;
use crate::model::{Digest, Secret};

pub(super) const RANDOM: usize = 32;
pub(super) const MAC: usize = 8;

/// The kinds of opaque values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opaque {
    /// An authorization code (RFC 6749 §4.1.2).
    Code,
    /// A client secret (RFC 6749 §2.3.1).
    ClientSecret,
    /// The value of a session cookie.
    Session,
    /// The value that binds a login transaction to the browser that began it.
    Transaction,
    /// A CSRF token.
    Csrf,
}

impl Opaque {
    /// Every kind there is.
    pub const ALL: [Self; 5] = [Self::Code, Self::ClientSecret, Self::Session, Self::Transaction, Self::Csrf];

    /// What the value begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Code => "chy_ac_",
            Self::ClientSecret => "chy_cs_",
            Self::Session => "chy_se_",
            Self::Transaction => "chy_tx_",
            Self::Csrf => "chy_cf_",
        }
    }
}

/// Issues opaque values and knows its own again.
pub struct Opaques {
    /// One per master key, the sealing one first.
    keys: Vec<Hmac<Sha256>>,
}

impl Opaques {
    /// Derives the MAC keys: the first issues, all recognise.
    pub fn new(masters: &MasterKeys) -> Self {
        let keys = masters.iter().map(|master| {
            let key = master.derive::<32>(b"", Purpose::Mac);
            Hmac::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length")
        });
        Self { keys: keys.collect() }
    }

    /// A new value and the digest to store in its place.
    pub fn issue(&self, kind: Opaque, random: &Random) -> (Secret<String>, Digest) {
        let mut bytes = Zeroizing::new([0; RANDOM + MAC]);
        random.fill(&mut bytes[..RANDOM]);
        let mac = self.mac(kind.prefix(), &bytes[..RANDOM]);
        bytes[RANDOM..].copy_from_slice(&mac);
        let mut text = String::with_capacity(kind.prefix().len() + base64url::encoded_len(RANDOM + MAC));
        text.push_str(kind.prefix());
        base64url::encode_into(bytes.as_slice(), &mut text);
        let digest = sha256(text.as_bytes());
        (Secret::new(text), digest)
    }

    /// The digest of a value; `None` unless it was issued as this kind, under any master key.
    pub fn digest_of(&self, kind: Opaque, text: &str) -> Option<Digest> {
        let encoded = text.strip_prefix(kind.prefix())?;
        let bytes = Zeroizing::new(base64url::decode_array::<{ RANDOM + MAC }>(encoded)?);
        let (random, given) = bytes.split_at(RANDOM);
        self.is_mac(kind.prefix(), random, given).then(|| sha256(text.as_bytes()))
    }

    /// What is appended to a value that is issued now.
    pub(super) fn mac(&self, prefix: &str, value: &[u8]) -> [u8; MAC] {
        mac(self.keys.first().expect("there is a master key"), prefix, value)
    }

    /// Whether that was appended to a value when it was issued, under any master key.
    pub(super) fn is_mac(&self, prefix: &str, value: &[u8], given: &[u8]) -> bool {
        // No early exit: the time must not tell which key issued it.
        let ours = self
            .keys
            .iter()
            .fold(Choice::from(0), |found, key| found | mac(key, prefix, value).as_slice().ct_eq(given));
        ours.into()
    }
}

impl std::fmt::Debug for Opaques {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaques(…)")
    }
}

fn mac(key: &Hmac<Sha256>, prefix: &str, value: &[u8]) -> [u8; MAC] {
    let mut mac = key.clone();
    mac.update(prefix.as_bytes());
    mac.update(value);
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    *digest.first_chunk().expect("a digest is longer than its MAC")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::keys::MasterKey;

    fn opaques(keys: &[u8]) -> Opaques {
        let keys = keys.iter().map(|byte| MasterKey::new(Zeroizing::new([*byte; 32])));
        Opaques::new(&MasterKeys::new(keys.collect()).expect("good keys"))
    }

    /// R21, R34
    #[test]
    fn an_issued_value_is_known_by_its_digest() {
        let opaques = opaques(&[1]);
        for kind in Opaque::ALL {
            let (text, digest) = opaques.issue(kind, &Random::os());
            assert_eq!(text.expose().len(), 7 + 54);
            assert!(text.expose().starts_with(kind.prefix()));
            assert_eq!(opaques.digest_of(kind, text.expose()), Some(digest));
            assert_eq!(digest, sha256(text.expose().as_bytes()));
        }
    }

    #[test]
    fn a_code_of_an_earlier_release_is_still_known() {
        let text = "chy_ac_hIqMwEwXYnAYrJv0yedS6jdlMhSAKtdG7YF1mlwmG5UmqjFxGP-7eA";
        assert!(opaques(&[1]).digest_of(Opaque::Code, text).is_some());
    }

    /// T07
    #[test]
    fn a_value_of_one_kind_is_refused_as_every_other() {
        let opaques = opaques(&[1]);
        for kind in Opaque::ALL {
            let (text, _) = opaques.issue(kind, &Random::os());
            for other in Opaque::ALL.into_iter().filter(|other| *other != kind) {
                assert_eq!(opaques.digest_of(other, text.expose()), None);
                let renamed = text.expose().replace(kind.prefix(), other.prefix());
                assert_eq!(opaques.digest_of(other, &renamed), None, "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn any_master_key_recognises_and_the_first_issues() {
        let (old, both, new) = (opaques(&[1]), opaques(&[2, 1]), opaques(&[2]));
        let (text, digest) = old.issue(Opaque::Code, &Random::os());
        assert_eq!(both.digest_of(Opaque::Code, text.expose()), Some(digest));
        assert_eq!(new.digest_of(Opaque::Code, text.expose()), None);
        let (text, digest) = both.issue(Opaque::Code, &Random::os());
        assert_eq!(new.digest_of(Opaque::Code, text.expose()), Some(digest));
    }

    /// T08
    #[test]
    fn every_mutation_is_refused() {
        let opaques = opaques(&[1]);
        let (text, _) = opaques.issue(Opaque::ClientSecret, &Random::os());
        let text = text.expose();
        for end in 0..text.len() {
            assert_eq!(opaques.digest_of(Opaque::ClientSecret, &text[..end]), None);
        }
        for suffix in ["A", "=", "==", "\n", "é"] {
            assert_eq!(opaques.digest_of(Opaque::ClientSecret, &format!("{text}{suffix}")), None);
        }
        for at in 0..text.len() {
            for with in "Aa0-_+/=é".chars().filter(|with| !text[at..].starts_with(*with)) {
                let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                assert_eq!(opaques.digest_of(Opaque::ClientSecret, &changed), None, "{at}: {with}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused(text: String, encoded in "[A-Za-z0-9_-]{54}") {
            let opaques = opaques(&[1]);
            prop_assert_eq!(opaques.digest_of(Opaque::Code, &text), None);
            prop_assert_eq!(opaques.digest_of(Opaque::Code, &format!("chy_ac_{encoded}")), None);
        }
    }
}
