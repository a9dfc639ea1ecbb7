//! Group commit on a store that writes nothing: who goes with whom, and what each is told.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use super::*;

/// Writes nothing: keeps the ids of each turn, and lets a turn end when the test says so.
struct Fake {
    turns: Mutex<Vec<Vec<u8>>>,
    gate: Semaphore,
    /// Commits with these ids conflict.
    conflicts: HashSet<u8>,
    /// A turn with this id panics.
    panics: Option<u8>,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
}

impl Fake {
    fn new() -> Self {
        Self {
            turns: Mutex::default(),
            gate: Semaphore::new(0),
            conflicts: HashSet::new(),
            panics: None,
            most_at_once: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
        }
    }

    fn turns(&self) -> Vec<Vec<u8>> {
        self.turns.lock().expect("no panic").clone()
    }

    async fn turn(&self, batch: &[Commit]) -> Vec<Outcome> {
        self.turns.lock().expect("no panic").push(batch.iter().map(number).collect());
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        self.gate.acquire().await.expect("open").forget();
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        assert!(!batch.iter().any(|commit| Some(number(commit)) == self.panics), "as the test wants");
        let outcome = |commit| match self.conflicts.contains(&number(commit)) {
            true => Err(CommitError::Conflict("user")),
            false => Ok(Committed { changes: vec![Change::User { id: UserId(commit.id.0) }] }),
        };
        batch.iter().map(outcome).collect()
    }
}

#[async_trait]
impl Batches for Fake {
    async fn write(&self, batch: Vec<Commit>) -> Vec<Outcome> {
        self.turn(&batch).await
    }

    fn gathers(&self, commit: &Commit) -> bool {
        !commit.effects.iter().any(|effect| matches!(effect, Effect::EndSessions(_)))
    }
}

#[async_trait]
impl Commits for Fake {
    async fn commit(&self, commit: Commit) -> Outcome {
        self.turn(&[commit]).await.remove(0)
    }
}

fn number(commit: &Commit) -> u8 {
    commit.id.0.0[0]
}

fn id(number: u8) -> Id {
    Id([number; 16])
}

/// A commit that names one row.
fn naming(number: u8, row: u8) -> Commit {
    let effects = vec![Effect::TouchSession(SessionId(id(row)), UnixTime(1))];
    Commit { id: CommitId(id(number)), at: UnixTime(1), spend: None, effects }
}

fn commit(number: u8) -> Commit {
    naming(number, number)
}

fn alone(number: u8) -> Commit {
    Commit { effects: vec![Effect::EndSessions(UserId(id(number)))], ..commit(number) }
}

fn batched(fake: Fake, lanes: usize) -> Arc<Batched<Fake>> {
    Arc::new(Batched::new(Arc::new(fake), BatchOptions { lanes, queue: 50, ..BatchOptions::default() }))
}

type Running = tokio::task::JoinHandle<Outcome>;

/// Begins commits, and returns when each of them is in the queue or in flight.
async fn begin(batched: &Arc<Batched<Fake>>, commits: impl IntoIterator<Item = Commit>) -> Vec<Running> {
    let mut running = Vec::new();
    for commit in commits {
        let batched = Arc::clone(batched);
        running.push(tokio::spawn(async move { batched.commit(commit).await }));
        // On one thread, whoever was begun first is polled first.
        tokio::task::yield_now().await;
    }
    settle().await;
    running
}

/// Lets every task run until all of them wait.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn done(running: Vec<Running>) -> Vec<Outcome> {
    let ended = futures_util::future::join_all(running).await;
    ended.into_iter().map(|outcome| outcome.expect("no panic reaches a caller")).collect()
}

#[tokio::test]
async fn the_first_goes_at_once_and_all_who_wait_go_together() {
    let batched = batched(Fake::new(), 1);
    let mut running = begin(&batched, [commit(9)]).await;
    assert_eq!(batched.store().turns(), [[9]], "nothing is waited for");
    running.extend(begin(&batched, [3, 1, 2].map(commit)).await);
    assert_eq!(batched.store().turns().len(), 1, "the only lane is busy");
    batched.store().gate.add_permits(2);
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().turns(), [vec![9], vec![1, 2, 3]], "sorted by key");
}

