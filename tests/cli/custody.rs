//! What must not go wrong at three in the morning: master keys, full disks, wrong folders.

use std::{fs, process::Stdio};

use crate::cli::process::{Place, http};

fn other_key() -> String {
    // 32 bytes in base64; any but the right one.
    format!("{}A=\n", "B".repeat(42))
}

#[test]
fn a_missing_master_key_is_never_replaced_beside_what_it_sealed() {
    let place = Place::new();
    place.serve().terminate();
    let key = place.path("data/master.key");
    let held = fs::read_to_string(&key).expect("the key");
    fs::remove_file(&key).expect("it is taken away");
    for command in [&["client", "list"][..], &["client", "create", "app"], &["keys", "list"], &["serve"]] {
        let said = place.run(command).with_code(2);
        assert!(said.err.contains("master.key") && said.err.contains("put it back"), "{said:?}");
        assert!(!key.exists(), "{command:?}");
    }
    fs::write(&key, held).expect("it is put back");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    place.run(&["client", "list"]).with_code(0);
}

#[test]
fn a_wrong_master_key_changes_no_signing_key() {
    let place = Place::new();
    place.serve().terminate();
    let before = place.json(&["keys", "list"]);
    let key = place.path("data/master.key");
    let held = fs::read_to_string(&key).expect("the key");
    fs::write(&key, other_key()).expect("it is changed");
    let said = place.run(&["keys", "rotate", "ES256"]).with_code(1);
    assert!(said.err.contains("another master key"), "{said:?}");
    fs::write(&key, held).expect("it is changed back");
    assert_eq!(place.json(&["keys", "list"]), before);
    place.run(&["keys", "rotate", "ES256"]).with_code(0);
}

#[test]
fn a_command_that_only_looks_makes_no_store() {
    let place = Place::new();
    for command in [
        &["client", "list"][..],
        &["user", "list"],
        &["resource", "list"],
        &["keys", "list"],
        &["client", "show", "app"],
    ] {
        let said = place.run(command).with_code(1);
        assert!(said.err.contains("there is no store"), "{said:?}");
    }
    assert!(!place.path("data").exists());
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut create = place.command(&["client", "create", "app"]);
    let output = create.stdout(Stdio::from(full)).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("rotate-secret"), "{output:?}");
}

#[test]
fn restored_is_refused_while_a_server_runs() {
    let place = Place::new();
    let server = place.serve();
    let said = place.run(&["restored"]).with_code(1);
    assert!(said.err.contains("another server runs"), "{said:?}");
    assert_eq!(http(&server.listen, "GET /health/ready HTTP/1.1", "").0, 200);
    assert_eq!(server.terminate(), Some(0));
    place.run(&["restored"]).with_code(0);
}

#[test]
fn the_demo_takes_no_configuration_file() {
    let said = Place::new().run(&["demo", "--config", "chancery.toml"]).with_code(2);
    assert!(said.err.contains("takes no configuration file"), "{said:?}");
}

#[test]
fn a_terminal_that_closes_stops_the_server_in_order() {
    let mut server = Place::new().serve();
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
}
