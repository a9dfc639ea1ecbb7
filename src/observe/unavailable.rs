//! Requests that are answered 503 because a dependency is unavailable. There may be thousands of them a
//! second: the first of each cause is logged, those after it are counted, and the count is logged periodically.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Causes that are counted separately. A cause that contains a number, such as a time, must not make a line of
/// its own each time.
const MAX_CAUSES: usize = 4;

static TALLY: Tally = Tally::new();

/// A request that is answered 503, and why. Its own line, which has the request's id, is logged
/// at `debug`.
pub fn count(cause: &str) {
    tracing::debug!(cause, "returning 503");
    if TALLY.count(cause) {
        tracing::warn!(cause, "returning 503; further occurrences are aggregated");
    }
}

/// Logs how many there were since the last call of this, if there were any.
pub fn report() {
    for (cause, requests) in TALLY.take() {
        tracing::warn!(
            cause,
            requests,
            "returned 503 to more requests with this cause since the last report"
        );
    }
}

struct Tally(Mutex<CauseCounts>);

struct CauseCounts {
    by_cause: BTreeMap<String, u64>,
    others: u64,
}

impl Tally {
    const fn new() -> Self {
        Self(Mutex::new(CauseCounts { by_cause: BTreeMap::new(), others: 0 }))
    }

    /// Whether this is the first one of its cause, to be logged at once. It is not counted then.
    fn count(&self, cause: &str) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.by_cause.get_mut(cause) {
            *count += 1;
            return false;
        }
        let known = counts.by_cause.len() < MAX_CAUSES;
        if known {
            counts.by_cause.insert(cause.to_owned(), 0);
        } else {
            counts.others += 1;
        }
        known
    }

    /// What was counted since the last time. A cause of which there was none is forgotten, so that its
    /// next one is logged at once.
    fn take(&self) -> Vec<(String, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.by_cause.retain(|_, count| *count > 0);
        let mut taken: Vec<_> =
            counts.by_cause.iter_mut().map(|(cause, count)| (cause.clone(), std::mem::take(count))).collect();
        let others = std::mem::take(&mut counts.others);
        taken.extend((others > 0).then(|| ("other causes".to_owned(), others)));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_cause_is_logged_and_the_others_are_counted() {
        let tally = Tally::new();
        assert_eq!([tally.count("away"), tally.count("away"), tally.count("away")], [true, false, false]);
        assert_eq!(tally.take(), [("away".to_owned(), 2)]);
        assert!(!tally.count("away"), "it is still away");
        assert_eq!(tally.take(), [("away".to_owned(), 1)]);
        assert_eq!(tally.take(), []);
        assert!(tally.count("away"), "it is away again");
    }

    #[test]
    fn causes_that_are_never_the_same_do_not_fill_the_log() {
        let tally = Tally::new();
        let logged = (0..1_000).filter(|time| tally.count(&format!("no answer within {time} ms"))).count();
        assert_eq!(logged, MAX_CAUSES);
        assert_eq!(tally.take(), [("other causes".to_owned(), 1_000 - MAX_CAUSES as u64)]);
    }
}
