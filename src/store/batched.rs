//! Group commit: concurrent commits are gathered and written together, and each caller learns its own
//! outcome when the batch is durable.
//!
//! There is no artificial delay. A commit that finds a free lane goes at once; whoever arrives while
//! every lane is busy waits, and goes with all the others who waited. What a batch may hold is decided
//! by [`plan`](plan::plan), which is pure.

mod plan;

use std::{
    collections::VecDeque,
    convert::Infallible,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use self::plan::{Held, Named, plan};
use super::*;
use crate::model::*;

/// Writes many commits at once.
#[async_trait]
pub trait Batches: Send + Sync {
    /// Writes a batch; outcome i is commit i's. Everything acknowledged is durable. One's conflict never
    /// fails another's. No two of the commits name the same row, and [`gathers`](Self::gathers) each.
    async fn write(&self, batch: Vec<Commit>) -> Vec<Result<Committed, CommitError>>;

    /// Whether a commit may be part of a batch. What may not is committed alone, by [`Commits::commit`].
    fn gathers(&self, commit: &Commit) -> bool;
}

/// How much is written at once.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Batches (and commits that go alone) in flight at most: each takes a connection.
    pub lanes: usize,
    /// Commits in one batch at most.
    pub batch: usize,
    /// Commits that may wait; more are refused as busy.
    pub queue: usize,
    /// How long a commit may wait until its writing begins; then it is refused as busy.
    pub wait: Duration,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { lanes: 2, batch: 256, queue: 10_000, wait: Duration::from_secs(1) }
    }
}

type Outcome = Result<Committed, CommitError>;

/// A commit that waits, and where its outcome is told.
struct Waiting {
    commit: Commit,
    named: Named,
    /// Whether it must go alone.
    alone: bool,
    /// Dropped when its writing begins.
    begun: Option<oneshot::Sender<Infallible>>,
    reply: oneshot::Sender<Outcome>,
}

/// What the caller of a commit waits for.
struct Caller {
    begun: oneshot::Receiver<Infallible>,
    outcome: oneshot::Receiver<Outcome>,
}

/// A store whose commits are gathered. A caller that goes away while its commit waits takes it along;
/// once the commit is being written, it is written.
pub struct Batched<S> {
    store: Arc<S>,
    lanes: Arc<Lanes<S>>,
}

impl<S: Batches + Commits + 'static> Batched<S> {
    /// Gathers the commits to a store. Batches run on the runtime this is called from, whichever the
    /// caller of a commit runs on: a server's workers end one after the other.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(store: Arc<S>, options: BatchOptions) -> Self {
        let lanes = Lanes {
            store: Arc::clone(&store),
            options,
            runtime: tokio::runtime::Handle::current(),
            state: Mutex::default(),
            finished: Notify::new(),
            on_batch: OnceLock::new(),
        };
        Self { store, lanes: Arc::new(lanes) }
    }

    /// The store below.
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// Calls `written` with the number of commits that are written together, each time. Only the first
    /// call of this has an effect.
    pub fn on_batch(&self, written: impl Fn(usize) + Send + Sync + 'static) {
        // A second observer is a mistake in the wiring that harms nobody.
        let _ = self.lanes.on_batch.set(Box::new(written));
    }
}

#[async_trait]
impl<S: Batches + Commits + 'static> Commits for Batched<S> {
    async fn commit(&self, commit: Commit) -> Outcome {
        let mut caller = self.lanes.queue(commit)?;
        let begun = timeout(self.lanes.options.wait, &mut caller.begun).await;
        if begun.is_err() && self.lanes.gave_up(&mut caller) {
            return Err(busy("those before it are not written").into());
        }
        caller.outcome.await.unwrap_or_else(|_| Err(closed().into()))
    }
}

