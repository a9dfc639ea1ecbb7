//! The guard in front of a store that fails, hangs and comes back.

use std::{
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::sleep;

use super::*;
use crate::{
    observe::Labels,
    resilience::{BreakerState, deadline::enforce},
};

/// How the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Fails(StoreErrorKind),
    Hangs,
}

/// A store without rows.
struct Fake {
    mood: Mutex<Mood>,
    /// The feed has a connection of its own, so it can be better off.
    feed_mood: Mutex<Mood>,
    /// Calls of the request path and of upkeep.
    calls: AtomicU64,
}

impl Fake {
    async fn answer<T, E: From<StoreError>>(&self, value: T) -> Result<T, E> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        in_mood(mood, value).await
    }

    async fn feed_answer<T>(&self, value: T) -> Result<T, StoreError> {
        let mood = *self.feed_mood.lock().unwrap();
        in_mood(mood, value).await
    }
}

async fn in_mood<T, E: From<StoreError>>(mood: Mood, value: T) -> Result<T, E> {
    match mood {
        Mood::Well => Ok(value),
        Mood::Fails(kind) => Err(StoreError::new(kind, "on purpose").into()),
        Mood::Hangs => pending().await,
    }
}

#[async_trait]
impl Clients for Fake {
    async fn client(&self, _: &str) -> Result<Option<Arc<Client>>, StoreError> {
        self.answer(None).await
    }
    async fn client_by_key(&self, _: ClientKey) -> Result<Option<Arc<Client>>, StoreError> {
        self.answer(None).await
    }
    async fn clients(&self, _: Option<ClientKey>, _: usize) -> Result<Vec<Client>, StoreError> {
        self.answer(vec![]).await
    }
    async fn resource(&self, _: &str) -> Result<Option<Arc<Resource>>, StoreError> {
        self.answer(None).await
    }
    async fn resources(&self, _: Option<Id>, _: usize) -> Result<Vec<Resource>, StoreError> {
        self.answer(vec![]).await
    }
}

#[async_trait]
impl Users for Fake {
    async fn user(&self, _: UserId) -> Result<Option<Arc<User>>, StoreError> {
        self.answer(None).await
    }
    async fn user_by_name(&self, _: &str) -> Result<Option<User>, StoreError> {
        self.answer(None).await
    }
    async fn users(&self, _: Option<UserId>, _: usize) -> Result<Vec<User>, StoreError> {
        self.answer(vec![]).await
    }
    async fn session(&self, _: &Digest) -> Result<Option<Session>, StoreError> {
        self.answer(None).await
    }
    async fn session_by_id(&self, _: SessionId) -> Result<Option<Session>, StoreError> {
        self.answer(None).await
    }
    async fn sessions(&self, _: UserId) -> Result<Vec<Session>, StoreError> {
        self.answer(vec![]).await
    }
    async fn consent(&self, _: UserId, _: ClientKey) -> Result<Option<Consent>, StoreError> {
        self.answer(None).await
    }
    async fn consents(&self, _: UserId) -> Result<Vec<Consent>, StoreError> {
        self.answer(vec![]).await
    }
}

#[async_trait]
impl Grants for Fake {
    async fn code(&self, _: &Digest) -> Result<Option<Code>, StoreError> {
        self.answer(None).await
    }
    async fn rotation(&self, _: &RefreshToken, _: UnixTime) -> Result<Option<Rotation>, StoreError> {
        self.answer(None).await
    }
    async fn family(&self, _: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
        self.answer(None).await
    }
}

#[async_trait]
impl Keys for Fake {
    async fn signing_keys(&self, _: bool) -> Result<Vec<SigningKey>, StoreError> {
        self.answer(vec![]).await
    }
}

#[async_trait]
impl FeedReads for Fake {
    async fn feed(&self, _: u64, _: usize) -> Result<FeedPage, StoreError> {
        self.feed_answer(FeedPage::default()).await
    }
    async fn revocations(
        &self,
        _: Option<(RevocationKind, Id)>,
        _: usize,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.feed_answer(vec![]).await
    }
    async fn revocations_of(&self, _: &[(RevocationKind, Id)]) -> Result<Vec<Revocation>, StoreError> {
        self.feed_answer(vec![]).await
    }
}

#[async_trait]
impl Commits for Fake {
    async fn commit(&self, _: Commit) -> Result<Committed, CommitError> {
        self.answer(Committed::default()).await
    }
}

#[async_trait]
impl Upkeep for Fake {
    async fn probe(&self) -> Result<(), StoreError> {
        self.answer(()).await
    }
    async fn sweep(&self, _: UnixTime, _: usize) -> Result<Swept, StoreError> {
        self.answer(vec![]).await
    }
    async fn backup(&self, _: &Path) -> Result<(), StoreError> {
        self.answer(()).await
    }
    async fn restored(&self, _: UnixTime, _: UnixTime) -> Result<(), StoreError> {
        self.answer(()).await
    }
    async fn schema_version(&self) -> Result<u32, StoreError> {
        self.answer(1).await
    }
    async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
        self.answer(StorageStatistics::default()).await
    }
    async fn close(&self) {}
}

