//! Two nodes on one Postgres: they start at once, share keys and tokens, and hear of each other.

use std::time::Duration;

use serde_json::Value;

use crate::{
    cli::{
        process::{Place, Server, eventually, http, post},
        server::{credentials, is_active, issue},
    },
    servers::{Database, Postgres, Redis, until},
};

/// Much longer than `feed.max_staleness`, for the slowest machine.
const BOUND: Duration = Duration::from_secs(10);

const MASTER: &str = "bWFzdGVyIGtleSBvZiB0aGVzZSB0ZXN0cywgMzIgYnk=";
const OTHER_MASTER: &str = "b3RoZXIga2V5IG9mIHRoZXNlIHRlc3RzLCAgMzIgYnk=";

async fn database() -> Database {
    Postgres::shared().await.database().await
}

/// A node's machine: a folder of its own, the database and the master key shared.
fn machine(database: &Database) -> Place {
    Place::new().with("DATABASE_URL", database.url()).with("CHANCERY_KEYS_MASTER", MASTER)
}

/// Starts a node on each machine, all before the first is waited for.
fn serve_at_once<const N: usize>(machines: [&Place; N]) -> [Server; N] {
    let started = machines.map(|machine| (machine, machine.command(&["serve"]).spawn().expect("it runs")));
    started.map(|(machine, child)| machine.wait_for(child))
}

fn key_set(server: &Server) -> Value {
    let (status, body) = http(&server.listen, "GET /.well-known/jwks.json HTTP/1.1", "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn health(server: &Server) -> Value {
    serde_json::from_str(&http(&server.operations, "GET /health HTTP/1.1", "").1).expect("JSON")
}

#[tokio::test]
async fn nodes_that_start_at_once_on_an_empty_database_end_with_one_schema_and_one_key_set() {
    let database = database().await;
    let machines = [machine(&database), machine(&database), machine(&database)];
    let nodes = serve_at_once(machines.each_ref());
    let keys = machines[0].json(&["keys", "list"]);
    let states: Vec<_> = keys.as_array().expect("a list").iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["active", "active"], "one for each algorithm: {keys}");
    // A node that was faster hears of the others' keys by the feed.
    for node in &nodes {
        eventually(BOUND, "each publishes the same", || key_set(node) == key_set(&nodes[0]));
        let published = key_set(node)["keys"].as_array().map(Vec::len);
        assert_eq!(published, Some(2));
    }
    let status = machines[1].json(&["migrate", "status"]);
    assert_eq!(
        (&status["applied"], &status["pending"]),
        (&status["known"], &Value::Array(vec![])),
        "{status}"
    );
    assert_eq!(health(&nodes[2])["store"]["kind"], "postgres");
    for node in nodes {
        assert_eq!(node.terminate(), Some(0));
    }
    // The connections were closed, not left to be found dead.
    let beside = database.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    // The server takes a moment to notice an end of its own.
    until("every connection to be closed", async || {
        beside.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0) == 0
    })
    .await;
}

/// R41
#[tokio::test]
async fn what_one_node_does_the_other_honours() {
    let database = database().await;
    let machines = [machine(&database), machine(&database)];
    machines[0].run(&["migrate", "up"]).with_code(0);
    let watcher = credentials(&machines[0], "watcher", &["--introspect-any"]);
    let app = credentials(&machines[1], "app", &[]);
    let signed = credentials(&machines[1], "signed", &["--token-format", "jwt:EdDSA"]);
    let [one, other] = serve_at_once(machines.each_ref());
    for client in [&app, &signed] {
        let token = issue(&one.listen, client);
        assert!(is_active(&other.listen, &watcher, &token), "what one issued the other knows");
        let revoked = post(&one.listen, "/oauth/revoke", &format!("{client}&token={token}"));
        assert_eq!(revoked.0, 200, "{revoked:?}");
        assert!(!is_active(&one.listen, &watcher, &token), "at once where it was revoked");
        eventually(BOUND, "and soon at the other", || !is_active(&other.listen, &watcher, &token));
    }
    let token = issue(&other.listen, &app);
    machines[0].run(&["client", "disable", "app"]).with_code(0);
    for node in [&one, &other] {
        eventually(BOUND, "a command is heard by both", || !is_active(&node.listen, &watcher, &token));
    }
    for node in [one, other] {
        assert_eq!(node.terminate(), Some(0));
    }
}

