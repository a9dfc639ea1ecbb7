//! The key ring: the signing keys as they stand, an immutable snapshot (R50).

use std::sync::Arc;

use serde::Serialize;
use zeroize::Zeroizing;

use super::jwk::Jwk;
use super::keys::Purpose;
use super::seal::Sealer;
use super::sign::{PrivateKey, PublicKey};
use crate::model::{KeyState, SigningAlg, SigningKey};

/// One key of the ring.
#[derive(Clone, Debug)]
pub struct RingKey {
    /// Its name.
    pub kid: String,
    /// What it signs with.
    pub alg: SigningAlg,
    /// Where it is in its life; never `Gone`.
    pub state: KeyState,
    /// Its private half, if it signs now.
    pub private: Option<Arc<PrivateKey>>,
    /// Its public half.
    pub public: Arc<PublicKey>,
    /// What it was opened from.
    sealed: Arc<[u8]>,
}

/// Why a ring cannot be built. The names are public.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// No master key opens it, or it was moved or changed.
    #[error(
        "signing key {0} was sealed with another master key than those given; add that master key again, as a further one"
    )]
    Sealed(String),
    /// It opens, but is not a key for its algorithm with that name.
    #[error("signing key {0} does not match the algorithm and the kid of its row; the row is corrupt")]
    Mismatch(String),
}

/// The signing keys at one moment. Build a new one when a row changes.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<RingKey>,
    jwks: String,
}

impl KeyRing {
    /// Opens and parses the keys of some rows; those that are gone are left out.
    pub fn build(rows: &[SigningKey], sealer: &Sealer) -> Result<Self, KeyRingError> {
        Self::default().renewed(rows, sealer)
    }

    /// The same, with those keys of this ring whose rows have not changed: parsing an RSA key checks it for
    /// milliseconds.
    pub fn renewed(&self, rows: &[SigningKey], sealer: &Sealer) -> Result<Self, KeyRingError> {
        let mut rows: Vec<_> = rows.iter().filter(|row| row.state != KeyState::Gone).collect();
        // The latest first, should two keys of an algorithm be active at once.
        rows.sort_by_key(|row| (std::cmp::Reverse((row.activated_at, row.created_at)), &row.kid));
        let same = |key: &&RingKey, row: &SigningKey| {
            key.kid == row.kid && key.alg == row.alg && key.state == row.state && *key.sealed == *row.sealed
        };
        let known = |row: &SigningKey| self.keys.iter().find(|key| same(key, row)).cloned();
        let keys = rows.into_iter().map(|row| known(row).map_or_else(|| open(row, sealer), Ok));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let jwks = jwks(&keys);
        Ok(Self { keys, jwks })
    }

    /// The key that signs with an algorithm.
    pub fn active(&self, alg: SigningAlg) -> Option<&Arc<PrivateKey>> {
        let mut keys = self.keys.iter();
        keys.find_map(|key| key.private.as_ref().filter(|_| key.alg == alg && key.state == KeyState::Active))
    }

    /// The published key of a name: another node may have begun to sign with one that is still next here.
    pub fn verifying(&self, kid: &str) -> Option<Arc<PublicKey>> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| Arc::clone(&key.public))
    }

    /// The key set to publish (RFC 7517 §5): next, active and retiring keys.
    pub fn jwks_json(&self) -> &str {
        &self.jwks
    }

    /// Every key but those that are gone.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }
}

/// Seals a PKCS#8 key for its row.
pub fn seal_private(sealer: &Sealer, kid: &str, pkcs8: &[u8]) -> Vec<u8> {
    sealer.seal(Purpose::Column, &place(kid), pkcs8)
}

/// Seals a row's key again, under the master key that seals now; `None` if it is already.
pub fn reseal_private(sealer: &Sealer, row: &SigningKey) -> Result<Option<Vec<u8>>, KeyRingError> {
    if sealer.is_current(&row.sealed) {
        return Ok(None);
    }
    let pkcs8 = open_private(sealer, row).ok_or_else(|| KeyRingError::Sealed(row.kid.clone()))?;
    Ok(Some(seal_private(sealer, &row.kid, &pkcs8)))
}

