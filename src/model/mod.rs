//! Plain records and newtypes: no I/O, no clock, no randomness.

mod client;
mod epoch;
mod event;
mod grant;
mod id;
mod key;
mod scope;
mod secret;
mod time;
mod user;

pub use client::*;
pub use epoch::*;
pub use event::*;
pub use grant::*;
pub use id::*;
pub use key::*;
pub use scope::*;
pub use secret::*;
pub use time::*;
pub use user::*;
