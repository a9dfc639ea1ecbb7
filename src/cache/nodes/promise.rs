//! Bounded staleness across nodes: none answers from knowledge older than the bound, whatever
//! happens between the nodes and the store, and in the end each knows everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::cache::{FeedOptions, Verdict};

const NODES: usize = 3;

/// A cut-off node says so within the bound, the others do not notice, and it comes back by itself.
#[tokio::test(start_paused = true)]
async fn a_node_cut_off_from_the_store_stops_answering_and_comes_back() {
    let store = store();
    let (one, other) = (
        node_over(&store, CacheOptions::default(), None).await,
        node_over(&store, CacheOptions::default(), None).await,
    );
    one.link.cut(true);
    other.commit(revoke(client_key(0), 1)).await;
    let ask = async |node: &One| node.cached.is_revoked(&token(client_key(0), 1), false).await;
    one.run();
    other.run();
    assert_eq!(ask(&one).await, Ok(false), "it cannot know yet");
    one.clock.advance(Duration::from_millis(2_001));
    other.clock.advance(Duration::from_millis(2_001));
    assert_eq!(ask(&one).await, Err(Stale));
    assert!(one.cached.client("client-0").await.is_err());
    assert_eq!(ask(&other).await, Ok(true));
    one.link.cut(false);
    assert_eq!(ask(&one).await, Ok(true));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client is switched on or off through a node.
    Switch { node: usize, client: u8 },
    /// A token is revoked through a node.
    Revoke { node: usize, token: u8 },
    /// A node is asked whether a token is revoked.
    Ask { node: usize, token: u8, strict: bool },
    /// A node is asked for a client.
    Look { node: usize, client: u8 },
    /// A node is notified of changes; at all others the notification is lost.
    Notify(usize),
    /// A node's read of the feed takes so long; a token is revoked elsewhere just after it has begun.
    /// Then the node loses the store for a while, at the end of which it is asked about the token.
    SlowFeed { node: usize, token: u8, takes: u64, lost: u64 },
    /// A node loses the store, or finds it again.
    Cut { node: usize, cut: bool },
    /// A node is asked for a client by somebody who does not mind when the answer comes.
    LookLater { node: usize, client: u8 },
    /// Answers to a node's reads of rows are held back, or delivered.
    Rows { node: usize, open: bool },
    /// Answers to a node's reads of the feed are held back, or delivered.
    Feed { node: usize, open: bool },
    /// Answers to a node's commits are held back, or delivered.
    Commits { node: usize, open: bool },
    /// A backup is put back in which a client was not as it is; the feed begins a new history.
    Restore { client: u8 },
    /// A standby takes over that lacks the last change, and a switched client takes its place.
    Failover { client: u8 },
    /// So many milliseconds pass.
    Pass(u64),
    /// So many milliseconds pass while the machines sleep.
    Sleep(u64),
    /// Somebody sets a node's wall clock forward by so many seconds.
    Set { node: usize, by: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        3 => (node(), 0..3_u8).prop_map(|(node, client)| Step::Switch { node, client }),
        3 => (node(), 0..20_u8).prop_map(|(node, token)| Step::Revoke { node, token }),
        8 => (node(), 0..20_u8, any::<bool>())
            .prop_map(|(node, token, strict)| Step::Ask { node, token, strict }),
        6 => (node(), 0..3_u8).prop_map(|(node, client)| Step::Look { node, client }),
        2 => (node(), 0..3_u8).prop_map(|(node, client)| Step::LookLater { node, client }),
        2 => (node(), any::<bool>()).prop_map(|(node, open)| Step::Rows { node, open }),
        1 => (node(), 0..20_u8, 0..1_900_u64, 0..2_500_u64)
            .prop_map(|(node, token, takes, lost)| Step::SlowFeed { node, token, takes, lost }),
        1 => (0..3_u8).prop_map(|client| Step::Restore { client }),
        1 => (0..3_u8).prop_map(|client| Step::Failover { client }),
        2 => node().prop_map(Step::Notify),
        1 => (node(), any::<bool>()).prop_map(|(node, cut)| Step::Cut { node, cut }),
        1 => (node(), any::<bool>()).prop_map(|(node, open)| Step::Feed { node, open }),
        1 => (node(), any::<bool>()).prop_map(|(node, open)| Step::Commits { node, open }),
        4 => (1..900_u64).prop_map(Step::Pass),
        1 => (1..5_000_u64).prop_map(Step::Sleep),
        1 => (node(), 0..10_u64).prop_map(|(node, by)| Step::Set { node, by }),
    ]
}

