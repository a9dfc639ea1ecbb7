//! The shape of a family of series: its labels, the edges of its buckets, and where its counters are.

use std::borrow::Cow;

/// What a histogram counts, in whole numbers, and how many of these are one of its unit.
#[derive(PartialEq)]
pub(super) struct Scale {
    /// Upper edges of the buckets.
    pub(super) edges: &'static [u64],
    pub(super) unit: f64,
}

impl Scale {
    /// Counters of one histogram: a bucket below each edge, one above all, and the sum.
    pub(super) const fn counters(&self) -> usize {
        self.edges.len() + 2
    }
}

/// Nanoseconds, shown in seconds. Every threshold of an alert is an edge.
#[rustfmt::skip]
pub(super) const TIMES: Scale = Scale {
    edges: &[
        1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000,
        500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    ],
    unit: 1e9,
};

/// How many there were.
pub(super) const SIZES: Scale =
    Scale { edges: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096], unit: 1.0 };

/// Bytes: from one packet to a batch of a thousand tokens.
pub(super) const BYTES: Scale =
    Scale { edges: &[256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20], unit: 1.0 };

/// One or more label names and the closed set of their values.
pub(super) struct Axis {
    pub(super) names: Vec<&'static str>,
    pub(super) values: Vec<Vec<Cow<'static, str>>>,
}

/// One label.
pub(super) fn axis<T: Into<Cow<'static, str>>>(
    name: &'static str,
    values: impl IntoIterator<Item = T>,
) -> Axis {
    Axis { names: vec![name], values: values.into_iter().map(|value| vec![value.into()]).collect() }
}

/// Labels whose values come together.
pub(super) fn axes<const L: usize>(
    names: [&'static str; L],
    values: impl IntoIterator<Item = [&'static str; L]>,
) -> Axis {
    let values = values.into_iter().map(|value| value.map(Cow::Borrowed).to_vec());
    Axis { names: names.to_vec(), values: values.collect() }
}

/// Where a family with `N` axes begins and how long its axes are.
#[derive(Clone, Copy)]
pub(super) struct SeriesShape<const N: usize> {
    pub(super) first: usize,
    pub(super) sizes: [usize; N],
    pub(super) stride: usize,
}

impl<const N: usize> SeriesShape<N> {
    /// The first counter of the series at these positions.
    pub(super) fn first_of(&self, at: [usize; N]) -> usize {
        debug_assert!(at.iter().zip(&self.sizes).all(|(at, size)| at < size), "{at:?} of {:?}", self.sizes);
        let series = at.iter().zip(&self.sizes).fold(0, |series, (at, size)| series * size + at);
        self.first + series * self.stride
    }
}

/// A counter for each combination of `N` axes.
#[derive(Clone, Copy)]
pub(super) struct Counters<const N: usize>(pub(super) SeriesShape<N>);

/// A value that goes up and down by steps, on any thread.
#[derive(Clone, Copy)]
pub(super) struct Level(pub(super) SeriesShape<0>);

/// A histogram of times for each combination of `N` axes.
#[derive(Clone, Copy)]
pub(super) struct Histograms<const N: usize>(pub(super) SeriesShape<N>);

/// A histogram of sizes for each combination of `N` axes.
#[derive(Clone, Copy)]
pub(super) struct Sizes<const N: usize>(pub(super) SeriesShape<N>);

/// A histogram of bytes for each combination of `N` axes.
#[derive(Clone, Copy)]
pub(super) struct Bytes<const N: usize>(pub(super) SeriesShape<N>);

/// A value that is set, for each combination of `N` axes. While it is not a number the series is left out.
#[derive(Clone, Copy)]
pub(super) struct Gauges<const N: usize>(pub(super) SeriesShape<N>);
