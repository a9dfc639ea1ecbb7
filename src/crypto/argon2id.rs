//! RFC 9106 §3 — Argon2id over memory lent by the caller, with the fastest compression function that
//! this processor has.
//!
//! Where it has AVX-512, the memory is filled here; everywhere else by the `argon2` crate, which also
//! checks the parameters and is what this is compared with.

#[cfg(target_arch = "x86_64")]
mod wide;

use argon2::{Algorithm, Argon2, Block, Version};

#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;

/// What is hashed.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) password: &'a [u8],
    pub(super) salt: &'a [u8],
    /// RFC 9106 §3.1: the optional key K; passwords have none.
    pub(super) secret: &'a [u8],
}

/// Fills the memory and gives the tag. The lengths must be within Argon2's bounds; `memory` holds at
/// least `params.block_count()` blocks and is not wiped here.
pub(super) fn hash(
    input: Input<'_>,
    params: &argon2::Params,
    memory: &mut [Block],
    tag: &mut [u8],
) -> Result<(), argon2::Error> {
    // A kernel compiled without optimization is slower than the library's, which builds for tests
    // optimize; the tests below call it all the same.
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = Avx512::detect().filter(|_| !cfg!(debug_assertions)) {
        wide::hash(kernel, input, params, &mut memory[..params.block_count()], tag);
        return Ok(());
    }
    by_the_library(input, params, memory, tag)
}

/// The same by the library alone.
fn by_the_library(
    input: Input<'_>,
    params: &argon2::Params,
    memory: &mut [Block],
    tag: &mut [u8],
) -> Result<(), argon2::Error> {
    Argon2::new_with_secret(input.secret, Algorithm::Argon2id, Version::V0x13, params.clone())?
        .hash_password_into_with_memory(input.password, input.salt, tag, memory)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tag by our kernel and by the library; by the library twice where there is no AVX-512.
    fn both(input: Input<'_>, params: &argon2::Params, length: usize) -> [Vec<u8>; 2] {
        let mut memory = vec![Block::new(); params.block_count()];
        let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
        match Avx512::detect() {
            Some(kernel) => wide::hash(kernel, input, params, &mut memory, &mut ours),
            None => by_the_library(input, params, &mut memory, &mut ours).expect("good lengths"),
        }
        // What is left in the memory by one hash does not matter to the next.
        by_the_library(input, params, &mut memory, &mut theirs).expect("good lengths");
        [ours, theirs]
    }

    /// RFC 9106 §5.3
    #[test]
    fn the_tag_of_rfc_9106_comes_out() {
        let params = argon2::ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(argon2::AssociatedData::new(&[4; 12]).expect("12 bytes"))
            .build()
            .expect("good parameters");
        let input = Input { password: &[1; 32], salt: &[2; 16], secret: &[3; 8] };
        let expected = [
            0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9,
            0xd0, 0x1e, 0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
        ];
        assert_eq!(both(input, &params, 32), [expected, expected]);
    }

    #[test]
    fn every_length_of_tag_is_that_of_the_library() {
        let params = argon2::Params::new(8, 1, 1, None).expect("good parameters");
        let input = Input { password: b"password", salt: b"somesalt", secret: b"" };
        for length in 4..=200 {
            let [ours, theirs] = both(input, &params, length);
            assert_eq!(ours, theirs, "{length}");
        }
    }

    /// Compares a number of random cases with the library.
    fn compare(cases: u32) {
        let case = (8..200_u32, 1..5_u32, 1..6_u32, any::<Vec<u8>>(), any::<Vec<u8>>(), any::<[u8; 24]>());
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = proptest::test_runner::TestRunner::new(config).run(
            &case,
            |(memory, passes, lanes, password, secret, salt)| {
                let params = argon2::Params::new(memory.max(8 * lanes), passes, lanes, None);
                let params = params.expect("good parameters");
                let salt = &salt[..8 + password.len() % 17];
                let input = Input { password: &password, salt, secret: &secret };
                let [ours, theirs] = both(input, &params, 4 + secret.len());
                prop_assert_eq!(ours, theirs);
                Ok(())
            },
        );
        outcome.expect("ours and the library's agree");
    }

    #[test]
    fn random_passwords_and_parameters_give_what_the_library_gives() {
        compare(300);
    }

    #[test]
    #[ignore = "slow: 100,000 cases"]
    fn a_hundred_thousand_random_cases_give_what_the_library_gives() {
        compare(100_000);
    }
}
