//! Requests of the clients that an operator named in `[metrics] clients`, each client for itself.

use super::{Endpoint, Metrics};

/// A request at an endpoint where clients authenticate. Without a named client it counts nothing; what was
/// not done when it is dropped, also because the caller went away, is a failure.
pub struct CountedRequest<'m> {
    metrics: &'m Metrics,
    endpoint: Endpoint,
    client: Option<usize>,
    succeeded: bool,
}

impl Metrics {
    /// Begins to count a request.
    pub fn count_request(&self, endpoint: Endpoint) -> CountedRequest<'_> {
        CountedRequest { metrics: self, endpoint, client: None, succeeded: false }
    }
}

impl CountedRequest<'_> {
    /// The client_id that the request presents. Only the few that were named are looked through.
    pub fn by(&mut self, client_id: &str) {
        self.client = self.metrics.labels.clients.iter().position(|named| named == client_id);
    }

    /// The request is answered as its client wished.
    pub fn succeeded(mut self) {
        self.succeeded = true;
    }
}

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            let at = [client, self.endpoint as usize, usize::from(self.succeeded)];
            self.metrics.registry.add(self.metrics.oauth.clients, at, 1);
        }
    }
}
