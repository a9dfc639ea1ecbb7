//! Allocations per request: `cargo bench --bench allocations`. Prints how many there are and how many bytes,
//! and fails when there are more than stated here. `cargo test --bench allocations` does the same with an
//! unoptimized build, which needs a little more; what is stated holds for both.

mod site;

use std::process::ExitCode;

use chancery::crypto::random::Random;
use site::{Request, Site};

/// Requests that are counted, after as many that are not.
const TIMES: u64 = 200;

/// The most that one request may allocate: times and bytes, a tenth above what it does. Lower them when it
/// does less.
const MOST: [(Request, u64, u64); 6] = [
    (Request::Introspect, 7, 540),
    (Request::IntrospectJwt, 29, 1_400),
    (Request::TokenSealed, 18, 1_240),
    (Request::TokenJwt, 22, 2_750),
    (Request::Userinfo, 7, 1_010),
    (Request::Batch, 13, 35_600),
];

fn main() -> ExitCode {
    let site = Site::open(Random::os());
    print_line(&format!(
        "{:16} {:>12} {:>8} {:>12} {:>8}",
        "per request", "allocations", "at most", "bytes", "at most"
    ));
    let mut within = true;
    for (request, most_times, most_bytes) in MOST {
        site.send(request, TIMES);
        let info = allocation_counter::measure(|| site.send(request, TIMES));
        // Something that happens every now and then counts as a whole one.
        let (times, bytes) = (info.count_total.div_ceil(TIMES), info.bytes_total.div_ceil(TIMES));
        let good = times <= most_times && bytes <= most_bytes;
        let verdict = if good { "" } else { "  TOO MANY" };
        let name = request.as_str();
        print_line(&format!("{name:16} {times:>12} {most_times:>8} {bytes:>12} {most_bytes:>8}{verdict}"));
        within &= good;
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_line(line: &str) {
    println!("{line}");
}
