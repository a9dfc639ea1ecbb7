//! Tests of one cache.

use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;

use super::*;
use crate::{
    cache::policy,
    model::{Id, Resource, UnixTime},
    store::StoreErrorKind,
};

const START: Duration = Duration::from_secs(100);
const TTL: Duration = Duration::from_secs(50);

fn cache(policy: &'static CachePolicy, max_memory: u64) -> L1<String, Resource> {
    L1::new(policy, max_memory, TTL)
}

/// A row that shows its version.
fn version(n: u64) -> Option<Arc<Resource>> {
    let created_at = UnixTime(n);
    Some(Arc::new(Resource { id: Id::default(), uri: "https://a.example".into(), owner: None, created_at }))
}

async fn fill(cache: &L1<String, Resource>, key: &str, row: Option<Arc<Resource>>) {
    cache.load(key, START, || async { Ok(row.clone()) }).await.expect("the row is given");
}

#[tokio::test]
async fn entries_expire_between_four_fifths_and_all_of_their_lifetime() {
    let cache = cache(&policy::RESOURCE, 10 << 20);
    let keys: Vec<_> = (0..200).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        fill(&cache, key, version(1)).await;
    }
    let alive = |now| keys.iter().filter(|key| cache.get(key.as_str(), now).is_some()).count();
    assert_eq!(alive(START + TTL * 4 / 5 - Duration::from_secs(1)), 200);
    let half = alive(START + TTL * 9 / 10);
    assert!((40..160).contains(&half), "{half} of 200 are left");
    assert_eq!(alive(START + TTL), 0);
    assert_eq!(cache.stats().evicted_ttl, 200);
}

#[tokio::test]
async fn loads_are_timed_and_changes_counted_by_their_origin() {
    let cache = cache(&policy::RESOURCE, 10 << 20);
    let observed = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&observed);
    cache.on_load(Box::new(move |took| {
        assert!(took >= Duration::from_millis(1));
        times.fetch_add(1, Ordering::SeqCst);
    }));
    let slow = || async {
        std::thread::sleep(Duration::from_millis(1));
        Ok(version(1))
    };
    cache.load("a", START, slow).await.expect("the row is given");
    cache.load("a", START, slow).await.expect("it is in memory");
    let fails = || async {
        std::thread::sleep(Duration::from_millis(1));
        Err(StoreError::new(StoreErrorKind::Io, "on purpose"))
    };
    cache.load("b", START, fails).await.expect_err("it fails");
    cache.invalidate("a", ChangeOrigin::Local);
    cache.invalidate("never held", ChangeOrigin::Feed);
    cache.invalidate_where(ChangeOrigin::Feed, |_| false);
    let stats = cache.stats();
    assert_eq!((stats.loads, observed.load(Ordering::SeqCst)), (2, 2));
    assert!(stats.load_seconds >= 0.002, "{stats:?}");
    assert_eq!((stats.changed_here, stats.changed_by_feed, stats.invalidated), (1, 2, 1));
}

#[tokio::test]
async fn the_weight_stays_within_its_bound() {
    let cache = cache(&policy::RESOURCE, 1 << 20);
    for n in 0..5_000 {
        fill(&cache, &format!("https://resource-{n}.example/{}", "x".repeat(n % 200)), version(1)).await;
        assert!(cache.entries.weight() <= (1 << 20) / 10 + 64);
    }
    let stats = cache.stats();
    assert!(stats.entries > 100 && stats.weight > stats.capacity / 2, "{stats:?}");
    assert_eq!(stats.evicted_size, 5_000 - stats.entries);
}

#[tokio::test]
async fn without_memory_everything_is_loaded() {
    let cache = cache(&policy::RESOURCE, 0);
    fill(&cache, "a", version(1)).await;
    assert_eq!(cache.get("a", START), None);
}

#[tokio::test]
async fn misses_are_kept_only_where_the_policy_says_so() {
    for (policy, kept) in [(&policy::RESOURCE, Some(None)), (&policy::CLIENT, None)] {
        let cache = cache(policy, 10 << 20);
        fill(&cache, "nothing", None).await;
        assert_eq!(cache.get("nothing", START), kept, "{}", policy.name);
    }
}

#[tokio::test]
async fn concurrent_misses_share_one_load_and_its_failure() {
    let cache = Arc::new(cache(&policy::RESOURCE, 10 << 20));
    let (loads, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (cache, loads, go) = (cache.clone(), loads.clone(), go.clone());
            tokio::spawn(async move {
                let read = || async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    Row::<Resource>::Err(StoreError::new(StoreErrorKind::Io, "broken"))
                };
                cache.load("a", START, read).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    go.notify_one();
    for task in tasks {
        assert!(task.await.expect("no panic").is_err());
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    fill(&cache, "a", version(1)).await;
    assert!(cache.get("a", START).is_some(), "the failure was not kept");
    assert_eq!(cache.stats().errors, 1);
}

#[tokio::test]
async fn a_leader_that_goes_away_leaves_nobody_hanging() {
    let cache = Arc::new(cache(&policy::RESOURCE, 10 << 20));
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.load("a", START, std::future::pending::<Row<Resource>>).await }
    });
    tokio::task::yield_now().await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.load("a", START, || async { Ok(version(2)) }).await }
    });
    tokio::task::yield_now().await;
    assert!(!follower.is_finished());
    leader.abort();
    assert_eq!(follower.await.expect("no panic").expect("loaded"), version(2));
}

#[tokio::test]
async fn who_comes_after_a_change_does_not_join_a_read_from_before_it() {
    let cache = Arc::new(cache(&policy::RESOURCE, 10 << 20));
    let go = Arc::new(Notify::new());
    let early = tokio::spawn({
        let (cache, go) = (cache.clone(), go.clone());
        async move {
            let first = AtomicUsize::new(0);
            let read = || async {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    go.notified().await;
                    return Ok(version(1));
                }
                Ok(version(2))
            };
            cache.load("a", START, read).await
        }
    });
    tokio::task::yield_now().await;
    cache.invalidate("a", ChangeOrigin::Local);
    let late = cache.load("a", START, || async { Ok(version(2)) }).await;
    assert_eq!(late.expect("loaded"), version(2));
    go.notify_one();
    assert_eq!(early.await.expect("no panic").expect("loaded"), version(2), "it was read once more");
    assert_eq!(cache.get("a", START), Some(version(2)));
    assert_eq!(cache.stats().overtaken, 1);
}

#[test]
fn no_thread_ever_sees_a_row_older_than_a_change_it_could_know_of() {
    let cache = cache(&policy::RESOURCE, 10 << 20);
    // The row as the store has it, and the version whose change this node has applied.
    let (stored, applied) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicU64::new(0);
    let look = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            while done.load(Ordering::SeqCst) == 0 {
                let floor = applied.load(Ordering::SeqCst);
                let read = || async {
                    let row = version(stored.load(Ordering::SeqCst));
                    std::thread::yield_now();
                    Ok(row)
                };
                let row = match cache.get("a", START) {
                    Some(row) => row,
                    None => cache.load("a", START, read).await.expect("it does not fail"),
                };
                let seen = row.expect("there is a row").created_at.0;
                assert!(seen >= floor, "saw {seen} after {floor} was applied");
            }
        });
    };
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(look)));
        for n in 1..=3_000 {
            stored.store(n, Ordering::SeqCst);
            if n % 100 == 0 {
                cache.clear()
            } else {
                cache.invalidate("a", ChangeOrigin::Local)
            }
            applied.store(n, Ordering::SeqCst);
            std::thread::yield_now();
        }
        done.store(1, Ordering::SeqCst);
    });
}
