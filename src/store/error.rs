//! How a store fails.

/// A read or a write could not be done. Says nothing about the data.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// For the log; never shown to clients.
    pub message: String,
}

/// Closed set of failures: the `kind` label of `chancery_db_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// Cannot be reached, or is shutting down.
    Connection,
    /// Lost to another transaction; may be tried again at once.
    Serialization,
    /// Waited in vain for a lock or a place in the queue. Nothing was done, and whoever tries again at
    /// once waits as long again.
    Busy,
    /// A constraint was violated where the code did not expect it.
    Constraint,
    /// Disk full, I/O error.
    Io,
    /// Anything else, a damaged row for example.
    Other,
}

impl StoreErrorKind {
    /// Every kind, for the metric's initial series.
    pub const ALL: [Self; 6] =
        [Self::Connection, Self::Serialization, Self::Busy, Self::Constraint, Self::Io, Self::Other];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Serialization => "serialization",
            Self::Busy => "busy",
            Self::Constraint => "constraint",
            Self::Io => "io",
            Self::Other => "other",
        }
    }
}

impl std::fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StoreError {
    /// Builds one.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Why a commit was not done. In every case nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// What it wanted to spend was spent by another commit.
    #[error("the single-use value was used already")]
    AlreadySpent,
    /// A unique name is taken, or a row was changed by somebody else meanwhile.
    #[error("{0} already exists")]
    Conflict(&'static str),
    /// A row is no longer what it was when the change was thought out.
    #[error("the {0} was changed by another process meanwhile; try again")]
    Changed(&'static str),
    /// A row to be changed does not exist.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
