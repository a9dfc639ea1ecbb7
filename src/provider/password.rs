//! NIST SP 800-63B-4 §3.1.1.2, RFC 9106 — hashing passwords on a lane of their own, so that a flood of
//! sign-ins cannot stall anything else (R70).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::ProviderError;
use crate::{
    crypto::{
        password::{self, HashCost, Memory},
        random::Random,
    },
    model::Secret,
    observe::{
        HashOperation, Metrics,
        trace::{self, Work},
    },
    resilience::{Lane, LaneError, LaneSize},
};

/// A thread's memory is given back when no password came for so long.
const IDLE: Duration = Duration::from_secs(30);

/// Where all cores are busy, everything else goes first: it is done in the time of a hundredth of a hash. A
/// core that is never idle leaves a hash a sixtieth of its time. Half way, at 10, requests beside a flood of
/// sign-ins took three times as long (docs/performance-notes.md), and there were no more sign-ins.
const NICE: i32 = 19;

/// The lane, and what a hash costs.
pub struct PasswordLane {
    lane: Lane<Memory>,
    params: HashCost,
    /// Verified when there is no such user, so that the work is the same (R56).
    dummy: String,
    random: Random,
    metrics: Arc<Metrics>,
}

/// The result of a verification.
#[derive(Debug)]
pub struct Verified {
    /// Whether the password is the right one.
    pub matches: bool,
    /// A new hash, when the password is right and the parameters were raised since (R54).
    pub rehashed: Option<String>,
}

impl PasswordLane {
    /// Starts `threads` threads before which `queue` passwords may wait.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(
        (threads, queue): (usize, usize),
        params: HashCost,
        random: Random,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let lane = Lane::start("password", LaneSize { threads, queue, idle: IDLE, nice: NICE }, Memory::new)?;
        let dummy = password::dummy_phc(&params);
        Ok(Self { lane, params, dummy, random, metrics })
    }

    /// Hashes a new password, in the form [`crate::protocol::password_policy`] gave it.
    pub async fn hash(&self, password: Secret<String>) -> Result<String, ProviderError> {
        let (params, salt, metrics) = (self.params.clone(), self.random.bytes(), Arc::clone(&self.metrics));
        let work = move |memory: &mut Memory| {
            let begun = Instant::now();
            let phc = password::hash(password.expose().as_bytes(), &params, salt, memory);
            metrics.password_hashed(HashOperation::Hash, begun.elapsed());
            phc
        };
        self.run(HashOperation::Hash, work).await
    }

    /// Verifies a password against a user's hash; without one, against a hash of no user, at the same cost.
    pub async fn verify(
        &self,
        password: Secret<String>,
        phc: Option<String>,
    ) -> Result<Verified, ProviderError> {
        let somebody = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.dummy.clone());
        let (params, salt, metrics) = (self.params.clone(), self.random.bytes(), Arc::clone(&self.metrics));
        let work = move |memory: &mut Memory| {
            let password = password.expose().as_bytes();
            let begun = Instant::now();
            let matches = password::verify(password, &phc, memory) && somebody;
            metrics.password_hashed(HashOperation::Verify, begun.elapsed());
            let due = matches && password::needs_rehash(&phc, &params);
            Verified { matches, rehashed: due.then(|| password::hash(password, &params, salt, memory)) }
        };
        self.run(HashOperation::Verify, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        of: HashOperation,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        let done = trace::traced(Work::Password(of.as_str()), self.lane.run(work)).await;
        done.map_err(|error| self.refused(error))
    }

    /// How many passwords wait, and how many are hashed at once.
    pub fn queue(&self) -> (usize, usize) {
        (self.lane.queued(), self.lane.slots())
    }

    /// Sets the gauges of the queue; for the metrics' sampler.
    pub fn sample(&self) {
        let (waiting, slots) = self.queue();
        self.metrics.set_password_queue(waiting, slots);
    }

    fn refused(&self, error: LaneError) -> ProviderError {
        match error {
            LaneError::Overloaded => {
                self.metrics.password_hash_rejected();
                ProviderError::Unavailable(error.to_string())
            }
            LaneError::Panicked => ProviderError::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Labels;

    fn lane(size: (usize, usize), params: (u32, u32, u32)) -> PasswordLane {
        let params = HashCost::new(params.0, params.1, params.2).unwrap();
        PasswordLane::start(size, params, Random::seeded(1), Metrics::new(Labels::default())).unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// R54
    #[tokio::test]
    async fn a_right_password_is_hashed_anew_when_the_parameters_were_raised() {
        let weak = lane((1, 8), (8, 1, 1)).hash(secret("correct horse")).await.unwrap();
        let strong = lane((1, 8), (16, 2, 1));
        let wrong = strong.verify(secret("wrong horse"), Some(weak.clone())).await.unwrap();
        assert!(!wrong.matches && wrong.rehashed.is_none());
        let right = strong.verify(secret("correct horse"), Some(weak)).await.unwrap();
        assert!(right.matches);
        let again = strong.verify(secret("correct horse"), right.rehashed).await.unwrap();
        assert!(again.matches && again.rehashed.is_none());
    }

    /// R56
    #[tokio::test]
    async fn nobodys_password_never_matches() {
        let lane = lane((1, 8), (8, 1, 1));
        assert!(!lane.verify(secret("anything"), None).await.unwrap().matches);
        let dummy = lane.dummy.clone();
        assert!(!lane.verify(secret("nobody's password"), Some(dummy)).await.unwrap().matches);
    }

    /// R70, T31
    #[tokio::test]
    async fn a_full_queue_is_refused_at_once() {
        let lane = lane((1, 1), (64, 16, 1));
        let jobs = (0..32).map(|_| lane.hash(secret("x")));
        let mut refused = 0;
        let mut jobs: Vec<_> = jobs.map(Box::pin).collect();
        // Polled together: the first run or wait, the rest find the queue full.
        std::future::poll_fn(|context| {
            jobs.retain_mut(|job| match job.as_mut().poll(context) {
                std::task::Poll::Ready(result) => {
                    refused += u32::from(matches!(result, Err(ProviderError::Unavailable(_))));
                    false
                }
                std::task::Poll::Pending => true,
            });
            if jobs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert!(refused >= 1, "{refused}");
    }
}
