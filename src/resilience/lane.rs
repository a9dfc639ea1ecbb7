//! A bounded lane: a few threads of their own for work that would stall everything else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::deadline::{self, Expired};

/// Why a lane did not do some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The queue is full, or the deadline passed before the work was done. Worth a 503 with Retry-After.
    #[error("the queue of this work is full")]
    Overloaded,
    /// The work panicked. Worth a 500.
    #[error("the work panicked")]
    Panicked,
}

/// How large a lane is.
#[derive(Clone, Copy, Debug)]
pub struct LaneSize {
    /// Threads, so many jobs run at once; at least one is made.
    pub threads: usize,
    /// Jobs that may wait; at least one may.
    pub queue: usize,
    /// A thread's state that was not used for so long is dropped.
    pub idle: Duration,
    /// How far the threads stand back when the cores are busy, 0 to 19; where the system has no such thing
    /// for threads, they do not.
    pub nice: i32,
}

/// Threads that each own a state, and the queue before them.
pub struct Lane<S> {
    shared: Arc<LaneState<S>>,
    threads: Vec<JoinHandle<()>>,
}

impl<S: 'static> Lane<S> {
    /// Starts the threads. Each makes its state when it first needs one, and again after a panic or after
    /// the state was dropped for being idle.
    ///
    /// # Errors
    ///
    /// If the system gives no threads.
    pub fn start(
        name: &str,
        size: LaneSize,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(LaneState {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            capacity: size.queue.max(1),
            threads: size.threads.max(1),
            idle: size.idle,
            rejected: AtomicU64::new(0),
            make: Box::new(make),
        });
        let mut lane = Self { shared, threads: Vec::new() };
        for number in 0..size.threads.max(1) {
            let shared = Arc::clone(&lane.shared);
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            lane.threads.push(thread.spawn(move || {
                stand_back(size.nice);
                shared.work();
            })?);
        }
        Ok(lane)
    }

    /// Has a thread do some work with its state. A caller that goes away before the work has begun takes it
    /// out of the queue, and so does the deadline; work that has begun is finished.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, LaneError> {
        let (answer, answered) = oneshot::channel();
        let place = self.shared.enqueue(Box::new(move |state| {
            // If the caller has gone meanwhile, nobody wants to know.
            let _ = answer.send(work(state));
        }))?;
        let result = deadline::obeyed(answered).await;
        drop(place);
        // The job was dropped without an answer: only a panic does that while the lane is borrowed.
        result.map_err(|Expired| LaneError::Overloaded)?.map_err(|_| LaneError::Panicked)
    }
}

/// Lowers the priority of this thread: on Linux each has its own.
fn stand_back(nice: i32) {
    #[cfg(target_os = "linux")]
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::debug!(%error, "lowering a thread's priority failed; continuing at normal priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

impl<S> Lane<S> {
    /// How many jobs wait for a thread that is busy.
    pub fn queued(&self) -> usize {
        let queue = self.shared.lock();
        queue.jobs.len().saturating_sub(self.shared.resting(&queue))
    }

    /// How many jobs may run at once.
    pub fn slots(&self) -> usize {
        self.threads.len()
    }

    /// How many jobs were turned away so far.
    pub fn rejected(&self) -> u64 {
        self.shared.rejected.load(Ordering::Relaxed)
    }
}

impl<S> Drop for Lane<S> {
    /// Waits for the work that has begun; what still waits is dropped.
    fn drop(&mut self) {
        let left = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(left);
        self.shared.arrived.notify_all();
        for thread in self.threads.drain(..) {
            // A thread outlives its jobs' panics; should it ever not, there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl<S> std::fmt::Debug for Lane<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lane({} slots, {} queued)", self.slots(), self.queued())
    }
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

struct LaneState<S> {
    queue: Mutex<JobQueue<S>>,
    arrived: Condvar,
    capacity: usize,
    threads: usize,
    idle: Duration,
    rejected: AtomicU64,
    make: Box<dyn Fn() -> S + Send + Sync>,
}

struct JobQueue<S> {
    jobs: VecDeque<(u64, Job<S>)>,
    next: u64,
    /// Threads that have taken a job and are not done with it.
    busy: usize,
    closed: bool,
}

impl<S> Default for JobQueue<S> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), next: 0, busy: 0, closed: false }
    }
}

/// What a thread does next.
enum NextAction<S> {
    Work(Job<S>),
    Rest,
    End,
}

