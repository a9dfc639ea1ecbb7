//! A black-box load tester for OAuth servers: what they do under load, seen from outside.

mod args;
mod bare;
mod cli;
mod connections;
mod distribution;
mod failure;
mod process;
mod renewal;
mod report;
mod run;
mod sign_in;
mod span;
mod stages;
mod target;
mod wire;
mod workload;

fn main() -> std::process::ExitCode {
    cli::main()
}
