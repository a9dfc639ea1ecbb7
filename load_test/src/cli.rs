//! From the command line to the report.

use std::{
    fs,
    io::{Write, stderr, stdout},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use serde::Serialize;

use crate::{
    args::{Cli, Command, Load},
    bare::{self, Bare},
    connections,
    distribution::{Distribution, Kind},
    failure::Failure,
    renewal::Renewal,
    report::{Ratios, Report, Shape as Figured, Side as Told, bottleneck, html, text},
    run::{
        pace::Pace,
        rounds::{Round, Shape, Side},
        script::Script,
    },
    target::Target,
    workload::{What, Workload},
};

/// Runs what the command line says.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Where nobody listens, the exit code has to do.
            let _ = writeln!(stderr(), "security_load_test: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<u8, Failure> {
    let one = |kind| What::Mix(Distribution(vec![(kind, 1)]));
    match command {
        Command::MixedWorkload { distribution, load } => {
            under_load(&What::Mix(distribution), "mixed workload", &load)
        }
        Command::Token(load) => under_load(&one(Kind::Token), "token", &load),
        Command::Introspect(load) => under_load(&one(Kind::Introspect), "introspect", &load),
        Command::Userinfo(load) => under_load(&one(Kind::Userinfo), "userinfo", &load),
        Command::Discovery(load) => under_load(&one(Kind::Discovery), "discovery", &load),
        Command::Jwks(load) => under_load(&one(Kind::Jwks), "jwks", &load),
        Command::Batch { size, load } => {
            under_load(&What::Batch(size as usize), &format!("introspection of {size} tokens at once"), &load)
        }
        Command::Refresh(load) => under_load(&What::Refresh, "refresh", &load),
        Command::Login(load) => under_load(&What::Login, "login", &load),
        Command::CodeFlow(load) => under_load(&What::CodeFlow, "code flow", &load),
        Command::Connections { count, hold, target, output } => {
            let found = connections::measure(&Target::of(&target)?, count, hold)?;
            say(&text::connections(&found))?;
            if output.html.is_some() {
                return Err(Failure::Usage("connections have no --html page; use --json".into()));
            }
            write_json(output.json.as_deref(), &found)?;
            Ok(u8::from(found.kept < found.opened))
        }
        Command::BareServer { workers } => bare::serve(workers).map(|()| 0),
    }
}

fn under_load(what: &What, name: &str, load: &Load) -> Result<u8, Failure> {
    let target = Target::of(&load.target)?;
    let (shape, clients) = shape(load)?;
    let (mut workload, renewal) = Workload::prepare(what, &target, load, clients)?;
    let _renewed = renewal.map(Renewal::begin);
    let scripts = std::mem::take(&mut workload.scripts);
    let rounds = load.rounds.unwrap_or(if load.baseline { 3 } else { 1 });
    let (server, bare) = alternate(&workload, &shape, &target, (load, rounds, scripts))?;
    let figured = Figured {
        seconds: shape.duration.as_secs_f64(),
        names: workload.ops.iter().map(|op| op.name).collect(),
        is_flow: workload.is_flow,
        tokens_per_request: workload.tokens_per_request,
    };
    let server = Told::of("server", &server, &figured);
    let baseline = (!bare.is_empty()).then(|| Told::of("bare server", &bare, &figured));
    let sides = std::iter::once(&server).chain(&baseline);
    let report = Report {
        workload: name.into(),
        url: format!("http://{}", target.host),
        model: model(&shape, clients),
        threads: shape.threads,
        round_seconds: shape.duration.as_secs_f64(),
        bottleneck: sides.flat_map(bottleneck).collect(),
        ratios: baseline.as_ref().map(|bare| Ratios::of(&server.median, &bare.median)),
        server,
        baseline,
    };
    say(&text::report(&report))?;
    write_json(load.output.json.as_deref(), &report)?;
    if let Some(path) = &load.output.html {
        write(path, &html::page(&report))?;
    }
    Ok(u8::from(report.server.error_percent > load.max_errors || report.server.median.requests == 0.0))
}

/// Rounds on both sides in turn, so that what else the machine does hits both alike.
fn alternate(
    workload: &Workload,
    shape: &Shape,
    target: &Target,
    (load, rounds, scripts): (&Load, usize, Vec<Script>),
) -> Result<(Vec<Round>, Vec<Round>), Failure> {
    let bare = if load.baseline {
        if workload.canned.is_empty() {
            return Err(Failure::Usage("--baseline: a bare server cannot stand in for a sign-in".into()));
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Some(Bare::start(&workload.canned, load.workers.unwrap_or(cores))?)
    } else {
        None
    };
    let address = target.address;
    let mut other = bare.as_ref().map(|bare| Side {
        name: "bare server",
        address: bare.address,
        pid: Some(bare.pid()),
        scripts: scripts.clone(),
    });
    let mut server = Side { name: "server", address, pid: target.pid, scripts };
    server.warm_up(workload, shape)?;
    if let Some(other) = &mut other {
        other.warm_up(workload, shape)?;
    }
    let (mut of_server, mut of_bare) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let label = format!("round {round} of {rounds}");
        of_server.push(server.round(workload, shape, &label)?);
        if let Some(other) = &mut other {
            of_bare.push(other.round(workload, shape, &label)?);
        }
    }
    Ok((of_server, of_bare))
}

/// The shape of the rounds, and how many clients there are.
fn shape(load: &Load) -> Result<(Shape, usize), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.into()));
    let duration = load.stages.as_ref().map_or(load.duration, |stages| stages.duration());
    let clients = load.stages.as_ref().map_or(load.clients, |stages| stages.most());
    if duration.is_zero() {
        return usage("--duration is nothing; give it a second at least");
    }
    if clients == 0 || load.threads == 0 || load.threads > clients {
        return usage("--clients and --threads are at least 1, and no thread is without a client");
    }
    let rounds = load.rounds.unwrap_or(3);
    if rounds == 0 || load.baseline && rounds < 3 {
        return usage("--rounds is at least 1, and at least 3 with --baseline: medians of fewer say nothing");
    }
    let pace = match load.rate {
        Some(rate) if rate.is_finite() && rate > 0.0 => Pace::Open { rate },
        Some(_) => return usage("--rate is not above 0"),
        None => Pace::Closed { stages: load.stages.clone() },
    };
    let Load { warm_up, timeout, threads, .. } = *load;
    Ok((Shape { pace, duration, warm_up, timeout, threads }, clients))
}

fn model(shape: &Shape, clients: usize) -> String {
    match &shape.pace {
        Pace::Closed { stages: None } => format!("{clients} clients"),
        Pace::Closed { stages: Some(_) } => format!("a ramp of up to {clients} clients"),
        Pace::Open { rate } => format!("{rate} arrivals/s over up to {clients} connections"),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    stdout().write_all(text.as_bytes()).map_err(|error| Failure::io("write the results", error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::io(&format!("write {}", path.display()), error))
}

fn write_json(path: Option<&Path>, results: &impl Serialize) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(results).map_err(|error| Failure::Run(error.to_string()))?;
    write(path, &(text + "\n"))
}