fn guard(options: GuardOptions) -> Arc<Guard<Fake>> {
    let well = || Mutex::new(Mood::Well);
    let store = Fake { mood: well(), feed_mood: well(), calls: AtomicU64::new(0) };
    Arc::new(Guard::new(Arc::new(store), options))
}

/// A guard that never retries, so that calls can be counted.
fn once() -> Arc<Guard<Fake>> {
    let mut options = GuardOptions::default();
    options.retry.times = 0;
    guard(options)
}

/// A guard that lets one read in at a time.
fn with_one_place() -> Arc<Guard<Fake>> {
    let reads = BulkheadOptions { places: 1, waiters: 0, wait: SECOND };
    guard(GuardOptions { reads, ..GuardOptions::default() })
}

impl Guard<Fake> {
    fn mood(&self, mood: Mood) {
        *self.store.mood.lock().unwrap() = mood;
        *self.store.feed_mood.lock().unwrap() = mood;
    }

    fn calls(&self) -> u64 {
        self.store.calls.load(Ordering::SeqCst)
    }

    /// Fails until the breaker opens.
    async fn break_down(&self) {
        self.mood(Mood::Fails(StoreErrorKind::Connection));
        for _ in 0..self.options.breaker.min_calls {
            let failed = self.client("c").await;
            assert!(failed.is_err());
        }
        assert_eq!(self.breaker.state(), BreakerState::Open);
    }

    async fn commit_something(&self) -> Result<Committed, CommitError> {
        let id = CommitId(Id([1; 16]));
        self.commit(Commit { id, at: UnixTime(1), spend: None, effects: vec![] }).await
    }
}

