//! Coarse timeouts: one timer for all requests of a worker instead of one for each, because setting and
//! clearing a timer costs more than most requests do, and hardly any request reaches its limit.
//!
//! A timeout elapses up to two ticks late, never early.

use std::{
    cell::RefCell,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;

const TICK: Duration = Duration::from_millis(250);

/// The timer goes on for so many idle ticks, so that it is not started for each request.
const LINGER: u32 = 40;

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

/// The timeouts of this worker that a task waits for.
#[derive(Default)]
struct Timers {
    entries: Slab<Timer>,
    /// Ticks so far.
    now: u64,
    idle: u32,
    runs: bool,
}

struct Timer {
    due: u64,
    waker: Waker,
}

impl Timers {
    fn enter(&mut self, limit: Duration, waker: Waker) -> usize {
        if !self.runs {
            self.runs = true;
            actix_web::rt::spawn(tick());
        }
        let due = self.due(limit);
        self.entries.insert(Timer { due, waker })
    }

    /// When a timeout that begins now elapses, in ticks.
    fn due(&self, limit: Duration) -> u64 {
        let ticks = u64::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX);
        // The present tick is partly over.
        self.now.saturating_add(ticks).saturating_add(1)
    }

    /// Whether the timer is needed any longer.
    fn tick(&mut self) -> bool {
        self.now += 1;
        self.idle = if self.entries.is_empty() { self.idle + 1 } else { 0 };
        for (_, entry) in &self.entries {
            if entry.due <= self.now {
                entry.waker.wake_by_ref();
            }
        }
        self.runs = self.idle < LINGER;
        self.runs
    }
}

async fn tick() {
    let mut ticks = actix_web::rt::time::interval(TICK);
    // The first one is at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if !TIMERS.with_borrow_mut(Timers::tick) {
            return;
        }
    }
}

/// Wakes every task that waits on this worker, so that it looks again.
pub(super) fn wake_all() {
    TIMERS.with_borrow(|timers| timers.entries.iter().for_each(|(_, entry)| entry.waker.wake_by_ref()));
}

/// A timeout, counted from the first poll that has to wait.
pub(super) struct CoarseTimeout {
    limit: Duration,
    key: Option<usize>,
}

impl CoarseTimeout {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, key: None }
    }

    /// Starts again, with this limit.
    pub(super) fn restart(&mut self, limit: Duration) {
        self.limit = limit;
        if let Some(key) = self.key {
            TIMERS.with_borrow_mut(|timers| timers.entries[key].due = timers.due(limit));
        }
    }

    /// Ready when the timeout has elapsed.
    pub(super) fn poll_elapsed(&mut self, context: &Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            let Some(key) = self.key else {
                self.key = Some(timers.enter(self.limit, context.waker().clone()));
                return Poll::Pending;
            };
            let now = timers.now;
            let entry = &mut timers.entries[key];
            entry.waker.clone_from(context.waker());
            if entry.due <= now { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl Drop for CoarseTimeout {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            TIMERS.with_borrow_mut(|timers| drop(timers.entries.remove(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Instant};

    use super::*;

    async fn waited(limit: Duration) -> Duration {
        let (begun, mut timer) = (Instant::now(), CoarseTimeout::new(limit));
        poll_fn(|context| timer.poll_elapsed(context)).await;
        begun.elapsed()
    }

    #[actix_web::test]
    async fn a_timeout_never_elapses_early() {
        let waits = futures_util::future::join_all([0, 100, 300].map(|ms| waited(Duration::from_millis(ms))));
        for (waited, ms) in waits.await.into_iter().zip([0, 100, 300]) {
            assert!(waited >= Duration::from_millis(ms), "{waited:?} of {ms}");
        }
        assert_eq!(TIMERS.with_borrow(|timers| timers.entries.len()), 0, "elapsed timeouts are removed");
    }

    #[actix_web::test]
    async fn a_restarted_timeout_counts_from_the_restart() {
        let mut timer = CoarseTimeout::new(Duration::ZERO);
        let begun = Instant::now();
        poll_fn(|context| timer.poll_elapsed(context)).await;
        timer.restart(Duration::from_millis(300));
        poll_fn(|context| timer.poll_elapsed(context)).await;
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[actix_web::test]
    async fn every_waiting_task_can_be_woken() {
        let mut timer = CoarseTimeout::new(Duration::from_secs(60));
        actix_web::rt::spawn(async { wake_all() });
        let mut looks = 0;
        poll_fn(|context| {
            looks += 1;
            if looks == 2 { Poll::Ready(()) } else { timer.poll_elapsed(context) }
        })
        .await;
    }

    #[actix_web::test]
    async fn a_dropped_timeout_leaves_no_entry_behind() {
        let mut timer = CoarseTimeout::new(Duration::from_secs(60));
        poll_fn(|context| {
            assert!(timer.poll_elapsed(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(TIMERS.with_borrow(|timers| timers.entries.len()), 1);
        drop(timer);
        assert_eq!(TIMERS.with_borrow(|timers| timers.entries.len()), 0);
    }

    #[test]
    fn the_timer_ends_after_some_idle_ticks() {
        let mut timers = Timers { runs: true, ..Timers::default() };
        let ticks = std::iter::from_fn(|| timers.tick().then_some(())).count();
        assert_eq!(ticks, LINGER as usize - 1);
        assert!(!timers.runs);
    }
}
