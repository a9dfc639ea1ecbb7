//! The results as one page that needs nothing else.

use super::{
    Figures, Report, Side,
    chart::{Axis, Line, draw, escape, linear},
    text,
};
use crate::span;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2733; --quiet: #5b6875; --rule: #dde3e9; --paper: #fff;
  --server: #1264c8; --bare: #c2690a; --errors: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --quiet: #9aa7b4; --rule: #33404d;
  --paper: #12181f; --server: #6cb0ff; --bare: #f0a650; --errors: #ff7a80; } }
body { margin: 2rem auto; max-width: 52rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.quiet { color: var(--quiet); } p.alert { border-left: 4px solid var(--errors); padding-left: .75rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
div.wide { overflow-x: auto; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--quiet); } .end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; stroke: var(--server); }
.key { fill: var(--server); } .line.bare { stroke: var(--bare); } .key.bare { fill: var(--bare); }
.line.errors { stroke: var(--errors); } .key.errors { fill: var(--errors); }
";

/// The page.
pub fn page(report: &Report) -> String {
    let sides: Vec<&Side> = std::iter::once(&report.server).chain(&report.baseline).collect();
    let (workload, url, model) = (escape(&report.workload), escape(&report.url), escape(&report.model));
    let (rounds, seconds) = (report.server.rounds.len(), report.round_seconds);
    let alerts = report.bottleneck.iter().map(|reason| {
        format!("<p class=\"alert\">The generator is the bottleneck: {}.</p>\n", escape(reason))
    });
    let mut body = vec![
        format!(
            "<h1>{workload}</h1>\n<p class=\"quiet\">{url} · {model} · {rounds} round(s) of {seconds} s</p>\n"
        ),
        alerts.collect(),
        summary(report, &sides),
        format!("<h2>Latency by percentile</h2>\n{}", latency_chart(&sides)),
        format!("<h2>Rate and errors over time</h2>\n{}", rate_chart(&sides)),
    ];
    body.extend(sides.iter().map(|side| kinds(side)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>Load: {workload}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        body.concat()
    )
}

fn row(cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    format!("<tr>{cells}</tr>\n")
}

fn table(head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn summary(report: &Report, sides: &[&Side]) -> String {
    let micros = |value: f64| span::text(value * 1e3);
    let cells = |side: &&Side| {
        let Figures { requests_per_second, latency_us, server_cpu_us_per_request, .. } = &side.median;
        let cpu = server_cpu_us_per_request.map_or("unknown".into(), |cpu| format!("{cpu:.2} µs"));
        let (rate, errors) = (text::number(*requests_per_second), format!("{:.3} %", side.error_percent));
        row(&[
            side.name.clone(),
            rate,
            micros(latency_us.p50),
            micros(latency_us.p99),
            micros(latency_us.max),
            cpu,
            errors,
        ])
    };
    let mut rows: String = sides.iter().map(cells).collect();
    if let Some(ratios) = &report.ratios {
        let of = |ratio: f64| format!("{ratio:.3}");
        let cpu = ratios.server_cpu_per_request.map_or("unknown".into(), of);
        let (rate, p50, p99) = (of(ratios.requests_per_second), of(ratios.p50), of(ratios.p99));
        rows += &row(&["ratio".into(), rate, p50, p99, String::new(), cpu, String::new()]);
    }
    table(&["", "requests/s", "p50", "p99", "max", "its CPU per request", "errors"], &rows)
}

fn kinds(side: &Side) -> String {
    let rows = side.kinds.iter().chain(&side.flows).map(|kind| {
        let latency = &kind.latency_us;
        let named = [latency.p50, latency.p90, latency.p95, latency.p99, latency.p99_9, latency.max];
        let mut cells = vec![kind.name.clone(), text::number(kind.requests as f64)];
        cells.extend(named.map(|value| span::text(value * 1e3)));
        row(&cells)
    });
    let head = ["", "requests", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let mut out =
        format!("<h2>By kind: {}</h2>\n{}", escape(&side.name), table(&head, &rows.collect::<String>()));
    if !side.errors.is_empty() {
        let rows: String =
            side.errors.iter().map(|(name, count)| row(&[name.clone(), count.to_string()])).collect();
        out += &table(&["error", "count"], &rows);
    }
    out
}

fn class(at: usize) -> &'static str {
    if at == 0 { "server" } else { "bare" }
}

/// Both axes are logarithmic: tails are what matters.
fn latency_chart(sides: &[&Side]) -> String {
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let all = || sides.iter().flat_map(|side| &side.distribution);
    let ends = all().map(|(_, micros)| micros.max(0.1).log10());
    let (least, most) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), v| (l.min(v), m.max(v)));
    let (floor, ceiling) = if least.is_finite() { (least.floor(), most.ceil()) } else { (0.0, 1.0) };
    let ceiling = ceiling.max(floor + 1.0);
    let right = all().map(|(percentile, _)| nines(*percentile)).fold(1.0, f64::max);
    let places = [
        (0.0, "0"),
        (std::f64::consts::LOG10_2, "50"),
        (1.0, "90"),
        (2.0, "99"),
        (3.0, "99.9"),
        (4.0, "99.99"),
        (5.0, "99.999"),
    ];
    let places = places.into_iter().filter(|(place, _)| *place <= right);
    let x =
        Axis { name: "percentile", marks: places.map(|(at, text)| (at, text.into())).collect(), end: right };
    let decades = (floor as i32..=ceiling as i32).map(f64::from);
    let marks = decades.map(|decade| (decade, span::text(10f64.powf(decade) * 1e3))).collect();
    let y = Axis { name: "latency", marks, end: ceiling };
    let lines = sides.iter().enumerate().map(|(at, side)| {
        let points = side.distribution.iter().map(|(p, micros)| (nines(*p), micros.max(0.1).log10()));
        Line { name: &side.name, class: class(at), points: points.collect() }
    });
    draw("Latency by percentile", &x, &y, &lines.collect::<Vec<_>>())
}

fn rate_chart(sides: &[&Side]) -> String {
    let all = || sides.iter().flat_map(|side| &side.seconds);
    let most =
        all().map(|second| second.rates()).fold(0.0, |most, (right, wrong)| right.max(wrong).max(most));
    let length = sides.iter().map(|side| side.seconds.len()).max().unwrap_or(0);
    let x = linear("seconds", length.max(4) as f64, text::number);
    let y = linear("per second", most, text::number);
    let series = |side: &Side, value: fn(&super::Second) -> f64| -> Vec<(f64, f64)> {
        // Each second is a step: one point alone would draw nothing.
        let steps = side.seconds.iter().enumerate().map(|(at, second)| (at as f64, value(second)));
        steps.flat_map(|(at, value)| [(at, value), (at + 1.0, value)]).collect()
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (at, side) in sides.iter().enumerate() {
        lines.push(Line {
            name: &side.name,
            class: class(at),
            points: series(side, |second| second.rates().0),
        });
    }
    lines.push(Line { name: "errors", class: "errors", points: series(sides[0], |second| second.rates().1) });
    draw("Rate and errors over time", &x, &y, &lines)
}
