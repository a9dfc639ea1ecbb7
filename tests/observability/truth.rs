//! What the server counted is what the driver did, and what the panels show is what the server counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    observability::{
        boards::{filled, panel},
        driver::Tally,
        live::now,
    },
    servers::{DEADLINE, Prometheus},
};

/// The share by which a panel may differ from the truth.
const TOLERANCE: f64 = 0.01;

/// A moment in which nothing happens: what the driver did until then, and when that was.
pub struct Reading {
    moment: f64,
    did: BTreeMap<String, u64>,
}

impl Reading {
    pub async fn of(prometheus: &Prometheus, tally: &Tally) -> Self {
        let begun = Instant::now();
        loop {
            let moment = Self::between_scrapes(prometheus).await;
            // A scrape that took too long leaves a gap, and a moment without gaps before it must be found.
            let whole = "count(min_over_time(up{job=\"chancery\"}[4s]) == 1) == count(up{job=\"chancery\"})";
            if !prometheus.at(whole, moment).await.is_empty() {
                return Self { moment, did: tally.so_far() };
            }
            assert!(begun.elapsed() < DEADLINE, "no node is scraped four times without a gap");
        }
    }

    /// A moment that is nobody's, since each node is scraped at a time of its own: no window that ends there
    /// begins or ends with a scrape. It is past, and so are the scrapes that began before it.
    async fn between_scrapes(prometheus: &Prometheus) -> f64 {
        let scraped = prometheus.at("timestamp(up{job=\"chancery\"})", now()).await;
        let mut parts: Vec<f64> = scraped.iter().map(|(_, at)| at.fract()).collect();
        parts.sort_by(f64::total_cmp);
        parts.push(parts[0] + 1.0);
        let gaps = parts.windows(2).map(|pair| (pair[1] - pair[0], pair[0].midpoint(pair[1])));
        let (_, part) = gaps.max_by(|one, other| one.0.total_cmp(&other.0)).expect("nodes are scraped");
        let moment = (now() + 1.0).floor() + part;
        // Longer than a scrape may take.
        tokio::time::sleep(Duration::from_secs_f64(moment + 1.2 - now())).await;
        moment
    }
}

/// A panel, and what of the driver's counts its series must add up to: the metric, and a label of the
/// driver's by which series are told apart.
const SHOWN: &[(&str, &str, &str, &[&str])] = &[
    ("performance", "Request rate", "chancery_http_requests_total", &[]),
    ("performance", "Answers without success", "chancery_http_requests_total", &["status"]),
    ("performance", "Tokens issued", "chancery_tokens_issued_total", &["grant_type", "token_type"]),
    ("performance", "Token errors", "chancery_token_requests_total", &["error"]),
    ("performance", "Introspections", "chancery_introspections_total", &["active"]),
    ("security", "Sign-ins", "chancery_login_attempts_total", &["outcome"]),
    ("security", "Why sign-ins fail", "chancery_login_attempts_total", &["reason"]),
    ("security", "Sign-outs", "chancery_logouts_total", &["type"]),
    ("security", "Revocations", "chancery_revocations_total", &["cause"]),
    ("security", "Security events", "chancery_security_events_total", &["event"]),
    ("security", "Clients that fail to authenticate", "chancery_client_auth_total", &["method"]),
    ("security", "Rejected JWTs", "chancery_jwt_verify_failures_total", &["use", "reason"]),
    ("rate-limiting", "Refused before routing", "chancery_http_rejected_total", &["reason"]),
];

/// What is not as it should be between two readings.
pub async fn faults(prometheus: &Prometheus, before: &Reading, after: &Reading) -> Vec<String> {
    let mut faults = Vec::new();
    let mut requests = 0.0;
    for (selector, did) in &after.did {
        let did = (did - before.did.get(selector).unwrap_or(&0)) as f64;
        let counted = async |reading: &Reading| total(prometheus, selector, reading.moment).await;
        let counted = counted(after).await - counted(before).await;
        // The counters themselves are exact.
        if counted != did {
            faults.push(format!("{selector}: {did} were done, {counted} counted"));
        }
        if selector.starts_with("chancery_http_requests_total") {
            requests += did;
        }
    }
    assert!(requests > 300.0, "the load was small: {requests}");
    let all = "chancery_http_requests_total{route!~\"/health.*|/metrics|/api/.*\"}";
    let counted = total(prometheus, all, after.moment).await - total(prometheus, all, before.moment).await;
    if counted != requests {
        faults.push(format!("{requests} requests were sent, {counted} counted"));
    }
    for shown in SHOWN {
        faults.extend(panel_faults(prometheus, shown, before, after).await);
    }
    faults
}

async fn total(prometheus: &Prometheus, selector: &str, moment: f64) -> f64 {
    prometheus.at(&format!("sum({selector})"), moment).await.first().map_or(0.0, |(_, value)| *value)
}

/// Compares what a panel shows of the time between two readings with what was done.
async fn panel_faults(
    prometheus: &Prometheus,
    (board, title, metric, labels): &(&str, &str, &str, &[&str]),
    before: &Reading,
    after: &Reading,
) -> Vec<String> {
    let expr = &panel(board, title).targets[0];
    // The panel as it is when so much time is chosen that all of it is one point, from the quiet before on.
    let window = (after.moment - before.moment).ceil() + 2.0;
    let series = prometheus.at(&filled(expr, window), after.moment).await;
    // Prometheus carries the slope on to both ends of the window, together a second from the first and the last
    // scrape, though it knows nothing of what happened there: nothing did.
    let known = (window - 1.0) / window;
    let each = if expr.contains("increase(") { known } else { known * window };
    let mut faults = Vec::new();
    let mut seen = 0;
    for (names, value) in series {
        let shown = value * each;
        let names: Vec<_> = labels
            .iter()
            .map(|label| format!("{label}={:?}", names[*label].as_str().unwrap_or_default()))
            .collect();
        let of_it = |selector: &str| {
            selector.starts_with(metric) && names.iter().all(|name| selector.contains(name.as_str()))
        };
        let sum = |reading: &Reading| {
            let counts = reading.did.iter().filter(|(selector, _)| of_it(selector));
            counts.map(|(_, count)| *count).sum::<u64>() as f64
        };
        let did = sum(after) - sum(before);
        seen += usize::from(did > 0.0);
        if (shown - did).abs() > TOLERANCE * did {
            faults.push(format!("{board}, {title}, {names:?}: {did} were done, {shown:.2} shown"));
        }
    }
    if seen == 0 {
        faults.push(format!("{board}, {title}: nothing of what was done is shown"));
    }
    faults
}
