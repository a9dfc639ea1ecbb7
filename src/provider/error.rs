//! How a use case fails.

use crate::{
    protocol::{ErrorCode, OauthError},
    store::{CommitError, Stale, StoreError},
};

/// Either the request was refused, or the server could not do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// The specification says no.
    #[error(transparent)]
    Refused(#[from] OauthError),
    /// The node cannot answer safely now: 503 with Retry-After.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours: 500. The text is for the log only.
    #[error("{0}")]
    Internal(String),
}

impl ProviderError {
    /// The error a client is told.
    pub fn oauth(&self) -> OauthError {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Unavailable(_) => OauthError::new(
                ErrorCode::TemporarilyUnavailable,
                "The server cannot answer right now. Try again in a moment.",
            ),
            Self::Internal(_) => OauthError::new(
                ErrorCode::ServerError,
                "Internal server error. Report the request id to the operator.",
            ),
        }
    }
}

impl From<StoreError> for ProviderError {
    fn from(error: StoreError) -> Self {
        use crate::store::StoreErrorKind::*;
        match error.kind {
            Connection | Serialization | Busy | Io => Self::Unavailable(error.to_string()),
            Constraint | Other => Self::Internal(error.to_string()),
        }
    }
}

impl From<CommitError> for ProviderError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            // A row that was there when we decided is gone, or a race was lost twice.
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Stale> for ProviderError {
    fn from(stale: Stale) -> Self {
        Self::Unavailable(stale.to_string())
    }
}
