//! The seal of the answer kept for a refresh token's retry window (R24; SECURITY.md).
//!
//! The key comes from the presented token itself, which the store does not hold: database and master key
//! together do not open it.

use zeroize::Zeroizing;

use super::aead::{Buffer, KEY, NONCE, OpenKey, SealKey, TAG};
use super::keys::{Purpose, derive};
use super::random::Random;

const VERSION: u8 = 1;
const SALT: usize = 16;
const HEADER: usize = 1 + SALT;

/// Seals a value under a secret that the reader will present: version ‖ salt ‖ nonce ‖ ciphertext ‖ tag.
/// The salt makes each call's key its own.
pub fn seal_once(random: &Random, secret: &[u8], place: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let salt = random.bytes::<SALT>();
    let key = SealKey::new(&derive::<{ 2 * KEY }>(secret, &salt, Purpose::Retry));
    let mut out = Buffer::with_capacity(HEADER + NONCE + plaintext.len() + TAG);
    out.push(VERSION);
    out.extend_from_slice(&salt);
    let associated = associated(&out, place);
    key.seal(&salt, &associated, plaintext, &mut out);
    out.into_vec()
}

/// Opens what [`seal_once`] made from the same secret for the same place; everything else is `None`.
pub fn open_once(secret: &[u8], place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (header, body) = sealed.split_first_chunk::<HEADER>()?;
    let (version, salt) = header.split_first()?;
    if *version != VERSION {
        return None;
    }
    let key = OpenKey::new(&derive::<KEY>(secret, salt, Purpose::Retry));
    let mut plaintext = Zeroizing::default();
    key.open(&associated(header, place), body, &mut plaintext)?;
    Some(plaintext)
}

fn associated(header: &[u8], place: &[u8]) -> Vec<u8> {
    [header, &[Purpose::Retry as u8], place].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_token_itself_opens_its_answer() {
        let sealed = seal_once(&Random::os(), b"chy_rt_one", b"row", b"answer");
        assert_eq!(open_once(b"chy_rt_one", b"row", &sealed).as_deref(), Some(&b"answer".to_vec()));
        assert!(open_once(b"chy_rt_two", b"row", &sealed).is_none());
        assert!(open_once(b"chy_rt_one", b"other row", &sealed).is_none());
    }

    #[test]
    fn two_answers_under_one_token_have_different_keys_and_nonces() {
        let seal = || seal_once(&Random::os(), b"token", b"", b"same");
        let (one, other) = (seal(), seal());
        assert_ne!(one[1..HEADER], other[1..HEADER]);
        assert_ne!(one[HEADER..HEADER + NONCE], other[HEADER..HEADER + NONCE]);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(plaintext: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let mut sealed = seal_once(&Random::seeded(1), b"token", b"", &plaintext);
            let at = at.index(sealed.len());
            sealed[at] ^= 1u8 << bit;
            prop_assert!(open_once(b"token", b"", &sealed).is_none());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(open_once(b"token", b"", &bytes).is_none());
        }
    }
}
