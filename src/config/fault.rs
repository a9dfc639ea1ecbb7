//! What is wrong with a configuration: where, what, and what to do.

/// One thing that is wrong. Its text never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Fault {
    /// The key and file line, the variable, or the path that has to be changed.
    pub place: String,
    /// What is wrong and what to do, as one sentence.
    pub message: String,
}

impl Fault {
    /// Builds one.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}
