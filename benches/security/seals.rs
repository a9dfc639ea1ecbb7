//! Sealing and opening access tokens: alone and in batches, with key schedules that are kept and with those
//! that must be made anew.

use std::{hint::black_box, time::Instant};

use chancery::crypto::{
    keys::{MasterKey, MasterKeys},
    random::Random,
    seal::{Purpose, Sealer},
};
use criterion::Criterion;
use zeroize::Zeroizing;

use crate::turns::{Way, compare};

/// As long as the claims of a token of a person.
const CLAIMS: [u8; 160] = [7; 160];
/// More than the cache of foreign salts holds, so that each is gone when its turn comes again.
const SALTS: usize = 4096;

/// Seals and opens in every way.
pub fn measure(criterion: &mut Criterion) {
    one(criterion);
    ciphers(criterion);
    batches(criterion);
    schedules(criterion);
}

fn one(criterion: &mut Criterion) {
    let sealer = sealer();
    let text = token(&sealer);
    let bytes = sealer.seal(Purpose::Column, b"place", &CLAIMS);
    compare(
        criterion,
        "one seal",
        1,
        vec![
            Way::new("open a token", || sealer.open_token(black_box(&text)).expect("our own")),
            Way::new("seal a token", || token(&sealer)),
            Way::new("open bytes", || {
                sealer.open(Purpose::Column, b"place", black_box(&bytes)).expect("our own")
            }),
            Way::new("seal bytes", || sealer.seal(Purpose::Column, b"place", black_box(&CLAIMS))),
        ],
    );
}

/// AES-256-GCM alone, with key schedules that are kept: the library that seals ours, and the one that signs.
fn ciphers(criterion: &mut Criterion) {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let (place, nonce) = ([3; 22], [4; 12]);
    let ours = Aes256Gcm::new(&[5; 32].into());
    let theirs = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[5; 32]).expect("32 bytes"));
    let mut sealed = CLAIMS.to_vec();
    let tag = theirs.seal_in_place_separate_tag(Nonce::from(&nonce), Aad::from(place), &mut sealed);
    sealed.extend_from_slice(tag.expect("it seals").as_ref());
    let mut buffer = sealed.clone();
    let mut other = sealed.clone();
    let open_ours = || {
        buffer.copy_from_slice(black_box(&sealed));
        let (text, tag) = buffer.split_last_chunk_mut::<16>().expect("a tag");
        ours.decrypt_inout_detached(&nonce.into(), &place, text.into(), &(*tag).into()).expect("our own");
        buffer[0]
    };
    let open_theirs = || {
        other.copy_from_slice(black_box(&sealed));
        theirs.open_in_place(Nonce::from(&nonce), Aad::from(place), &mut other).expect("our own")[0]
    };
    let ways = vec![Way::new("open by aes-gcm", open_ours), Way::new("open by aws-lc", open_theirs)];
    compare(criterion, "one cipher", 1, ways);
}

/// Per token: what a batch gains over one at a time is warm caches, nothing else.
fn batches(criterion: &mut Criterion) {
    let sealer = sealer();
    for size in [64, 1000] {
        let tokens: Vec<String> = (0..size).map(|_| token(&sealer)).collect();
        let mut next = tokens.iter().cycle();
        let open_all = || tokens.iter().filter(|text| sealer.open_token(text).is_some()).count();
        assert_eq!(open_all(), size);
        let seal_all = || {
            let mut text = String::new();
            for _ in 0..size {
                text.clear();
                sealer.seal_token(black_box(&CLAIMS), &mut text);
            }
            text.len()
        };
        let one_by_one = |rounds| {
            let begun = Instant::now();
            for _ in 0..rounds * size as u64 {
                black_box(sealer.open_token(next.next().expect("a cycle")));
            }
            begun.elapsed()
        };
        let ways = vec![
            Way::timed("open one after the other", one_by_one),
            Way::new("open", open_all),
            Way::new("seal", seal_all),
        ];
        compare(criterion, &format!("batch of {size}, per token"), size as u64, ways);
    }
}

/// Opening under a salt of another process: key schedules are made once and kept for a thousand salts.
fn schedules(criterion: &mut Criterion) {
    let ours = sealer();
    let own = token(&ours);
    let foreign: Vec<String> = (0..SALTS)
        .map(|_| {
            let other = sealer();
            token(&other)
        })
        .collect();
    let mut next = foreign.iter().cycle();
    let ways = vec![
        Way::new("foreign salt, schedule made anew", || {
            ours.open_token(next.next().expect("a cycle")).is_some()
        }),
        Way::new("foreign salt, schedule kept", || {
            let text = black_box(&foreign[0]);
            ours.open_token(text).is_some()
        }),
        Way::new("own salt", || ours.open_token(black_box(&own)).is_some()),
    ];
    compare(criterion, "key schedules", 1, ways);
}

fn sealer() -> Sealer {
    let masters = MasterKeys::new(vec![MasterKey::new(Zeroizing::new([1; 32]))]).expect("a good key");
    Sealer::new(masters, Random::os())
}

fn token(sealer: &Sealer) -> String {
    let mut text = String::new();
    sealer.seal_token(black_box(&CLAIMS), &mut text);
    text
}
