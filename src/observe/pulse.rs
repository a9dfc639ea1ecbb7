//! What happened lately: rates over the last minute, and how busy the workers were.
//!
//! A beat is kept each second for a minute. Whoever asks is told the difference between now and the beat at
//! the beginning of the time that is meant, so that it does not matter who else asks.

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

/// Tells for how long a worker was busy so far.
type Worker = Box<dyn Fn() -> Duration + Send + Sync>;

/// What had happened at one moment.
#[derive(Clone, Copy, Debug)]
struct Beat {
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
pub(super) struct Pulse {
    beats: Mutex<VecDeque<Beat>>,
    workers: Mutex<Vec<Worker>>,
}

impl Metrics {
    /// A worker has started; `busy` tells for how long it was not waiting, since it began.
    pub fn worker_started(&self, busy: impl Fn() -> Duration + Send + Sync + 'static) {
        self.pulse.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(busy));
    }

    /// Notes what has happened until now; to be called each second.
    pub fn beat(&self) {
        let now = self.now();
        let mut beats = self.pulse.beats.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut beats, now);
    }

    /// What happened in the last minute.
    pub fn rates(&self) -> Rates {
        self.since(KEPT).map(|(before, now)| rates(&before, &now)).unwrap_or_default()
    }

    /// The share of the workers' time that they were busy, over the last 15 seconds, from 0 to 1.
    pub fn busy_ratio(&self) -> f64 {
        let workers = self.pulse.workers.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.since(BUSY).map_or(0.0, |(before, now)| busy(&before, &now, workers))
    }

    fn now(&self) -> Beat {
        let (answers, server_errors) = self.answers();
        let workers = self.pulse.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = workers.iter().map(|busy| busy()).sum();
        Beat { at: Instant::now(), answers, server_errors, busy }
    }

    /// The beat from so long ago, or the first one if that is later, and now.
    fn since(&self, ago: Duration) -> Option<(Beat, Beat)> {
        let now = self.now();
        let beats = self.pulse.beats.lock().unwrap_or_else(PoisonError::into_inner);
        before(&beats, now.at, ago).map(|before| (before, now))
    }
}

/// Adds a beat, and drops those that nobody will ask for any more.
fn keep(beats: &mut VecDeque<Beat>, now: Beat) {
    beats.push_back(now);
    // The second one is old enough: nobody looks behind it.
    while beats.get(1).is_some_and(|second| now.at.duration_since(second.at) >= KEPT) {
        beats.pop_front();
    }
}

/// The last beat that is at least so old, else the first one.
fn before(beats: &VecDeque<Beat>, now: Instant, ago: Duration) -> Option<Beat> {
    let old = beats.iter().rev().find(|beat| now.duration_since(beat.at) >= ago);
    old.or(beats.front()).copied()
}

fn rates(before: &Beat, now: &Beat) -> Rates {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Rates {
        seconds,
        answers: per_second(now.answers - before.answers),
        server_errors: per_second(now.server_errors - before.server_errors),
    }
}

/// A worker tells what it did when it pauses, which may be a little later.
fn busy(before: &Beat, now: &Beat, workers: usize) -> f64 {
    let time = now.at.duration_since(before.at).as_secs_f64() * workers as f64;
    let busy = now.busy.saturating_sub(before.busy).as_secs_f64();
    if time > 0.0 { (busy / time).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(start: Instant, second: u64, answers: u64, busy: u64) -> Beat {
        let at = start + Duration::from_secs(second);
        Beat { at, answers, server_errors: answers / 10, busy: Duration::from_millis(busy) }
    }

    #[test]
    fn a_minute_is_kept_and_the_beat_before_it() {
        let (start, mut beats) = (Instant::now(), VecDeque::new());
        for second in 0..200 {
            keep(&mut beats, beat(start, second, 10 * second, 0));
        }
        assert_eq!(beats.len(), 61);
        let now = beat(start, 199, 5_000, 0);
        let found = before(&beats, now.at, KEPT).expect("a beat");
        assert_eq!(found.at, start + Duration::from_secs(139));
        let rates = rates(&found, &now);
        assert_eq!((rates.seconds, rates.answers), (60.0, (5_000.0 - 1_390.0) / 60.0));
        assert_eq!(rates.server_errors, (500.0 - 139.0) / 60.0);
    }

    #[test]
    fn before_a_minute_has_passed_rates_are_those_since_the_start() {
        let (start, mut beats) = (Instant::now(), VecDeque::new());
        assert!(before(&beats, start, KEPT).is_none());
        keep(&mut beats, beat(start, 0, 0, 0));
        let now = beat(start, 4, 100, 0);
        assert_eq!(rates(&before(&beats, now.at, KEPT).expect("a beat"), &now).answers, 25.0);
    }

    #[test]
    fn the_share_is_of_all_workers_time() {
        let start = Instant::now();
        let (first, now) = (beat(start, 0, 0, 1_000), beat(start, 10, 0, 6_000));
        assert_eq!(busy(&first, &now, 2), 0.25);
        assert_eq!(busy(&first, &now, 0), 0.0);
        assert_eq!(busy(&first, &beat(start, 1, 0, 9_000), 1), 1.0, "a worker may tell late");
        assert_eq!(busy(&first, &first, 1), 0.0);
    }
}
