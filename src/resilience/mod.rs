//! What keeps one overload or failure from becoming everybody's: deadlines, bounded lanes and bulkheads,
//! retries within a budget, breakers, and a clock that can be trusted.

mod breaker;
mod bulkhead;
mod clock;
pub mod deadline;
pub mod jitter;
mod lane;
mod retry;

pub use breaker::{Breaker, BreakerOptions, BreakerState, BreakerStatistics, Permit, Refused};
pub use bulkhead::{Bulkhead, BulkheadOptions, BulkheadPermit, Full};
pub use clock::{Clock, ClockReading, in_moments};
pub use lane::{Lane, LaneError, LaneSize};
pub use retry::{Retry, RetryOptions};
