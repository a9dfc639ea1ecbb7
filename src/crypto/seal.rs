//! The seal: values that only Chancery can read or make (ARCHITECTURE.md, Tokens and keys).
//!
//! A sealed value is version ‖ master key id ‖ salt ‖ nonce ‖ ciphertext ‖ tag. The associated data is
//! header ‖ purpose ‖ place, so that a value sealed for one place is worthless anywhere else.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::aead::{Buffer, KEY, NONCE, OpenKey, SealKey, TAG};
use super::base64url;
pub use super::keys::Purpose;
use super::keys::{MasterKey, MasterKeyId, MasterKeys};
use super::random::Random;

pub use super::retry::{open_once, seal_once};

/// What every sealed access token begins with, so that secret scanners find leaks.
pub const ACCESS_TOKEN_PREFIX: &str = "chy_at_";

const VERSION: u8 = 1;
const SALT: usize = 16;
const HEADER: usize = 1 + size_of::<MasterKeyId>() + SALT;
/// How much longer a sealed value is than its plaintext.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;

/// NIST SP 800-38D §8.3: no more invocations under one key where nonces are not plain counters.
const SEALS_PER_SALT: u64 = 1 << 32;
/// How many of them a thread takes at once, so that threads do not share a cache line at each seal.
const LEASE: u32 = 1 << 16;
/// Foreign salts whose schedules are kept: one per process and hour, for as long as its tokens live.
const FOREIGN: usize = 1024;

type Salt = [u8; SALT];

/// Seals and opens. One for the process, shared by all threads.
pub struct Sealer {
    masters: MasterKeys,
    random: Random,
    seals_per_salt: u64,
    current: ArcSwap<Schedules>,
    foreign: Cache<(MasterKeyId, Salt, Purpose), Arc<OpenKey>>,
    names: Hmac<Sha256>,
}

impl Sealer {
    /// A sealer with a salt of its own.
    pub fn new(masters: MasterKeys, random: Random) -> Self {
        let current = Schedules::new(masters.sealing(), random.bytes());
        // Salts of seals are random and of another length: no key is ever both.
        let names = masters.sealing().derive::<32>(b"names", Purpose::Cache);
        Self {
            names: Hmac::new_from_slice(names.as_slice()).expect("HMAC takes keys of any length"),
            masters,
            random,
            seals_per_salt: SEALS_PER_SALT,
            current: ArcSwap::from_pointee(current),
            foreign: Cache::new(FOREIGN),
        }
    }

    /// Takes a new salt, and with it new keys. Due every hour; what was sealed before still opens.
    pub fn fresh_salt(&self) {
        self.current.store(Arc::new(Schedules::new(self.masters.sealing(), self.random.bytes())));
    }

    /// Seals a value for a purpose and a place.
    pub fn seal(&self, purpose: Purpose, place: &[u8], plaintext: &[u8]) -> Vec<u8> {
        self.sealed(purpose, place, plaintext).into_vec()
    }

    /// Opens what [`Sealer::seal`] made for the same purpose and place; everything else is `None`.
    pub fn open(&self, purpose: Purpose, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plaintext = Zeroizing::default();
        self.open_into(purpose, place, sealed, &mut plaintext)?;
        Some(plaintext)
    }

    fn open_into(
        &self,
        purpose: Purpose,
        place: &[u8],
        sealed: &[u8],
        plaintext: &mut Zeroizing<Vec<u8>>,
    ) -> Option<()> {
        let (header, body) = sealed.split_first_chunk::<HEADER>()?;
        let (version, rest) = header.split_first()?;
        let (id, salt) = rest.split_first_chunk::<{ size_of::<MasterKeyId>() }>()?;
        let salt = salt.first_chunk::<SALT>()?;
        if *version != VERSION {
            return None;
        }
        let associated = associated(header, purpose, place);
        let current = self.current.load();
        if *salt == current.salt && *id == self.masters.sealing().id() {
            return current.key(purpose).opening().open(&associated, body, plaintext);
        }
        let name = (*id, *salt, purpose);
        if let Some(key) = self.foreign.get(&name) {
            return key.open(&associated, body, plaintext);
        }
        let key = OpenKey::new(&self.masters.find(*id)?.derive(salt, purpose));
        key.open(&associated, body, plaintext)?;
        // Only now: a salt that nobody sealed under must not push out one that is in use.
        self.foreign.insert(name, Arc::new(key));
        Some(())
    }

