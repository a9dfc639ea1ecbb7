//! The results as text.

use std::fmt::Write;

use super::{Figures, Kind, Latency, Ratios, Report, Side};
use crate::{connections::Connections, span};

/// The whole report.
pub fn report(report: &Report) -> String {
    let mut out = String::new();
    let Report { workload, url, model, threads, round_seconds, .. } = report;
    let rounds = report.server.rounds.len();
    line(
        &mut out,
        &format!("{workload} on {url}: {model}, {rounds} round(s) of {round_seconds} s, {threads} thread(s)"),
    );
    side(&mut out, &report.server);
    if let Some(baseline) = &report.baseline {
        side(&mut out, baseline);
    }
    if let Some(ratios) = &report.ratios {
        out.push_str(&compared(ratios));
    }
    for reason in &report.bottleneck {
        line(&mut out, &format!("\nTHE GENERATOR IS THE BOTTLENECK: {reason}."));
    }
    out
}

/// Idle connections.
pub fn connections(found: &Connections) -> String {
    let Connections { opened, kept, opening_seconds, .. } = found;
    let mut out = format!("{opened} connections opened in {opening_seconds:.2} s, {kept} of them kept\n");
    match found.resident_bytes.zip(found.bytes_per_connection) {
        Some(((before, after), each)) => {
            let (before, after) = (mib(before as f64), mib(after as f64));
            line(
                &mut out,
                &format!(
                    "the server's memory: {before} before, {after} after, {:.1} KiB each",
                    each / 1024.0
                ),
            );
        }
        None => line(&mut out, "the server's memory: unknown; give its --pid"),
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn side(out: &mut String, side: &Side) {
    let Figures { requests_per_second, flows_per_second, tokens_per_second, latency_us, .. } = &side.median;
    let several = if side.rounds.len() > 1 { ", medians of the rounds" } else { "" };
    line(out, &format!("\n{}{several}", side.name));
    line(out, &format!("  rate        {} requests/s{}", number(*requests_per_second), spread(side)));
    if let Some(flows) = flows_per_second {
        line(out, &format!("              {} flows/s", number(*flows)));
    }
    if let Some(tokens) = tokens_per_second {
        line(out, &format!("              {} tokens/s", number(*tokens)));
    }
    line(out, &format!("  latency     {}", latency(latency_us)));
    if side.kinds.len() > 1 {
        side.kinds.iter().for_each(|each| kind(out, each));
    }
    if let Some(flows) = &side.flows {
        kind(out, flows);
    }
    costs(out, &side.median);
    let errors: u64 = side.errors.values().sum();
    let kinds: Vec<_> = side.errors.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!("  ({})", kinds.join(", ")) };
    line(out, &format!("  errors      {errors}, {:.3} %{kinds}", side.error_percent));
    let seconds: Vec<_> =
        side.seconds.iter().take(120).map(|second| format!("{:.0}", second.rates().0)).collect();
    if seconds.len() > 1 {
        line(out, &format!("  by second   {}", seconds.join(" ")));
    }
}

fn costs(out: &mut String, median: &Figures) {
    match (median.server_cpu_us_per_request, median.server_kernel_share, median.server_resident_bytes) {
        (Some(cpu), Some(kernel), Some(memory)) => {
            let (kernel, memory) = (kernel * 100.0, mib(memory));
            line(
                out,
                &format!(
                    "  its CPU     {cpu:.2} µs per request, {kernel:.0} % of it in the kernel; memory {memory}"
                ),
            );
        }
        _ => line(out, "  its CPU     unknown; give its --pid"),
    }
    let (own, busy) = (median.generator_cpu_us_per_request, median.generator_busy * 100.0);
    line(out, &format!("  generator   {own:.2} µs per request, its thread {busy:.0} % busy"));
}

fn kind(out: &mut String, kind: &Kind) {
    line(out, &format!("    {:<11} {} in all; {}", kind.name, kind.requests, latency(&kind.latency_us)));
}

fn latency(latency: &Latency) -> String {
    let Latency { p50, p90, p95, p99, p99_9, max } = *latency;
    let named = [("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p99.9", p99_9), ("max", max)];
    named.map(|(name, micros)| format!("{name} {}", span::text(micros * 1e3))).join("  ")
}

/// The slowest and the fastest round.
fn spread(side: &Side) -> String {
    let rates = || side.rounds.iter().map(|round| round.requests_per_second);
    let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    if side.rounds.len() < 2 { String::new() } else { format!("  ({} to {})", number(least), number(most)) }
}

fn compared(ratios: &Ratios) -> String {
    let mut out = String::from("\nserver / bare server\n");
    let cpu = ratios
        .server_cpu_per_request
        .map_or("unknown; give the server's --pid".into(), |cpu| format!("{cpu:.3}"));
    let Ratios { requests_per_second, p50, p99, .. } = ratios;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "  rate        {requests_per_second:.3}\n  CPU         {cpu}\n  p50         {p50:.3}\n  p99         {p99:.3}"
    );
    out
}

fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// A number with separators between its thousands.
pub fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(
            [0.0, 7.25, 100.0, 1_234.4, 1_234_567.0].map(number),
            ["0", "7.2", "100", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn connections_are_told_with_and_without_memory() {
        let found = Connections {
            opened: 10,
            kept: 9,
            opening_seconds: 0.5,
            resident_bytes: Some((1 << 20, 3 << 20)),
            bytes_per_connection: Some(209_715.2),
        };
        let text = connections(&found);
        assert!(
            text.contains("9 of them kept") && text.contains("1.0 MiB before, 3.0 MiB after, 204.8 KiB each")
        );
        let unknown = Connections { resident_bytes: None, bytes_per_connection: None, ..found };
        assert!(connections(&unknown).contains("--pid"));
    }
}
