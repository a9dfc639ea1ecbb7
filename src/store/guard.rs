//! A store that nobody waits for in vain: deadlines, bulkheads, retries and a circuit breaker around each
//! call, and the time it took.
//!
//! Reads may be made again when they failed; a commit only if nothing of it can have been done. The feed
//! and upkeep pass neither bulkhead nor breaker: this node's freshness hangs on the one, and the other
//! shows how the store is. What they find out tells the breaker when the store is back.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{operation::operation, *};
use crate::{
    model::*,
    observe::{
        self, Metrics,
        trace::{self, Fact, Work},
    },
    resilience::{
        Breaker, BreakerOptions, Bulkhead, BulkheadOptions, Full, Permit, Retry, RetryOptions,
        deadline::{Expired, obeyed, within},
    },
};

/// What the guard lets through, and for how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct GuardOptions {
    /// When the breaker opens.
    pub breaker: BreakerOptions,
    /// Reads of the request path at once.
    pub reads: BulkheadOptions,
    /// Commits at once. Those that are gathered into one batch each have a place.
    pub commits: BulkheadOptions,
    /// How reads, and commits of which nothing was done, are tried again.
    pub retry: RetryOptions,
    /// The longest a read may take.
    pub read_timeout: Duration,
    /// The longest a commit may take.
    pub commit_timeout: Duration,
    /// A call that was given up after so long, because the request's time was up or the client had gone,
    /// says that the store does not answer.
    pub given_up_after: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        let wait = Duration::from_secs(1);
        Self {
            breaker: BreakerOptions::default(),
            reads: BulkheadOptions { places: 1_024, waiters: 4_096, wait },
            commits: BulkheadOptions { places: 4_096, waiters: 4_096, wait },
            retry: RetryOptions::default(),
            read_timeout: Duration::from_secs(5),
            commit_timeout: Duration::from_secs(10),
            given_up_after: Duration::from_millis(500),
        }
    }
}

/// A guarded store.
pub struct Guard<S: ?Sized> {
    store: Arc<S>,
    options: GuardOptions,
    breaker: Arc<Breaker>,
    reads: Bulkhead,
    commits: Bulkhead,
    retry: Retry,
    meter: OnceLock<Meter>,
}

/// Where times and failures are counted.
struct Meter {
    metrics: Arc<Metrics>,
    operations: [Option<observe::OperationLabel>; OPERATIONS.len()],
}

impl<S: Store + ?Sized> Guard<S> {
    /// Guards a store.
    pub fn new(store: Arc<S>, options: GuardOptions) -> Self {
        Self {
            store,
            breaker: Arc::new(Breaker::new(options.breaker)),
            reads: Bulkhead::new(options.reads),
            commits: Bulkhead::new(options.commits),
            retry: Retry::new(options.retry),
            meter: OnceLock::new(),
            options,
        }
    }

    /// Counts times, failures and retries from now on. Only the first call of this has an effect.
    pub fn measure(&self, metrics: Arc<Metrics>) {
        let operations = OPERATIONS.map(|name| metrics.operation(name));
        // A second one is a mistake in the wiring that harms nobody.
        let _ = self.meter.set(Meter { metrics, operations });
    }

    /// The store below.
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// What decides whether the store is asked.
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// A read of the request path.
    async fn read<T, F>(&self, of: Operation, mut call: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let _place = self.reads.enter().await.map_err(|full| self.crowded(full))?;
        let limit = self.options.read_timeout;
        let outcome = self.retry.run(
            || self.attempt(of, limit, call()),
            |failed| failed.answered && may_read_again(failed.error.kind),
            || self.again(),
        );
        outcome.await.map_err(|failed| failed.error)
    }