    /// Whether a value was sealed under the master key that seals now. Says nothing about its content.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.first() == Some(&VERSION) && sealed[1..].starts_with(&self.masters.sealing().id())
    }

    /// Appends an access token with these claims to `out`.
    pub fn seal_token(&self, claims: &[u8], out: &mut String) {
        let length = base64url::encoded_len(OVERHEAD + claims.len());
        out.reserve(ACCESS_TOKEN_PREFIX.len() + length);
        out.push_str(ACCESS_TOKEN_PREFIX);
        base64url::encode_into(&self.sealed(Purpose::Access, b"", claims), out);
    }

    /// The claims of an access token; `None` unless it is one of ours, to the last bit.
    pub fn open_token(&self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut claims = Zeroizing::default();
        self.open_token_into(text, &mut claims)?;
        Some(claims)
    }

    /// The same into a buffer, in place of what was there; for who opens many.
    pub fn open_token_into(&self, text: &str, claims: &mut Zeroizing<Vec<u8>>) -> Option<()> {
        self.open_encoded(Purpose::Access, b"", text.strip_prefix(ACCESS_TOKEN_PREFIX)?, claims)
    }

    /// Seals a value as base64url text, for cookies and what travels through a browser.
    pub fn seal_text(&self, purpose: Purpose, place: &[u8], plaintext: &[u8]) -> String {
        base64url::encode(&self.sealed(purpose, place, plaintext))
    }

    /// Opens what [`Sealer::seal_text`] made for the same purpose and place; all else is `None`.
    pub fn open_text(&self, purpose: Purpose, place: &[u8], text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut plaintext = Zeroizing::default();
        self.open_encoded(purpose, place, text, &mut plaintext)?;
        Some(plaintext)
    }

    /// The name under which a place is known to a store of sealed values: the same for all who share
    /// the sealing master key, and telling nothing to others.
    pub fn name(&self, place: &[u8]) -> String {
        let mut mac = self.names.clone();
        mac.update(place);
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        base64url::encode(&digest[..16])
    }

    fn open_encoded(
        &self,
        purpose: Purpose,
        place: &[u8],
        text: &str,
        plaintext: &mut Zeroizing<Vec<u8>>,
    ) -> Option<()> {
        let mut sealed = Buffer::from_elem(0, text.len() / 4 * 3 + 2);
        let length = base64url::decode_into(text, &mut sealed)?;
        self.open_into(purpose, place, &sealed[..length], plaintext)
    }

    fn sealed(&self, purpose: Purpose, place: &[u8], plaintext: &[u8]) -> Buffer {
        let (current, unique) = self.turn();
        let mut out = Buffer::with_capacity(OVERHEAD + plaintext.len());
        out.push(VERSION);
        out.extend_from_slice(&self.masters.sealing().id());
        out.extend_from_slice(&current.salt);
        let associated = associated(&out, purpose, place);
        current.key(purpose).seal(&unique, &associated, plaintext, &mut out);
        out
    }

    /// The schedules to seal under, and a number that no other seal of this process has.
    fn turn(&self) -> (Guard<Arc<Schedules>>, [u8; 16]) {
        WORKER.with_borrow_mut(|worker| {
            loop {
                let current = self.current.load();
                if worker.may_seal(&current, self.seals_per_salt) {
                    return (current, worker.unique());
                }
                let next = Schedules::new(self.masters.sealing(), self.random.bytes());
                // If another thread was first, its salt is as new as ours.
                self.current.compare_and_swap(&current, Arc::new(next));
            }
        })
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({:?})", self.masters)
    }
}

/// header ‖ purpose ‖ place; the purpose has a fixed width, so that the place cannot shift into it.
fn associated(header: &[u8], purpose: Purpose, place: &[u8]) -> SmallVec<[u8; 128]> {
    let mut bytes = SmallVec::from_slice(header);
    bytes.push(purpose as u8);
    bytes.extend_from_slice(place);
    bytes
}

/// The key schedules under one salt of this process.
struct Schedules {
    salt: Salt,
    leased: AtomicU64,
    keys: [SealKey; Purpose::ALL.len()],
}

impl Schedules {
    fn new(master: &MasterKey, salt: Salt) -> Self {
        let keys = Purpose::ALL.map(|purpose| SealKey::new(&master.derive::<{ 2 * KEY }>(&salt, purpose)));
        Self { salt, leased: AtomicU64::new(0), keys }
    }

    fn key(&self, purpose: Purpose) -> &SealKey {
        &self.keys[purpose as usize]
    }
}

static WORKERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WORKER: RefCell<ThreadState> = RefCell::new(ThreadState {
        id: WORKERS.fetch_add(1, Ordering::Relaxed),
        counter: 0,
        salt: [0; SALT],
        left: 0,
    });
}

/// A thread's share in making nonces unique, kept apart from the other threads'.
struct ThreadState {
    id: u64,
    counter: u64,
    salt: Salt,
    left: u32,
}

