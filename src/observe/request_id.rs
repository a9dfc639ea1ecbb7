//! The id of the request that the present task handles, and its place in a trace: in every log line, and in
//! errors.

use std::future::Future;

use super::trace::{self, TracePosition};
use crate::model::Id;

tokio::task_local! {
    static CURRENT: (Id, Option<TracePosition>);
}

/// Runs a future under a request id, and under the place the request has in a trace.
pub async fn scope<F: Future>(id: Id, position: Option<TracePosition>, future: F) -> F::Output {
    CURRENT.scope((id, position), future).await
}

/// The id of the present request, if there is one.
pub fn current() -> Option<Id> {
    CURRENT.try_with(|(id, _)| *id).ok()
}

/// Where the present request is in a trace, if it belongs to one: in its innermost span, if it is traced.
pub fn position() -> Option<TracePosition> {
    trace::recorded().or_else(|| CURRENT.try_with(|(_, position)| *position).ok().flatten())
}
