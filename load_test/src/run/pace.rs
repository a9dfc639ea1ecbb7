//! When requests are sent: as soon as a client is free, or at moments that do not depend on answers.

use std::time::Duration;

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
    fn arrivals_of_the_threads_take_turns() {
        let at = |thread, number| Share { thread, threads: 2 }.arrival(number, 100.0).as_millis();
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [0, 10, 20, 30]);
    }
}
