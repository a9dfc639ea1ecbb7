//! Time limits that hardly any request reaches: one timer for all requests of a worker instead of one for
//! each. Setting and clearing a timer costs more than most requests do.
//!
//! A limit is kept to the tick: it ends up to two ticks late, never early.

use std::{
    cell::RefCell,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;

const TICK: Duration = Duration::from_millis(250);

/// The timer goes on for so many ticks when nobody waits, so that it is not started for each request.
const LINGER: u32 = 40;

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Who waits on this worker.
#[derive(Default)]
struct Waiting {
    entries: Slab<Entry>,
    /// Ticks so far.
    now: u64,
    idle: u32,
    runs: bool,
}

struct Entry {
    due: u64,
    waker: Waker,
}

impl Waiting {
    fn enter(&mut self, limit: Duration, waker: Waker) -> usize {
        if !self.runs {
            self.runs = true;
            actix_web::rt::spawn(tick());
        }
        let due = self.due(limit);
        self.entries.insert(Entry { due, waker })
    }

    /// When a limit that begins now ends, in ticks.
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
        if !WAITING.with_borrow_mut(Waiting::tick) {
            return;
        }
    }
}

/// Lets everyone who waits on this worker look again.
pub(super) fn wake_all() {
    WAITING.with_borrow(|waiting| waiting.entries.iter().for_each(|(_, entry)| entry.waker.wake_by_ref()));
}

/// How long something may take, from the first time that it has to wait.
pub(super) struct Patience {
    limit: Duration,
    place: Option<usize>,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, place: None }
    }

    /// Begins anew, with this limit.
    pub(super) fn restart(&mut self, limit: Duration) {
        self.limit = limit;
        if let Some(place) = self.place {
            WAITING.with_borrow_mut(|waiting| waiting.entries[place].due = waiting.due(limit));
        }
    }

    /// Ready when the time is up.
    pub(super) fn poll_over(&mut self, context: &Context<'_>) -> Poll<()> {
        WAITING.with_borrow_mut(|waiting| {
            let Some(place) = self.place else {
                self.place = Some(waiting.enter(self.limit, context.waker().clone()));
                return Poll::Pending;
            };
            let now = waiting.now;
            let entry = &mut waiting.entries[place];
            entry.waker.clone_from(context.waker());
            if entry.due <= now { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            WAITING.with_borrow_mut(|waiting| drop(waiting.entries.remove(place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Instant};

    use super::*;

    async fn waited(limit: Duration) -> Duration {
        let (begun, mut patience) = (Instant::now(), Patience::new(limit));
        poll_fn(|context| patience.poll_over(context)).await;
        begun.elapsed()
    }

    #[actix_web::test]
    async fn nobody_is_told_early_that_the_time_is_up() {
        let waits = futures_util::future::join_all([0, 100, 300].map(|ms| waited(Duration::from_millis(ms))));
        for (waited, ms) in waits.await.into_iter().zip([0, 100, 300]) {
            assert!(waited >= Duration::from_millis(ms), "{waited:?} of {ms}");
        }
        assert_eq!(WAITING.with_borrow(|waiting| waiting.entries.len()), 0, "who is done is forgotten");
    }

    #[actix_web::test]
    async fn a_limit_that_begins_anew_counts_from_then() {
        let mut patience = Patience::new(Duration::ZERO);
        let begun = Instant::now();
        poll_fn(|context| patience.poll_over(context)).await;
        patience.restart(Duration::from_millis(300));
        poll_fn(|context| patience.poll_over(context)).await;
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[actix_web::test]
    async fn all_who_wait_can_be_told_to_look_again() {
        let mut patience = Patience::new(Duration::from_secs(60));
        actix_web::rt::spawn(async { wake_all() });
        let mut looks = 0;
        poll_fn(|context| {
            looks += 1;
            if looks == 2 { Poll::Ready(()) } else { patience.poll_over(context) }
        })
        .await;
    }

    #[actix_web::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let mut patience = Patience::new(Duration::from_secs(60));
        poll_fn(|context| {
            assert!(patience.poll_over(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(WAITING.with_borrow(|waiting| waiting.entries.len()), 1);
        drop(patience);
        assert_eq!(WAITING.with_borrow(|waiting| waiting.entries.len()), 0);
    }

    #[test]
    fn the_timer_ends_when_nobody_has_waited_for_a_while() {
        let mut waiting = Waiting { runs: true, ..Waiting::default() };
        let ticks = std::iter::from_fn(|| waiting.tick().then_some(())).count();
        assert_eq!(ticks, LINGER as usize - 1);
        assert!(!waiting.runs);
    }
}
