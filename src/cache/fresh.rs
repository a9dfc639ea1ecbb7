//! How fresh this node's knowledge is, on a clock that runs through suspend.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use crate::resilience::{Clock, ClockReading};

/// A wall clock that moved further than this against the boot clock was set by somebody, or the
/// machine was restored from a snapshot.
const JUMP_MILLIS: u64 = 1_000;

/// The proof that the feed was read, and when.
#[derive(Debug)]
pub(super) struct Freshness {
    clock: Clock,
    max_staleness: Duration,
    /// False until everything is loaded, and again while it is loaded anew.
    loaded: AtomicBool,
    /// Milliseconds on the boot clock before the last successful query was sent.
    sent: AtomicU64,
    /// The wall clock's lead at that moment.
    lead: AtomicI64,
}

impl Freshness {
    /// Not fresh yet.
    pub(super) fn new(clock: Clock, max_staleness: Duration) -> Self {
        let reading = clock.read();
        Self {
            clock,
            max_staleness,
            loaded: AtomicBool::new(false),
            sent: AtomicU64::new(millis(reading.boot)),
            lead: AtomicI64::new(reading.lead()),
        }
    }

    /// Everything committed before `sent` is known. To be called after it was applied.
    pub(super) fn prove(&self, sent: ClockReading) {
        self.sent.store(millis(sent.boot), Ordering::SeqCst);
        self.lead.store(sent.lead(), Ordering::SeqCst);
        self.loaded.store(true, Ordering::SeqCst);
    }

    /// Nothing is known any more, until the next proof.
    pub(super) fn forget(&self) {
        self.loaded.store(false, Ordering::SeqCst);
    }

    /// The moment on the boot clock, if the node may answer from memory now.
    pub(super) fn now(&self) -> Option<Duration> {
        let reading = self.clock.read();
        let age = reading.boot.saturating_sub(Duration::from_millis(self.sent.load(Ordering::SeqCst)));
        let moved = reading.lead().abs_diff(self.lead.load(Ordering::SeqCst));
        let fresh = self.loaded.load(Ordering::SeqCst) && age <= self.max_staleness && moved <= JUMP_MILLIS;
        fresh.then_some(reading.boot)
    }

    /// Seconds since the last successful query was sent; before the first, since the start.
    pub(super) fn seconds(&self) -> f64 {
        let sent = Duration::from_millis(self.sent.load(Ordering::SeqCst));
        self.clock.boot().saturating_sub(sent).as_secs_f64()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UnixTime;

    fn proven() -> (Clock, Freshness) {
        let clock = Clock::manual(UnixTime(1_000_000));
        let fresh = Freshness::new(clock.clone(), Duration::from_secs(2));
        assert_eq!(fresh.now(), None, "not fresh before anything is loaded");
        fresh.prove(clock.read());
        assert!(fresh.now().is_some());
        (clock, fresh)
    }

    #[test]
    fn freshness_counts_from_before_the_query_was_sent() {
        let (clock, fresh) = proven();
        let sent = clock.read();
        clock.advance(Duration::from_millis(1_900));
        fresh.prove(sent);
        assert!(fresh.now().is_some());
        clock.advance(Duration::from_millis(101));
        assert_eq!(fresh.now(), None);
        assert!((fresh.seconds() - 2.001).abs() < 1e-9);
    }

    #[test]
    fn a_node_that_slept_is_stale() {
        let (clock, fresh) = proven();
        clock.advance_boot(Duration::from_secs(3_600));
        assert_eq!(fresh.now(), None);
    }

    #[test]
    fn a_stepped_wall_clock_makes_the_node_stale_until_the_next_proof() {
        for step in [998_999, 1_001_001] {
            let (clock, fresh) = proven();
            clock.set_wall(UnixTime(step));
            assert_eq!(fresh.now(), None, "{step}");
            fresh.prove(clock.read());
            assert!(fresh.now().is_some(), "{step}");
        }
    }

    #[test]
    fn what_was_forgotten_must_be_proven_again() {
        let (clock, fresh) = proven();
        fresh.forget();
        assert_eq!(fresh.now(), None);
        fresh.prove(clock.read());
        assert!(fresh.now().is_some());
    }
}
