//! `store copy`: an installation moves while it serves.

use std::path::Path;

use serde_json::Value;

use crate::{
    cli::{
        process::{DEADLINE, Place, eventually, post},
        server::{credentials, is_active, issue},
    },
    servers::Postgres,
};

fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn written(copied: &Value) -> u64 {
    let tables = copied["tables"].as_array().expect("an array");
    tables.iter().map(|table| table["written"].as_u64().expect("a number")).sum()
}

/// The same, whatever the other store is.
fn moves_to(target: &str) {
    let place = Place::new();
    let watcher = credentials(&place, "watcher", &["--introspect-any"]);
    let app = credentials(&place, "app", &[]);
    let server = place.serve();
    let at = server.listen.clone();
    let (dead, alive) = (issue(&at, &app), issue(&at, &app));

    let copy = ["store", "copy", "--to", target];
    let first = place.json(&copy);
    assert_eq!((&first["complete"], &first["server_running"]), (&false.into(), &true.into()), "{first}");
    let said = place.run(&copy).with_code(0).out;
    assert!(said.contains("Stop it, run this again") || said.contains("Stop the server"), "{said}");

    let (status, body) = post(&at, "/oauth/revoke", &format!("{app}&token={dead}"));
    assert_eq!(status, 200, "{body}");
    let late = credentials(&place, "late", &[]);
    assert_eq!(server.terminate(), Some(0));
    let last = place.json(&copy);
    assert_eq!((&last["complete"], &last["source_changed"]), (&true.into(), &false.into()), "{last}");
    assert!((1..=10).contains(&written(&last)), "only what has changed: {last}");
    assert_eq!(written(&place.json(&copy)), 0);

    // The same master key, another store.
    let master = place.path("data/master.key").display().to_string();
    let place = place.with("DATABASE_URL", target).with("CHANCERY_KEYS_MASTER_FILE", &master);
    let server = place.serve();
    let at = server.listen.clone();
    assert!(is_active(&at, &watcher, &alive), "tokens from before stay good");
    assert!(!is_active(&at, &watcher, &dead), "and what was revoked stays revoked");
    issue(&at, &late);
    let of_new = issue(&at, &app);
    let (status, body) = post(&at, "/oauth/revoke", &format!("{app}&token={alive}"));
    assert_eq!(status, 200, "{body}");
    eventually(DEADLINE, "revoked", || !is_active(&at, &watcher, &alive));
    assert!(is_active(&at, &watcher, &of_new));
    assert_eq!(server.terminate(), Some(0));

    // It has a life of its own now.
    let source = sqlite(&place.path("data/chancery.db"));
    let refused = place.run(&["store", "copy", "--from", &source]).with_code(1);
    assert!(refused.err.contains("written to after the last copy"), "{refused:?}");
}

#[test]
fn an_installation_moves_to_another_file_while_it_serves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    moves_to(&sqlite(&folder.path().join("new/chancery.db")));
}

#[tokio::test]
async fn an_installation_moves_to_postgres_while_it_serves() {
    moves_to(Postgres::shared().await.database().await.url());
}

#[test]
fn a_copy_that_makes_no_sense_is_refused() {
    let place = Place::new();
    place.run(&["client", "create", "app"]).with_code(0);
    let own = sqlite(&place.path("data/chancery.db"));
    for (arguments, code, reason) in [
        (&["store", "copy"][..], 2, "--from, --to"),
        (&["store", "copy", "--to", &own], 2, "same store"),
        (&["store", "copy", "--to", "mysql://root:hunter2@db/x"], 2, "not supported"),
        (&["store", "copy", "--from", "sqlite:nowhere.db"], 1, "there is no store"),
    ] {
        let said = place.run(arguments).with_code(code);
        assert!(said.err.contains(reason) && !said.err.contains("hunter2"), "{said:?}");
    }
    assert!(!place.path("nowhere.db").exists());

    let other = Place::new();
    other.run(&["client", "create", "theirs"]).with_code(0);
    let theirs = sqlite(&other.path("data/chancery.db"));
    let said = place.run(&["store", "copy", "--to", &theirs]).with_code(1);
    assert!(said.err.contains("neither empty nor a copy"), "{said:?}");
    let server = other.serve();
    let said = place.run(&["store", "copy", "--to", &theirs]).with_code(1);
    assert!(said.err.contains("another server runs"), "{said:?}");
    assert_eq!(server.terminate(), Some(0));
}
