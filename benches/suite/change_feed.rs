//! How fast a node applies what other nodes committed: pages of the change feed of the embedded store into
//! the revocation index and the caches, against the index alone, without the store and its JSON.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chancery::{
    cache::{CacheOptions, Cached, FeedOptions, Index},
    model::*,
    resilience::Clock,
    store::{
        Commit, Commits, Effect,
        sqlite::{Options, Sqlite},
    },
};
use criterion::Criterion;
use tokio::runtime::Runtime;

use crate::turns::{Way, compare};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// Changes applied in one go.
const CHANGES: u64 = 2_000;
const CLIENT: ClientKey = ClientKey(Id([1; 16]));

/// Applies in pages of two sizes.
pub fn measure(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Sqlite::open(&folder.path().join("chancery.db"), Options::default()).expect("a store");
    let store = Arc::new(store);
    let node = |page| {
        let feed = FeedOptions { page, ..FeedOptions::default() };
        let options = CacheOptions { feed, ..CacheOptions::default() };
        let node = Cached::new(Arc::clone(&store), options, Clock::manual(NOW));
        runtime.block_on(node.tail().start()).expect("the feed is read");
        node
    };
    let (small, large) = (node(100), node(1_000));
    let ways = vec![
        Way::timed("pages of 100", |rounds| applied(&runtime, &store, &small, rounds)),
        Way::timed("pages of 1,000, as the server reads", |rounds| applied(&runtime, &store, &large, rounds)),
        Way::timed("the index alone", indexed),
    ];
    compare(criterion, "change applied", CHANGES, ways);
}

/// The time to hear of `CHANGES` revocations, which were committed elsewhere before.
fn applied(runtime: &Runtime, store: &Sqlite, node: &Cached<Sqlite>, rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        // What the other node's rounds left behind is none of this one's.
        runtime.block_on(node.tail().start()).expect("the feed is read");
        let held = node.tail().index().len() as u64;
        let revoke = || Effect::RevokeToken { token: TokenId(fresh()), client: CLIENT, until: NOW.plus(900) };
        let effects = (0..CHANGES).map(|_| revoke()).collect();
        let commit = Commit { id: CommitId(fresh()), at: NOW, spend: None, effects };
        runtime.block_on(store.commit(commit)).expect("it is committed");
        let begun = Instant::now();
        runtime.block_on(node.tail().start()).expect("the feed is read");
        took += begun.elapsed();
        let heard = node.tail().index().len() as u64 - held;
        assert!(
            heard == CHANGES || !node.tail().index().overflowed_clients().is_empty(),
            "{heard} were heard of"
        );
    }
    took
}

fn indexed(rounds: u64) -> Duration {
    let index = Index::new(usize::MAX);
    let begun = Instant::now();
    for _ in 0..rounds * CHANGES {
        let (kind, id, client) = (RevocationKind::Token, fresh(), CLIENT);
        index.add(&Revocation { kind, id, epoch: 0, client, expires_at: NOW.plus(900) });
    }
    begun.elapsed()
}

/// An id that was not there before.
fn fresh() -> Id {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Id::new(NOW.0 * 1000 + count / 8, random)
}
