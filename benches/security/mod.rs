//! What is measured of the engine, one thing in each module.

pub mod digests;
pub mod passwords;
pub mod seals;
pub mod signatures;
