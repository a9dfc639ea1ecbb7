//! Tests of the feed's tail.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::cache::{CacheOptions, Verdict, testing::*};

/// What happened, in words and in deed.
type Case<T> = (&'static str, fn(&mut T));

fn small_pages() -> CacheOptions {
    let feed = FeedOptions { page: 2, ..FeedOptions::default() };
    CacheOptions { feed, ..CacheOptions::default() }
}

async fn revoke_elsewhere(node: &Node, n: u8) {
    node.store.commit(commit(revoke(client_key(0), n))).await.expect("the store commits");
}

async fn revoked(node: &Node, n: u8) -> Result<bool, Stale> {
    node.cached.is_revoked(&token(client_key(0), n), false).await
}

/// T09
#[tokio::test(start_paused = true)]
async fn a_node_is_fresh_only_after_it_has_loaded_what_was_revoked_before() {
    let before = node(small_pages()).await;
    for n in 1..=5 {
        revoke_elsewhere(&before, n).await;
    }
    let late = super::super::Cached::new(before.store.clone(), small_pages(), before.clock.clone());
    assert!(!late.tail().is_fresh());
    late.tail().start().await.expect("the store answers");
    assert!(late.tail().is_fresh());
    for n in 1..=5 {
        assert_eq!(late.tail().is_revoked(&token(client_key(0), n), false).await, Ok(true));
    }
    assert_eq!(late.tail().index().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_notification_is_made_up_for_by_the_interval() {
    let node = node(CacheOptions::default()).await;
    node.run();
    node.store.feed.arrived(3).await;
    revoke_elsewhere(&node, 7).await;
    let (reads, before) = (node.store.feed.count(), tokio::time::Instant::now());
    node.store.feed.arrived(reads + 1).await;
    tokio::task::yield_now().await;
    assert!(before.elapsed() <= Duration::from_millis(501));
    assert_eq!(revoked(&node, 7).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_notification_wakes_the_tail_at_once() {
    let node = node(CacheOptions::default()).await;
    node.run();
    node.store.feed.arrived(3).await;
    revoke_elsewhere(&node, 7).await;
    let (reads, before) = (node.store.feed.count(), tokio::time::Instant::now());
    node.cached.tail().signal().notify();
    node.store.feed.arrived(reads + 1).await;
    tokio::task::yield_now().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(revoked(&node, 7).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_a_page_holds_are_read_to_the_end() {
    let node = node(small_pages()).await;
    for n in 1..=9 {
        revoke_elsewhere(&node, n).await;
    }
    node.cached.tail().read().await.expect("the feed is read");
    for n in 1..=9 {
        assert_eq!(revoked(&node, n).await, Ok(true));
    }
}

/// T09: what a restored backup or a failover did not bring along is not believed any more.
#[tokio::test(start_paused = true)]
async fn a_history_that_broke_off_is_loaded_anew() {
    let breaks: [Case<State>; 4] = [
        ("the epoch changed", |state| state.head.epoch += 1),
        ("it went backwards", |state| {
            state.head.seq -= 1;
            state.changes.pop();
        }),
        ("the last change differs", |state| {
            let (_, last) = state.changes.last_mut().expect("it is not empty");
            *last = Change::User { id: UserId(id(9)) };
        }),
        ("it was swept before it was read", |state| {
            state.head.seq += 5;
            state.changes.clear();
        }),
    ];
    for (name, rewrite) in breaks {
        let node = node(small_pages()).await;
        node.commit(revoke(client_key(0), 1)).await;
        node.commit(revoke(client_key(0), 2)).await;
        node.cached.tail().read().await.expect("the feed is read");
        node.cached.client("client-0").await.expect("loaded");
        let renewed = Arc::new(AtomicU64::new(0));
        let count = renewed.clone();
        node.cached.tail().on_keys_changed(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(Ok(())))
        });
        {
            // Behind the node's back: one revocation is gone, one is new, a client is disabled.
            let mut state = node.store.state();
            rewrite(&mut state);
            let gone = state.revocations.remove(&(RevocationKind::Token, id(2))).expect("it was revoked");
            let new = Revocation { id: id(3), ..gone };
            state.revocations.insert((new.kind, new.id), new);
            state.clients.get_mut(&client_key(0)).expect("it exists").enabled = false;
        }
        node.cached.tail().read().await.expect("the feed is read");
        assert_eq!(revoked(&node, 1).await, Ok(true), "{name}");
        assert_eq!(revoked(&node, 2).await, Ok(false), "{name}");
        assert_eq!(revoked(&node, 3).await, Ok(true), "{name}");
        let client = node.cached.client("client-0").await.expect("loaded").expect("it exists");
        assert!(!client.enabled, "{name}");
        assert_eq!(renewed.load(Ordering::SeqCst), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_must_load_anew_is_stale_until_it_has() {
    let node = node(CacheOptions::default()).await;
    node.store.state().head.epoch += 1;
    node.store.rows.close();
    let tail = node.cached.tail().clone();
    let reading = tokio::spawn(async move { tail.read().await });
    node.store.rows.arrived(node.store.rows.count() + 1).await;
    assert!(!node.cached.tail().is_fresh());
    // A revocation committed here meanwhile survives the change of index.
    node.commit(revoke(client_key(0), 7)).await;
    node.store.rows.open();
    reading.await.expect("no panic").expect("loaded");
    assert_eq!(revoked(&node, 7).await, Ok(true));
}

/// A request that passed the check of freshness just before may still be reading a row. What it fills
/// in must not outlive a change that the new place in the feed already lies behind.
#[tokio::test(start_paused = true)]
async fn a_row_read_before_the_new_place_in_the_feed_is_not_kept() {
    let node = node(CacheOptions::default()).await;
    node.store.state().head.epoch += 1;
    let asked = node.store.feed_asked.count();
    let tail = node.cached.tail().clone();
    let reading = tokio::spawn(async move { tail.read().await });
    // The first question finds the history rewritten; the second, for the new place, is held back.
    node.store.feed.close();
    node.store.feed_asked.arrived(asked + 1).await;
    node.store.feed_asked.close();
    node.store.feed.open();
    node.store.feed_asked.arrived(asked + 2).await;
    let cache = &node.cached.tail().caches.client;
    let read = || node.store.client("client-0");
    cache.load("client-0", node.clock.boot(), read).await.expect("loaded");
    let disable = Effect::SetClientEnabled(client_key(0), false);
    node.store.commit(commit(disable)).await.expect("the store commits");
    node.store.feed_asked.open();
    reading.await.expect("no panic").expect("loaded");
    let client = node.cached.client("client-0").await.expect("loaded").expect("it exists");
    assert!(!client.enabled);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_is_begun_again() {
    let node = node(CacheOptions::default()).await;
    revoke_elsewhere(&node, 7).await;
    node.store.state().head.epoch += 1;
    node.store.rows.close();
    assert!(node.cached.tail().read().await.is_err(), "the query is given up after two seconds");
    assert!(!node.cached.tail().is_fresh());
    node.store.rows.open();
    node.cached.tail().read().await.expect("the store answers again");
    assert_eq!(revoked(&node, 7).await, Ok(true));
}

/// What a withdrawn key signed must not be believed by a node that calls itself fresh.
#[tokio::test(start_paused = true)]
async fn a_node_is_fresh_only_with_the_keys_of_the_store() {
    let node = node(CacheOptions::default()).await;
    let tail = node.cached.tail();
    tail.read().await.expect("the feed is read");
    let down = Arc::new(AtomicBool::new(true));
    let is_down = down.clone();
    tail.on_keys_changed(move || {
        let error = StoreError::new(StoreErrorKind::Connection, "down");
        Box::pin(std::future::ready(if is_down.load(Ordering::SeqCst) { Err(error) } else { Ok(()) }))
    });
    tail.apply(&Change::Keys);
    node.clock.advance(Duration::from_secs(3));
    for _ in 0..2 {
        assert!(tail.read().await.is_err(), "tried again with every read");
        assert!(!tail.is_fresh());
    }
    down.store(false, Ordering::SeqCst);
    tail.read().await.expect("the keys are renewed");
    assert!(tail.is_fresh());
}

#[tokio::test(start_paused = true)]
async fn the_time_from_commit_to_effect_is_observed_once() {
    let node = node(CacheOptions::default()).await;
    let seen = Arc::new(Mutex::new(vec![]));
    let observed = seen.clone();
    node.cached.tail().on_revocation_seen(move |seconds| observed.lock().expect("no panic").push(seconds));
    node.commit(revoke(client_key(0), 1)).await;
    revoke_elsewhere(&node, 2).await;
    node.clock.advance(Duration::from_millis(1_500));
    node.cached.tail().read().await.expect("the feed is read");
    assert_eq!(*seen.lock().expect("no panic"), [0.0, 1.5]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_tail_even_in_a_read_that_hangs() {
    let node = node(CacheOptions::default()).await;
    node.store.feed.close();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = node.cached.tail().clone().run(async move { drop(stopped.await) });
    let task = tokio::spawn(run);
    node.store.feed.arrived(node.store.feed.count() + 1).await;
    drop(stop);
    task.await.expect("it ended without a panic");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client is switched on or off through this node, or by another.
    Switch {
        client: u8,
        here: bool,
    },
    /// A token is revoked through this node, or by another.
    Revoke {
        token: u8,
        here: bool,
    },
    /// Somebody asks for a client.
    Look(u8),
    /// Answers are held back, or delivered.
    Rows(bool),
    Feed(bool),
    Notify,
    /// Everybody who can goes on.
    Pause,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, any::<bool>()).prop_map(|(client, here)| Step::Switch { client, here }),
        3 => (0..20_u8, any::<bool>()).prop_map(|(token, here)| Step::Revoke { token, here }),
        6 => (0..3_u8).prop_map(Step::Look),
        2 => any::<bool>().prop_map(Step::Rows),
        2 => any::<bool>().prop_map(Step::Feed),
        2 => Just(Step::Notify),
        4 => Just(Step::Pause),
        1 => Just(Step::Restore),
    ]
}

/// What the node has in memory about a client, if anything.
fn remembered(node: &Node, n: u8) -> Option<bool> {
    let known = node.cached.tail().caches.client.get(format!("client-{n}").as_str(), node.clock.boot())?;
    Some(known.expect("absence is not cached").enabled)
}

fn truth(node: &Node, n: u8) -> bool {
    node.store.state().clients[&client_key(n)].enabled
}

async fn play(steps: Vec<Step>) {
    let node = node(small_pages()).await;
    node.run();
    let mut lookers = vec![];
    for step in steps {
        match step {
            Step::Switch { client, here } => {
                let effect = Effect::SetClientEnabled(client_key(client), !truth(&node, client));
                if here {
                    node.commit(effect).await;
                    let memory = remembered(&node, client);
                    assert!(memory.is_none(), "what was known of client {client} is untrue: {memory:?}");
                } else {
                    node.store.commit(commit(effect)).await.expect("the store commits");
                }
            }
            Step::Revoke { token: n, here: true } => {
                node.commit(revoke(client_key(0), n)).await;
                let what = token(client_key(0), n);
                assert_eq!(node.cached.tail().index().verdict(&what), Verdict::Revoked);
            }
            Step::Revoke { token, here: false } => revoke_elsewhere(&node, token).await,
            Step::Look(n) => {
                let cached = node.cached.clone();
                lookers.push(tokio::spawn(async move { cached.client(&format!("client-{n}")).await }));
            }
            Step::Rows(true) => node.store.rows.open(),
            Step::Rows(false) => node.store.rows.close(),
            Step::Feed(true) => node.store.feed.open(),
            Step::Feed(false) => node.store.feed.close(),
            Step::Notify => node.cached.tail().signal().notify(),
            Step::Pause => {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
            }
            Step::Restore => node.store.state().head.epoch += 1,
        }
    }
    node.store.rows.open();
    node.store.feed.open();
    for looker in lookers {
        assert!(looker.await.expect("no panic").is_ok_and(|client| client.is_some()));
    }
    node.cached.tail().read().await.expect("the feed is read");
    for n in 0..3 {
        let memory = remembered(&node, n);
        assert!(memory.is_none_or(|enabled| enabled == truth(&node, n)), "client {n}: {memory:?}");
    }
    let ids: Vec<_> = node.store.state().revocations.values().map(|row| row.id).collect();
    for id in ids {
        let what = Revocable { token: Some(TokenId(id)), ..token(client_key(0), 0) };
        assert_eq!(node.cached.tail().index().verdict(&what), Verdict::Revoked);
    }
}

proptest! {
    #[test]
    fn however_commits_reads_and_fills_interleave_no_change_is_missed(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}
