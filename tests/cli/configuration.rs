//! Configuration: faults at once, `check-config`, the master key's custody.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::cli::process::Place;

#[test]
fn every_fault_of_the_configuration_is_told_at_once() {
    let place = Place::new().with("CHANCERY_SERVER_WORKERS", "many").with("CHANCERY_FEED_INTERVAL", "never");
    fs::write(
        place.path("chancery.toml"),
        "[server]\nlistn = \"127.0.0.1:1\"\n[tokens]\naccess_lifetime = \"1y\"\n",
    )
    .expect("a file");
    for command in ["check-config", "serve", "client"] {
        let mut arguments = vec!["--config", "chancery.toml", command];
        if command == "client" {
            arguments.push("list");
        }
        let said = place.run(&arguments).with_code(2);
        for word in ["listn", "did you mean", "access_lifetime", "WORKERS", "INTERVAL"] {
            assert!(said.err.contains(word), "{command}: {word}: {}", said.err);
        }
    }
    let checked = place.run(&["check-config", "--config", "chancery.toml", "--json"]).with_code(2).json();
    assert_eq!(checked["ok"], false);
    assert_eq!(checked["faults"].as_array().map(Vec::len), Some(4), "{checked}");
    assert!(!place.path("data").exists());
}

#[test]
fn a_right_configuration_is_confirmed_and_nothing_is_made() {
    let place = Place::new();
    let said = place.run(&["check-config"]).with_code(0);
    assert!(said.out.contains("http://127.0.0.1:8080"), "{said:?}");
    assert_eq!(place.json(&["check-config"])["ok"], true);
    assert!(!place.path("data").exists());
    let missing = place.run(&["check-config", "--config", "missing.toml"]).with_code(2);
    assert!(missing.err.contains("missing.toml: cannot be read"), "{missing:?}");
}

/// R66
#[test]
fn the_master_key_is_made_once_for_its_owner_only() {
    let place = Place::new();
    let said = place.run(&["client", "create", "app"]).with_code(0);
    assert!(said.err.contains("master key") && said.err.contains("0600"), "{said:?}");
    let mode = |name: &str| fs::metadata(place.path(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/master.key"), mode("data/chancery.db")), (0o700, 0o600, 0o600));
    let key = fs::read(place.path("data/master.key")).expect("a key");
    assert!(place.run(&["client", "list"]).with_code(0).err.is_empty());
    assert_eq!(fs::read(place.path("data/master.key")).expect("a key"), key);

    fs::set_permissions(place.path("data/master.key"), fs::Permissions::from_mode(0o644)).expect("our file");
    for arguments in [&["client", "list"][..], &["serve"], &["check-config"]] {
        let said = place.run(arguments).with_code(2);
        assert!(said.err.contains("chmod 600"), "{said:?}");
    }
}

#[test]
fn migrations_are_shown_and_applied() {
    let place = Place::new();
    let before = place.json(&["migrate", "status"]);
    assert_eq!(before["applied"], 0);
    assert!(!place.path("data").exists(), "status makes nothing");
    let after = place.json(&["migrate", "up"]);
    assert_eq!(after["applied"], after["known"]);
    assert_eq!(after["pending"].as_array().map(Vec::len), Some(0));
    assert!(place.run(&["migrate", "status"]).with_code(0).out.contains("which is this version's"));
}

#[test]
fn a_store_that_does_not_exist_is_neither_backed_up_nor_restored() {
    let place = Place::new();
    for arguments in [&["backup", "copy.db"][..], &["restored"]] {
        let said = place.run(arguments).with_code(1);
        assert!(said.err.contains("there is no store at"), "{said:?}");
    }
    assert!(!place.path("data").exists());
}