#[tokio::test]
async fn each_caller_learns_its_own_outcome() {
    let batched = batched(Fake { conflicts: HashSet::from([2, 7]), ..Fake::new() }, 2);
    batched.store().gate.add_permits(100);
    let running = begin(&batched, (0..20).rev().map(commit)).await;
    for (number, outcome) in (0..20).rev().zip(done(running).await) {
        match outcome {
            Ok(committed) => assert_eq!(committed.changes, [Change::User { id: UserId(id(number)) }]),
            Err(CommitError::Conflict("user")) => assert!([2, 7].contains(&number)),
            Err(other) => panic!("{number}: {other}"),
        }
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_there_are_lanes() {
    let batched = batched(Fake::new(), 3);
    let running = begin(&batched, (0..40).map(commit)).await;
    assert_eq!(batched.store().turns().len(), 3);
    batched.store().gate.add_permits(100);
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().most_at_once.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_row_is_in_one_batch_at_a_time() {
    let batched = batched(Fake::new(), 2);
    let running = begin(&batched, [naming(1, 5), naming(2, 5), naming(3, 6), naming(4, 5)]).await;
    assert_eq!(batched.store().turns(), [[1], [3]], "the others wait for the first");
    batched.store().gate.add_permits(100);
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().turns(), [[1], [3], [2], [4]], "in the order they came");
}

#[tokio::test]
async fn what_cannot_be_gathered_goes_alone_and_soon() {
    let batched = batched(Fake::new(), 1);
    let running = begin(&batched, [commit(1), commit(2), alone(3), commit(4), alone(5), commit(6)]).await;
    batched.store().gate.add_permits(100);
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().turns(), [vec![1], vec![2, 4, 6], vec![3], vec![5]]);
}

#[tokio::test]
async fn a_panic_is_told_to_all_it_concerns_and_to_nobody_else() {
    let batched = batched(Fake { panics: Some(3), ..Fake::new() }, 1);
    let running = begin(&batched, [commit(9), commit(2), commit(3)]).await;
    batched.store().gate.add_permits(100);
    let outcomes = done(running).await;
    let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, true], "the first went by itself");
    let after = done(begin(&batched, [commit(2)]).await).await;
    assert!(after[0].is_ok(), "the lane goes on, and nothing is held");
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_only_its_own_along() {
    let batched = batched(Fake::new(), 1);
    let mut running = begin(&batched, [commit(1), commit(2), commit(3), commit(4)]).await;
    running.remove(2).abort();
    running.remove(0).abort();
    settle().await;
    batched.store().gate.add_permits(100);
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(
        batched.store().turns(),
        [vec![1], vec![2, 4]],
        "what was begun is written, what waited is not"
    );
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    let batched = batched(Fake::new(), 1);
    let running = begin(&batched, (0..51).map(commit)).await;
    match batched.commit(commit(99)).await {
        Err(CommitError::Store(error)) => {
            assert_eq!(error.kind, StoreErrorKind::Busy);
            assert!(error.message.contains("busy"), "{error}");
        }
        other => panic!("one in flight and fifty in the queue: {other:?}"),
    }
    batched.store().gate.add_permits(100);
    assert!(done(running).await.iter().all(Result::is_ok));
}

/// F17: what was begun is waited for, what was not is refused, and is not written after that.
#[tokio::test(start_paused = true)]
async fn a_commit_whose_writing_does_not_begin_in_time_is_refused_and_never_written() {
    let batched = batched(Fake::new(), 1);
    let running = begin(&batched, [commit(1), commit(2)]).await;
    tokio::time::advance(BatchOptions::default().wait / 2).await;
    let late = begin(&batched, [commit(3)]).await;
    tokio::time::sleep(BatchOptions::default().wait * 3 / 4).await;
    assert!(!running[0].is_finished() && running[1].is_finished() && !late[0].is_finished());
    batched.store().gate.add_permits(100);
    let outcomes = done(running).await;
    assert!(outcomes[0].is_ok());
    match &outcomes[1] {
        Err(CommitError::Store(error)) => assert_eq!(error.kind, StoreErrorKind::Busy),
        other => panic!("it was refused: {other:?}"),
    }
    assert!(done(late).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().turns(), [vec![1], vec![3]]);
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_takes_no_more() {
    let batched = batched(Fake::new(), 1);
    let running = begin(&batched, (0..9).map(commit)).await;
    let closing = tokio::spawn({
        let batched = Arc::clone(&batched);
        async move { batched.lanes.close().await }
    });
    settle().await;
    assert!(!closing.is_finished());
    match batched.commit(commit(99)).await {
        Err(CommitError::Store(error)) => assert_eq!(error.kind, StoreErrorKind::Connection),
        other => panic!("it is closed: {other:?}"),
    }
    batched.store().gate.add_permits(100);
    closing.await.expect("it closes");
    assert!(done(running).await.iter().all(Result::is_ok));
    assert_eq!(batched.store().turns().concat().len(), 9);
}
