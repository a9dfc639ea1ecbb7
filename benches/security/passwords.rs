//! Argon2id with the default parameters: our kernel, where the processor has AVX-512, against the `argon2`
//! crate with the same reused memory; and what the lane adds that sign-ins wait in.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Version};
use chancery::{
    crypto::{
        password::{self, HashCost, Memory, SALT},
        random::Random,
    },
    model::Secret,
    observe::{Labels, Metrics},
    provider::PasswordLane,
};
use criterion::Criterion;

use crate::turns::{Way, compare, print_line};

const PASSWORD: &str = "correct horse battery staple";

/// Hashes in every way.
pub fn measure(criterion: &mut Criterion) {
    print_line(&format!("password: the processor has {}", kernel()));
    let params = HashCost::default();
    let mut memory = Memory::new();
    let library = library(&params);
    let ours = password::hash(PASSWORD.as_bytes(), &params, [3; SALT], &mut Memory::new());
    assert!(password::verify(PASSWORD.as_bytes(), &ours, &mut memory));
    let ways = vec![
        Way::new("the argon2 crate", library),
        Way::new("ours", || password::hash(black_box(PASSWORD.as_bytes()), &params, [3; SALT], &mut memory)),
    ];
    compare(criterion, "password hash", 1, ways);
    lanes(criterion, &params, &ours);
}

#[cfg(target_arch = "x86_64")]
fn kernel() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        "AVX-512: our kernel is used"
    } else {
        "no AVX-512: the library hashes"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn kernel() -> &'static str {
    "no AVX-512: the library hashes"
}

fn library(params: &HashCost) -> impl FnMut() -> [u8; 32] + use<> {
    let params = argon2::Params::new(params.memory_kib(), params.iterations(), params.parallelism(), None);
    let params = params.expect("good parameters");
    let mut memory = vec![Block::new(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    move || {
        let mut tag = [0; 32];
        let hashed = argon2.hash_password_into_with_memory(
            black_box(PASSWORD.as_bytes()),
            &[3; SALT],
            &mut tag,
            &mut memory,
        );
        hashed.expect("the lengths are within bounds");
        tag
    }
}

/// Verifications per caller: directly, through a lane of one thread, and of two threads with two callers.
fn lanes(criterion: &mut Criterion, params: &HashCost, stored: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let lane = |threads| {
        let metrics = Metrics::new(Labels::default());
        PasswordLane::start((threads, 64), params.clone(), Random::os(), metrics).expect("threads")
    };
    let (one, two) = (lane(1), lane(2));
    let mut memory = Memory::new();
    let directly = |rounds| {
        let begun = Instant::now();
        for _ in 0..2 * rounds {
            assert!(password::verify(PASSWORD.as_bytes(), stored, &mut memory));
        }
        begun.elapsed()
    };
    let through = |lane: &PasswordLane, rounds| -> Duration {
        let begun = Instant::now();
        runtime.block_on(async {
            let verify = || lane.verify(Secret::new(PASSWORD.to_owned()), Some(stored.to_owned()));
            for _ in 0..rounds {
                let (first, second) = futures_util::future::join(verify(), verify()).await;
                assert!(first.expect("room").matches && second.expect("room").matches);
            }
        });
        begun.elapsed()
    };
    let ways = vec![
        Way::timed("two, on the caller's thread", directly),
        Way::timed("two callers, lane of one thread", |rounds| through(&one, rounds)),
        Way::timed("two callers, lane of two threads", |rounds| through(&two, rounds)),
    ];
    compare(criterion, "password lane, per sign-in", 2, ways);
}