delegate! {
    impl [S: Batches + Store + 'static] Clients, Users, Grants, Keys, FeedReads, Upkeep
    for Batched<S> => { |this| this.store, closing this.lanes.close() }
}

/// The queue, and the tasks that empty it.
struct Lanes<S> {
    store: Arc<S>,
    options: BatchOptions,
    runtime: tokio::runtime::Handle,
    state: Mutex<State>,
    finished: Notify,
    on_batch: OnceLock<Box<dyn Fn(usize) + Send + Sync>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    /// The rows named by what is in flight.
    held: Held,
    running: usize,
    closed: bool,
}

impl<S: Batches + Commits + 'static> Lanes<S> {
    /// Puts a commit in the queue and sees to it that a lane runs.
    fn queue(self: &Arc<Self>, commit: Commit) -> Result<Caller, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let (begins, begun) = oneshot::channel();
        let named = Named::by(&commit);
        let alone = named.twice() || !self.store.gathers(&commit);
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        if state.queue.len() >= self.options.queue {
            state.queue.retain(|waiting| !waiting.reply.is_closed());
        }
        if state.queue.len() >= self.options.queue {
            return Err(busy("the queue of writes is full"));
        }
        state.queue.push_back(Waiting { commit, named, alone, begun: Some(begins), reply });
        self.start(&mut state);
        Ok(Caller { begun, outcome })
    }

    /// Whether a commit was still in the queue; then it will not be written.
    fn gave_up(&self, caller: &mut Caller) -> bool {
        // No lane takes a turn meanwhile; the next turn drops what nobody waits for.
        let _state = self.lock();
        let waits = matches!(caller.begun.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        if waits {
            caller.outcome.close();
        }
        waits
    }

    /// Starts one more lane if there may be one.
    fn start(self: &Arc<Self>, state: &mut State) {
        if state.running < self.options.lanes.max(1) {
            state.running += 1;
            self.runtime.spawn(Arc::clone(self).run());
        }
    }

    /// One lane: takes turns until there is nothing to do.
    async fn run(self: Arc<Self>) {
        while let Some(turn) = self.turn() {
            self.write(turn).await;
        }
        self.finished.notify_waiters();
    }

    /// What to write next. `None` ends the lane: whoever holds what the others wait for, or queues the
    /// next commit, goes on.
    fn turn(self: &Arc<Self>) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let State { queue, held, running, .. } = &mut *state;
        // Nothing was begun for those who went away meanwhile.
        queue.retain(|waiting| !waiting.reply.is_closed());
        let waiting = queue.iter().map(|each| (&each.named, each.alone));
        let places = plan(waiting, held, self.options.batch);
        if places.is_empty() {
            *running -= 1;
            return None;
        }
        let mut turn = take(queue, &places);
        for each in &mut turn {
            held.take(&each.named);
            each.begun = None;
        }
        if !queue.is_empty() {
            self.start(&mut state);
        }
        Some(turn)
    }

    /// Writes what goes together, and tells each caller its outcome.
    async fn write(&self, turn: Vec<Waiting>) {
        if let Some(written) = self.on_batch.get() {
            written(turn.len());
        }
        let mut commits = Vec::with_capacity(turn.len());
        let mut callers = Vec::with_capacity(turn.len());
        for Waiting { commit, named, alone, reply, begun: _ } in turn {
            commits.push((commit, alone));
            callers.push((named, reply));
        }
        // A panic must reach everybody who waits, and must not end the lane.
        let outcomes = AssertUnwindSafe(self.outcomes(commits)).catch_unwind().await;
        {
            let mut state = self.lock();
            callers.iter().for_each(|(named, _)| state.held.release(named));
        }
        let mut outcomes = outcomes.unwrap_or_default().into_iter();
        for (_, reply) in callers {
            // Whoever asked may have gone; what was written stays written.
            let _ = reply.send(outcomes.next().unwrap_or_else(|| Err(panicked().into())));
        }
    }

    async fn outcomes(&self, mut turn: Vec<(Commit, bool)>) -> Vec<Outcome> {
        match turn.pop() {
            Some((commit, true)) => vec![self.store.commit(commit).await],
            last => self.store.write(turn.into_iter().chain(last).map(|(commit, _)| commit).collect()).await,
        }
    }

    /// Takes no more, and returns when what was queued is written.
    async fn close(&self) {
        self.lock().closed = true;
        loop {
            let finished = self.finished.notified();
            tokio::pin!(finished);
            // Woken for what happens from here on, not only from the first poll on.
            finished.as_mut().enable();
            if self.lock().running == 0 {
                return;
            }
            finished.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the entries at these places, which rise, out of the queue; sorted by key, so that two nodes
/// that write the same rows take their locks in the same order.
fn take(queue: &mut VecDeque<Waiting>, places: &[usize]) -> Vec<Waiting> {
    let mut taken = Vec::with_capacity(places.len());
    let mut wanted = places.iter().peekable();
    let last = places.last().map_or(0, |last| last + 1);
    let mut left = Vec::with_capacity(last - places.len());
    for (place, waiting) in queue.drain(..last).enumerate() {
        if wanted.next_if_eq(&&place).is_some() {
            taken.push(waiting);
        } else {
            left.push(waiting);
        }
    }
    left.into_iter().rev().for_each(|waiting| queue.push_front(waiting));
    taken.sort_by_key(|waiting| waiting.named.first());
    taken
}

fn busy(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Busy, format!("busy: {why}"))
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Connection, "the store is closed")
}

fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "writing this batch panicked; its outcome is unknown")
}

#[cfg(test)]
mod tests;
