//! What operators do: registering and changing clients, resources and users. The command line and
//! the demo use it.
//!
//! Whatever must end tokens raises an epoch in the same commit as the change itself, so that no
//! moment exists in which the change is done and its consequence is not.

mod clients;
mod resources;
mod users;
pub mod view;

pub use clients::{NewSecret, RotateSecret};
pub use resources::DeclaredResource;

use super::ProviderError;
use crate::store::{CommitError, StoreError};

/// How many rows a list reads at once.
const PAGE: usize = 200;

/// Why an operator's command was not done. Its text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was named does not exist.
    #[error("there is no {kind} {name:?}; `chancery {kind} list` shows those there are")]
    Unknown {
        /// `client`, `resource` or `user`.
        kind: &'static str,
        /// The name given.
        name: String,
    },
    /// The name is taken.
    #[error("there is already a {kind} {name:?}; choose another name, or delete that one first")]
    Taken {
        /// `client`, `resource` or `user`.
        kind: &'static str,
        /// The name given.
        name: String,
    },
    /// What was asked for is not acceptable: everything that is wrong, a sentence each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The work could not be done.
    #[error("the change could not be made: {0}")]
    Failed(#[from] ProviderError),
}

impl AdminError {
    fn unknown(kind: &'static str, name: &str) -> Self {
        Self::Unknown { kind, name: name.to_owned() }
    }

    fn refused(sentence: impl ToString) -> Self {
        Self::Refused(vec![sentence.to_string()])
    }

    /// What the failure of a commit means when it was about one thing with a name.
    fn of_commit(error: CommitError, kind: &'static str, name: &str) -> Self {
        match error {
            CommitError::Conflict(taken) if taken == kind => Self::Taken { kind, name: name.to_owned() },
            CommitError::Missing(missing) if missing == kind => Self::unknown(kind, name),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