impl<S> LaneState<S> {
    /// No job runs under this lock, so a panic cannot leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, JobQueue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resting(&self, queue: &JobQueue<S>) -> usize {
        self.threads - queue.busy
    }

    fn enqueue(&self, job: Job<S>) -> Result<QueuedJob<'_, S>, LaneError> {
        let mut queue = self.lock();
        // A job for a thread that rests is on its way, however long the thread takes to wake up.
        if queue.jobs.len() >= self.capacity + self.resting(&queue) {
            drop(queue);
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(LaneError::Overloaded);
        }
        let number = queue.next;
        queue.next += 1;
        queue.jobs.push_back((number, job));
        drop(queue);
        self.arrived.notify_one();
        Ok(QueuedJob { shared: self, number })
    }

    fn work(&self) {
        let (mut state, mut worked) = (None, false);
        loop {
            let turn = self.turn(state.is_some(), worked);
            worked = matches!(turn, NextAction::Work(_));
            match turn {
                NextAction::Work(job) => {
                    let held = &mut state;
                    let done = catch_unwind(AssertUnwindSafe(|| job(held.get_or_insert_with(&self.make))));
                    if done.is_err() {
                        // What a panic left behind is not to be trusted.
                        state = None;
                    }
                }
                NextAction::Rest => state = None,
                NextAction::End => return,
            }
        }
    }

    fn turn(&self, holds_state: bool, worked: bool) -> NextAction<S> {
        let mut queue = self.lock();
        queue.busy -= usize::from(worked);
        loop {
            if queue.closed {
                return NextAction::End;
            }
            if let Some((_, job)) = queue.jobs.pop_front() {
                queue.busy += 1;
                return NextAction::Work(job);
            }
            if holds_state {
                let waited = self.arrived.wait_timeout(queue, self.idle);
                let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = woken;
                if timeout.timed_out() && queue.jobs.is_empty() && !queue.closed {
                    return NextAction::Rest;
                }
            } else {
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// A caller's place in the queue, given up when the caller goes away.
struct QueuedJob<'a, S> {
    shared: &'a LaneState<S>,
    number: u64,
}

impl<S> Drop for QueuedJob<'_, S> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        // Numbers rise along the queue.
        let at = queue.jobs.binary_search_by_key(&self.number, |(number, _)| *number);
        let job = at.ok().and_then(|at| queue.jobs.remove(at));
        drop(queue);
        drop(job);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn lane(threads: usize, queue: usize) -> Lane<u32> {
        Lane::start("test", LaneSize { threads, queue, idle: LONG, nice: 0 }, || 0).expect("threads")
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A job that says when it begins and ends when told to.
    fn gate() -> (impl FnOnce(&mut u32) + Send + 'static, Receiver<()>, Sender<()>) {
        let (begun, has_begun) = channel();
        let (end, ended) = channel::<()>();
        let job = move |_: &mut u32| {
            begun.send(()).expect("the test listens");
            // An error means that the test is over.
            let _ = ended.recv();
        };
        (job, has_begun, end)
    }

    #[test]
    fn work_is_done_with_the_threads_own_state() {
        let lane = lane(1, 1);
        for expected in 1..=3 {
            let count = |state: &mut u32| {
                *state += 1;
                *state
            };
            assert_eq!(block_on(lane.run(count)), Ok(expected));
        }
        assert_eq!((lane.slots(), lane.queued(), lane.rejected()), (1, 0, 0));
    }

    /// R70
    #[test]
    fn a_full_queue_answers_at_once() {
        let lane = lane(1, 1);
        let (job, has_begun, end) = gate();
        let mut running = pin!(lane.run(job));
        assert!(poll(running.as_mut()).is_pending());
        has_begun.recv().expect("it begins");
        let mut waiting = pin!(lane.run(|_| "waited"));
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!(lane.queued(), 1);
        assert_eq!(poll(pin!(lane.run(|_| ())).as_mut()), Poll::Ready(Err(LaneError::Overloaded)));
        assert_eq!(lane.rejected(), 1);
        end.send(()).expect("it still runs");
        assert_eq!(block_on(running), Ok(()));
        assert_eq!(block_on(waiting), Ok("waited"));
    }

    /// Many times, since the thread may be quick.
    #[test]
    fn a_job_for_a_thread_that_rests_takes_no_place_in_the_queue() {
        for _ in 0..200 {
            let lane = lane(1, 1);
            let (job, has_begun, end) = gate();
            let (mut first, mut second) = (pin!(lane.run(job)), pin!(lane.run(|_| ())));
            assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
            assert_eq!(poll(pin!(lane.run(|_| ())).as_mut()), Poll::Ready(Err(LaneError::Overloaded)));
            has_begun.recv().expect("it begins");
            assert_eq!(lane.queued(), 1);
            end.send(()).expect("it still runs");
            assert_eq!((block_on(first), block_on(second)), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn a_caller_that_goes_away_frees_its_place_and_its_work_is_not_done() {
        let lane = lane(1, 2);
        let (job, has_begun, end) = gate();
        let mut running = pin!(lane.run(job));
        assert!(poll(running.as_mut()).is_pending());
        has_begun.recv().expect("it begins");
        let mut stays = pin!(lane.run(|state| *state));
        assert!(poll(stays.as_mut()).is_pending());
        {
            let mut leaves = pin!(lane.run(|state| *state = 99));
            assert!(poll(leaves.as_mut()).is_pending());
            assert_eq!(lane.queued(), 2);
        }
        assert_eq!(lane.queued(), 1);
        let mut takes_its_place = pin!(lane.run(|state| *state));
        assert!(poll(takes_its_place.as_mut()).is_pending());
        end.send(()).expect("it still runs");
        assert_eq!(block_on(stays), Ok(0));
        assert_eq!(block_on(takes_its_place), Ok(0));
    }

    #[test]
    fn a_caller_that_goes_away_while_its_work_runs_does_no_harm() {
        let lane = lane(1, 1);
        let (job, has_begun, end) = gate();
        {
            let mut leaves = pin!(lane.run(job));
            assert!(poll(leaves.as_mut()).is_pending());
            has_begun.recv().expect("it begins");
        }
        end.send(()).expect("it still runs");
        assert_eq!(block_on(lane.run(|_| 1)), Ok(1));
    }

    #[test]
    fn a_panic_is_an_error_and_the_thread_goes_on_with_a_new_state() {
        let lane = lane(1, 1);
        let panics = |state: &mut u32| {
            *state = 7;
            // Not `panic!`: its message would clutter the tests' output.
            std::panic::resume_unwind(Box::new("on purpose"));
        };
        assert_eq!(block_on(lane.run::<()>(panics)), Err(LaneError::Panicked));
        assert_eq!(block_on(lane.run(|state| *state)), Ok(0));
    }

    #[test]
    fn as_many_jobs_run_at_once_as_there_are_threads() {
        let lane = lane(2, 2);
        let meet = Arc::new(std::sync::Barrier::new(2));
        let job = || {
            let meet = Arc::clone(&meet);
            move |_: &mut u32| {
                meet.wait();
            }
        };
        let (mut one, mut other) = (pin!(lane.run(job())), pin!(lane.run(job())));
        assert!(poll(one.as_mut()).is_pending());
        // The barrier opens for two only, so the first cannot be done before the second has begun.
        let _ = poll(other.as_mut());
        assert_eq!(block_on(one), Ok(()));
        assert_eq!(lane.slots(), 2);
    }

    /// Says so when it is dropped.
    struct Told(Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn an_idle_thread_drops_its_state_and_makes_another_when_needed() {
        let (dropped, was_dropped) = channel();
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let size = LaneSize { threads: 1, queue: 1, idle: Duration::from_millis(1), nice: 0 };
        let make = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Told(dropped.clone())
        };
        let lane = Lane::start("test", size, make).expect("a thread");
        for times in 1..=2 {
            assert_eq!(block_on(lane.run(|_| ())), Ok(()));
            was_dropped.recv().expect("the state is dropped while the lane lives");
            assert_eq!(made.load(Ordering::Relaxed), times);
        }
    }

    #[test]
    fn dropping_the_lane_ends_its_threads_and_their_states() {
        let (dropped, was_dropped) = channel();
        let size = LaneSize { threads: 2, queue: 4, idle: LONG, nice: 0 };
        let lane = Lane::start("test", size, move || Told(dropped.clone())).expect("threads");
        assert_eq!(block_on(lane.run(|_| ())), Ok(()));
        drop(lane);
        assert_eq!(was_dropped.iter().count(), 1);
    }

    #[test]
    fn a_lane_of_no_size_still_works() {
        let lane = lane(0, 0);
        assert_eq!(block_on(lane.run(|_| 5)), Ok(5));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_of_a_lane_stand_back_and_nobody_else_does() {
        let nice = || rustix::process::getpriority_process(None).expect("a priority");
        let before = nice();
        let size = LaneSize { threads: 1, queue: 1, idle: LONG, nice: 19 };
        let lane = Lane::start("test", size, || ()).expect("a thread");
        assert_eq!(lane.run(move |()| nice()).await, Ok(19));
        assert_eq!(nice(), before);
    }
}
