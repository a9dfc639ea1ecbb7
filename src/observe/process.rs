//! What the kernel says about this process (proc(5)).

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Figures of this process; not a number where the kernel does not tell.
pub(super) struct Figures {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: f64,
    pub(super) open_fds: f64,
    pub(super) max_fds: f64,
}

impl Figures {
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes().unwrap_or(f64::NAN),
            // Less the descriptor that reads the folder.
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(f64::NAN, |fds| fds.count() as f64 - 1.0),
            max_fds: getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64),
        }
    }
}

/// `VmRSS` of /proc/self/status, which is in KiB whatever the page size.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
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
        let figures = Figures::read();
        assert!(figures.cpu_seconds >= 0.0);
        assert!(figures.resident_bytes > 100_000.0);
        assert!(figures.open_fds >= 3.0 && figures.open_fds <= figures.max_fds);
        assert!(unix_seconds() > 1.7e9);
    }
}
