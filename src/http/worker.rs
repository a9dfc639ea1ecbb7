//! What a worker needs to answer the requests of its listener.

use std::rc::Rc;

use super::{
    admission::InFlightLimit,
    document::PublicDocuments,
    route::Listener,
    state::{AppState, Settings},
};

/// What the requests of a worker have in common.
pub(super) struct WorkerContext {
    pub(super) state: AppState,
    pub(super) settings: Settings,
    pub(super) listener: Listener,
    pub(super) in_flight: Rc<InFlightLimit>,
    pub(super) documents: PublicDocuments,
}

impl WorkerContext {
    pub(super) fn new(state: &AppState, settings: &Settings, listener: Listener) -> Rc<Self> {
        #[cfg(feature = "profiling")]
        crate::observe::profile::watch_runtime(listener.as_str());
        Rc::new(Self {
            state: state.clone(),
            settings: settings.clone(),
            listener,
            in_flight: InFlightLimit::new(settings, listener),
            documents: PublicDocuments::default(),
        })
    }
}
