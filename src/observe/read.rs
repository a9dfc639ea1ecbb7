//! How values get out of the metrics: as the exposition that Prometheus reads, and as statistics for people.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    labels::*,
    metrics::Metrics,
    process::ProcessStatistics,
    registry::Described,
    shape::{Gauges, TIMES},
};

/// How the requests of a route fared since the start. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteStatistics {
    /// The method.
    pub method: &'static str,
    /// The template.
    pub route: &'static str,
    /// Answers.
    pub requests: u64,
    /// Answers of the class 5xx among them.
    pub server_errors: u64,
    /// The mean.
    pub mean: f64,
    /// The quantiles 0.5, 0.95 and 0.99.
    pub quantiles: [f64; 3],
}

impl Metrics {
    /// Has gauges set shortly before each scrape. Samplers must not wait for anything.
    pub fn sample(&self, sampler: impl Fn(&Self) + Send + Sync + 'static) {
        self.samplers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(sampler));
    }

    /// Everything in the Prometheus text format 0.0.4 (`prometheus::TEXT_FORMAT`).
    pub fn encode(&self) -> String {
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sampler in samplers {
            sampler(self);
        }
        self.sample_process();
        self.registry.set(self.runtime.busy, [], self.busy_ratio());
        self.registry.encode()
    }

    /// Sets what this process may use, instead of what the kernel says.
    pub fn set_memory_limit(&self, bytes: u64) {
        // Whoever sets it twice has the first.
        let _ = self.memory_limit.set(bytes);
    }

    /// Asks the kernel about this process, and sets its gauges.
    pub fn sample_process(&self) -> ProcessStatistics {
        let statistics = ProcessStatistics::read(self.memory_limit.get().copied());
        let (set, of) = (|gauge: Gauges<0>, value| self.registry.set(gauge, [], value), &self.process);
        set(of.memory_limit, statistics.memory_limit_bytes);
        set(of.cpu, statistics.cpu_seconds);
        set(of.resident, statistics.resident_bytes);
        set(of.virtual_memory, statistics.virtual_bytes);
        set(of.open_fds, statistics.open_fds);
        set(of.spans_dropped, super::trace::dropped() as f64);
        set(of.max_fds, statistics.max_fds);
        statistics
    }

    /// Every metric there is.
    pub fn families(&self) -> impl Iterator<Item = Described> {
        self.registry.families()
    }

    /// The routes that were asked for since the start.
    pub fn routes(&self) -> Vec<RouteStatistics> {
        let routes = self.labels.routes.iter().copied().chain([("other", "unmatched")]);
        let all = routes.enumerate().map(|(at, (method, route))| {
            let (mut buckets, mut nanos, mut server_errors) = (vec![0; TIMES.edges.len() + 1], 0, 0);
            for class in 0..CLASSES.len() {
                let (counts, sum) = self.registry.times(self.http.durations, [at, class]);
                nanos += sum;
                server_errors = counts.iter().sum();
                buckets.iter_mut().zip(counts).for_each(|(bucket, count)| *bucket += count);
            }
            let requests: u64 = buckets.iter().sum();
            RouteStatistics {
                method,
                route,
                requests,
                server_errors,
                mean: Duration::from_nanos(nanos).as_secs_f64() / requests.max(1) as f64,
                quantiles: [0.5, 0.95, 0.99].map(|share| quantile(share, &buckets)),
            }
        });
        all.filter(|route| route.requests > 0).collect()
    }

    /// Answers so far, and those of the class 5xx among them.
    pub(super) fn answers(&self) -> (u64, u64) {
        let of = |position| match STATUSES.get(position) {
            Some(status) => class(*status),
            None => position - STATUSES.len(),
        };
        let (mut all, mut server_errors) = (0, 0);
        for route in 0..=self.labels.routes.len() {
            for position in 0..STATUSES.len() + CLASSES.len() {
                let answers = self.registry.counted(self.http.requests, [route, position]);
                all += answers;
                server_errors += if CLASSES[of(position)] == "5xx" { answers } else { 0 };
            }
        }
        (all, server_errors)
    }

    /// Hashes that were refused so far.
    pub fn refused_hashes(&self) -> u64 {
        self.registry.counted(self.sign_in.hash_rejected, [])
    }
}

/// A quantile in seconds, as `histogram_quantile` estimates it: evenly spread within a bucket, and the last
/// edge for what lies above it.
fn quantile(share: f64, buckets: &[u64]) -> f64 {
    let rank = share * buckets.iter().sum::<u64>() as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (count, edge) in buckets.iter().zip(TIMES.edges) {
        let (count, to) = (*count as f64, *edge as f64 / TIMES.unit);
        if count > 0.0 && below + count >= rank {
            return from + (to - from) * ((rank - below) / count);
        }
        (below, from) = (below + count, to);
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let mut buckets = vec![0; TIMES.edges.len() + 1];
        // 90 up to 1 ms, 9 from 50 ms to 100 ms, one above everything.
        (buckets[0], buckets[6], buckets[13]) = (90, 9, 1);
        let near = |share, expected: f64| {
            let found = quantile(share, &buckets);
            assert!((found - expected).abs() < 1e-9, "{share}: {found}, not {expected}");
        };
        near(0.5, 0.001 * 50.0 / 90.0);
        near(0.95, 0.05 + 0.05 * 5.0 / 9.0);
        near(0.99, 0.1);
        near(0.999, 10.0);
        assert_eq!(quantile(0.99, &vec![0; TIMES.edges.len() + 1]), 10.0, "nothing is asked of an empty one");
    }
}
