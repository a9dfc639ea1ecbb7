//! What the kernel says about this process (proc(5)).

use std::{
    fs::read_to_string,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::memory;

/// Statistics of this process; not a number where the kernel does not tell.
#[derive(Clone, Copy, Debug)]
pub struct ProcessStatistics {
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Memory in use.
    pub resident_bytes: f64,
    /// Memory in use that is no file's: what the allocator holds, and stacks.
    pub anonymous_bytes: f64,
    /// Memory that is mapped, in use or not.
    pub virtual_bytes: f64,
    /// Memory it may use.
    pub memory_limit_bytes: f64,
    /// Page faults that needed no disk, and those that did.
    pub page_faults: [f64; 2],
    /// Open file descriptors.
    pub open_fds: f64,
    /// The most it may have.
    pub max_fds: f64,
}

impl ProcessStatistics {
    /// Asks the kernel, except for what is already known.
    pub(super) fn read(memory_limit: Option<u64>) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |name| kibibytes(&status, name).map_or(f64::NAN, |bytes| bytes as f64);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: bytes("VmRSS:"),
            anonymous_bytes: bytes("RssAnon:"),
            virtual_bytes: bytes("VmSize:"),
            memory_limit_bytes: memory_limit.or_else(memory::limit).map_or(f64::NAN, |bytes| bytes as f64),
            page_faults: page_faults().unwrap_or([f64::NAN; 2]),
            // Less the descriptor that reads the folder.
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(f64::NAN, |fds| fds.count() as f64 - 1.0),
            max_fds: getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64),
        }
    }
}

/// A size of /proc/self/status or /proc/meminfo, which is in KiB whatever the page size; in bytes.
pub(super) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// `minflt` and `majflt` of /proc/self/stat. They come after the name, which may hold anything.
fn page_faults() -> Option<[f64; 2]> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some([fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?])
}

/// Now, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the process tells when it really started")]
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(f64::NAN, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let statistics = ProcessStatistics::read(None);
        assert!(statistics.cpu_seconds >= 0.0);
        assert!(
            statistics.resident_bytes > 100_000.0 && statistics.resident_bytes <= statistics.virtual_bytes
        );
        assert!(statistics.anonymous_bytes > 0.0 && statistics.anonymous_bytes <= statistics.resident_bytes);
        assert!(statistics.resident_bytes < statistics.memory_limit_bytes);
        assert!(statistics.page_faults[0] > 0.0 && statistics.page_faults[1] >= 0.0);
        assert_eq!(ProcessStatistics::read(Some(7)).memory_limit_bytes, 7.0);
        assert!(statistics.open_fds >= 3.0 && statistics.open_fds <= statistics.max_fds);
        assert!(unix_seconds() > 1.7e9);
    }
}
