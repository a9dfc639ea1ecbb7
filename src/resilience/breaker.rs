//! A circuit breaker: when most calls to a dependency fail, nobody waits for it any more.
//!
//! Closed, it counts. Once the share of failures among the calls of the last seconds is too high it
//! opens, and calls are refused without being made. After a while it is half-open: a few calls go
//! through to find out. If they succeed it closes, otherwise it opens again, for longer. One error opens
//! nothing.
//!
//! [`Core`] decides, with the time and chance as arguments; [`Breaker`] is the same for many threads.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::jitter::{draw, spread};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Calls that ended so recently count.
    pub window: Duration,
    /// Fewer calls than this in the window prove nothing.
    pub min_calls: u32,
    /// The share of failures that opens it, above 0 and at most 1.
    pub failure_share: f64,
    /// How long it is open the first time; doubled each time the dependency still fails.
    pub open_for: Duration,
    /// The longest it is open at once.
    pub open_for_most: Duration,
    /// Calls let through at once when half-open, and how many must succeed to close it.
    pub probes: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(5),
            min_calls: 10,
            failure_share: 0.5,
            open_for: Duration::from_millis(250),
            // A dependency that is back is found within this.
            open_for_most: Duration::from_secs(2),
            probes: 3,
        }
    }
}

/// What a breaker does with calls. The numbers are the values of `chancery_breaker_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All go through.
    Closed = 0,
    /// A few go through, to find out.
    HalfOpen = 1,
    /// None goes through.
    Open = 2,
}

/// What a breaker did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerStatistics {
    /// Its state now.
    pub state: BreakerState,
    /// How often it came into each state, in the order of [`BreakerState`].
    pub transitions: [u64; 3],
    /// Calls it refused.
    pub refused: u64,
}

/// The call was not made: the dependency has been failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Refused;

/// A breaker that many threads share.
#[derive(Debug)]
pub struct Breaker {
    core: Mutex<Core>,
    /// What its clock counts from.
    began: Instant,
}

impl Breaker {
    /// A closed one.
    pub fn new(options: BreakerOptions) -> Self {
        Self { core: Mutex::new(Core::new(options)), began: Instant::now() }
    }

    /// Asks whether a call may be made. Its outcome must be told to the permit; a permit that is dropped
    /// (the caller went away) says nothing about the dependency.
    pub fn admit(&self) -> Result<Permit<'_>, Refused> {
        let now = self.began.elapsed();
        let turn = self.lock().admit(now).ok_or(Refused)?;
        Ok(Permit { breaker: self, turn: Some(turn) })
    }

    /// Tells the outcome of a call that was made without asking, because it must be made: a success while
    /// open means that it is worth asking again.
    pub fn record(&self, success: bool) {
        let now = self.began.elapsed();
        self.lock().record(success, now, draw());
    }

    /// Its state now.
    pub fn state(&self) -> BreakerState {
        let now = self.began.elapsed();
        self.lock().state(now)
    }

    /// What it did so far.
    pub fn statistics(&self) -> BreakerStatistics {
        let now = self.began.elapsed();
        let core = self.lock();
        BreakerStatistics { state: core.state(now), transitions: core.transitions, refused: core.refused }
    }

    /// Nothing that may panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to make one call.
#[derive(Debug)]
#[must_use = "the outcome of the call must be told"]
pub struct Permit<'b> {
    breaker: &'b Breaker,
    turn: Option<PeriodNumber>,
}

