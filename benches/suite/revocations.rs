//! Looking a token up among 100,000 revocations: our index, which readers take no lock for, against a map
//! behind a lock; alone and beside writers that revoke as fast as they can.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use chancery::{
    cache::{Index, Verdict},
    model::*,
    store::Revocable,
};
use criterion::Criterion;

use crate::turns::{Way, compare};

const HELD: u64 = 100_000;
const CLIENT: ClientKey = ClientKey(Id([1; 16]));
const UNTIL: UnixTime = UnixTime(1_800_000_000);

/// Something that remembers revocations.
trait Remembers: Sync {
    fn revoke(&self, number: u64);
    fn is_revoked(&self, number: u64) -> bool;
}

impl Remembers for Index {
    fn revoke(&self, number: u64) {
        // Each is prolonged by a second, so that writing never becomes doing nothing.
        let until = UNTIL.plus(number / HELD);
        let (kind, id) = (RevocationKind::Token, id(number % HELD));
        self.add(&Revocation { kind, id, epoch: 0, client: CLIENT, expires_at: until });
    }

    fn is_revoked(&self, number: u64) -> bool {
        let token = Some(TokenId(id(number)));
        let what = Revocable { token, family: None, client: (CLIENT, 0), user: None };
        self.verdict(&what) == Verdict::Revoked
    }
}

type Locked = RwLock<HashMap<Id, UnixTime>>;

impl Remembers for Locked {
    fn revoke(&self, number: u64) {
        let until = UNTIL.plus(number / HELD);
        self.write().expect("nobody panics").insert(id(number % HELD), until);
    }

    fn is_revoked(&self, number: u64) -> bool {
        self.read().expect("nobody panics").contains_key(&id(number))
    }
}

/// Looks up with 0, 1 and 2 writers.
pub fn measure(criterion: &mut Criterion) {
    let (index, locked) = (Index::new(usize::MAX), Locked::default());
    for number in 0..HELD {
        index.revoke(number);
        locked.revoke(number);
    }
    assert!(
        index.is_revoked(7) && locked.is_revoked(7) && !index.is_revoked(HELD) && !locked.is_revoked(HELD)
    );
    for writers in 0..=2 {
        let ways = vec![
            Way::timed("a map behind a lock", |rounds| look_up(&locked, writers, rounds)),
            Way::timed("the index", |rounds| look_up(&index, writers, rounds)),
        ];
        compare(criterion, &format!("revocation look-up beside {writers} writers"), 1, ways);
    }
}

/// The time of so many look-ups, half of them of revoked tokens, while others write.
fn look_up(of: &dyn Remembers, writers: u64, rounds: u64) -> Duration {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..writers {
            let stop = &stop;
            scope.spawn(move || {
                let mut number = writer * HELD / 2;
                while !stop.load(Ordering::Relaxed) {
                    of.revoke(number);
                    number += 1;
                }
            });
        }
        let begun = Instant::now();
        for number in 0..rounds {
            black_box(of.is_revoked(black_box(number.wrapping_mul(7919) % (2 * HELD))));
        }
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        took
    })
}

/// Spread like random ones.
fn id(number: u64) -> Id {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Id(bytes)
}
