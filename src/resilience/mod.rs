//! What keeps one overload or failure from becoming everybody's: bounded lanes, and a clock that
//! can be trusted.

mod clock;
mod lane;

pub use clock::{Clock, Reading};
pub use lane::{Lane, LaneError, LaneSize};
