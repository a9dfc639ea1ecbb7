//! Families of series: declared once, written through handles, encoded in the Prometheus text format 0.0.4.
//!
//! A family's label values are closed sets (axes), so every series exists from the start and a handle is
//! only arithmetic: writing takes no look-up, no lock and no allocation.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus::{TextEncoder, proto};

use super::{
    shape::{
        Axis, BYTES, Bytes, Counters, Gauges, Histograms, Level, SIZES, Scale, SeriesShape, Sizes, TIMES,
    },
    sharded_counters::ShardedCounters,
};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Level,
    Histogram(&'static Scale),
    /// Set, not added to; the flag tells whether it is exported as a counter.
    Gauge {
        counts: bool,
    },
}

impl Kind {
    fn exported(self) -> proto::MetricType {
        match self {
            Self::Counter | Self::Gauge { counts: true } => proto::MetricType::COUNTER,
            Self::Level | Self::Gauge { counts: false } => proto::MetricType::GAUGE,
            Self::Histogram(_) => proto::MetricType::HISTOGRAM,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Counter | Self::Gauge { counts: true } => "counter",
            Self::Level | Self::Gauge { counts: false } => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a metric is called and means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// What it tells.
    pub help: &'static str,
}

struct MetricFamily {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    axes: Vec<Axis>,
    first: usize,
}

/// Collects the declarations.
#[derive(Default)]
pub(super) struct Builder {
    families: Vec<MetricFamily>,
    counters: usize,
    gauges: Vec<AtomicU64>,
}

impl Builder {
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Counters<N> {
        Counters(self.family(name, help, Kind::Counter, axes))
    }

    pub(super) fn level(&mut self, name: &'static str, help: &'static str) -> Level {
        Level(self.family(name, help, Kind::Level, []))
    }

    pub(super) fn histograms<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Histograms<N> {
        Histograms(self.family(name, help, Kind::Histogram(&TIMES), axes))
    }

    pub(super) fn sizes<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Sizes<N> {
        Sizes(self.family(name, help, Kind::Histogram(&SIZES), axes))
    }

    pub(super) fn bytes<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Bytes<N> {
        Bytes(self.family(name, help, Kind::Histogram(&BYTES), axes))
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Gauges<N> {
        Gauges(self.family(name, help, Kind::Gauge { counts: false }, axes))
    }

    /// Counters that somebody else keeps, the kernel for example.
    pub(super) fn observed_counters<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        axes: [Axis; N],
    ) -> Gauges<N> {
        Gauges(self.family(name, help, Kind::Gauge { counts: true }, axes))
    }

    pub(super) fn build(self) -> Registry {
        Registry {
            counters: ShardedCounters::new(self.counters),
            families: self.families,
            gauges: self.gauges.into(),
        }
    }

    fn family<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        axes: [Axis; N],
    ) -> SeriesShape<N> {
        let sizes = axes.each_ref().map(|axis| axis.values.len());
        let series: usize = sizes.iter().product();
        let (first, stride) = match kind {
            Kind::Gauge { .. } => {
                let first = self.gauges.len();
                self.gauges.extend((0..series).map(|_| AtomicU64::new(0_f64.to_bits())));
                (first, 1)
            }
            _ => {
                let stride = if let Kind::Histogram(scale) = kind { scale.counters() } else { 1 };
                let first = self.counters;
                self.counters += series * stride;
                (first, stride)
            }
        };
        self.families.push(MetricFamily { name, help, kind, axes: axes.into(), first });
        SeriesShape { first, sizes, stride }
    }
}

/// All families and their values.
pub(super) struct Registry {
    families: Vec<MetricFamily>,
    counters: ShardedCounters,
    gauges: Box<[AtomicU64]>,
}

impl Registry {
    pub(super) fn add<const N: usize>(&self, counters: Counters<N>, at: [usize; N], amount: u64) {
        self.counters.add(counters.0.first_of(at), amount);
    }

    pub(super) fn step(&self, level: Level, by: i64) {
        self.counters.add(level.0.first_of([]), by.cast_unsigned());
    }

