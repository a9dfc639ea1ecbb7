//! The command line: the real binary, every command, exit codes and the shapes of what it prints.

pub mod behind_proxy;
mod browsing;
mod configuration;
mod copy;
mod custody;
mod demo;
mod deploy;
mod export;
mod lists;
mod log;
mod master_key;
mod nodes;
pub mod process;
mod scripts;
mod server;
mod stop;
mod tls;
mod traces;

use process::Place;

#[test]
fn help_names_every_command() {
    let help = Place::new().run(&["--help"]).with_code(0).out;
    for command in [
        "demo",
        "serve",
        "client",
        "resource",
        "user",
        "keys",
        "backup",
        "restored",
        "store",
        "migrate",
        "check-config",
        "healthcheck",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    for arguments in [
        &[][..],
        &["no-such-command"],
        &["client", "create"],
        &["client", "create", "app", "--auth-method", "private_key_jwt"],
        &["client", "create", "app", "--access-lifetime", "soon"],
        &["keys", "rotate", "HS256"],
        &["demo", "--listen", "somewhere"],
    ] {
        let said = place.run(arguments).with_code(2);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{said:?}");
    }
    assert!(!place.path("data").exists(), "wrong usage leaves nothing behind");
}
