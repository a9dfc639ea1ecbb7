//! Rates over the last minute, and how busy the workers were.
//!
//! A sample is taken each second and kept for a minute. A rate is the difference between now and the sample at
//! the beginning of its period, so that it does not matter how often rates are read.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Metrics;

/// How far back it is known what happened.
const KEPT: Duration = Duration::from_secs(60);
/// The time over which workers are called busy: what Prometheus lets pass between two scrapes.
const BUSY: Duration = Duration::from_secs(15);

/// For how long a worker was busy so far.
type Worker = Box<dyn Fn() -> Duration + Send + Sync>;

/// What had happened at one moment.
#[derive(Clone, Copy, Debug)]
struct RateSample {
    at: Instant,
    answers: u64,
    server_errors: u64,
    busy: Duration,
}

/// Rates of the last minute, or since the start if that is less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// The time they are taken over, in seconds.
    pub seconds: f64,
    /// Answers per second.
    pub answers: f64,
    /// Answers of the class 5xx per second.
    pub server_errors: f64,
}

#[derive(Default)]
pub(super) struct RateHistory {
    samples: Mutex<VecDeque<RateSample>>,
    workers: Mutex<Vec<Worker>>,
}

impl Metrics {
    /// A worker has started; `busy` gives how long it was not waiting, since it began.
    pub fn worker_started(&self, busy: impl Fn() -> Duration + Send + Sync + 'static) {
        self.rates.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(busy));
    }

    /// Notes what has happened until now; to be called each second.
    pub fn sample_rates(&self) {
        let now = self.now();
        let mut samples = self.rates.samples.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut samples, now);
    }

    /// What happened in the last minute.
    pub fn rates(&self) -> Rates {
        self.since(KEPT).map(|(before, now)| rates(&before, &now)).unwrap_or_default()
    }

    /// The share of the workers' time that they were busy, over the last 15 seconds, from 0 to 1.
    pub fn busy_ratio(&self) -> f64 {
        let workers = self.rates.workers.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.since(BUSY).map_or(0.0, |(before, now)| busy(&before, &now, workers))
    }

    fn now(&self) -> RateSample {
        let (answers, server_errors) = self.answers();
        let workers = self.rates.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = workers.iter().map(|busy| busy()).sum();
        RateSample { at: Instant::now(), answers, server_errors, busy }
    }

    /// The sample from so long ago, or the first one if that is later, and now.
    fn since(&self, ago: Duration) -> Option<(RateSample, RateSample)> {
        let now = self.now();
        let samples = self.rates.samples.lock().unwrap_or_else(PoisonError::into_inner);
        before(&samples, now.at, ago).map(|before| (before, now))
    }
}

/// Adds a sample, and drops those that are too old to be read.
fn keep(samples: &mut VecDeque<RateSample>, now: RateSample) {
    samples.push_back(now);
    // The second one is old enough for every rate.
    while samples.get(1).is_some_and(|second| now.at.duration_since(second.at) >= KEPT) {
        samples.pop_front();
    }
}

/// The last sample that is at least so old, else the first one.
fn before(samples: &VecDeque<RateSample>, now: Instant, ago: Duration) -> Option<RateSample> {
    let old = samples.iter().rev().find(|sample| now.duration_since(sample.at) >= ago);
    old.or(samples.front()).copied()
}

fn rates(before: &RateSample, now: &RateSample) -> Rates {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Rates {
        seconds,
        answers: per_second(now.answers - before.answers),
        server_errors: per_second(now.server_errors - before.server_errors),
    }
}

/// A worker reports its busy time when it pauses, which may be a little later.
fn busy(before: &RateSample, now: &RateSample, workers: usize) -> f64 {
    let time = now.at.duration_since(before.at).as_secs_f64() * workers as f64;
    let busy = now.busy.saturating_sub(before.busy).as_secs_f64();
    if time > 0.0 { (busy / time).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start: Instant, second: u64, answers: u64, busy: u64) -> RateSample {
        let at = start + Duration::from_secs(second);
        RateSample { at, answers, server_errors: answers / 10, busy: Duration::from_millis(busy) }
    }

    #[test]
    fn a_minute_is_kept_and_the_sample_before_it() {
        let (start, mut samples) = (Instant::now(), VecDeque::new());
        for second in 0..200 {
            keep(&mut samples, sample(start, second, 10 * second, 0));
        }
        assert_eq!(samples.len(), 61);
        let now = sample(start, 199, 5_000, 0);
        let found = before(&samples, now.at, KEPT).expect("a sample");
        assert_eq!(found.at, start + Duration::from_secs(139));
        let rates = rates(&found, &now);
        assert_eq!((rates.seconds, rates.answers), (60.0, (5_000.0 - 1_390.0) / 60.0));
        assert_eq!(rates.server_errors, (500.0 - 139.0) / 60.0);
    }

    #[test]
    fn before_a_minute_has_passed_rates_are_those_since_the_start() {
        let (start, mut samples) = (Instant::now(), VecDeque::new());
        assert!(before(&samples, start, KEPT).is_none());
        keep(&mut samples, sample(start, 0, 0, 0));
        let now = sample(start, 4, 100, 0);
        assert_eq!(rates(&before(&samples, now.at, KEPT).expect("a sample"), &now).answers, 25.0);
    }

    #[test]
    fn the_share_is_of_all_workers_time() {
        let start = Instant::now();
        let (first, now) = (sample(start, 0, 0, 1_000), sample(start, 10, 0, 6_000));
        assert_eq!(busy(&first, &now, 2), 0.25);
        assert_eq!(busy(&first, &now, 0), 0.0);
        assert_eq!(busy(&first, &sample(start, 1, 0, 9_000), 1), 1.0, "a worker may report late");
        assert_eq!(busy(&first, &first, 1), 0.0);
    }
}