    /// A call of the request path, if the breaker lets it through.
    async fn attempt<T, E: StoreFailure>(
        &self,
        of: Operation,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failed<E>> {
        match self.breaker.admit() {
            Ok(permit) => self.watched(Some(permit), of, Some(limit), work).await,
            Err(refused) => Err(self.not_asked(refused.to_string())),
        }
    }

    /// A call that is made whatever the breaker says.
    async fn unasked<T>(
        &self,
        of: Operation,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.watched(None, of, limit, work).await.map_err(|failed| failed.error)
    }

    /// Makes a call; tells the breaker and the metrics how it went.
    async fn watched<T, E: StoreFailure>(
        &self,
        permit: Option<Permit<'_>>,
        of: Operation,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failed<E>> {
        let mut call =
            GuardedCall { guard: self, permit, begun: Instant::now(), patience: self.options.given_up_after };
        let asked = async {
            let answer = match limit {
                Some(limit) => within(limit, work).await,
                None => obeyed(work).await,
            };
            match answer.as_ref().map(|answer| answer.as_ref().err().and_then(E::store_failure)) {
                Err(Expired) => trace::note(Fact::Failed("timeout")),
                Ok(Some(error)) => trace::note(Fact::Failed(error.kind.as_str())),
                Ok(None) => {}
            }
            answer
        };
        let Ok(answer) = trace::traced(Work::Store(OPERATIONS[of]), asked).await else {
            let took = call.begun.elapsed();
            call.patience = limit.map_or(call.patience, |limit| limit.min(call.patience));
            return Err(
                self.not_asked(format!("no answer of the store within {took:?}; the outcome is unknown"))
            );
        };
        let failure = answer.as_ref().err().and_then(E::store_failure);
        if let Some(meter) = self.meter.get() {
            meter.operations[of].inspect(|of| meter.metrics.query(*of, call.begun.elapsed()));
            failure.inspect(|error| meter.metrics.store_error(error.kind.as_str()));
        }
        call.end(failure.is_none_or(|error| !is_trouble(error.kind)));
        answer.map_err(|error| Failed { error, answered: true })
    }

    /// An error of ours, counted.
    fn not_asked<E: StoreFailure>(&self, message: String) -> Failed<E> {
        Failed { error: self.unavailable(message).into(), answered: false }
    }

    fn crowded(&self, full: Full) -> StoreError {
        self.unavailable(format!("the store is overloaded: {full}"))
    }

    fn unavailable(&self, message: String) -> StoreError {
        let error = StoreError::new(StoreErrorKind::Connection, message);
        if let Some(meter) = self.meter.get() {
            meter.metrics.store_error(error.kind.as_str());
        }
        error
    }

    fn again(&self) {
        if let Some(meter) = self.meter.get() {
            meter.metrics.retried();
        }
    }
}

#[async_trait]
impl<S: Store + ?Sized> Commits for Guard<S> {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let _place = self.commits.enter().await.map_err(|full| self.crowded(full))?;
        let (of, limit) = (const { operation("commit") }, self.options.commit_timeout);
        let outcome = self.retry.run(
            || self.attempt(of, limit, self.store.commit(commit.clone())),
            |failed| failed.answered && nothing_was_done(&failed.error),
            || self.again(),
        );
        outcome.await.map_err(|failed| failed.error)
    }
}

delegate! {
    impl [S: Store + ?Sized] Clients, Users, Grants, Keys
    for Guard<S> => { |this| this.store, |call, of| this.read(of, call) }
}

delegate! {
    impl [S: Store + ?Sized] FeedReads
    for Guard<S> => { |this| this.store, |call, of| this.unasked(of, Some(this.options.read_timeout), call()) }
}

delegate! {
    impl [S: Store + ?Sized] Upkeep
    for Guard<S> => { |this| this.store, |call, of| this.unasked(of, upkeep_timeout(of, &this.options), call()) }
}

/// A probe that does not come back is an answer, too; a backup takes as long as it takes.
fn upkeep_timeout(of: Operation, options: &GuardOptions) -> Option<Duration> {
    (of == const { operation("probe") }).then_some(options.read_timeout)
}

/// Why a call failed, and whether it was the store that said so.
struct Failed<E> {
    error: E,
    answered: bool,
}

/// A call under way. When it is dropped before its end, nobody wanted to wait any longer.
struct GuardedCall<'g, S: Store + ?Sized> {
    guard: &'g Guard<S>,
    permit: Option<Permit<'g>>,
    begun: Instant,
    patience: Duration,
}

impl<S: Store + ?Sized> GuardedCall<'_, S> {
    fn end(mut self, well: bool) {
        self.report(well);
        self.patience = Duration::MAX;
    }

    fn report(&mut self, well: bool) {
        match self.permit.take() {
            Some(permit) if well => permit.succeeded(),
            Some(permit) => permit.failed(),
            None => self.guard.breaker.record(well),
        }
    }
}

impl<S: Store + ?Sized> Drop for GuardedCall<'_, S> {
    fn drop(&mut self) {
        if self.begun.elapsed() >= self.patience {
            self.report(false);
        }
    }
}

/// Errors that a store's failure may be inside of.
trait StoreFailure: From<StoreError> {
    fn store_failure(&self) -> Option<&StoreError>;
}

impl StoreFailure for StoreError {
    fn store_failure(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl StoreFailure for CommitError {
    fn store_failure(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Whether a failure says that the store itself is not well. Being busy or damaged in one row does not.
fn is_trouble(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Connection | StoreErrorKind::Io)
}

fn may_read_again(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Connection | StoreErrorKind::Serialization)
}

/// A transaction that lost to others was undone as a whole. After a lost connection nobody knows.
fn nothing_was_done(error: &CommitError) -> bool {
    error.store_failure().is_some_and(|error| error.kind == StoreErrorKind::Serialization)
}

#[cfg(test)]
mod tests;
