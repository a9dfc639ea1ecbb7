//! `client export` and `user export`.

use std::io::{BufRead, BufReader, Read};

use chancery::{
    model::*,
    store::{
        Commit, Commits, Effect,
        sqlite::{Options, Sqlite},
    },
};
use serde_json::Value;

use crate::cli::process::Place;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object on each line")).collect()
}

#[test]
fn an_export_tells_what_show_tells_and_no_secret() {
    let place = Place::new();
    let made = place.json(&["client", "create", "app"]);
    place.run(&[
        "client",
        "create",
        "public",
        "--auth-method",
        "none",
        "--redirect-uri",
        "https://a.example/",
    ]);
    let user = ["user", "create", "bob", "--claim", "email=bob@example.com"];
    place.run_with_input(&user, "four wooden clocks tick\n").with_code(0);

    let clients = place.run(&["client", "export"]).with_code(0);
    let shown = ["app", "public"].map(|name| place.json(&["client", "show", name]));
    assert_eq!(lines(&clients.out), shown);
    let secret = made["client_secret"].as_str().expect("a secret");
    assert!(!clients.out.contains(secret) && !clients.out.contains("digest"), "{clients:?}");

    let users = place.run(&["user", "export"]).with_code(0);
    assert_eq!(Value::from(lines(&users.out)), place.json(&["user", "list"]));
    assert!(users.out.contains("bob@example.com") && !users.out.contains("argon2"), "{users:?}");
}

#[test]
fn an_export_of_nothing_is_empty() {
    let place = Place::new();
    place.run(&["client", "create", "app"]).with_code(0);
    assert_eq!(place.run(&["user", "export"]).with_code(0).out, "");
    let nowhere = Place::new().run(&["user", "export"]).with_code(1);
    assert!(nowhere.err.contains("there is no store"), "{nowhere:?}");
}

fn user(number: u64) -> User {
    let claims = serde_json::json!({ "name": "x".repeat(200) });
    User {
        id: UserId(Id::new(number, [0; 10])),
        username: format!("user-{number}"),
        claims: claims.as_object().expect("an object").clone(),
        created_at: UnixTime(1),
        updated_at: UnixTime(1),
        ..User::default()
    }
}

/// A thousand is two pages; together they are more than a pipe holds.
#[test]
fn a_long_export_is_whole_and_in_order_and_a_reader_may_leave() {
    let place = Place::new();
    place.run(&["client", "create", "app"]).with_code(0);
    let store = Sqlite::open(&place.path("data/chancery.db"), Options::default()).expect("the store");
    let effects = (0..1000).map(|number| Effect::InsertUser(user(number).into())).collect();
    let commit = Commit { id: CommitId(Id::new(1, [1; 10])), at: UnixTime(1), spend: None, effects };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(store.commit(commit)).expect("a thousand users");
    drop(store);

    let all = place.run(&["user", "export"]).with_code(0);
    let names: Vec<_> = lines(&all.out).iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, (0..1000).map(|number| format!("user-{number}")).collect::<Vec<_>>());

    let mut child = place.command(&["user", "export"]).spawn().expect("the binary runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut String::new()).expect("a first line");
    drop(out);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let mut err = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("UTF-8");
    assert_eq!(err, "", "quietly");
}
