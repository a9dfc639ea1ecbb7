//! The master key: made for nodes that share a store, and replaced while a server runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::cli::{
    process::{Place, Server},
    server::{credentials, is_active, issue},
};

fn generated(place: &Place, name: &str) -> String {
    place.run(&["keys", "generate-master", name]).with_code(0);
    fs::read_to_string(place.path(name)).expect("the key")
}

fn write_keys(place: &Place, keys: &[&str]) {
    let file = place.path("keys");
    fs::write(&file, keys.concat()).expect("the key file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
}

#[test]
fn a_generated_master_key_is_its_owners_only_and_never_replaced() {
    let place = Place::new();
    let key = generated(&place, "new.key");
    let mode = fs::metadata(place.path("new.key")).expect("it is there").permissions().mode();
    assert_eq!((key.trim().len(), mode & 0o777), (44, 0o600));
    let again = place.run(&["keys", "generate-master", "new.key"]).with_code(1);
    assert!(again.err.contains("new.key"), "{again:?}");
    assert_eq!(fs::read_to_string(place.path("new.key")).expect("the key"), key);
    assert_ne!(generated(&place, "other.key"), key);
    assert!(!place.path("data").exists(), "no store is needed");
}

/// Introspects a token until the work is done; every answer must be right.
fn while_introspecting(server: &Server, watcher: &str, token: &str, work: impl FnOnce()) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut answers = 0;
            while answers == 0 || !ended.load(Ordering::Relaxed) {
                assert!(is_active(&server.listen, watcher, token));
                answers += 1;
            }
            answers
        });
        work();
        ended.store(true, Ordering::Relaxed);
        assert!(watching.join().expect("every answer was right") > 0);
    });
}

#[test]
fn every_signing_key_moves_to_a_new_master_key_while_a_server_runs() {
    let place = Place::new().with("CHANCERY_KEYS_MASTER_FILE", "keys");
    let (old, new) = (generated(&place, "old.key"), generated(&place, "new.key"));
    write_keys(&place, &[&old]);
    let watcher = credentials(&place, "watcher", &["--introspect-any"]);
    let app = credentials(&place, "app", &["--token-format", "jwt:EdDSA"]);
    place.serve().terminate();

    write_keys(&place, &[&new, &old]);
    let server = place.serve();
    let token = issue(&server.listen, &app);
    while_introspecting(&server, &watcher, &token, || {
        let done = place.json(&["keys", "rewrap"]);
        assert_eq!((&done["resealed"], &done["already"]), (&2.into(), &0.into()), "{done}");
        assert_eq!(done["still_under_older_keys"][0]["seconds"], 24 * 60 * 60);
        let again = place.run(&["keys", "rewrap"]).with_code(0).out;
        assert!(
            again.starts_with("0 signing keys were sealed") && again.contains("2 were already"),
            "{again}"
        );
        assert!(done["older_keys_may_go_after"].is_u64(), "{done}");
        assert!(again.contains("after the last server was given this key first"), "{again}");
        let again = place.json(&["keys", "rewrap"]);
        assert!(again["older_keys_may_go_after"].is_null(), "the date does not move: {again}");
        assert_eq!(again["older_keys_needed_for_seconds"], 90 * 24 * 60 * 60, "{again}");
    });
    assert_eq!(server.terminate(), Some(0));

    // The old key opens nothing any more, the new one everything.
    write_keys(&place, &[&old]);
    let refused = place.run(&["serve"]).with_code(1);
    assert!(refused.err.contains("another master key"), "{refused:?}");
    write_keys(&place, &[&new]);
    let server = place.serve();
    assert!(is_active(&server.listen, &watcher, &token), "the signature is by the same key as before");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn rewrap_without_the_key_that_sealed_changes_nothing() {
    let place = Place::new().with("CHANCERY_KEYS_MASTER_FILE", "keys");
    let (old, new) = (generated(&place, "old.key"), generated(&place, "new.key"));
    write_keys(&place, &[&old]);
    place.serve().terminate();
    write_keys(&place, &[&new]);
    let refused = place.run(&["keys", "rewrap"]).with_code(1);
    assert!(refused.err.contains("another master key"), "{refused:?}");
    write_keys(&place, &[&old]);
    assert_eq!(place.serve().terminate(), Some(0));
}
