//! Digests and comparisons: what it costs to keep no secret as such, and to tell nothing by the time taken.

use std::hint::black_box;

use chancery::{
    crypto::{
        digest::{equal, s256, sha256},
        keys::{MasterKey, MasterKeys},
        opaque::{Opaque, Opaques},
        random::Random,
    },
    model::FamilyId,
};
use criterion::Criterion;
use zeroize::Zeroizing;

use crate::turns::{Way, compare};

/// Digests, comparisons and opaque values.
pub fn measure(criterion: &mut Criterion) {
    let secret = [7_u8; 64];
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let ways = vec![
        Way::new("SHA-256 of 1 KiB", || sha256(black_box(&[7; 1024]))),
        Way::new("SHA-256 of a secret", || sha256(black_box(&secret))),
        Way::new("S256 of a code verifier", || s256(black_box(verifier))),
    ];
    compare(criterion, "digest", 1, ways);
    let (one, other) = (sha256(b"one").0, sha256(b"one").0);
    let ways = vec![
        Way::new("32 bytes, as fast as can be", || black_box(&one) == black_box(&other)),
        Way::new("32 bytes, in constant time", || equal(black_box(&one), black_box(&other))),
    ];
    compare(criterion, "compare", 1, ways);
    let masters = MasterKeys::new(vec![MasterKey::new(Zeroizing::new([1; 32]))]).expect("a good key");
    let (opaques, random) = (Opaques::new(&masters), Random::os());
    let (text, _) = opaques.issue(Opaque::ClientSecret, &random);
    let (refresh, _) = opaques.issue_refresh_token(FamilyId::default(), 1, &random);
    let garbage = text.expose().replace("chy_cs_", "chy_ac_");
    let ways = vec![
        Way::new("issue", || opaques.issue(Opaque::ClientSecret, &random)),
        Way::new("recognise", || opaques.digest_of(Opaque::ClientSecret, black_box(text.expose()))),
        Way::new("issue a refresh token", || opaques.issue_refresh_token(FamilyId::default(), 1, &random)),
        Way::new("recognise a refresh token", || opaques.refresh_token(black_box(refresh.expose()))),
        Way::new("refuse garbage", || opaques.digest_of(Opaque::Code, black_box(&garbage))),
    ];
    compare(criterion, "opaque value", 1, ways);
}