/// Lets the nodes do what they can do at once.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// What was made durable when, and who has been answered.
#[derive(Clone, Copy, Debug)]
struct Done {
    at: Duration,
    acknowledged: Option<usize>,
}

/// Behind everybody's back.
fn switch(state: &mut State, client: u8) {
    let client = state.clients.get_mut(&client_key(client)).expect("a client of the test");
    client.enabled = !client.enabled;
}

struct World {
    store: Arc<Fake>,
    nodes: Vec<One>,
    revoked: BTreeMap<u8, Done>,
    switched: BTreeMap<u8, Done>,
    /// Revocations that a failover has lost: a node that has applied one may say so or not.
    lost: BTreeSet<u8>,
    /// Clients of which a failover has lost the last change. A node that read such a row without
    /// hearing of the change cannot know that it never was, and may keep it until the client is changed
    /// again, or whoever promoted the standby has run `chancery restored`.
    undone: BTreeSet<u8>,
}

impl World {
    async fn new() -> Self {
        let store = store();
        let feed = FeedOptions { page: 3, ..FeedOptions::default() };
        let mut nodes = vec![];
        for _ in 0..NODES {
            let node = node_over(&store, CacheOptions { feed, ..CacheOptions::default() }, None).await;
            node.run();
            nodes.push(node);
        }
        Self {
            store,
            nodes,
            revoked: BTreeMap::new(),
            switched: BTreeMap::new(),
            lost: BTreeSet::new(),
            undone: BTreeSet::new(),
        }
    }

    /// All clocks since boot go alike.
    fn now(&self) -> Duration {
        self.nodes[0].clock.boot()
    }

    fn advance(&self, millis: u64) {
        self.nodes.iter().for_each(|node| node.clock.advance(Duration::from_millis(millis)));
    }

    /// Commits through a node, and says whether the store did it and whether the caller was answered.
    async fn commit(&self, node: usize, effect: Effect) -> Option<Done> {
        let (before, cached) = (self.store.state().head.seq, self.nodes[node].cached.clone());
        let task = tokio::spawn(async move { cached.commit(commit(effect)).await });
        settle().await;
        let done = self.store.state().head.seq > before;
        let acknowledged = task.is_finished() && task.await.expect("no panic").is_ok();
        done.then(|| Done { at: self.now(), acknowledged: acknowledged.then_some(node) })
    }

    /// Whether a node may still not know of something.
    fn may_be_unknown(&self, done: Done, node: usize) -> bool {
        done.acknowledged != Some(node) && self.now() <= done.at + FeedOptions::default().max_staleness
    }

    /// A change of a client that no caller was answered for.
    fn happened_elsewhere(&mut self, client: u8) {
        self.switched.insert(client, Done { at: self.now(), acknowledged: None });
    }

