//! One hot path, run so many times and nothing else: `hot_paths NAME TIMES`. `scripts/instruction_counts`
//! runs it under callgrind and counts what happens inside of [`measured_operations`].
//!
//! Randomness is seeded and the clock stands still, so that two runs do the same.

mod site;

use std::{hint::black_box, process::ExitCode, sync::Arc};

use chancery::{
    crypto::random::Random,
    model::TokenFormat,
    protocol::{Params, access_token::AccessClaims, grants},
};
use site::{Request, Site};

/// The allocator of the server; see docs/decisions/0003-allocator.md.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs before anything is counted, so that caches, leases and buffers are as they stay.
const WARM_UP: u64 = 20;
const FORM: &[u8] = b"grant_type=authorization_code&code=chy_ac_hIqMwEwXYnAYrJv0yedS6jdlMhSAKtdG7YF1mlwmG5UmqjFxGP-7eA&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk&resource=urn%3Aexample%3Aapi";

/// Does one thing so many times.
type Path<'s> = Box<dyn FnMut(u64) + 's>;
/// Makes a path ready on a node.
type Prepare = fn(&Site) -> Path<'_>;

/// The paths that are no requests.
const PARTS: [(&str, Prepare); 5] = [
    ("refresh_decision", refresh_decision),
    ("seal", seal),
    ("open", open),
    ("jwks", jwks),
    ("params", params),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            names().for_each(print_line);
            ExitCode::SUCCESS
        }
        ["--features"] => {
            print_line(&features());
            ExitCode::SUCCESS
        }
        [name, times] if times.parse::<u64>().is_ok() && names().any(|known| known == name) => {
            let site = Site::open(Random::seeded(site::START.0));
            let mut path = path(&site, name);
            path(WARM_UP);
            measured_operations(&mut path, times.parse().expect("it was parsed before"));
            ExitCode::SUCCESS
        }
        // What `cargo bench` and `cargo test --benches` call: everything, a few times.
        _ => {
            let site = Site::open(Random::seeded(site::START.0));
            for name in names() {
                path(&site, name)(WARM_UP);
                print_line(&format!("{name}: {WARM_UP} times; count them with scripts/instruction_counts"));
            }
            ExitCode::SUCCESS
        }
    }
}

/// What is counted; the script looks for this name.
#[inline(never)]
fn measured_operations(path: &mut Path<'_>, times: u64) {
    path(times);
}

fn names() -> impl Iterator<Item = &'static str> {
    Request::ALL.into_iter().map(Request::as_str).chain(PARTS.into_iter().map(|(name, _)| name))
}

fn path<'s>(site: &'s Site, name: &str) -> Path<'s> {
    if let Some(request) = Request::ALL.into_iter().find(|request| request.as_str() == name) {
        return Box::new(move |times| site.send(request, times));
    }
    let part = PARTS.into_iter().find(|(known, _)| *known == name);
    part.expect("only known names get here").1(site)
}

fn repeated<'s, T>(mut work: impl FnMut() -> T + 's) -> Path<'s> {
    Box::new(move |times| {
        for _ in 0..times {
            black_box(work());
        }
    })
}

fn refresh_decision(site: &Site) -> Path<'_> {
    let grant = grants::find("refresh_token").expect("a grant");
    let client = Arc::new(site.client("example", TokenFormat::Sealed));
    let facts = site::refresh_facts(&site.provider().policy, &client);
    repeated(move || grant.decide(&Params::default(), black_box(&facts)))
}

fn seal(site: &Site) -> Path<'_> {
    let claims = site::claims(&site.client("example", TokenFormat::Sealed)).encode();
    repeated(move || {
        let mut text = String::new();
        site.provider().sealer.seal_token(black_box(&claims), &mut text);
        text
    })
}

fn open(site: &Site) -> Path<'_> {
    let claims = site::claims(&site.client("example", TokenFormat::Sealed)).encode();
    let mut text = String::new();
    site.provider().sealer.seal_token(&claims, &mut text);
    repeated(move || {
        let bytes = site.provider().sealer.open_token(black_box(&text)).expect("our own token");
        AccessClaims::decode(&bytes).expect("claims")
    })
}

fn jwks(site: &Site) -> Path<'_> {
    repeated(|| site.provider().key_ring.load().jwks_json().as_bytes().to_vec())
}

fn params(_: &Site) -> Path<'_> {
    repeated(|| Params::parse(black_box(FORM)).expect("a form").require("code_verifier").map(str::len))
}

/// What of the processor the libraries may choose their code by.
#[cfg(target_arch = "x86_64")]
fn features() -> String {
    macro_rules! present {
        ($($name:tt),+) => {
            [$(($name, std::arch::is_x86_feature_detected!($name))),+]
        };
    }
    let all = present!(
        "aes",
        "pclmulqdq",
        "ssse3",
        "sse4.1",
        "avx",
        "avx2",
        "bmi2",
        "adx",
        "sha",
        "avx512f",
        "vaes",
        "vpclmulqdq"
    );
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> String {
    String::new()
}

#[expect(clippy::print_stdout, reason = "the script reads it")]
fn print_line(line: &str) {
    println!("{line}");
}
