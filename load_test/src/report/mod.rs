//! The results as figures; their forms are in the files beside this one.

pub mod chart;
pub mod html;
pub mod text;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::run::{rounds::Round, tally::Tally};

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

/// One round in figures, or the medians of all.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// Right answers within the round.
    pub requests: f64,
    pub requests_per_second: f64,
    pub flows_per_second: Option<f64>,
    pub tokens_per_second: Option<f64>,
    pub latency_us: Latency,
    /// The server's processor time, user and kernel, all its threads.
    pub server_cpu_us_per_request: Option<f64>,
    pub server_kernel_share: Option<f64>,
    pub server_resident_bytes: Option<f64>,
    pub generator_cpu_us_per_request: f64,
    /// How busy the generator's busiest thread was, 0 to 1.
    pub generator_busy: f64,
}

/// A kind of request, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    pub name: String,
    pub requests: u64,
    pub latency_us: Latency,
}

/// One second, or what was left of a round for its last.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Second {
    pub length: f64,
    pub requests: u64,
    pub errors: u64,
    pub longest_us: f64,
}

/// One server.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    pub name: String,
    pub median: Figures,
    pub rounds: Vec<Figures>,
    pub kinds: Vec<Kind>,
    pub flows: Option<Kind>,
    pub errors: BTreeMap<String, u64>,
    pub error_percent: f64,
    /// Second by second, the rounds one behind the other.
    pub seconds: Vec<Second>,
    /// Percentile and microseconds.
    pub distribution: Vec<(f64, f64)>,
}

/// The server's figures divided by those of the bare one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    pub requests_per_second: f64,
    pub server_cpu_per_request: Option<f64>,
    pub p50: f64,
    pub p99: f64,
}

/// All that is reported of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub workload: String,
    pub url: String,
    pub model: String,
    pub threads: usize,
    pub round_seconds: f64,
    pub server: Side,
    pub baseline: Option<Side>,
    pub ratios: Option<Ratios>,
    /// Why the figures tell of the generator rather than of the server.
    pub bottleneck: Vec<String>,
}

/// What is needed to make figures of rounds.
pub struct Shape<'a> {
    pub seconds: f64,
    pub names: Vec<&'a str>,
    pub is_flow: bool,
    /// 0 if requests are not about tokens.
    pub tokens_per_request: usize,
}

impl Side {
    /// From its rounds.
    pub fn of(name: &str, rounds: &[Round], shape: &Shape<'_>) -> Self {
        let figures: Vec<Figures> = rounds.iter().map(|round| Figures::of(round, shape)).collect();
        let mut total = rounds[0].tally.clone();
        rounds[1..].iter().for_each(|round| total.add(&round.tally));
        let names = shape.names.iter().zip(&total.ops).zip(&total.in_time);
        let kinds = names.map(|((name, histogram), requests)| Kind::of(name, histogram, *requests));
        let seconds = rounds.iter().flat_map(|round| Second::all(&round.tally, shape.seconds));
        Self {
            name: name.into(),
            median: Figures::median(&figures),
            kinds: kinds.collect(),
            flows: shape.is_flow.then(|| Kind::of("flow", &total.flows, total.flows_in_time)),
            errors: total.faults.iter().map(|(fault, count)| (fault.name(), *count)).collect(),
            error_percent: total.error_percent(),
            seconds: seconds.collect(),
            distribution: distribution(&total.all()),
            rounds: figures,
        }
    }
}

impl Second {
    fn all(tally: &Tally, round: f64) -> impl Iterator<Item = Self> {
        tally.seconds.iter().enumerate().map(move |(at, second)| Self {
            length: (round - at as f64).min(1.0),
            requests: second.requests,
            errors: second.errors,
            longest_us: second.longest as f64 / 1e3,
        })
    }

    /// Requests and errors per second.
    pub fn rates(&self) -> (f64, f64) {
        (self.requests as f64 / self.length, self.errors as f64 / self.length)
    }
}

impl Kind {
    fn of(name: &str, histogram: &Histogram<u64>, requests: u64) -> Self {
        Self { name: name.into(), requests, latency_us: Latency::of(histogram) }
    }
}

impl Latency {
    /// From a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |percentile| histogram.value_at_percentile(percentile) as f64 / 1e3;
        Self { p50: at(50.0), p90: at(90.0), p95: at(95.0), p99: at(99.0), p99_9: at(99.9), max: at(100.0) }
    }
}

impl Figures {
    fn of(round: &Round, shape: &Shape<'_>) -> Self {
        let Tally { in_time, answers, flows_in_time, busiest, .. } = &round.tally;
        let requests = in_time.iter().sum::<u64>() as f64;
        let each = |seconds: f64| seconds * 1e6 / (*answers).max(1) as f64;
        let per_second = requests / shape.seconds;
        let tokens = shape.tokens_per_request;
        Self {
            requests,
            requests_per_second: per_second,
            flows_per_second: shape.is_flow.then_some(*flows_in_time as f64 / shape.seconds),
            tokens_per_second: (tokens > 1).then_some(per_second * tokens as f64),
            latency_us: Latency::of(&round.tally.all()),
            server_cpu_us_per_request: round.server.map(|used| each(used.cpu_seconds)),
            server_kernel_share: round.server.map(|used| used.kernel_share),
            server_resident_bytes: round.server.map(|used| used.resident_bytes as f64),
            generator_cpu_us_per_request: each(round.own_cpu),
            generator_busy: *busiest,
        }
    }

