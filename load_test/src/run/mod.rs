//! The load itself: virtual clients on an event loop, and what is written down of them.

pub mod engine;
pub mod rounds;
pub mod script;
pub mod tally;

mod client;
pub mod pace;
mod progress;