impl Permit<'_> {
    /// The dependency answered, whatever the answer was.
    pub fn succeeded(self) {
        self.end(Outcome::Success);
    }

    /// The dependency could not be reached, or did not answer in time.
    pub fn failed(self) {
        self.end(Outcome::Failure);
    }

    fn end(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(turn) = self.turn.take() {
            let now = self.breaker.began.elapsed();
            self.breaker.lock().end(turn, outcome, now, draw());
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.report(Outcome::Nothing);
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    /// Nobody waited for the end.
    Nothing,
}

/// The period in which a call was let through. What a call of an earlier period finds out is old news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PeriodNumber(u64);

/// The decisions, with the time since some beginning and chance (0 up to 1) as arguments.
#[derive(Debug)]
struct Core {
    options: BreakerOptions,
    period: Period,
    /// Raised with each period.
    turn: u64,
    /// How often it opened since it was last closed.
    opened: u32,
    transitions: [u64; 3],
    refused: u64,
}

#[derive(Debug)]
enum Period {
    Closed(Window),
    HalfOpen { under_way: u32, succeeded: u32 },
    Open { until: Duration },
}

impl Core {
    fn new(options: BreakerOptions) -> Self {
        let period = Period::Closed(Window::default());
        Self { options, period, turn: 0, opened: 0, transitions: [0; 3], refused: 0 }
    }

    /// A breaker that has been open for long enough is as good as half-open, although nobody came.
    fn state(&self, now: Duration) -> BreakerState {
        match &self.period {
            Period::Closed(_) => BreakerState::Closed,
            Period::HalfOpen { .. } => BreakerState::HalfOpen,
            Period::Open { until } if now >= *until => BreakerState::HalfOpen,
            Period::Open { .. } => BreakerState::Open,
        }
    }

    fn admit(&mut self, now: Duration) -> Option<PeriodNumber> {
        if matches!(self.period, Period::Open { until } if now >= until) {
            self.half_open();
        }
        let admitted = match &mut self.period {
            Period::Closed(_) => true,
            Period::HalfOpen { under_way, .. } if *under_way < self.options.probes.max(1) => {
                *under_way += 1;
                true
            }
            Period::HalfOpen { .. } | Period::Open { .. } => false,
        };
        self.refused += u64::from(!admitted);
        admitted.then_some(PeriodNumber(self.turn))
    }

    fn end(&mut self, turn: PeriodNumber, outcome: Outcome, now: Duration, draw: f64) {
        if turn != PeriodNumber(self.turn) {
            return;
        }
        if let Period::HalfOpen { under_way, .. } = &mut self.period {
            *under_way = under_way.saturating_sub(1);
        }
        match outcome {
            Outcome::Success => self.count(true, now, draw),
            Outcome::Failure => self.count(false, now, draw),
            Outcome::Nothing => {}
        }
    }

    fn record(&mut self, success: bool, now: Duration, draw: f64) {
        match self.period {
            Period::Open { .. } if success => self.half_open(),
            Period::Open { .. } => {}
            Period::Closed(_) | Period::HalfOpen { .. } => self.count(success, now, draw),
        }
    }

    fn count(&mut self, success: bool, now: Duration, draw: f64) {
        let options = self.options;
        match &mut self.period {
            Period::Closed(window) => {
                window.add(success, now, options.window);
                if !success && window.is_bad(&options) {
                    self.open(now, draw);
                }
            }
            Period::HalfOpen { succeeded, .. } if success => {
                *succeeded += 1;
                if *succeeded >= options.probes {
                    self.close();
                }
            }
            Period::HalfOpen { .. } => self.open(now, draw),
            Period::Open { .. } => {}
        }
    }

    fn close(&mut self) {
        self.opened = 0;
        self.enter(Period::Closed(Window::default()), BreakerState::Closed);
    }

    fn half_open(&mut self) {
        self.enter(Period::HalfOpen { under_way: 0, succeeded: 0 }, BreakerState::HalfOpen);
    }

    fn open(&mut self, now: Duration, draw: f64) {
        let doubled = self.options.open_for.saturating_mul(1 << self.opened.min(16));
        let until = now + spread(doubled.min(self.options.open_for_most), draw);
        self.opened += 1;
        self.enter(Period::Open { until }, BreakerState::Open);
    }

    fn enter(&mut self, period: Period, state: BreakerState) {
        self.period = period;
        self.turn += 1;
        self.transitions[state as usize] += 1;
    }
}

/// Slices of the window; the oldest is forgotten as a whole.
const SLICES: usize = 10;

/// Successes and failures of the last while.
#[derive(Debug, Default)]
struct Window {
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Which slice of time it counts.
    number: u64,
    succeeded: u32,
    failed: u32,
}

impl Window {
    fn add(&mut self, success: bool, now: Duration, length: Duration) {
        let slice = (length.as_nanos() / SLICES as u128).max(1);
        let number = u64::try_from(now.as_nanos() / slice).unwrap_or(u64::MAX);
        let oldest = number.saturating_sub(SLICES as u64 - 1);
        for slice in &mut self.slices {
            if slice.number < oldest {
                *slice = Slice { number: oldest, ..Slice::default() };
            }
        }
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        let count = if success { &mut slice.succeeded } else { &mut slice.failed };
        *count = count.saturating_add(1);
    }

    fn is_bad(&self, options: &BreakerOptions) -> bool {
        let sum =
            |count: fn(&Slice) -> u32| self.slices.iter().map(|slice| u64::from(count(slice))).sum::<u64>();
        let (succeeded, failed) = (sum(|slice| slice.succeeded), sum(|slice| slice.failed));
        let calls = succeeded + failed;
        calls >= u64::from(options.min_calls.max(1)) && failed as f64 >= options.failure_share * calls as f64
    }
}

#[cfg(test)]
mod tests;
