//! Whole requests without HTTP, over the embedded store with everything cached: sealed tokens against JWTs,
//! and a batch against as many requests.

use std::time::Instant;

use chancery::crypto::random::Random;
use criterion::Criterion;

use crate::{
    site::{Request, Site},
    turns::{Way, compare},
};

/// Sends every request.
pub fn measure(criterion: &mut Criterion) {
    let site = Site::open(Random::os());
    let way = |name: &str, request| {
        let site = &site;
        Way::timed(name, move |rounds| {
            let begun = Instant::now();
            site.send(request, rounds);
            begun.elapsed()
        })
    };
    let ways = vec![
        way("introspect a JWT (EdDSA)", Request::IntrospectJwt),
        way("introspect a sealed token", Request::Introspect),
    ];
    compare(criterion, "introspect", 1, ways);
    let ways = vec![
        way("issue a JWT (EdDSA)", Request::TokenJwt),
        way("issue a sealed token", Request::TokenSealed),
    ];
    compare(criterion, "token", 1, ways);
    compare(criterion, "userinfo", 1, vec![way("userinfo", Request::Userinfo)]);
    let one_by_one = Way::timed("64 requests", |rounds| {
        let begun = Instant::now();
        site.send(Request::Introspect, 64 * rounds);
        begun.elapsed()
    });
    compare(criterion, "64 tokens, per token", 64, vec![one_by_one, way("one batch", Request::Batch)]);
}