    fn fail_over(&mut self, client: u8) {
        let mut state = self.store.state();
        let Some((seq, lost)) = state.changes.pop() else { return };
        let undone = match lost {
            Change::Client { key, .. } => (0..3).find(|n| client_key(*n) == key),
            Change::Revoked { id, .. } => {
                state.revocations.retain(|(_, revoked), _| *revoked != id);
                self.lost.insert(id.0[0]);
                self.revoked.remove(&id.0[0]);
                None
            }
            other => panic!("no step makes {other:?}"),
        };
        undone.into_iter().for_each(|undone| switch(&mut state, undone));
        switch(&mut state, client);
        state
            .changes
            .push((seq, Change::Client { key: client_key(client), client_id: format!("client-{client}") }));
        drop(state);
        undone.into_iter().chain([client]).for_each(|client| self.happened_elsewhere(client));
        self.undone.extend(undone.filter(|undone| *undone != client));
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Switch { node, client } => {
                let enabled = self.store.state().clients[&client_key(client)].enabled;
                let effect = Effect::SetClientEnabled(client_key(client), !enabled);
                if let Some(done) = self.commit(node, effect).await {
                    self.switched.insert(client, done);
                    self.undone.remove(&client);
                }
            }
            Step::Revoke { node, token } => {
                if let Some(done) = self.commit(node, revoke(client_key(0), token)).await {
                    let first = self.revoked.entry(token).or_insert(done);
                    first.acknowledged = first.acknowledged.or(done.acknowledged);
                }
            }
            Step::Ask { node, token: n, strict } => {
                let what = token(client_key(0), n);
                let answer = self.nodes[node].cached.is_revoked(&what, strict).await;
                match (answer, self.revoked.get(&n)) {
                    (Ok(false), Some(done)) => assert!(
                        !strict && self.may_be_unknown(*done, node),
                        "{node} calls {n} alive at {:?}: {done:?}",
                        self.now()
                    ),
                    (Ok(true), None) if !self.lost.contains(&n) => panic!("{n} was never revoked"),
                    _ => {}
                }
            }
            Step::Look { node, client } => {
                let client_id = format!("client-{client}");
                let found = self.nodes[node].cached.client(&client_id);
                let Ok(found) = timeout(Duration::from_millis(1), found).await else { return };
                let enabled = self.store.state().clients[&client_key(client)].enabled;
                if let (Ok(Some(found)), Some(done)) = (found, self.switched.get(&client)) {
                    assert!(
                        found.enabled == enabled
                            || self.undone.contains(&client)
                            || self.may_be_unknown(*done, node),
                        "{node} has {client} as it was before {done:?} at {:?}",
                        self.now()
                    );
                }
            }
            Step::LookLater { node, client } => {
                let cached = self.nodes[node].cached.clone();
                tokio::spawn(async move { cached.client(&format!("client-{client}")).await });
                tokio::task::yield_now().await;
            }
            Step::SlowFeed { node, token, takes, lost } => {
                self.nodes[node].link.feed.close();
                self.nodes[node].cached.tail().signal().notify();
                settle().await;
                let elsewhere = (node + 1) % NODES;
                Box::pin(self.play(Step::Revoke { node: elsewhere, token })).await;
                self.advance(takes);
                self.nodes[node].link.feed.open();
                settle().await;
                self.nodes[node].link.cut(true);
                self.advance(lost);
                Box::pin(self.play(Step::Ask { node, token, strict: false })).await;
                self.nodes[node].link.cut(false);
            }
            Step::Restore { client } => {
                let mut state = self.store.state();
                state.head.epoch += 1;
                state.changes.clear();
                switch(&mut state, client);
                drop(state);
                // With the new history every node empties its caches, as soon as it has read of it.
                let undone = std::mem::take(&mut self.undone);
                undone.into_iter().chain([client]).for_each(|client| self.happened_elsewhere(client));
            }
            Step::Failover { client } => self.fail_over(client),
            Step::Rows { node, open: true } => self.nodes[node].link.rows.open(),
            Step::Rows { node, open: false } => self.nodes[node].link.rows.close(),
            Step::Notify(node) => self.nodes[node].cached.tail().signal().notify(),
            Step::Cut { node, cut } => self.nodes[node].link.cut(cut),
            Step::Feed { node, open: true } => self.nodes[node].link.feed.open(),
            Step::Feed { node, open: false } => self.nodes[node].link.feed.close(),
            Step::Commits { node, open: true } => self.nodes[node].link.commits.open(),
            Step::Commits { node, open: false } => self.nodes[node].link.commits.close(),
            Step::Pass(millis) => {
                self.advance(millis);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Step::Sleep(millis) => self.advance(millis),
            Step::Set { node, by } => {
                let clock = &self.nodes[node].clock;
                clock.set_wall(clock.now().plus(by));
            }
        }
    }

    /// Everything is well again: everybody knows everything.
    async fn end(self) {
        for node in &self.nodes {
            node.link.cut(false);
            node.link.rows.open();
            node.link.feed.open();
            node.link.commits.open();
        }
        for node in &self.nodes {
            node.read_feed().await;
            for token_of in self.revoked.keys() {
                let verdict = node.cached.tail().index().verdict(&token(client_key(0), *token_of));
                assert_eq!(verdict, Verdict::Revoked, "{token_of}");
            }
            for n in (0..3).filter(|n| !self.undone.contains(n)) {
                let truth = self.store.state().clients[&client_key(n)].clone();
                assert_eq!(node.client(n).await, truth);
            }
        }
    }
}

fn play(steps: Vec<Step>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.play(step).await;
        }
        world.end().await;
    });
}

/// A failover loses a change that a node has read the row of; a restore then makes every node read anew, for
/// which it has as long as for any other change.
#[test]
fn a_restore_ends_what_a_failover_left_in_memory_within_the_bound() {
    let pass = [Step::Pass(700); 3];
    let mut steps = vec![
        Step::Switch { node: 0, client: 0 },
        Step::Look { node: 1, client: 0 },
        Step::Failover { client: 1 },
    ];
    steps.extend(pass);
    steps.extend([Step::Restore { client: 2 }, Step::Look { node: 1, client: 0 }]);
    steps.extend(pass);
    steps.push(Step::Look { node: 1, client: 0 });
    play(steps);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn nobody_answers_from_knowledge_older_than_the_bound(steps in prop::collection::vec(step(), 1..80)) {
        play(steps);
    }
}
