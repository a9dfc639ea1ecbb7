//! What counting costs: all that one introspection records, kept per thread, against counters and a
//! histogram of the `prometheus` crate, which all threads share; on one thread and on two at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use chancery::{
    crypto::random::Random,
    model::AuthMethod,
    observe::{Metrics, Route},
};
use criterion::Criterion;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::{
    site::Site,
    turns::{Way, compare},
};

const TOOK: Duration = Duration::from_micros(30);

/// Records a request's worth in every way.
pub fn measure(criterion: &mut Criterion) {
    let site = Site::open(Random::os());
    let metrics = &*site.provider().metrics;
    let route = metrics.route("POST", "/oauth/introspect");
    let shared = Shared::new();
    let kept = shared.kept();
    for threads in [1, 2] {
        let ways = vec![
            Way::timed("prometheus, labels looked up", |rounds| on(threads, rounds, || shared.record())),
            Way::timed("prometheus, handles kept", |rounds| on(threads, rounds, || kept.record())),
            Way::timed("ours", |rounds| on(threads, rounds, || ours(metrics, route))),
        ];
        compare(criterion, &format!("metrics of a request on {threads} threads"), 1, ways);
    }
}

fn ours(metrics: &Metrics, route: Route) {
    metrics.request_arrived();
    metrics.client_auth(AuthMethod::ClientSecretBasic, true);
    metrics.introspection(true);
    metrics.request_left();
    metrics.request(route, 200, TOOK);
}

/// So many times on each of so many threads.
fn on(threads: usize, rounds: u64, record: impl Fn() + Sync) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| (0..rounds).for_each(|_| record()));
        }
        (0..rounds).for_each(|_| record());
    });
    begun.elapsed()
}

/// The same five things in the other crate.
struct Shared {
    in_flight: IntGauge,
    client_auth: IntCounterVec,
    introspections: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl Shared {
    fn new() -> Self {
        let counter = |name, labels: &[&str]| IntCounterVec::new(Opts::new(name, "help"), labels);
        Self {
            in_flight: IntGauge::new("in_flight", "help").expect("a gauge"),
            client_auth: counter("client_auth", &["method", "result"]).expect("a counter"),
            introspections: counter("introspections", &["active"]).expect("a counter"),
            requests: counter("requests", &["route", "status"]).expect("a counter"),
            durations: HistogramVec::new(HistogramOpts::new("durations", "help"), &["route", "class"])
                .expect("a histogram"),
        }
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            in_flight: &self.in_flight,
            client_auth: self.client_auth.with_label_values(&["client_secret_basic", "success"]),
            introspections: self.introspections.with_label_values(&["true"]),
            requests: self.requests.with_label_values(&["/oauth/introspect", "200"]),
            durations: self.durations.with_label_values(&["/oauth/introspect", "2xx"]),
        }
    }

    fn record(&self) {
        self.kept().record();
    }
}

/// With the labels looked up once.
struct Kept<'s> {
    in_flight: &'s IntGauge,
    client_auth: IntCounter,
    introspections: IntCounter,
    requests: IntCounter,
    durations: Histogram,
}

impl Kept<'_> {
    fn record(&self) {
        self.in_flight.inc();
        self.client_auth.inc();
        self.introspections.inc();
        self.in_flight.dec();
        self.durations.observe(TOOK.as_secs_f64());
        self.requests.inc();
    }
}