fn kind(error: CommitError) -> StoreErrorKind {
    error.store_failure().expect("the store failed").kind
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_read_that_failed_for_once_is_made_again() {
    for failure in [StoreErrorKind::Connection, StoreErrorKind::Serialization] {
        let guard = guard(GuardOptions::default());
        guard.mood(Mood::Fails(failure));
        let reading = tokio::spawn({
            let guard = Arc::clone(&guard);
            async move { guard.client("c").await }
        });
        // The first try has failed and pauses; time stands still meanwhile.
        tokio::task::yield_now().await;
        assert_eq!(guard.calls(), 1);
        guard.mood(Mood::Well);
        assert!(reading.await.expect("no panic").is_ok(), "{failure}");
        assert_eq!(guard.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_not_made_again() {
    for failure in [StoreErrorKind::Constraint, StoreErrorKind::Io, StoreErrorKind::Other] {
        let guard = guard(GuardOptions::default());
        guard.mood(Mood::Fails(failure));
        assert_eq!(guard.client("c").await.expect_err("it fails").kind, failure);
        assert_eq!(guard.calls(), 1, "{failure}");
    }
}

/// I2
#[tokio::test(start_paused = true)]
async fn a_commit_is_made_again_only_if_nothing_of_it_was_done() {
    for (failure, calls) in [
        (StoreErrorKind::Serialization, 4),
        // Once more would be as long a wait again.
        (StoreErrorKind::Busy, 1),
        (StoreErrorKind::Connection, 1),
        (StoreErrorKind::Io, 1),
        (StoreErrorKind::Other, 1),
    ] {
        let guard = guard(GuardOptions::default());
        guard.mood(Mood::Fails(failure));
        assert_eq!(kind(guard.commit_something().await.expect_err("it fails")), failure);
        assert_eq!(guard.calls(), calls, "{failure}");
    }
    let guard = guard(GuardOptions::default());
    guard.mood(Mood::Hangs);
    assert_eq!(kind(guard.commit_something().await.expect_err("nobody knows")), StoreErrorKind::Connection);
    assert_eq!(guard.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_without_asking_the_store() {
    let guard = once();
    guard.break_down().await;
    let (calls, begun) = (guard.calls(), Instant::now());
    assert_eq!(guard.client("c").await.expect_err("open").kind, StoreErrorKind::Connection);
    assert_eq!(kind(guard.commit_something().await.expect_err("open")), StoreErrorKind::Connection);
    assert_eq!((guard.calls(), begun.elapsed()), (calls, Duration::ZERO));
    assert_eq!(guard.breaker.statistics().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_found_without_a_restart() {
    let guard = once();
    guard.break_down().await;
    guard.mood(Mood::Well);
    sleep(guard.options.breaker.open_for_most).await;
    for _ in 0..guard.options.breaker.probes {
        assert!(guard.client("c").await.is_ok());
    }
    assert_eq!(guard.breaker.state(), BreakerState::Closed);
}

/// I6
#[tokio::test(start_paused = true)]
async fn the_feed_is_read_whatever_the_breaker_says_and_tells_it_when_the_store_is_back() {
    let guard = once();
    guard.break_down().await;
    guard.mood(Mood::Well);
    for _ in 0..=guard.options.breaker.probes {
        assert!(guard.feed(0, 10).await.is_ok());
    }
    assert_eq!(guard.breaker.state(), BreakerState::Closed);
    assert!(guard.client("c").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_that_hang_take_no_place_of_the_feed() {
    let guard = with_one_place();
    *guard.store.mood.lock().unwrap() = Mood::Hangs;
    let hanging = Arc::clone(&guard);
    let hanging = tokio::spawn(async move { hanging.client("c").await });
    tokio::task::yield_now().await;
    assert_eq!(guard.client("c").await.expect_err("no place").kind, StoreErrorKind::Connection);
    assert_eq!(guard.calls(), 1);
    assert!(guard.feed(0, 10).await.is_ok());
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn a_commit_needs_no_place_among_the_reads() {
    let guard = with_one_place();
    let _place = guard.reads.enter().await.expect("a place is free");
    assert!(guard.client("c").await.is_err());
    assert!(guard.commit_something().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_store_past_the_deadline_of_the_request() {
    let guard = once();
    guard.mood(Mood::Hangs);
    let begun = Instant::now();
    let answer = enforce(SECOND, guard.client("c")).await.expect("the guard answers in time");
    assert_eq!(answer.expect_err("late").kind, StoreErrorKind::Connection);
    let answer = enforce(SECOND, guard.commit_something()).await.expect("the guard answers in time");
    assert_eq!(kind(answer.expect_err("late")), StoreErrorKind::Connection);
    assert_eq!(begun.elapsed(), SECOND * 2);
    // Without a request there are limits, too.
    assert!(guard.client("c").await.is_err());
    assert_eq!(begun.elapsed(), SECOND * 2 + guard.options.read_timeout);
    assert!(guard.probe().await.is_err());
    assert_eq!(begun.elapsed(), SECOND * 2 + guard.options.read_timeout * 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_time_is_up_asks_nothing_any_more() {
    let guard = once();
    let late = enforce(SECOND, async {
        let waited = within(SECOND * 2, pending::<()>()).await;
        assert!(waited.is_err());
        guard.commit_something().await
    });
    assert!(late.await.expect("the guard answers at once").is_err());
    assert_eq!(guard.calls(), 0);
    assert_eq!(guard.breaker.statistics().state, BreakerState::Closed);
}

/// A client that gives up early must not hide that the store hangs; one that leaves at once says nothing.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_opens_the_breaker_although_all_clients_go_away() {
    for (patience, expected) in
        [(Duration::from_millis(600), BreakerState::Open), (Duration::from_millis(10), BreakerState::Closed)]
    {
        let guard = once();
        guard.mood(Mood::Hangs);
        for _ in 0..guard.options.breaker.min_calls {
            tokio::select! {
                _ = guard.client("c") => panic!("it hangs"),
                () = sleep(patience / 10) => {}
            }
        }
        assert_eq!(guard.breaker.state(), BreakerState::Closed);
        let calls = (0..guard.options.breaker.min_calls).map(|_| async {
            tokio::select! {
                _ = guard.client("c") => panic!("it hangs"),
                () = sleep(patience) => {}
            }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(guard.breaker.state(), expected, "{patience:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_clients_do_wrong_opens_nothing() {
    let guard = once();
    for failure in [
        StoreErrorKind::Constraint,
        StoreErrorKind::Serialization,
        StoreErrorKind::Busy,
        StoreErrorKind::Other,
    ] {
        guard.mood(Mood::Fails(failure));
        for _ in 0..guard.options.breaker.min_calls * 2 {
            assert!(guard.client("c").await.is_err());
        }
    }
    assert_eq!(guard.breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn times_failures_and_retries_are_counted() {
    let metrics =
        Metrics::new(Labels { operations: OPERATIONS.to_vec(), backend: "postgres", ..Labels::default() });
    let guard = guard(GuardOptions::default());
    guard.measure(Arc::clone(&metrics));
    assert!(guard.client("c").await.is_ok());
    assert!(guard.feed(0, 1).await.is_ok());
    guard.mood(Mood::Fails(StoreErrorKind::Serialization));
    assert!(guard.commit_something().await.is_err());
    let text = metrics.encode();
    let durations = r#"chancery_db_query_duration_seconds_count{backend="postgres",operation"#;
    for line in [
        format!("{durations}=\"client\"}} 1"),
        format!("{durations}=\"feed\"}} 1"),
        format!("{durations}=\"commit\"}} 4"),
        format!("{durations}=\"family\"}} 0"),
        r#"chancery_db_errors_total{backend="postgres",kind="serialization"} 4"#.to_owned(),
        r#"chancery_retries_total{dependency="sql"} 3"#.to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