    pub(super) fn observe<const N: usize>(&self, histograms: Histograms<N>, at: [usize; N], took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count(&TIMES, histograms.0.first_of(at), nanos);
    }

    pub(super) fn observe_size<const N: usize>(&self, sizes: Sizes<N>, at: [usize; N], size: usize) {
        self.count(&SIZES, sizes.0.first_of(at), size as u64);
    }

    pub(super) fn observe_bytes<const N: usize>(&self, bytes: Bytes<N>, at: [usize; N], length: u64) {
        self.count(&BYTES, bytes.0.first_of(at), length);
    }

    fn count(&self, scale: &Scale, first: usize, value: u64) {
        self.counters.add(first + scale.edges.partition_point(|edge| *edge < value), 1);
        self.counters.add(first + scale.edges.len() + 1, value);
    }

    /// What a counter has come to.
    pub(super) fn counted<const N: usize>(&self, counters: Counters<N>, at: [usize; N]) -> u64 {
        self.counters.sum(counters.0.first_of(at))
    }

    /// How many times there were in each bucket, the one above all edges last, and their sum in
    /// nanoseconds.
    pub(super) fn times<const N: usize>(&self, of: Histograms<N>, at: [usize; N]) -> (Vec<u64>, u64) {
        let (first, above) = (of.0.first_of(at), TIMES.edges.len());
        let buckets = (0..=above).map(|bucket| self.counters.sum(first + bucket)).collect();
        (buckets, self.counters.sum(first + above + 1))
    }

    /// Every family there is, also those without series, in the order of their declaration.
    pub(super) fn families(&self) -> impl Iterator<Item = Described> {
        self.families.iter().map(|family| Described {
            name: family.name,
            kind: family.kind.as_str(),
            labels: family.axes.iter().flat_map(|axis| axis.names.iter().copied()).collect(),
            help: family.help,
        })
    }

    pub(super) fn set<const N: usize>(&self, gauges: Gauges<N>, at: [usize; N], value: f64) {
        self.gauges[gauges.0.first_of(at)].store(value.to_bits(), Relaxed);
    }

    /// Everything in the text format. Families without series are left out.
    pub(super) fn encode(&self) -> String {
        let families: Vec<_> = self
            .families
            .iter()
            .map(|family| self.family(family))
            .filter(|family| !family.get_metric().is_empty())
            .collect();
        TextEncoder::new().encode_to_string(&families).expect("every family has a name and a series")
    }

    fn family(&self, family: &MetricFamily) -> proto::MetricFamily {
        let series: usize = family.axes.iter().map(|axis| axis.values.len()).product();
        let mut encoded = proto::MetricFamily::default();
        encoded.set_name(family.name.to_owned());
        encoded.set_help(family.help.to_owned());
        encoded.set_field_type(family.kind.exported());
        encoded.set_metric((0..series).filter_map(|index| self.series(family, index)).collect());
        encoded
    }

    fn series(&self, family: &MetricFamily, index: usize) -> Option<proto::Metric> {
        let mut metric = proto::Metric::from_label(labels(&family.axes, index));
        match family.kind {
            Kind::Counter => metric.set_counter(counter(self.counters.sum(family.first + index) as f64)),
            Kind::Level => {
                metric.set_gauge(gauge(self.counters.sum(family.first + index).cast_signed() as f64))
            }
            Kind::Histogram(scale) => {
                metric.set_histogram(self.histogram(scale, family.first + index * scale.counters()));
            }
            Kind::Gauge { counts } => {
                let value = f64::from_bits(self.gauges[family.first + index].load(Relaxed));
                if value.is_nan() {
                    return None;
                }
                if counts { metric.set_counter(counter(value)) } else { metric.set_gauge(gauge(value)) }
            }
        }
        Some(metric)
    }

