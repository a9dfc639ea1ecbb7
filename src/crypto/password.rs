//! RFC 9106 — Argon2id, for passwords, with reused memory.

use argon2::Block;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use super::{
    argon2id::{self, Input},
    digest::{equal, sha256},
};

/// The length of a salt (RFC 9106 §3.1 recommends 16 bytes).
pub const SALT: usize = 16;
const OUTPUT: usize = 32;

/// What hashing a password costs.
#[derive(Clone, Debug)]
pub struct HashCost(argon2::Params);

impl HashCost {
    /// The most memory a hash may take, in KiB: a forged one must not eat the machine's.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes over it.
    pub const MAX_ITERATIONS: u32 = 16;
    /// The most lanes.
    pub const MAX_PARALLELISM: u32 = 16;

    /// Memory in KiB, passes over it, and lanes; `None` if they are out of bounds. Each lane needs 8 KiB.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Option<Self> {
        let bounded = memory_kib <= Self::MAX_MEMORY_KIB
            && iterations <= Self::MAX_ITERATIONS
            && parallelism <= Self::MAX_PARALLELISM;
        // The library checks the lower bounds.
        let params = argon2::Params::new(memory_kib, iterations, parallelism, None).ok();
        params.filter(|_| bounded).map(Self)
    }

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.0.m_cost()
    }

    /// Passes over the memory.
    pub fn iterations(&self) -> u32 {
        self.0.t_cost()
    }

    /// Lanes.
    pub fn parallelism(&self) -> u32 {
        self.0.p_cost()
    }
}

impl Default for HashCost {
    /// 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self::new(19 * 1024, 2, 1).expect("the defaults are within bounds")
    }
}

impl PartialEq for HashCost {
    fn eq(&self, other: &Self) -> bool {
        let numbers = |params: &Self| (params.memory_kib(), params.iterations(), params.parallelism());
        numbers(self) == numbers(other)
    }
}

impl Eq for HashCost {}

/// The memory that hashing works in: grows as needed, is kept for the next hash, and is wiped after each.
/// Dropping it gives it back.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// No memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the memory back to the system.
    pub fn release(&mut self) {
        self.0 = Vec::new();
    }

    /// How much is held, in KiB.
    pub fn held_kib(&self) -> usize {
        self.0.len() * Block::SIZE / 1024
    }

    fn lend(&mut self, blocks: usize) -> WipedBlocks<'_> {
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        WipedBlocks(&mut self.0[..blocks])
    }
}

/// Memory in use; wiped when it is given back, also by a panic.
struct WipedBlocks<'a>(&'a mut [Block]);

impl Drop for WipedBlocks<'_> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// Hashes a password to a PHC string. The caller bounds the password's length first (R51).
pub fn hash(password: &[u8], params: &HashCost, salt: [u8; SALT], memory: &mut Memory) -> String {
    let mut output = Zeroizing::new([0; OUTPUT]);
    compute(password, params, &salt, memory, output.as_mut_slice());
    phc(params, &salt, output.as_slice())
}

/// Whether a password is the one behind a PHC string; false for strings that are not Argon2id's, or ask
/// for more than [`HashCost`] allows.
#[must_use]
pub fn verify(password: &[u8], phc: &str, memory: &mut Memory) -> bool {
    let Some(stored) = Stored::parse(phc) else {
        return false;
    };
    let mut output = Zeroizing::new(vec![0; stored.output.len()]);
    compute(password, &stored.params, &stored.salt, memory, &mut output);
    equal(&output, &stored.output)
}

/// Whether a password should be hashed anew at the next sign-in: its hash is weaker than these parameters
/// ask for (R54).
pub fn needs_rehash(phc: &str, params: &HashCost) -> bool {
    Stored::parse(phc).is_none_or(|stored| {
        stored.params.memory_kib() < params.memory_kib()
            || stored.params.iterations() < params.iterations()
            || stored.params.parallelism() < params.parallelism()
            || stored.salt.len() < SALT
            || stored.output.len() < OUTPUT
    })
}

/// A hash that no known password has, to verify against when there is no such user: it costs the same
/// (R56).
pub fn dummy_phc(params: &HashCost) -> String {
    phc(params, &[0; SALT], &sha256(b"nobody's password").0)
}

fn compute(password: &[u8], params: &HashCost, salt: &[u8], memory: &mut Memory, output: &mut [u8]) {
    let lent = memory.lend(params.0.block_count());
    argon2id::hash(Input { password, salt, secret: b"" }, &params.0, &mut *lent.0, output)
        .expect("memory, salt and output have lengths within Argon2's bounds");
}

fn phc(params: &HashCost, salt: &[u8], output: &[u8]) -> String {
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.memory_kib(),
        params.iterations(),
        params.parallelism(),
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output),
    )
}

/// A parsed PHC string.
struct Stored {
    params: HashCost,
    salt: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
}

impl Stored {
    fn parse(phc: &str) -> Option<Self> {
        let mut fields = phc.strip_prefix("$argon2id$v=19$")?.split('$');
        let (numbers, salt, output) = (fields.next()?, fields.next()?, fields.next()?);
        let mut numbers = numbers.split(',');
        let mut number = |name: &str| decimal(numbers.next()?.strip_prefix(name)?);
        let params = HashCost::new(number("m=")?, number("t=")?, number("p=")?)?;
        if numbers.next().is_some() || fields.next().is_some() {
            return None;
        }
        let salt = STANDARD_NO_PAD.decode(salt).ok()?;
        let output = Zeroizing::new(STANDARD_NO_PAD.decode(output).ok()?);
        let sane = (8..=64).contains(&salt.len()) && (16..=64).contains(&output.len());
        sane.then_some(Self { params, salt, output })
    }
}

