//! The checker: replays a history against the invariants I1 to I5. Pure.

mod facts;
mod keys;
mod planted;
mod refresh;
mod revocation;
mod single_use;
mod writes;

use std::{fmt, time::Duration};

use crate::faults::history::{Event, calls};
use facts::Facts;

/// What the servers promise, in time.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// A revocation is in force on every node after this.
    pub staleness: Duration,
    /// A refresh token presented again within this time gets the same answer.
    pub retry_window: Duration,
}

impl Default for Promises {
    fn default() -> Self {
        Self { staleness: Duration::from_secs(2), retry_window: Duration::from_secs(10) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// An acknowledged revocation is never undone.
    I1,
    /// A code is accepted at most once, cluster-wide.
    I2,
    /// A refresh token has at most one successor; reuse kills the family.
    I3,
    /// Every token verifies against every key set a verifier may hold while the token lives.
    I4,
    /// An acknowledged write survives.
    I5,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: Invariant,
    pub at: Duration,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}: {}", self.invariant, self.at, self.message)
    }
}

/// Every promise that the history shows broken.
pub fn check(events: &[Event], promises: &Promises) -> Vec<Violation> {
    let calls = calls(events);
    let facts = Facts::gather(&calls, promises);
    let mut found = Vec::new();
    found.extend(revocation::check(&facts));
    found.extend(single_use::check(&facts));
    found.extend(refresh::check(&facts));
    found.extend(keys::check(&facts));
    found.extend(writes::check(&facts));
    found.sort_by_key(|violation| violation.at);
    found
}

/// A test ends here if a promise was broken.
#[track_caller]
pub fn assert_holds(events: &[Event], promises: &Promises) {
    let found = check(events, promises);
    let shown: Vec<String> = found.iter().take(20).map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} broken promises, the first:\n{}", found.len(), shown.join("\n"));
}
