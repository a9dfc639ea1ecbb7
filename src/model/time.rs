//! Points in time, as the specifications count them.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z: the `NumericDate` of RFC 7519 §2, without fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// This moment plus a number of seconds; never overflows.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This moment less a number of seconds; never below zero.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// The number of its day (UTC), counted from 1970-01-01.
    pub const fn day(self) -> u64 {
        self.0 / 86_400
    }

    /// Seconds from `earlier` to this moment; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