/// A decimal number in its shortest form: no sign, no leading zero.
fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !text.starts_with('0')).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cheap() -> HashCost {
        HashCost::new(8, 1, 1).expect("the least there is")
    }

    /// Made by the reference implementation's own tests.
    #[test]
    fn a_hash_by_the_reference_implementation_verifies() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let mut memory = Memory::new();
        assert!(verify(b"password", phc, &mut memory));
        assert!(!verify(b"passwore", phc, &mut memory));
        assert!(needs_rehash(phc, &cheap()), "the salt is short");
    }

    /// R54
    #[test]
    fn a_password_verifies_against_its_hash_only() {
        let mut memory = Memory::new();
        let phc = hash("correct horse".as_bytes(), &HashCost::default(), [7; SALT], &mut memory);
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{phc}");
        assert!(verify(b"correct horse", &phc, &mut memory));
        for wrong in ["correct horsf", "correct hors", "correct horse ", ""] {
            assert!(!verify(wrong.as_bytes(), &phc, &mut memory), "{wrong:?}");
        }
        assert_ne!(phc, hash(b"correct horse", &HashCost::default(), [8; SALT], &mut memory));
    }

    /// R54
    #[test]
    fn a_hash_is_made_anew_when_the_parameters_are_raised() {
        let stored = dummy_phc(&HashCost::new(64, 2, 2).expect("good parameters"));
        for (memory, iterations, lanes, due) in
            [(64, 2, 2, false), (32, 1, 1, false), (65, 2, 2, true), (64, 3, 2, true), (64, 2, 3, true)]
        {
            let params = HashCost::new(memory, iterations, lanes).expect("good parameters");
            assert_eq!(needs_rehash(&stored, &params), due, "{params:?}");
        }
        assert!(needs_rehash("$2b$12$abcdefghijklmnopqrstuv", &cheap()));
    }

    /// R56
    #[test]
    fn the_dummy_costs_as_much_as_a_users_hash_and_is_nobodys() {
        let params = HashCost::new(128, 2, 1).expect("good parameters");
        let stored = Stored::parse(&dummy_phc(&params)).expect("a PHC string");
        let users = Stored::parse(&hash(b"x", &params, [1; SALT], &mut Memory::new())).expect("a PHC string");
        assert_eq!(stored.params, users.params);
        assert_eq!((stored.salt.len(), stored.output.len()), (users.salt.len(), users.output.len()));
        assert!(!verify(b"", &dummy_phc(&params), &mut Memory::new()));
    }

    #[test]
    fn memory_is_kept_wiped_and_released() {
        let mut memory = Memory::new();
        hash(b"password", &HashCost::new(64, 1, 1).expect("good"), [1; SALT], &mut memory);
        assert_eq!(memory.held_kib(), 64);
        assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        hash(b"password", &cheap(), [1; SALT], &mut memory);
        assert_eq!(memory.held_kib(), 64);
        memory.release();
        assert_eq!(memory.held_kib(), 0);
        assert_eq!(memory.0.capacity(), 0);
    }

    #[test]
    fn a_forged_hash_cannot_ask_for_much() {
        let mut memory = Memory::new();
        let good = dummy_phc(&cheap());
        assert!(Stored::parse(&good).is_some());
        for (from, to) in [
            ("m=8", "m=262145"),
            ("m=8", "m=4294967295"),
            ("m=8", "m=4294967296"),
            ("m=8", "m=7"),
            ("m=8", "m=08"),
            ("m=8", "m=+8"),
            ("m=8", "m="),
            ("t=1", "t=17"),
            ("t=1", "t=0"),
            ("p=1", "p=17"),
            ("p=1", "p=2"),
            ("p=1", "p=1,keyid=AA"),
            ("m=8,t=1", "t=1,m=8"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("AAAAAAAAAAAAAAAAAAAAAA", "AAAA"),
            ("AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB"),
            ("AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ] {
            let forged = good.replace(from, to);
            assert_ne!(forged, good);
            assert!(!verify(b"", &forged, &mut memory), "{forged}");
        }
        assert!(!verify(b"", &format!("{good}$"), &mut memory));
        assert_eq!(memory.held_kib(), 0);
    }

    proptest! {
        #[test]
        fn arbitrary_strings_are_no_hashes(text: String, tail in "[mtpv=0-9,$A-Za-z+/]{0,60}") {
            let mut memory = Memory::new();
            prop_assert!(!verify(b"", &text, &mut memory));
            let text = format!("$argon2id$v=19${tail}");
            prop_assert!(Stored::parse(&text).is_none_or(|stored| stored.salt.len() >= 8));
        }

        #[test]
        fn any_password_verifies(password: Vec<u8>, salt: [u8; SALT]) {
            let mut memory = Memory::new();
            let phc = hash(&password, &cheap(), salt, &mut memory);
            prop_assert!(verify(&password, &phc, &mut memory));
            prop_assert!(!needs_rehash(&phc, &cheap()));
        }
    }
}
