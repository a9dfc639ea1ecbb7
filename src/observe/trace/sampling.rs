//! Which requests are traced.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use opentelemetry::TraceId;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::TraceParent;

/// So many requests in a second are traced because their caller says so. Anybody can say so, and must not
/// get more than a little work out of it.
const CALLERS_SAY: u64 = 100;

/// Decides, once for each request.
pub(super) struct Sampling {
    /// A trace is recorded if its id is below.
    below: u64,
    begun: Instant,
    /// The second, and how many requests were traced in it on their callers' word.
    spent: AtomicU64,
}

impl Sampling {
    pub(super) fn new(share: f64) -> Self {
        // A share of all 63-bit numbers; at 1 above every one of them.
        let below = (share * (1u64 << 63) as f64) as u64;
        Self { below, begun: Instant::now(), spent: AtomicU64::new(0) }
    }

    /// The caller's decision stands: its trace would have holes. When too many callers say yes, the share
    /// decides among them.
    pub(super) fn takes(&self, caller: Option<TraceParent>) -> bool {
        match caller {
            Some(TraceParent { sampled: false, .. }) => false,
            Some(TraceParent { trace, .. }) => {
                self.has_room(self.begun.elapsed().as_secs()) || self.is_below(trace)
            }
            // Ids of traces that begin here are as random as any number.
            None => self.is_below(RandomIdGenerator::default().new_trace_id()),
        }
    }

    /// By the same bits on every node, so that all decide alike (W3C Trace Context Level 2 §4.2: the right
    /// half is random).
    fn is_below(&self, trace: TraceId) -> bool {
        let bytes = trace.to_bytes();
        let (_, right) = bytes.split_at(8);
        let number = right.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        number >> 1 < self.below
    }

    fn has_room(&self, second: u64) -> bool {
        let next = |spent: u64| {
            let used = if spent >> 16 == second { spent & 0xffff } else { 0 };
            (used < CALLERS_SAY).then_some(second << 16 | (used + 1))
        };
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(flags: &str) -> Option<TraceParent> {
        TraceParent::read(format!("00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-{flags}").as_bytes())
    }

    fn share_of(sampling: &Sampling) -> usize {
        (0..10_000).filter(|_| sampling.takes(None)).count()
    }

    #[test]
    fn a_share_of_what_begins_here_is_traced() {
        assert_eq!(share_of(&Sampling::new(0.0)), 0);
        assert_eq!(share_of(&Sampling::new(1.0)), 10_000);
        // Ten times the standard deviation around a tenth.
        assert!((700..=1300).contains(&share_of(&Sampling::new(0.1))));
    }

    #[test]
    fn the_callers_decision_stands() {
        let (none, all) = (Sampling::new(0.0), Sampling::new(1.0));
        assert!(none.takes(caller("01")));
        assert!(!all.takes(caller("00")));
    }

    #[test]
    fn callers_cannot_have_everything_traced() {
        let sampling = Sampling::new(0.0);
        let taken = (0..10_000).filter(|_| sampling.takes(caller("01"))).count() as u64;
        // A slow machine may be in another second meanwhile.
        assert!((CALLERS_SAY..=CALLERS_SAY * 20).contains(&taken), "{taken}");
        assert!(!sampling.has_room(0) || sampling.begun.elapsed().as_secs() > 0);
        assert!(sampling.has_room(1_000_000), "the next second has room again");
    }
}
