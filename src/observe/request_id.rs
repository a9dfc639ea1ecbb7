//! The id of the request that the present task handles: in every log line, and in errors.

use std::future::Future;

use crate::model::Id;

tokio::task_local! {
    static CURRENT: Id;
}

/// Runs a future under a request id.
pub async fn scope<F: Future>(id: Id, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}

/// The id of the present request, if there is one.
pub fn current() -> Option<Id> {
    CURRENT.try_with(|id| *id).ok()
}
