//! Numbers that many threads add to: one row of cells per thread, merged when read.
//!
//! A shared atomic costs hundreds of nanoseconds once two cores fight for its cache line; one's own costs
//! four. Rows are as many as cores; threads that share a row are still counted right.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// More rows would only cost memory and time at each scrape.
const MOST_ROWS: usize = 32;

/// Cells at the end of each row that are never used, so that no two rows share a cache line (or a pair of
/// them, which processors fetch together).
const PADDING: usize = 16;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Relaxed);
}

/// Rows of cells, all of the same length.
pub(super) struct Cells {
    rows: Box<[Box<[AtomicU64]>]>,
    /// Rows are a power of two, so that choosing one is an `and`.
    mask: usize,
}

impl Cells {
    pub(super) fn new(length: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let rows = cores.next_power_of_two().min(MOST_ROWS);
        let row = || (0..length + PADDING).map(|_| AtomicU64::new(0)).collect();
        Self { rows: (0..rows).map(|_| row()).collect(), mask: rows - 1 }
    }

    /// Adds to a cell of this thread's row; wraps.
    pub(super) fn add(&self, cell: usize, amount: u64) {
        let row = THREAD.with(|thread| thread & self.mask);
        self.rows[row][cell].fetch_add(amount, Relaxed);
    }

    /// The sum of a cell over all rows; wraps, so that what one thread added another may take away.
    pub(super) fn sum(&self, cell: usize) -> u64 {
        self.rows.iter().fold(0, |sum, row| sum.wrapping_add(row[cell].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_eight_threads_add_is_all_there() {
        let cells = Cells::new(3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| cells.add(1, 2)));
            }
        });
        assert_eq!((cells.sum(0), cells.sum(1), cells.sum(2)), (0, 160_000, 0));
    }

    #[test]
    fn one_thread_may_take_away_what_another_added() {
        let cells = Cells::new(1);
        cells.add(0, 5);
        std::thread::scope(|scope| {
            scope.spawn(|| cells.add(0, 3_u64.wrapping_neg()));
        });
        assert_eq!(cells.sum(0), 2);
    }
}
