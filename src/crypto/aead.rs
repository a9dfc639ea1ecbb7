//! NIST SP 800-38D — AES-256-GCM with a nonce made from the message.
//!
//! The nonce is the first 12 bytes of HMAC-SHA-256(nonce key, unique ‖ associated data ‖ plaintext).
//! `unique` never repeats within a process; should a machine be cloned or restored with its memory, a
//! nonce repeats only for an identical message, which gives nothing away.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use smallvec::SmallVec;
use zeroize::{Zeroize, Zeroizing};

pub(super) const KEY: usize = 32;
pub(super) const NONCE: usize = 12;
pub(super) const TAG: usize = 16;

/// Room for a sealed value; most fit on the stack.
pub(super) type Buffer = SmallVec<[u8; 512]>;

/// A key schedule that opens.
pub(super) struct OpenKey(Aes256Gcm);

impl OpenKey {
    pub(super) fn new(key: &[u8; KEY]) -> Self {
        Self(Aes256Gcm::new_from_slice(key).expect("an AES-256 key has 32 bytes"))
    }

    /// Opens nonce ‖ ciphertext ‖ tag into `out`, in place of what was there.
    pub(super) fn open(&self, associated: &[u8], sealed: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Option<()> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        out.clear();
        out.extend_from_slice(ciphertext);
        let buffer = out.as_mut_slice().into();
        self.0.decrypt_inout_detached(&Nonce::from(*nonce), associated, buffer, &Tag::from(*tag)).ok()
    }
}

/// A key schedule that seals and opens, with the key that makes nonces.
pub(super) struct SealKey {
    open: OpenKey,
    nonce: Hmac<Sha256>,
}

impl SealKey {
    /// Takes two keys: for AES, then for nonces.
    pub(super) fn new(keys: &[u8; 2 * KEY]) -> Self {
        let (aes, nonce) = keys.split_first_chunk::<KEY>().expect("two keys are longer than one");
        let nonce = Hmac::new_from_slice(nonce).expect("HMAC takes keys of any length");
        Self { open: OpenKey::new(aes), nonce }
    }

    pub(super) fn opening(&self) -> &OpenKey {
        &self.open
    }

    /// Appends nonce ‖ ciphertext ‖ tag to `out`.
    pub(super) fn seal(&self, unique: &[u8; 16], associated: &[u8], plaintext: &[u8], out: &mut Buffer) {
        let mut mac = self.nonce.clone();
        mac.update(unique);
        mac.update(&(associated.len() as u64).to_be_bytes());
        mac.update(associated);
        mac.update(plaintext);
        let mut digest: [u8; 32] = mac.finalize().into_bytes().into();
        let nonce = digest.first_chunk::<NONCE>().expect("a digest is longer than a nonce");

        out.reserve(NONCE + plaintext.len() + TAG);
        out.extend_from_slice(nonce);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let tag = self
            .open
            .0
            .encrypt_inout_detached(&Nonce::from(*nonce), associated, out[start..].as_mut().into())
            .expect("plaintexts are far below 64 GiB");
        out.extend_from_slice(&tag);
        digest.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealKey {
        SealKey::new(&std::array::from_fn(|at| at as u8))
    }

    fn seal(unique: u8, associated: &[u8], plaintext: &[u8]) -> Buffer {
        let mut out = Buffer::new();
        key().seal(&[unique; 16], associated, plaintext, &mut out);
        out
    }

    #[test]
    fn only_an_identical_message_repeats_a_nonce() {
        let sealed = seal(1, b"place", b"text");
        assert_eq!(sealed, seal(1, b"place", b"text"));
        for other in [seal(2, b"place", b"text"), seal(1, b"other", b"text"), seal(1, b"place", b"tex")] {
            assert_ne!(sealed[..NONCE], other[..NONCE]);
        }
        // The boundary between place and text counts too.
        assert_ne!(sealed[..NONCE], seal(1, b"placet", b"ext")[..NONCE]);
    }

    #[test]
    fn what_is_too_short_to_be_sealed_is_refused() {
        let sealed = seal(1, b"", b"");
        assert_eq!(sealed.len(), NONCE + TAG);
        let opens = |sealed: &[u8]| key().opening().open(b"", sealed, &mut Zeroizing::default()).is_some();
        assert!(opens(&sealed));
        assert!((0..sealed.len()).all(|len| !opens(&sealed[..len])));
    }

    #[test]
    fn opening_agrees_with_another_implementation() {
        use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
        let mut sealed = seal(1, b"place", b"text").into_vec();
        let aes: Vec<u8> = (0..32).collect();
        let other = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &aes).expect("32 bytes"));
        let body = sealed.split_off(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).expect("12 bytes");
        let mut body = body;
        assert_eq!(other.open_in_place(nonce, Aad::from(b"place"), &mut body).as_deref(), Ok(&b"text"[..]));
    }
}