#[tokio::test]
async fn a_node_with_another_master_key_refuses_to_start_and_changes_nothing() {
    let database = database().await;
    let right = machine(&database);
    right.serve().terminate();
    let before = right.json(&["keys", "list"]);
    let wrong = machine(&database).with("CHANCERY_KEYS_MASTER", OTHER_MASTER);
    let refused = wrong.run(&["serve"]).with_code(1);
    assert!(refused.err.contains("another master key"), "{refused:?}");
    let none = Place::new().with("DATABASE_URL", database.url());
    let refused = none.run(&["serve"]).with_code(2);
    assert!(refused.err.contains("generate-master"), "{refused:?}");
    assert!(!none.path("data/master.key").exists(), "none is made up");
    assert_eq!(right.json(&["keys", "list"]), before);
}

#[tokio::test]
async fn signing_keys_move_to_a_new_master_key_under_two_nodes() {
    let database = database().await;
    let both = format!("{OTHER_MASTER},{MASTER}");
    let machines = [machine(&database), machine(&database).with("CHANCERY_KEYS_MASTER", &both)];
    machines[0].serve().terminate();
    let watcher = credentials(&machines[0], "watcher", &["--introspect-any"]);
    let signed = credentials(&machines[0], "signed", &["--token-format", "jwt:EdDSA"]);
    let nodes = [machines[1].serve(), machines[1].serve()];
    let token = issue(&nodes[0].listen, &signed);
    let done = machines[1].json(&["keys", "rewrap"]);
    assert_eq!((&done["resealed"], &done["already"]), (&2.into(), &0.into()), "{done}");
    let again = machines[1].json(&["keys", "rewrap"]);
    assert_eq!((&again["resealed"], &again["already"]), (&0.into(), &2.into()), "{again}");
    for node in &nodes {
        assert!(is_active(&node.listen, &watcher, &token));
        assert!(is_active(&node.listen, &watcher, &issue(&node.listen, &signed)));
    }
    nodes.into_iter().for_each(|node| assert_eq!(node.terminate(), Some(0)));
    let refused = machines[0].run(&["serve"]).with_code(1);
    assert!(refused.err.contains("another master key"), "the old one opens nothing any more: {refused:?}");
    let new = machine(&database).with("CHANCERY_KEYS_MASTER", OTHER_MASTER).serve();
    assert!(is_active(&new.listen, &watcher, &token));
    assert_eq!(new.terminate(), Some(0));
}

#[tokio::test]
async fn a_restored_database_revives_no_token_on_any_node() {
    let database = database().await;
    let machines = [machine(&database), machine(&database)];
    machines[0].run(&["migrate", "up"]).with_code(0);
    let watcher = credentials(&machines[0], "watcher", &["--introspect-any"]);
    let app = credentials(&machines[0], "app", &[]);
    let nodes = serve_at_once(machines.each_ref());
    let token = issue(&nodes[0].listen, &app);
    let refused = machines[0].run(&["backup", "copy.db"]).with_code(1);
    assert!(refused.err.contains("pg_dump"), "{refused:?}");
    assert!(!machines[0].path("copy.db").exists());
    let said = machines[0].run(&["restored"]).with_code(0);
    assert!(said.out.contains("stopped"), "{said:?}");
    for node in &nodes {
        eventually(BOUND, "a node that ran hears of it", || !is_active(&node.listen, &watcher, &token));
        let fresh = issue(&node.listen, &app);
        assert!(is_active(&node.listen, &watcher, &fresh));
    }
    nodes.into_iter().for_each(|node| assert_eq!(node.terminate(), Some(0)));
}

#[tokio::test]
async fn what_is_configured_is_tried_on_demand() {
    let database = database().await;
    let redis = Redis::start().await;
    let machine = machine(&database).with("REDIS_URL", &redis.url());
    let looked = machine.run(&["check-config", "--connect"]).with_code(0).out;
    assert!(looked.contains("empty or not there yet") && looked.contains("Redis answers"), "{looked}");
    machine.run(&["migrate", "up"]).with_code(0);
    let looked = machine.run(&["check-config", "--connect"]).with_code(0).out;
    assert!(looked.contains("The store answers"), "{looked}");
    let node = machine.serve();
    eventually(BOUND, "Redis is used", || health(&node)["redis"]["subscribed"] == true);
    drop(redis);
    let looked = machine.run(&["check-config", "--connect"]).with_code(1);
    assert!(looked.err.contains("Redis cannot be used"), "{looked:?}");
    let ready = || http(&node.listen, "GET /health/ready HTTP/1.1", "").0;
    eventually(BOUND, "Redis is missed", || health(&node)["redis"]["up"] == false);
    assert_eq!(ready(), 200, "readiness does not hang on it");
    assert_eq!(node.terminate(), Some(0));
}

