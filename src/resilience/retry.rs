//! Trying again: after growing pauses of random length, within a budget, and never past the deadline.
//!
//! Only for what may be done twice. When everything fails, retries only add load, so a dependency gets
//! one for every ten calls at most; a burst of a few is let through.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;

use super::deadline::remaining;

/// How often, and how soon.
#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// Tries after the first.
    pub times: usize,
    /// The first pause; doubled each time, with as much again at random.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Retries that may be saved up.
    pub burst: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            times: 3,
            pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(100),
            burst: 10,
        }
    }
}

/// What a call costs in the coin of the budget: each adds a tenth of a retry.
const CALLS_PER_RETRY: u32 = 10;

/// The retries of one dependency. Every call to it goes through [`Retry::run`], so that the budget knows
/// how many there are.
#[derive(Debug)]
pub struct Retry {
    options: RetryOptions,
    /// In tenths of a retry.
    budget: AtomicU32,
}

impl Retry {
    /// With a full budget.
    pub fn new(options: RetryOptions) -> Self {
        Self { options, budget: AtomicU32::new(options.burst.saturating_mul(CALLS_PER_RETRY)) }
    }

    /// Makes a call, again if its error is worth it. `again` is told of each retry.
    pub async fn run<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        mut call: impl FnMut() -> F,
        worth_it: impl Fn(&E) -> bool,
        again: impl Fn(),
    ) -> Result<T, E> {
        self.save();
        let mut pauses = None;
        loop {
            let error = match call().await {
                Err(error) if worth_it(&error) => error,
                outcome => return outcome,
            };
            let pauses = pauses.get_or_insert_with(|| self.pauses());
            let Some(pause) = pauses.next().filter(|pause| fits(*pause) && self.spend()) else {
                return Err(error);
            };
            sleep(pause).await;
            again();
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let RetryOptions { times, pause, longest_pause, .. } = self.options;
        ExponentialBuilder::default()
            .with_min_delay(pause)
            .with_max_delay(longest_pause)
            .with_max_times(times)
            .with_jitter()
            .build()
    }

    fn save(&self) {
        let most = self.options.burst.saturating_mul(CALLS_PER_RETRY);
        if self.budget.load(Ordering::Relaxed) < most {
            let saved = |left: u32| (left < most).then_some(left + 1);
            // An error means that it is full by now.
            let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, saved);
        }
    }

    fn spend(&self) -> bool {
        let spent = |left: u32| left.checked_sub(CALLS_PER_RETRY);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }
}

/// Whether there is time left after a pause.
fn fits(pause: Duration) -> bool {
    remaining().is_none_or(|left| pause < left)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;
    use crate::resilience::deadline::enforce;

    /// Fails the first `failures` times; gives the number of the try that succeeded.
    async fn run(retry: &Retry, failures: u32) -> Result<u32, u32> {
        let tries = Cell::new(0);
        let call = || {
            tries.set(tries.get() + 1);
            let number = tries.get();
            async move { if number > failures { Ok(number) } else { Err(number) } }
        };
        retry.run(call, |_| true, || {}).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_again_a_bounded_number_of_times() {
        let retry = Retry::new(RetryOptions::default());
        assert_eq!(run(&retry, 0).await, Ok(1));
        assert_eq!(run(&retry, 2).await, Ok(3));
        assert_eq!(run(&retry, 100).await, Err(4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_is_not_worth_it_is_the_answer() {
        let retry = Retry::new(RetryOptions::default());
        let outcome = retry.run(|| async { Err::<(), _>("constraint") }, |_| false, || panic!("again")).await;
        assert_eq!(outcome, Err("constraint"));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_not_the_same_for_all() {
        let retry = Retry::new(RetryOptions { times: 6, ..RetryOptions::default() });
        let pauses: Vec<Vec<Duration>> = (0..20).map(|_| retry.pauses().collect()).collect();
        for pauses in &pauses {
            assert_eq!(pauses.len(), 6);
            assert!(pauses[0] >= retry.options.pause && pauses[5] > pauses[0], "{pauses:?}");
            assert!(pauses.iter().all(|pause| *pause <= retry.options.longest_pause * 2), "{pauses:?}");
        }
        assert!(pauses.iter().any(|other| other[0] != pauses[0][0]));
    }

    /// When all fails, every tenth call is made twice at most.
    #[tokio::test(start_paused = true)]
    async fn retries_stay_within_a_tenth_of_the_calls() {
        let retry = Retry::new(RetryOptions::default());
        let again = Cell::new(0);
        for _ in 0..1_000 {
            let failed =
                retry.run(|| async { Err::<(), _>(()) }, |()| true, || again.set(again.get() + 1)).await;
            assert_eq!(failed, Err(()));
        }
        // A tenth, and the burst that had been saved up.
        assert!((100..=110).contains(&again.get()), "{}", again.get());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_kept_waiting_for_a_retry_past_the_deadline() {
        let pause = Duration::from_secs(10);
        let retry = Retry::new(RetryOptions { pause, longest_pause: pause, ..RetryOptions::default() });
        let begun = Instant::now();
        assert_eq!(enforce(Duration::from_secs(1), run(&retry, 1)).await, Ok(Err(1)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
