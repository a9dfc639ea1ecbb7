//! When requests are sent: as soon as a client is free, or at moments that do not depend on answers.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::stages::Stages;

/// The pace of one thread.
#[derive(Clone, Debug)]
pub enum Pace {
    /// A closed model: each client asks again when it has been answered.
    Closed {
        /// How many of all clients are active at which moment; without it, all.
        stages: Option<Stages>,
    },
    /// An open model: arrivals at a fixed rate.
    Open {
        /// Arrivals per second, of all threads.
        rate: f64,
    },
}

/// Which of how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// From 0.
    pub thread: usize,
    /// How many there are.
    pub threads: usize,
}

impl Share {
    /// This thread's part of a number of clients.
    pub fn of(self, count: usize) -> usize {
        (count + self.threads - 1 - self.thread) / self.threads
    }

    /// When this thread's arrival is meant to be sent.
    pub fn arrival(self, number: u64, rate: f64) -> Duration {
        let overall = number * self.threads as u64 + self.thread as u64;
        Duration::from_secs_f64(overall as f64 / rate)
    }
}

/// The arrivals of one thread, each at a moment that was fixed beforehand: latencies count from it, so
/// that a server which stalls cannot hide how long the others waited meanwhile (coordinated omission).
pub struct Arrivals {
    /// `None` in a closed model: nobody arrives.
    rate: Option<f64>,
    share: Share,
    duration: Duration,
    begin: Instant,
    number: u64,
    timer: OwnedFd,
    timer_set_for: Option<u64>,
}

impl Arrivals {
    /// Those of a round.
    pub fn new(pace: &Pace, share: Share, duration: Duration) -> io::Result<Self> {
        let rate = match pace {
            Pace::Open { rate } => Some(*rate),
            Pace::Closed { .. } => None,
        };
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { rate, share, duration, begin: Instant::now(), number: 0, timer, timer_set_for: None })
    }

    /// The round begins.
    pub fn begin(&mut self, now: Instant) {
        self.begin = now;
    }

    /// What becomes readable when the next one is due.
    pub fn timer(&self) -> RawFd {
        self.timer.as_raw_fd()
    }

    /// Takes the next one if its moment has come; its moment.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next().filter(|at| *at <= now)?;
        self.number += 1;
        Some(due)
    }

    /// Wakes the loop for the next one: epoll counts in milliseconds, and arrivals need better.
    pub fn set_timer(&mut self, now: Instant) -> io::Result<()> {
        let Some(wait) = self.next().and_then(|at| at.checked_duration_since(now)) else { return Ok(()) };
        if self.timer_set_for.replace(self.number) == Some(self.number) {
            return Ok(());
        }
        let it_value =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()).max(1) };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// How long those had waited at the end that were never taken.
    pub fn missed(&self) -> impl Iterator<Item = Duration> {
        let numbers =
            self.rate.map(|rate| (self.number..).map(move |number| self.share.arrival(number, rate)));
        let missed = numbers.into_iter().flatten().take_while(|at| *at < self.duration);
        missed.map(|at| self.duration - at)
    }

    fn next(&self) -> Option<Instant> {
        let at = self.share.arrival(self.number, self.rate?);
        (at < self.duration).then_some(self.begin + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole() {
        for (count, threads) in [(0, 1), (1, 3), (7, 2), (64, 4), (65, 4)] {
            let sum: usize = (0..threads).map(|thread| Share { thread, threads }.of(count)).sum();
            assert_eq!(sum, count);
        }
    }

    #[test]
    fn arrivals_come_at_their_moments_and_what_is_missed_has_waited() {
        let (share, second) = (Share { thread: 0, threads: 1 }, Duration::from_secs(1));
        let mut arrivals = Arrivals::new(&Pace::Open { rate: 4.0 }, share, second).expect("a timer");
        let begin = Instant::now();
        arrivals.begin(begin);
        let quarter = Duration::from_millis(250);
        assert_eq!(arrivals.due(begin), Some(begin));
        assert_eq!(arrivals.due(begin), None);
        let late = begin + Duration::from_millis(900);
        assert_eq!(arrivals.due(late), Some(begin + quarter), "the moment it was meant for");
        assert_eq!(arrivals.missed().collect::<Vec<_>>(), [2 * quarter, quarter]);
        assert_eq!(
            [arrivals.due(late), arrivals.due(late)],
            [2, 3].map(|number| Some(begin + number * quarter))
        );
        assert_eq!((arrivals.due(late + second), arrivals.missed().count()), (None, 0));
        let closed = Arrivals::new(&Pace::Closed { stages: None }, share, second).expect("a timer");
        assert_eq!(closed.missed().count(), 0);
    }

    #[test]
    fn arrivals_of_the_threads_take_turns() {
        let at = |thread, number| Share { thread, threads: 2 }.arrival(number, 100.0).as_millis();
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [0, 10, 20, 30]);
    }
}
