//! A client from memory (L1), against the same from the embedded store, on one thread and on two at once.

use std::{hint::black_box, thread, time::Instant};

use chancery::{crypto::random::Random, store::Store};
use criterion::Criterion;
use futures_util::FutureExt;

use crate::{
    site::{SEALED, Site},
    turns::{Way, compare},
};

/// Loads the client again and again.
pub fn measure(criterion: &mut Criterion) {
    let site = Site::open(Random::os());
    let (cached, below) = (site.provider().store.clone(), site.node.backend().store());
    let hit = || load(&*cached);
    let two = |rounds| {
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..rounds).for_each(|_| load(&*cached)));
            }
        });
        begun.elapsed()
    };
    let ways = vec![
        Way::new("the embedded store", || {
            black_box(site.runtime.block_on(below.client(SEALED)).expect("it answers"))
        }),
        Way::new("L1 hit, one thread", hit),
        Way::timed("L1 hit, two threads, each", two),
    ];
    compare(criterion, "client", 1, ways);
}

/// A hit waits for nothing.
fn load(store: &dyn Store) {
    let client = store.client(black_box(SEALED)).now_or_never().expect("a hit is there at once");
    assert!(black_box(client).expect("it answers").is_some());
}
