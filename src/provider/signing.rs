//! RFC 7515 — signing on behalf of a request. An RSA signature takes as long as dozens of requests, so it is
//! made on threads of its own: every connection of a worker would have to wait for it. Those of elliptic
//! curves cost less than handing them over.

use std::{sync::Arc, time::Duration};

use super::{ProviderError, TokenEndpoints};
use crate::{
    crypto::sign,
    model::SigningAlg,
    observe::trace::{self, Work},
    resilience::{Lane, LaneError, LaneSize},
};

/// Signatures that may wait. At the speed of one core they are done within the time for a request.
const QUEUE: usize = 4_096;

/// Threads that make slow signatures.
pub struct SigningLane(Lane<()>);

impl SigningLane {
    /// Starts so many threads.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let size = LaneSize { threads, queue: QUEUE, idle: Duration::MAX, nice: 0 };
        Lane::start("signing", size, || ()).map(Self)
    }

    /// How many signatures wait.
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    async fn run(&self, work: impl FnOnce() -> String + Send + 'static) -> Result<String, ProviderError> {
        self.0.run(|()| work()).await.map_err(|error| match error {
            LaneError::Overloaded => ProviderError::Unavailable(error.to_string()),
            LaneError::Panicked => ProviderError::Internal(error.to_string()),
        })
    }
}

impl TokenEndpoints {
    /// A JWT with this payload, signed by the active key.
    pub(super) async fn signed(
        &self,
        alg: SigningAlg,
        typ: &'static str,
        payload: Vec<u8>,
    ) -> Result<String, ProviderError> {
        let key = self.key_ring.load().active(alg).map(Arc::clone).ok_or_else(|| {
            ProviderError::Unavailable(format!("there is no active {} signing key yet", alg.as_str()))
        })?;
        let signature = async {
            match alg {
                SigningAlg::EdDSA | SigningAlg::ES256 => Ok(sign::jws_sign(&key, typ, &payload)),
                SigningAlg::RS256 | SigningAlg::PS256 => {
                    self.signing.run(move || sign::jws_sign(&key, typ, &payload)).await
                }
            }
        };
        trace::traced(Work::Sign(alg.as_str()), signature).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::mpsc::channel,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn signatures_that_wait_are_counted() {
        let lane = SigningLane::start(1).expect("a thread");
        let ((begun, has_begun), (end, ended)) = (channel(), channel::<()>());
        let first = lane.run(move || {
            begun.send(()).expect("the test listens");
            // An error means that the test is over.
            let _ = ended.recv();
            String::new()
        });
        let mut context = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (pin!(first), pin!(lane.run(String::new)));
        assert!(first.as_mut().poll(&mut context).is_pending());
        has_begun.recv().expect("it begins");
        assert_eq!(lane.queued(), 0, "it does not wait any more");
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(lane.queued(), 1);
        end.send(()).expect("it still runs");
    }
}
