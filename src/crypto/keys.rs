//! RFC 5869 — master keys, and the keys derived from them.
//!
//! Nothing is sealed under a master key itself: a key is HKDF-SHA-256(master, salt,
//! `chancery/v1/` ‖ purpose), so that no use of one key tells anything about another.

use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::base64url;
use super::random::Random;

/// What a derived key is for. Closed: a new use is a new purpose. The numbers are part of what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Sealed access tokens.
    Access = 0,
    /// The answer kept for a refresh token's retry window.
    Retry = 1,
    /// Values in a shared cache.
    Cache = 2,
    /// Columns of the store.
    Column = 3,
    /// Cookies and what travels through a browser.
    Cookie = 4,
    /// The check value in codes, refresh tokens and other opaque values.
    Mac = 5,
}

impl Purpose {
    /// Every purpose there is; `ALL[p as usize] == p`.
    pub const ALL: [Self; 6] =
        [Self::Access, Self::Retry, Self::Cache, Self::Column, Self::Cookie, Self::Mac];

    /// The `info` of HKDF (RFC 5869 §3.2).
    pub const fn info(self) -> &'static [u8] {
        match self {
            Self::Access => b"chancery/v1/access",
            Self::Retry => b"chancery/v1/retry",
            Self::Cache => b"chancery/v1/cache",
            Self::Column => b"chancery/v1/column",
            Self::Cookie => b"chancery/v1/cookie",
            Self::Mac => b"chancery/v1/mac",
        }
    }
}

/// HKDF-SHA-256 of a secret (RFC 5869 §2) for a purpose.
pub(super) fn derive<const N: usize>(secret: &[u8], salt: &[u8], purpose: Purpose) -> Zeroizing<[u8; N]> {
    expand(secret, salt, purpose.info())
}

fn expand<const N: usize>(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, key.as_mut_slice())
        .expect("derived keys are shorter than 255 digests");
    key
}

/// The public name of a master key, derived from it so that it tells nothing about it.
pub type MasterKeyId = [u8; 4];

/// A master key: 32 secret bytes, wiped on drop.
#[derive(Clone)]
pub struct MasterKey {
    secret: Zeroizing<[u8; 32]>,
    id: MasterKeyId,
}

impl MasterKey {
    /// Takes a key into custody.
    pub fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let id = *expand(secret.as_slice(), b"", b"chancery/v1/id");
        Self { secret, id }
    }

    /// Makes a key.
    pub fn generate(random: &Random) -> Self {
        Self::new(Zeroizing::new(random.bytes()))
    }

    /// Reads a key from the text of a file or variable: 32 bytes in base64, either alphabet, with or
    /// without padding, white space around it ignored.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let mut url = Zeroizing::new(String::with_capacity(text.len()));
        url.extend(text.trim().trim_end_matches('=').chars().map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        }));
        let secret = base64url::decode_array(&url).ok_or(MasterKeyError::Malformed)?;
        Ok(Self::new(Zeroizing::new(secret)))
    }

    /// The text that [`MasterKey::parse`] reads; for the file that keeps it, and nothing else.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url::encode(self.secret.as_slice()))
    }

    /// The key's public name.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    pub(super) fn derive<const N: usize>(&self, salt: &[u8], purpose: Purpose) -> Zeroizing<[u8; N]> {
        derive(self.secret.as_slice(), salt, purpose)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({:08x})", u32::from_be_bytes(self.id))
    }
}

/// Why master keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Not 32 bytes in base64.
    #[error("a master key is 32 random bytes in base64 (43 or 44 characters)")]
    Malformed,
    /// No key at all.
    #[error("at least one master key is needed")]
    Empty,
    /// A key is all zero: a placeholder somebody forgot to replace.
    #[error("a master key is all zero; make one with 32 random bytes")]
    Zero,
    /// Two keys are the same, or have the same id.
    #[error("the same master key is listed twice")]
    Duplicate,
}

/// The master keys: the first seals, all open. Clones share them.
#[derive(Clone, Debug)]
pub struct MasterKeys(Arc<[MasterKey]>);

impl MasterKeys {
    /// Takes the keys in order of preference.
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, MasterKeyError> {
        if keys.is_empty() {
            return Err(MasterKeyError::Empty);
        }
        if keys.iter().any(|key| key.secret.iter().all(|byte| *byte == 0)) {
            return Err(MasterKeyError::Zero);
        }
        let twice = |(at, key): (usize, &MasterKey)| keys[..at].iter().any(|other| other.id == key.id);
        if keys.iter().enumerate().any(twice) {
            return Err(MasterKeyError::Duplicate);
        }
        Ok(Self(keys.into()))
    }

    /// The key that seals.
    pub fn sealing(&self) -> &MasterKey {
        self.0.first().expect("an empty list is refused")
    }

    /// The key with an id.
    pub fn find(&self, id: MasterKeyId) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// Every key, the sealing one first.
    pub fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn derivation_is_the_hkdf_of_rfc_5869_appendix_a_1() {
        let secret = [0x0b; 22];
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let okm = expand::<42>(&secret, &salt, &info);
        assert_eq!(okm[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(okm[34..], [0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65][1..]);
    }

    #[test]
    fn every_purpose_has_a_key_and_a_place_of_its_own() {
        for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, at);
            for other in &Purpose::ALL[..at] {
                assert_ne!(*key(1).derive::<32>(b"salt", purpose), *key(1).derive::<32>(b"salt", *other));
            }
        }
    }

    #[test]
    fn no_keys_duplicates_and_zeroes_are_refused() {
        assert_eq!(MasterKeys::new(vec![]).err(), Some(MasterKeyError::Empty));
        assert_eq!(MasterKeys::new(vec![key(1), key(0)]).err(), Some(MasterKeyError::Zero));
        assert_eq!(MasterKeys::new(vec![key(1), key(2), key(1)]).err(), Some(MasterKeyError::Duplicate));
        let keys = MasterKeys::new(vec![key(1), key(2)]).expect("two keys");
        assert_eq!(keys.sealing().id(), key(1).id());
        assert_eq!(keys.find(key(2).id()).map(MasterKey::id), Some(key(2).id()));
        assert!(keys.find(key(3).id()).is_none());
    }

    #[test]
    fn a_key_survives_its_text_form_in_either_alphabet() {
        let made = MasterKey::new(Zeroizing::new([0xfb; 32]));
        let url = made.reveal();
        let padded = format!(" {}=\n", url.replace('-', "+").replace('_', "/"));
        for text in [url.as_str(), &padded] {
            assert_eq!(MasterKey::parse(text).map(|key| key.id()), Ok(made.id()));
        }
        for text in ["", "c2hvcnQ", &url[1..], "not base64 at all, but of the right len"] {
            assert_eq!(MasterKey::parse(text).err(), Some(MasterKeyError::Malformed), "{text}");
        }
    }

    /// R72
    #[test]
    fn neither_the_id_nor_debug_shows_the_secret() {
        assert_ne!(key(7).id(), [7; 4]);
        assert!(!format!("{:?}", key(7)).contains("0707"));
    }
}
