//! What counting costs: all that one introspection records, kept per thread, against counters and a
//! histogram of the `prometheus` crate, which all threads share; on one thread and on two at once. And what part
//! of an introspection that is.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use chancery::{
    crypto::random::Random,
    model::AuthMethod,
    observe::{Endpoint, Metrics, RouteLabel},
};
use criterion::Criterion;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::{
    site::{Request, Site},
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
    let way = |name: &str, record: bool| {
        let site = &site;
        Way::timed(name, move |rounds| {
            let begun = Instant::now();
            site.runtime.block_on(introspect(site, record.then_some(route), rounds));
            begun.elapsed()
        })
    };
    // The use case counts what is its own in both. What a request counts from its head to its end is added to
    // one of them, so that the ratio is above what it is where there is HTTP as well.
    let ways = vec![way("introspect, all metrics once more", true), way("introspect", false)];
    compare(criterion, "metrics of an introspection", 1, ways);
}

/// Introspects so many times; with a route, records a request to it each time.
async fn introspect(site: &Site, route: Option<RouteLabel>, rounds: u64) {
    let metrics = &*site.provider().metrics;
    for _ in 0..rounds {
        route.iter().for_each(|route| ours(metrics, *route));
        black_box(site.answer(Request::Introspect).await);
    }
}

fn ours(metrics: &Metrics, route: RouteLabel) {
    metrics.request_arrived();
    metrics.request_body(route, 150);
    metrics.count_request(Endpoint::Introspect).by("bench-sealed");
    metrics.client_auth(AuthMethod::ClientSecretBasic, true);
    metrics.introspection(true);
    metrics.request_left();
    metrics.request(route, 200, TOOK);
    metrics.response_body(route, 300);
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

/// The same things in the other crate.
struct Shared {
    in_flight: IntGauge,
    client_auth: IntCounterVec,
    introspections: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
    request_bodies: HistogramVec,
    response_bodies: HistogramVec,
}

impl Shared {
    fn new() -> Self {
        let counter = |name, labels: &[&str]| IntCounterVec::new(Opts::new(name, "help"), labels);
        let bodies = |name| {
            let edges = vec![256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];
            HistogramVec::new(HistogramOpts::new(name, "help").buckets(edges), &["route"])
                .expect("a histogram")
        };
        Self {
            in_flight: IntGauge::new("in_flight", "help").expect("a gauge"),
            client_auth: counter("client_auth", &["method", "result"]).expect("a counter"),
            introspections: counter("introspections", &["active"]).expect("a counter"),
            requests: counter("requests", &["route", "status"]).expect("a counter"),
            durations: HistogramVec::new(HistogramOpts::new("durations", "help"), &["route", "class"])
                .expect("a histogram"),
            request_bodies: bodies("request_bodies"),
            response_bodies: bodies("response_bodies"),
        }
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            in_flight: &self.in_flight,
            client_auth: self.client_auth.with_label_values(&["client_secret_basic", "success"]),
            introspections: self.introspections.with_label_values(&["true"]),
            requests: self.requests.with_label_values(&["/oauth/introspect", "200"]),
            durations: self.durations.with_label_values(&["/oauth/introspect", "2xx"]),
            request_bodies: self.request_bodies.with_label_values(&["/oauth/introspect"]),
            response_bodies: self.response_bodies.with_label_values(&["/oauth/introspect"]),
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
    request_bodies: Histogram,
    response_bodies: Histogram,
}

impl Kept<'_> {
    fn record(&self) {
        self.in_flight.inc();
        self.client_auth.inc();
        self.introspections.inc();
        self.in_flight.dec();
        self.durations.observe(TOOK.as_secs_f64());
        self.requests.inc();
        self.request_bodies.observe(150.0);
        self.response_bodies.observe(300.0);
    }
}
