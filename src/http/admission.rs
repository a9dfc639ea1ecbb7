//! The limit of requests in flight, and the counts of what is under way.

use std::{cell::Cell, rc::Rc, sync::Arc};

use super::{route::Listener, state::Settings};
use crate::observe::Metrics;

/// The limit of requests in flight of one worker. Excess requests are refused at once: an answer that comes
/// after its client has given up is useless, and takes time from requests that could be answered in time.
pub(super) struct InFlightLimit {
    in_flight: Cell<usize>,
    limit: usize,
}

impl InFlightLimit {
    /// The limit of one worker: its share of the limit of all. The operations listener has none.
    pub(super) fn new(settings: &Settings, listener: Listener) -> Rc<Self> {
        let limit = match listener {
            Listener::Public => settings.max_in_flight.div_ceil(settings.workers.max(1)),
            Listener::Operations => usize::MAX,
        };
        Rc::new(Self { in_flight: Cell::new(0), limit })
    }

    /// Admits a request, unless there are as many as may be.
    pub(super) fn try_acquire(self: &Rc<Self>) -> Option<InFlightPermit> {
        let in_flight = self.in_flight.get();
        if in_flight >= self.limit {
            return None;
        }
        self.in_flight.set(in_flight + 1);
        Some(InFlightPermit(Rc::clone(self)))
    }
}

/// A request that counts as in flight until this is dropped.
pub(super) struct InFlightPermit(Rc<InFlightLimit>);

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// Counts a request in the metrics until it is dropped, also when the client goes away.
pub(super) struct InFlightGauge<'m>(&'m Metrics);

impl<'m> InFlightGauge<'m> {
    pub(super) fn begin(metrics: &'m Metrics) -> Self {
        metrics.request_arrived();
        Self(metrics)
    }
}

impl Drop for InFlightGauge<'_> {
    fn drop(&mut self) {
        self.0.request_left();
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct ConnectionGauge(Arc<Metrics>);

impl ConnectionGauge {
    /// Counts a new connection.
    pub(super) fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_admits_its_share_and_no_more() {
        let limit = Rc::new(InFlightLimit { in_flight: Cell::new(0), limit: 2 });
        let mut admitted: Vec<_> = (0..3).map(|_| limit.try_acquire()).collect();
        assert_eq!(admitted.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
        admitted.remove(0);
        assert!(limit.try_acquire().is_some());
    }
}
