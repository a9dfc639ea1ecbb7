//! What a process uses, from `/proc`.

use std::{collections::BTreeMap, fs, io};

use serde::Serialize;

use crate::failure::Failure;

/// A process at a moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Nanoseconds on a processor, of each thread.
    threads: BTreeMap<u32, u64>,
    /// Clock ticks of 10 ms in user space and in the kernel, of all threads, those that ended included.
    ticks: (u64, u64),
    /// Bytes in memory.
    pub resident: u64,
}

/// What a process used between two moments.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Used {
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Which part of it was spent in the kernel, 0 to 1.
    pub kernel_share: f64,
    /// Bytes in memory at the end.
    pub resident_bytes: u64,
}

const TICK: f64 = 0.01;

impl Sample {
    /// Looks at a process.
    pub fn of(pid: u32) -> Result<Self, Failure> {
        let gone = |error: io::Error| {
            Failure::Run(format!("there is no process {pid} to look at ({error}); give the server's --pid"))
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(gone)?;
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).map_err(gone)?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            // A thread may end between being listed and being read.
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
            threads.extend(id.zip(nanos));
        }
        Ok(Self { threads, ticks: ticks(&stat), resident: pages(&statm) * rustix::param::page_size() as u64 })
    }

    /// What was used since an earlier sample. As fine as nanoseconds, unless a thread ended meanwhile.
    pub fn since(&self, earlier: &Self) -> Used {
        let (user, kernel) = (self.ticks.0 - earlier.ticks.0, self.ticks.1 - earlier.ticks.1);
        let ended = earlier.threads.keys().any(|id| !self.threads.contains_key(id));
        let fine: u64 =
            self.threads.iter().map(|(id, now)| now - earlier.threads.get(id).unwrap_or(&0)).sum();
        let coarse = (user + kernel) as f64 * TICK;
        let fine = fine as f64 / 1e9;
        // What an ended thread used is in the ticks only.
        let cpu_seconds = if ended || fine == 0.0 { coarse.max(fine) } else { fine };
        let kernel_share = if user + kernel == 0 { 0.0 } else { kernel as f64 / (user + kernel) as f64 };
        Used { cpu_seconds, kernel_share, resident_bytes: self.resident }
    }
}

/// Fields 14 and 15; the name in field 2 may hold anything, so they are counted from its end.
fn ticks(stat: &str) -> (u64, u64) {
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
    (field(11), field(12))
}

fn pages(statm: &str) -> u64 {
    statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 55 66 0 0 20 0 1 0 9"), (55, 66));
        assert_eq!(pages("100 42 7 0 0 9 0"), 42);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let before = Sample::of(std::process::id()).expect("it is there");
        let mut sum = 0u64;
        while Sample::of(std::process::id()).expect("it is there").since(&before).cpu_seconds < 0.005 {
            sum = (0..100_000u64).fold(sum, |sum, each| sum.rotate_left(3) ^ each);
        }
        assert!(before.resident > 100_000, "{sum}");
    }

    #[test]
    fn when_a_thread_ended_the_ticks_count() {
        let sample = |threads: &[(u32, u64)], ticks| Sample {
            threads: threads.iter().copied().collect(),
            ticks,
            resident: 1,
        };
        let before = sample(&[(1, 1_000), (2, 5_000)], (10, 10));
        let used = sample(&[(1, 4_000), (2, 6_000), (3, 500)], (13, 11)).since(&before);
        assert!((used.cpu_seconds - 4_500e-9).abs() < 1e-12 && (used.kernel_share - 0.25).abs() < 1e-9);
        let used = sample(&[(1, 4_000)], (13, 11)).since(&before);
        assert!((used.cpu_seconds - 0.04).abs() < 1e-12);
    }
}