fn open_private(sealer: &Sealer, row: &SigningKey) -> Option<Zeroizing<Vec<u8>>> {
    sealer.open(Purpose::Column, &place(&row.kid), &row.sealed)
}

fn place(kid: &str) -> Vec<u8> {
    [b"signing_keys", kid.as_bytes()].concat()
}

fn open(row: &SigningKey, sealer: &Sealer) -> Result<RingKey, KeyRingError> {
    let pkcs8 = open_private(sealer, row).ok_or_else(|| KeyRingError::Sealed(row.kid.clone()))?;
    let private = PrivateKey::from_pkcs8(row.alg, &pkcs8).ok().filter(|key| key.kid() == row.kid);
    let private = private.ok_or_else(|| KeyRingError::Mismatch(row.kid.clone()))?;
    let public = Arc::clone(private.public());
    // A key that does not sign has no business in memory.
    let private = (row.state == KeyState::Active).then(|| Arc::new(private));
    let sealed = row.sealed.as_slice().into();
    Ok(RingKey { kid: row.kid.clone(), alg: row.alg, state: row.state, private, public, sealed })
}

fn jwks(keys: &[RingKey]) -> String {
    #[derive(Serialize)]
    struct Jwks<'a> {
        keys: Vec<&'a Jwk>,
    }
    let keys = keys.iter().map(|key| key.public.jwk()).collect();
    serde_json::to_string(&Jwks { keys }).expect("strings become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::{MasterKey, MasterKeys};
    use crate::crypto::random::Random;
    use crate::crypto::sign::tests::key;
    use crate::crypto::sign::{jws_sign, jws_verify};
    use crate::model::UnixTime;

    fn sealer(byte: u8) -> Sealer {
        let keys = vec![MasterKey::new(Zeroizing::new([byte; 32]))];
        Sealer::new(MasterKeys::new(keys).expect("a good key"), Random::os())
    }

    fn row(sealer: &Sealer, alg: SigningAlg, state: KeyState) -> SigningKey {
        let (key, pkcs8) = key(alg);
        row_of(sealer, key, pkcs8, state)
    }

    fn row_of(sealer: &Sealer, key: &PrivateKey, pkcs8: &[u8], state: KeyState) -> SigningKey {
        SigningKey {
            kid: key.kid().to_owned(),
            alg: key.alg(),
            state,
            sealed: seal_private(sealer, key.kid(), pkcs8),
            created_at: UnixTime(1),
            activated_at: None,
            retired_at: None,
            gone_at: None,
        }
    }

    /// R50
    #[test]
    fn keys_are_published_before_and_after_they_sign() {
        let sealer = sealer(1);
        let rows = [
            row(&sealer, SigningAlg::RS256, KeyState::Gone),
            row(&sealer, SigningAlg::ES256, KeyState::Next),
            row(&sealer, SigningAlg::PS256, KeyState::Retiring),
            row(&sealer, SigningAlg::EdDSA, KeyState::Active),
        ];
        let ring = KeyRing::build(&rows, &sealer).expect("good rows");
        for alg in SigningAlg::ALL {
            assert_eq!(ring.active(alg).is_some(), alg == SigningAlg::EdDSA);
        }
        for row in &rows {
            assert_eq!(ring.verifying(&row.kid).is_some(), row.state != KeyState::Gone);
            assert_eq!(ring.jwks_json().contains(&row.kid), row.state != KeyState::Gone);
        }
        for ring_key in ring.keys() {
            assert_eq!(ring_key.private.is_some(), ring_key.state == KeyState::Active);
        }
    }

    #[test]
    fn the_ring_verifies_what_it_signs() {
        let sealer = sealer(1);
        let ring = KeyRing::build(&[row(&sealer, SigningAlg::EdDSA, KeyState::Active)], &sealer)
            .expect("a good row");
        let text = jws_sign(ring.active(SigningAlg::EdDSA).expect("an active key"), "at+jwt", b"{}");
        assert_eq!(jws_verify(&text, &["at+jwt"], |kid| ring.verifying(kid)), Ok(b"{}".to_vec()));
        let empty = KeyRing::default();
        assert!(jws_verify(&text, &["at+jwt"], |kid| empty.verifying(kid)).is_err());
    }

    #[test]
    fn the_key_set_is_that_of_rfc_7517_and_holds_no_private_member() {
        let sealer = sealer(1);
        let rows = SigningAlg::ALL.map(|alg| row(&sealer, alg, KeyState::Active));
        let ring = KeyRing::build(&rows, &sealer).expect("good rows");
        let set: serde_json::Value = serde_json::from_str(ring.jwks_json()).expect("JSON");
        let keys = set["keys"].as_array().expect("an array");
        assert_eq!(keys.len(), 4);
        for key in keys {
            let members = key.as_object().expect("an object");
            assert_eq!(members["use"], "sig");
            assert!(members["alg"].is_string() && members["kid"].is_string());
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(!members.contains_key(private));
            }
        }
        serde_json::from_value::<jsonwebtoken::jwk::JwkSet>(set).expect("an independent reader takes it");
    }

    #[test]
    fn of_two_active_keys_the_later_signs() {
        let sealer = sealer(1);
        let mut old = row(&sealer, SigningAlg::EdDSA, KeyState::Active);
        old.activated_at = Some(UnixTime(10));
        let (key, pkcs8) = PrivateKey::generate(SigningAlg::EdDSA).expect("a key");
        let mut new = row_of(&sealer, &key, &pkcs8, KeyState::Active);
        new.activated_at = Some(UnixTime(20));
        for rows in [[old.clone(), new.clone()], [new, old]] {
            let ring = KeyRing::build(&rows, &sealer).expect("good rows");
            assert_eq!(ring.active(SigningAlg::EdDSA).map(|active| active.kid()), Some(key.kid()));
        }
    }

    #[test]
    fn only_keys_whose_rows_have_changed_are_opened_again() {
        let sealer = sealer(1);
        let rows = [SigningAlg::EdDSA, SigningAlg::ES256].map(|alg| row(&sealer, alg, KeyState::Active));
        let ring = KeyRing::build(&rows, &sealer).expect("good rows");
        let [kept, moved_on] = rows;
        let moved_on = SigningKey { state: KeyState::Retiring, ..moved_on };
        let renewed = ring.renewed(&[kept.clone(), moved_on.clone()], &sealer).expect("good rows");
        let same = |kid| Arc::ptr_eq(&ring.verifying(kid).unwrap(), &renewed.verifying(kid).unwrap());
        assert!(same(&kept.kid) && !same(&moved_on.kid));
        assert!(renewed.active(SigningAlg::ES256).is_none(), "a key that does not sign is forgotten");
        let changed = SigningKey { sealed: vec![0; kept.sealed.len()], ..kept.clone() };
        assert_eq!(ring.renewed(&[changed], &sealer).err(), Some(KeyRingError::Sealed(kept.kid)));
    }

    #[test]
    fn a_row_that_was_moved_changed_or_sealed_elsewhere_is_named() {
        let ours = sealer(1);
        let good = row(&ours, SigningAlg::EdDSA, KeyState::Active);
        let sealed = Some(KeyRingError::Sealed(good.kid.clone()));
        assert_eq!(KeyRing::build(std::slice::from_ref(&good), &sealer(2)).err(), sealed);
        let moved =
            SigningKey { sealed: row(&ours, SigningAlg::ES256, KeyState::Next).sealed, ..good.clone() };
        assert_eq!(KeyRing::build(&[moved], &ours).err(), sealed);
        let mismatch = Some(KeyRingError::Mismatch(good.kid.clone()));
        let other_alg = SigningKey { alg: SigningAlg::ES256, ..good.clone() };
        assert_eq!(KeyRing::build(&[other_alg], &ours).err(), mismatch);
        let (_, other) = PrivateKey::generate(SigningAlg::EdDSA).expect("a key");
        let other_key = SigningKey { sealed: seal_private(&ours, &good.kid, &other), ..good };
        assert_eq!(KeyRing::build(&[other_key], &ours).err(), mismatch);
    }
}
