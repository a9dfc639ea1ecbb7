//! Profiles of the running process, for builds with the feature `profiling`; see docs/profiling.md.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cap::Cap;
use pprof::ProfilerGuardBuilder;
use serde_json::{Value, json};
use tokio::runtime::Handle;

#[cfg(feature = "mimalloc")]
type Below = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
type Below = std::alloc::System;

#[cfg(feature = "mimalloc")]
const BELOW: Below = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
const BELOW: Below = std::alloc::System;

/// The allocator of the binary, which counts what it gives.
#[global_allocator]
static ALLOCATOR: Cap<Below> = Cap::new(BELOW, usize::MAX);

/// Samples in a second: not a round number, so that it does not fall into step with timers.
const FREQUENCY: i32 = 99;

/// Held while a profile is taken.
static TAKING: Mutex<()> = Mutex::new(());

static RUNTIMES: Mutex<Vec<(&str, Handle)>> = Mutex::new(Vec::new());

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// One is being taken.
    #[error("a profile is being taken already")]
    Busy,
    /// There is nothing to draw.
    #[error("no thread was busy meanwhile")]
    Idle,
    /// The profiler says no.
    #[error("no profile can be taken: {0}")]
    Failed(#[from] pprof::Error),
}

/// Watches the process for a while: an SVG of where its processor time went. Blocks.
///
/// # Errors
/// If another one is being taken, or nothing happened.
pub fn flamegraph(time: Duration) -> Result<Vec<u8>, ProfileError> {
    let _alone = TAKING.try_lock().map_err(|_| ProfileError::Busy)?;
    // Unwinding from within these may wait for a lock that the interrupted thread holds.
    let profiler = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()?;
    std::thread::sleep(time);
    let mut svg = Vec::new();
    profiler.report().build()?.flamegraph(&mut svg)?;
    if svg.is_empty() { Err(ProfileError::Idle) } else { Ok(svg) }
}

/// Has the statistics of the present runtime told from now on, under the name of what runs in it.
pub fn watch_runtime(name: &'static str) {
    if let Ok(handle) = Handle::try_current() {
        RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner).push((name, handle));
    }
}

/// What runtimes and allocator did so far.
pub fn statistics() -> Value {
    let runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let runtimes: Vec<Value> = runtimes.iter().map(|(name, handle)| runtime(name, handle)).collect();
    json!({
        "runtimes": runtimes,
        "allocator": {
            "name": if cfg!(feature = "mimalloc") { "mimalloc" } else { "system" },
            "allocated_bytes": ALLOCATOR.allocated(),
            "most_allocated_bytes": ALLOCATOR.max_allocated(),
            "allocated_bytes_total": ALLOCATOR.total_allocated(),
        },
        "resident_bytes": super::process::ProcessStatistics::read(None).resident_bytes,
    })
}

fn runtime(name: &str, handle: &Handle) -> Value {
    let metrics = handle.metrics();
    let workers = 0..metrics.num_workers();
    let busy: Duration = workers.clone().map(|worker| metrics.worker_total_busy_duration(worker)).sum();
    json!({
        "name": name,
        "workers": metrics.num_workers(),
        "alive_tasks": metrics.num_alive_tasks(),
        "queued_tasks": metrics.global_queue_depth(),
        "busy_seconds_total": busy.as_secs_f64(),
        "parks_total": workers.map(|worker| metrics.worker_park_count(worker)).sum::<u64>(),
    })
}
