//! A line about a run that goes on, where somebody watches.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::tally::Tally;

/// The counts of each thread, so far.
pub struct Live(Vec<(AtomicU64, AtomicU64)>);

impl Live {
    /// Nothing yet.
    pub fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Default::default()).collect())
    }

    /// Takes note of a thread's counts.
    pub fn store(&self, thread: usize, tally: &Tally) {
        let (answers, errors) = &self.0[thread];
        answers.store(tally.answers, Ordering::Relaxed);
        errors.store(tally.errors(), Ordering::Relaxed);
    }

    fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.0.iter().fold((0, 0), |(a, e), (answers, errors)| (a + load(answers), e + load(errors)))
    }
}

/// Writes the line until the round ends; returns at once where nobody watches.
pub fn watch(live: &Live, label: &str, duration: Duration) {
    if !stderr().is_terminal() {
        return;
    }
    let begin = Instant::now();
    let mut last = 0;
    let step = Duration::from_millis(250);
    while begin.elapsed() < duration {
        thread::sleep(step.min(duration.saturating_sub(begin.elapsed())));
        let (answers, errors) = live.counts();
        let rate = (answers - last) as f64 / step.as_secs_f64();
        last = answers;
        let (now, all) = (begin.elapsed().as_secs_f64(), duration.as_secs_f64());
        let line = format!("{label}: {now:.0} of {all:.0} s, {rate:.0} requests/s, {errors} errors");
        // A terminal that is gone does not matter to the run.
        let _ = write!(stderr(), "\r\x1b[K{line}");
    }
    let _ = write!(stderr(), "\r\x1b[K");
}