#[tokio::test]
async fn a_redis_that_wants_another_password_is_named_at_the_start_and_on_demand() {
    let redis = Redis::start_with(&["--requirepass", "hunter2"]).await;
    let place = Place::new().with("REDIS_URL", &redis.url().replace("redis://", "redis://:hunter3@"));
    let looked = place.run(&["check-config", "--connect"]).with_code(1);
    assert!(looked.err.contains("refused the user name or password"), "{looked:?}");
    let server = place.serve();
    // Once it was refused a second time, the first time has been logged.
    let refused = || {
        let metrics = http(&server.operations, "GET /metrics HTTP/1.1", "").1;
        let denied = metrics.lines().find_map(|line| {
            line.strip_prefix(r#"chancery_redis_errors_total{kind="denied"} "#)?.parse::<f64>().ok()
        });
        denied.is_some_and(|times| times >= 2.0)
    };
    eventually(BOUND, "Redis has refused it twice", refused);
    let log = server.log.clone() + &server.logged();
    let said: Vec<_> = log.lines().filter(|line| line.contains("Redis unavailable")).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(said[0].contains("WARN") && said[0].contains("refused the user name or password"), "{log}");
    assert!(!log.contains("hunter3"), "{log}");
    assert!(log.contains("the embedded store serves a single node"), "{log}");
}

#[tokio::test]
async fn a_node_says_which_store_it_is_ready_on_without_its_password() {
    let database = database().await;
    for (place, backend, shown) in [
        (machine(&database), "postgres", format!("/{}", database.name())),
        (Place::new(), "sqlite", "chancery.db".to_owned()),
    ] {
        let log = place.serve().log.clone();
        let ready: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
        assert_eq!(ready["backend"], backend);
        let store = ready["store"].as_str().expect("a place");
        assert!(store.ends_with(&shown) && !store.contains('@') && !store.contains('?'), "{store}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_a_few_lines_in_the_log_however_many_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut postgres = Postgres::start(folder.path()).await;
    let machine = machine(&postgres.database().await);
    let app = credentials(&machine, "app", &[]);
    let node = machine.serve();
    issue(&node.listen, &app);
    postgres.kill().await;
    let ready = || http(&node.listen, "GET /health/ready HTTP/1.1", "").0;
    eventually(BOUND, "the node stops answering", || ready() == 503);
    for _ in 0..200 {
        let asked = format!("{app}&grant_type=client_credentials");
        assert_eq!(post(&node.listen, "/oauth/token", &asked).0, 503);
    }
    postgres.restart().await;
    eventually(BOUND, "the node answers again", || ready() == 200);
    issue(&node.listen, &app);
    let log = node.logged();
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert!(count("returning 503; further") >= 1, "{log}");
    assert!(count("returned 503 to more requests") >= 1, "the others were counted: {log}");
    assert!(count("503") < 20, "{log}");
    assert_eq!((count("may be out of date"), count("up to date again")), (1, 1), "{log}");
}

#[tokio::test]
async fn a_plan_names_tables_and_locks_and_changes_nothing() {
    let database = database().await;
    for machine in [machine(&database), Place::new()] {
        let plan = machine.json(&["migrate", "plan"]);
        let first = &plan[0];
        assert!(first["file"].as_str().is_some_and(|file| file.starts_with("V1__first")), "{plan}");
        let steps = first["steps"].as_array().expect("steps");
        let makes =
            |table: &str| steps.iter().any(|step| step["table"] == table && step["action"] == "CREATE TABLE");
        assert!(makes("signing_keys") && makes("changes"), "{plan}");
        assert_eq!(machine.json(&["migrate", "status"])["applied"], 0);
        machine.run(&["migrate", "up"]).with_code(0);
        assert_eq!(machine.run(&["migrate", "plan"]).with_code(0).out.trim(), "Nothing is pending.");
    }
}

#[tokio::test]
async fn a_command_that_only_looks_makes_no_tables() {
    let database = database().await;
    let machine = machine(&database);
    for command in [&["client", "list"][..], &["keys", "list"], &["restored"]] {
        let said = machine.run(command).with_code(1);
        assert!(said.err.contains("there is no store"), "{said:?}");
    }
    let status = machine.json(&["migrate", "status"]);
    assert_eq!(status["applied"], 0, "{status}");
    let beside = database.connect().await;
    let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = beside.query_one(sql, &[]).await.expect("a count").get(0);
    assert_eq!(tables, 0);
    // One that makes something may make the store.
    machine.run(&["client", "create", "app"]).with_code(0);
    machine.run(&["client", "list"]).with_code(0);
}