impl ThreadState {
    /// Whether one more seal under this salt is allowed; takes a new lease when the last is used up.
    fn may_seal(&mut self, current: &Schedules, seals_per_salt: u64) -> bool {
        if self.salt != current.salt || self.left == 0 {
            let lease = u64::from(LEASE).min(seals_per_salt);
            if current.leased.fetch_add(lease, Ordering::Relaxed) + lease > seals_per_salt {
                return false;
            }
            self.salt = current.salt;
            self.left = lease as u32;
        }
        self.left -= 1;
        true
    }

    fn unique(&mut self) -> [u8; 16] {
        self.counter += 1;
        (u128::from(self.id) << 64 | u128::from(self.counter)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(Zeroizing::new([byte; 32]))
    }

    fn sealer_with(keys: &[u8]) -> Sealer {
        let masters = MasterKeys::new(keys.iter().copied().map(master).collect()).expect("good keys");
        Sealer::new(masters, Random::os())
    }

    fn sealer() -> Sealer {
        sealer_with(&[1])
    }

    fn token(sealer: &Sealer, claims: &[u8]) -> String {
        let mut text = String::new();
        sealer.seal_token(claims, &mut text);
        text
    }

    fn opened(value: Option<Zeroizing<Vec<u8>>>) -> Option<Vec<u8>> {
        value.map(|plaintext| plaintext.to_vec())
    }

    #[test]
    fn a_sealed_value_has_the_stated_form() {
        let sealer = sealer();
        let sealed = sealer.seal(Purpose::Column, b"place", b"value");
        assert_eq!(sealed.len(), 49 + 5);
        assert_eq!(sealed[0], 1);
        assert_eq!(sealed[1..5], master(1).id());
        let text = token(&sealer, b"claims");
        assert!(text.starts_with("chy_at_"));
        assert_eq!(text.len(), 7 + base64url::encoded_len(49 + 6));
    }

    #[test]
    fn a_token_of_an_earlier_release_still_opens() {
        let text = "chy_at_AY7dvF218Encb9IyJYJ7k2CnGRF3kLcTxgbE8F5gx8DihHGyh0wwf_4-TtCyctMXAQRuTF_oQg";
        assert_eq!(opened(sealer().open_token(text)), Some(b"claims".to_vec()));
    }

    /// T07
    #[test]
    fn a_value_opens_only_for_its_own_purpose_and_place() {
        let sealer = sealer();
        for purpose in Purpose::ALL {
            let sealed = sealer.seal(purpose, b"place", b"value");
            for other in Purpose::ALL {
                let expected = (purpose == other).then(|| b"value".to_vec());
                assert_eq!(opened(sealer.open(other, b"place", &sealed)), expected);
            }
            assert_eq!(opened(sealer.open(purpose, b"placf", &sealed)), None);
            assert_eq!(opened(sealer.open(purpose, b"", &sealed)), None);
        }
        let text = token(&sealer, b"claims");
        assert!(sealer.open_text(Purpose::Cookie, b"", &text["chy_at_".len()..]).is_none());
        assert!(sealer.open_text(Purpose::Cookie, b"", &text).is_none());
    }

    #[test]
    fn what_one_process_seals_another_opens() {
        let (one, other) = (sealer(), sealer());
        let text = token(&one, b"claims");
        for _ in 0..2 {
            assert_eq!(opened(other.open_token(&text)), Some(b"claims".to_vec()));
        }
        assert_eq!(other.foreign.len(), 1);
    }

    #[test]
    fn a_place_has_one_name_for_all_who_share_the_key() {
        let (one, other, stranger) = (sealer(), sealer(), sealer_with(&[2, 1]));
        assert_eq!(one.name(b"place"), other.name(b"place"));
        assert_ne!(one.name(b"place"), one.name(b"placf"));
        assert_ne!(one.name(b"place"), stranger.name(b"place"));
    }

    #[test]
    fn a_fresh_salt_replaces_the_keys_and_old_values_still_open() {
        let sealer = sealer();
        let old = sealer.seal(Purpose::Access, b"", b"old");
        sealer.fresh_salt();
        let new = sealer.seal(Purpose::Access, b"", b"new");
        assert_ne!(old[5..21], new[5..21]);
        assert_eq!(opened(sealer.open(Purpose::Access, b"", &old)), Some(b"old".to_vec()));
        assert_eq!(opened(sealer.open(Purpose::Access, b"", &new)), Some(b"new".to_vec()));
    }

    #[test]
    fn the_first_master_key_seals_and_all_open() {
        let (old, both, new) = (sealer_with(&[1]), sealer_with(&[2, 1]), sealer_with(&[2]));
        let from_old = token(&old, b"claims");
        assert!(both.open_token(&from_old).is_some());
        assert!(new.open_token(&from_old).is_none());
        assert!(new.open_token(&token(&both, b"claims")).is_some());
        assert!(old.open_token(&token(&both, b"claims")).is_none());
        let from_old = old.seal(Purpose::Column, b"place", b"value");
        assert!(old.is_current(&from_old) && !both.is_current(&from_old));
        assert!(!both.is_current(b"") && !both.is_current(&[VERSION]));
    }

    #[test]
    fn garbage_cannot_enter_the_cache_of_foreign_salts() {
        let (one, other) = (sealer(), sealer());
        let good = other.seal(Purpose::Access, b"", b"claims");
        for byte in 0..=255 {
            let mut bad = good.clone();
            bad[5] = byte ^ good[5] ^ 1; // a salt nobody sealed under
            bad[6] ^= 1;
            assert!(one.open(Purpose::Access, b"", &bad).is_none());
        }
        assert_eq!(one.foreign.len(), 0);
        assert!(one.open(Purpose::Access, b"", &good).is_some());
        assert_eq!(one.foreign.len(), 1);
    }

    #[test]
    fn threads_that_seal_the_same_plaintext_never_repeat_a_nonce() {
        let sealer = sealer();
        let nonces: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let seal = || sealer.seal(Purpose::Access, b"", b"same")[HEADER..HEADER + NONCE].to_vec();
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(move || (0..2000).map(|_| seal()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), nonces.len());
    }

    #[test]
    fn a_salt_is_used_for_no_more_seals_than_allowed() {
        let sealer = Sealer { seals_per_salt: 10, ..sealer() };
        let salts: Vec<Vec<u8>> =
            (0..35).map(|_| sealer.seal(Purpose::Access, b"", b"")[5..21].to_vec()).collect();
        assert_eq!(salts.iter().collect::<HashSet<_>>().len(), 4);
        assert!(salts.chunks(10).all(|chunk| chunk.iter().all(|salt| *salt == chunk[0])));
    }

    /// T08
    #[test]
    fn every_mutation_of_a_token_is_refused() {
        let sealer = sealer();
        let text = token(&sealer, b"some claims!");
        assert!(sealer.open_token(&text).is_some());
        for end in 0..text.len() {
            assert!(sealer.open_token(&text[..end]).is_none(), "truncated at {end}");
        }
        for suffix in ["A", "=", "==", "AAAA", " ", "\n", "\0", "é"] {
            assert!(sealer.open_token(&format!("{text}{suffix}")).is_none(), "extended by {suffix:?}");
            assert!(sealer.open_token(&format!("{suffix}{text}")).is_none(), "preceded by {suffix:?}");
        }
        for at in 0..text.len() {
            for with in "Aa0-_+/=.é\u{ff21}".chars().filter(|with| !text[at..].starts_with(*with)) {
                let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                assert!(sealer.open_token(&changed).is_none(), "{at}: {with}");
            }
        }
        for case in [text.to_uppercase(), text.to_lowercase(), text.replace("chy_at_", "chy_rt_")] {
            assert!(sealer.open_token(&case).is_none());
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_what_it_was(place: Vec<u8>, plaintext: Vec<u8>) {
            let sealer = sealer();
            let sealed = sealer.seal(Purpose::Cache, &place, &plaintext);
            prop_assert_eq!(opened(sealer.open(Purpose::Cache, &place, &sealed)), Some(plaintext.clone()));
            let text = sealer.seal_text(Purpose::Cookie, &place, &plaintext);
            prop_assert_eq!(opened(sealer.open_text(Purpose::Cookie, &place, &text)), Some(plaintext.clone()));
            prop_assert_eq!(opened(sealer.open_token(&token(&sealer, &plaintext))), Some(plaintext));
        }

        #[test]
        fn any_flipped_bit_is_noticed(plaintext: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealer = sealer();
            let mut sealed = sealer.seal(Purpose::Access, b"", &plaintext);
            let at = at.index(sealed.len());
            sealed[at] ^= 1u8 << bit;
            prop_assert!(sealer.open(Purpose::Access, b"", &sealed).is_none());
        }

        #[test]
        fn arbitrary_input_is_refused(bytes: Vec<u8>, text: String) {
            let sealer = sealer();
            prop_assert!(sealer.open(Purpose::Access, b"", &bytes).is_none());
            prop_assert!(sealer.open_token(&text).is_none());
            let prefixed = format!("{ACCESS_TOKEN_PREFIX}{text}");
            prop_assert!(sealer.open_token(&prefixed).is_none());
            prop_assert!(sealer.open_text(Purpose::Cookie, b"", &text).is_none());
        }
    }
}