    /// Each figure's median.
    fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        let maybe = |figure: fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = all.iter().filter_map(figure).collect();
            (!values.is_empty()).then(|| median(values))
        };
        Self {
            requests: of(|f| f.requests),
            requests_per_second: of(|f| f.requests_per_second),
            flows_per_second: maybe(|f| f.flows_per_second),
            tokens_per_second: maybe(|f| f.tokens_per_second),
            latency_us: Latency {
                p50: of(|f| f.latency_us.p50),
                p90: of(|f| f.latency_us.p90),
                p95: of(|f| f.latency_us.p95),
                p99: of(|f| f.latency_us.p99),
                p99_9: of(|f| f.latency_us.p99_9),
                max: of(|f| f.latency_us.max),
            },
            server_cpu_us_per_request: maybe(|f| f.server_cpu_us_per_request),
            server_kernel_share: maybe(|f| f.server_kernel_share),
            server_resident_bytes: maybe(|f| f.server_resident_bytes),
            generator_cpu_us_per_request: of(|f| f.generator_cpu_us_per_request),
            generator_busy: of(|f| f.generator_busy),
        }
    }
}

impl Ratios {
    /// The server's figures by the bare one's.
    pub fn of(server: &Figures, bare: &Figures) -> Self {
        let cpu = server.server_cpu_us_per_request.zip(bare.server_cpu_us_per_request);
        Self {
            requests_per_second: server.requests_per_second / bare.requests_per_second,
            server_cpu_per_request: cpu.map(|(server, bare)| server / bare),
            p50: server.latency_us.p50 / bare.latency_us.p50,
            p99: server.latency_us.p99 / bare.latency_us.p99,
        }
    }
}

/// Whether the generator, rather than the server, sets the figures of a side.
pub fn bottleneck(side: &Side) -> Vec<String> {
    let (own, busy) = (side.median.generator_cpu_us_per_request, side.median.generator_busy);
    let mut reasons = Vec::new();
    if let Some(server) = side.median.server_cpu_us_per_request.filter(|server| own > *server) {
        reasons
            .push(format!("it spends {own:.1} µs on a request, and the {} only {server:.1} µs", side.name));
    }
    if busy > 0.95 {
        let busy = busy * 100.0;
        reasons
            .push(format!("its thread was {busy:.0} % busy with the {}; give it more --threads", side.name));
    }
    reasons
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Percentiles that come closer and closer to 100, as they are drawn.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let steps = (0..=50).map(|step| 100.0 - 100.0 * 10f64.powf(-f64::from(step) / 10.0));
    let worth = |percentile: &f64| (1.0 - percentile / 100.0) * histogram.len() as f64 >= 1.0;
    steps
        .filter(worth)
        .map(|percentile| (percentile, histogram.value_at_percentile(percentile) as f64 / 1e3))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn ratios_are_the_servers_figures_by_those_of_the_bare_one() {
        let figures = |rate, cpu, p50, p99| Figures {
            requests_per_second: rate,
            server_cpu_us_per_request: cpu,
            latency_us: Latency { p50, p99, ..Latency::default() },
            ..Figures::default()
        };
        let ratios = Ratios::of(&figures(50.0, Some(9.0), 4.0, 10.0), &figures(100.0, Some(6.0), 2.0, 4.0));
        assert_eq!((ratios.requests_per_second, ratios.server_cpu_per_request), (0.5, Some(1.5)));
        assert_eq!((ratios.p50, ratios.p99), (2.0, 2.5));
        let unknown = Ratios::of(&figures(50.0, None, 4.0, 10.0), &figures(100.0, Some(6.0), 2.0, 4.0));
        assert_eq!(unknown.server_cpu_per_request, None);
    }

    #[test]
    fn a_generator_that_sets_the_figures_says_so() {
        let side = |own, server, busy| {
            let median = Figures {
                generator_cpu_us_per_request: own,
                server_cpu_us_per_request: server,
                generator_busy: busy,
                ..Figures::default()
            };
            let (errors, kinds, rounds) = (BTreeMap::new(), Vec::new(), Vec::new());
            let (seconds, distribution) = (Vec::new(), Vec::new());
            let name = "server".into();
            Side {
                name,
                median,
                rounds,
                kinds,
                flows: None,
                errors,
                error_percent: 0.0,
                seconds,
                distribution,
            }
        };
        assert!(bottleneck(&side(4.0, Some(6.0), 0.9)).is_empty());
        assert!(bottleneck(&side(4.0, None, 0.9)).is_empty());
        assert!(bottleneck(&side(7.0, Some(6.0), 0.9))[0].contains("only 6.0 µs"));
        assert!(bottleneck(&side(4.0, Some(6.0), 0.96))[0].contains("96 % busy"));
    }

    #[test]
    fn the_last_second_of_a_round_may_be_a_short_one() {
        let mut tally = Tally::new(1, std::time::Duration::from_millis(1_500));
        let ms = std::time::Duration::from_millis;
        [100, 200, 1_100, 1_400].into_iter().for_each(|at| tally.right(0, ms(1), ms(at)));
        let rates: Vec<_> = Second::all(&tally, 1.5).map(|second| second.rates()).collect();
        assert_eq!(rates, [(2.0, 0.0), (4.0, 0.0)]);
    }

    #[test]
    fn a_distribution_rises_and_ends_where_nothing_was_measured() {
        let mut histogram = crate::run::tally::histogram();
        (1..=1_000u64).for_each(|value| histogram.saturating_record(value * 1_000));
        let points = distribution(&histogram);
        assert!(points.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1));
        assert!(points.last().is_some_and(|(percentile, _)| (99.8..=99.91).contains(percentile)));
        let latency = Latency::of(&histogram);
        assert!((latency.p50 - 500.0).abs() < 1.0 && (latency.p99 - 990.0).abs() < 2.0, "{latency:?}");
        assert!(distribution(&crate::run::tally::histogram()).is_empty());
    }
}
