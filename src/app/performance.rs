//! `/api/performance/metrics`: what the node does, how fast, and what is left of what it needs.
//!
//! Rates are those of the last minute, the share that workers were busy that of the last 15 seconds; both
//! come from a note taken each second, so that it does not matter how often anybody asks. Everything else is
//! since the start, or now.

use serde_json::{Value, json};

use super::statistics::{NodeStatistics, pool};
use crate::observe::{self, Metrics, RouteStatistics};

/// The allocator of the binary; see docs/decisions/0003-allocator.md.
const ALLOCATOR: &str = if cfg!(feature = "mimalloc") { "mimalloc" } else { "system" };

impl NodeStatistics {
    pub(super) fn performance(&self) -> Value {
        let metrics = &self.provider.metrics;
        let (rates, process) = (metrics.rates(), metrics.sample_process());
        let (waiting, slots) = self.provider.sign_in.passwords.queue();
        json!({
            "uptime_seconds": self.uptime().as_secs_f64(),
            "requests": {
                "window_seconds": rates.seconds,
                "per_second": rates.answers,
                "server_errors_per_second": rates.server_errors,
            },
            "routes": metrics.routes().iter().map(route).collect::<Vec<_>>(),
            "runtime": {
                "workers_busy_ratio": metrics.busy_ratio(),
                "cpu_seconds": number(process.cpu_seconds),
            },
            "lanes": lanes(metrics, (waiting, slots), self.provider.tokens.signing.queued()),
            "pools": self.backend.pools().iter().map(pool).collect::<Vec<_>>(),
            "memory": memory(&process),
            "allocator": allocator(&process),
        })
    }
}

/// Times are in seconds, interpolated between the edges of the histogram's buckets.
fn route(route: &RouteStatistics) -> Value {
    let [p50, p95, p99] = route.quantiles;
    json!({
        "method": route.method,
        "route": route.route,
        "requests": route.requests,
        "server_errors": route.server_errors,
        "seconds": { "mean": route.mean, "p50": p50, "p95": p95, "p99": p99 },
    })
}

fn lanes(metrics: &Metrics, (waiting, slots): (usize, usize), signatures: usize) -> Value {
    json!({
        "password": { "waiting": waiting, "threads": slots, "refused": metrics.refused_hashes() },
        "signing": { "waiting": signatures },
    })
}

fn memory(process: &observe::ProcessStatistics) -> Value {
    json!({
        "resident_bytes": number(process.resident_bytes),
        "virtual_bytes": number(process.virtual_bytes),
        "limit_bytes": number(process.memory_limit_bytes),
        "resident_ratio": process.resident_bytes / process.memory_limit_bytes,
    })
}

/// What the kernel tells about it; an allocator's own statistics are not to be had without unsafe code.
fn allocator(process: &observe::ProcessStatistics) -> Value {
    let [minor, major] = process.page_faults.map(number);
    json!({
        "name": ALLOCATOR,
        "anonymous_resident_bytes": number(process.anonymous_bytes),
        "minor_page_faults": minor,
        "major_page_faults": major,
    })
}

/// Whole numbers as such, and `null` for what the kernel does not tell.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}