    fn histogram(&self, scale: &Scale, first: usize) -> proto::Histogram {
        let (mut count, above) = (0, scale.edges.len());
        let mut buckets = Vec::with_capacity(above);
        for (at, edge) in scale.edges.iter().enumerate() {
            count += self.counters.sum(first + at);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*edge as f64 / scale.unit);
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count + self.counters.sum(first + above));
        histogram.set_sample_sum(self.counters.sum(first + above + 1) as f64 / scale.unit);
        histogram
    }
}

/// The labels of the series with this index: the last axis changes fastest, as in [`SeriesShape::first_of`].
fn labels(axes: &[Axis], mut index: usize) -> Vec<proto::LabelPair> {
    let mut pairs = Vec::new();
    for axis in axes.iter().rev() {
        let values = &axis.values[index % axis.values.len()];
        index /= axis.values.len();
        for (name, value) in axis.names.iter().zip(values).rev() {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_string());
            pairs.push(pair);
        }
    }
    pairs.reverse();
    pairs
}

fn counter(value: f64) -> proto::Counter {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    counter
}

fn gauge(value: f64) -> proto::Gauge {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    gauge
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::shape::{axes, axis};

    #[test]
    fn each_series_has_its_own_counter_and_labels() {
        let mut builder = Builder::default();
        builder.counters("before_total", "Stands before.", []);
        let pairs = axes(["method", "route"], [["GET", "/a"], ["POST", "/b"]]);
        let handle = builder.counters("things_total", "Things.", [pairs, axis("kind", ["x", "y", "z"])]);
        let registry = builder.build();
        for route in 0..2 {
            for kind in 0..3 {
                registry.add(handle, [route, kind], (10 * route + kind) as u64);
            }
        }
        let text = registry.encode();
        for line in [
            "# HELP things_total Things.",
            "# TYPE things_total counter",
            "before_total 0",
            r#"things_total{method="GET",route="/a",kind="x"} 0"#,
            r#"things_total{method="GET",route="/a",kind="z"} 2"#,
            r#"things_total{method="POST",route="/b",kind="y"} 11"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_duration_on_an_edge_counts_below_it() {
        let mut builder = Builder::default();
        let handle = builder.histograms("wait_seconds", "Waits.", []);
        let registry = builder.build();
        for ms in [0, 1, 100, 101, 20_000] {
            registry.observe(handle, [], Duration::from_millis(ms));
        }
        let text = registry.encode();
        for line in [
            r#"wait_seconds_bucket{le="0.001"} 2"#,
            r#"wait_seconds_bucket{le="0.1"} 3"#,
            r#"wait_seconds_bucket{le="0.25"} 4"#,
            r#"wait_seconds_bucket{le="10"} 4"#,
            r#"wait_seconds_bucket{le="+Inf"} 5"#,
            "wait_seconds_sum 20.202",
            "wait_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn sizes_are_counted_in_powers_of_two() {
        let mut builder = Builder::default();
        let handle = builder.sizes("batch_size", "Batches.", []);
        let registry = builder.build();
        for size in [1, 3, 4, 5_000] {
            registry.observe_size(handle, [], size);
        }
        let text = registry.encode();
        for line in [
            r#"batch_size_bucket{le="1"} 1"#,
            r#"batch_size_bucket{le="4"} 3"#,
            r#"batch_size_bucket{le="+Inf"} 4"#,
            "batch_size_sum 5008",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_gauge_that_is_not_a_number_is_left_out() {
        let mut builder = Builder::default();
        let handle = builder.gauges("size_bytes", "Sizes.", [axis("file", ["a", "b"])]);
        let level = builder.level("in_flight", "Now.");
        let registry = builder.build();
        registry.set(handle, [0], f64::NAN);
        registry.set(handle, [1], 1.5);
        registry.step(level, 1);
        registry.step(level, -3);
        let text = registry.encode();
        assert!(!text.contains(r#"file="a""#) && text.contains("size_bytes{file=\"b\"} 1.5\n"), "{text}");
        assert!(text.contains("in_flight -2\n"), "{text}");
        registry.set(handle, [1], f64::NAN);
        assert!(!registry.encode().contains("size_bytes"));
    }
}
