//! A running server and commands beside it.

use std::time::Duration;

use serde_json::Value;

use crate::cli::process::{DEADLINE, Place, eventually, http, post};

pub fn credentials(place: &Place, client_id: &str, more: &[&str]) -> String {
    let arguments = [&["client", "create", client_id, "--auth-method", "client_secret_post"], more].concat();
    let made = place.json(&arguments);
    format!("client_id={client_id}&client_secret={}", made["client_secret"].as_str().expect("a secret"))
}

pub fn issue(address: &str, client: &str) -> String {
    let (status, body) = post(address, "/oauth/token", &format!("{client}&grant_type=client_credentials"));
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}

pub fn is_active(address: &str, caller: &str, token: &str) -> bool {
    let (status, body) = post(address, "/oauth/introspect", &format!("{caller}&token={token}"));
    assert_eq!(status, 200, "{body}");
    body.contains("\"active\":true")
}

/// R41: within the staleness bound on every node, here a server that did not take the command.
#[test]
fn a_running_server_honours_commands_within_the_bound() {
    let place = Place::new();
    let server = place.serve();
    assert!(server.log.contains("master key"), "the log says that it was made: {}", server.log);
    let at = server.listen.clone();
    let watcher = credentials(&place, "watcher", &["--introspect-any"]);
    let app = credentials(&place, "app", &[]);
    // The client was made beside the server, which may still remember that there was none.
    eventually(DEADLINE, "the clients are known", || {
        let ask =
            |client: &str| post(&at, "/oauth/token", &format!("{client}&grant_type=client_credentials")).0;
        ask(&app) == 200 && ask(&watcher) == 200
    });
    let bound = Duration::from_secs(10);
    for command in ["revoke-tokens", "disable"] {
        let token = issue(&at, &app);
        assert!(is_active(&at, &watcher, &token));
        place.run(&["client", command, "app"]).with_code(0);
        eventually(bound, command, || !is_active(&at, &watcher, &token));
    }
    let refused = || post(&at, "/oauth/token", &format!("{app}&grant_type=client_credentials")).0;
    eventually(bound, "a disabled client gets no token", || refused() == 401);
    place.run(&["client", "enable", "app"]).with_code(0);
    eventually(bound, "an enabled one does", || refused() == 200);
    // Another server on the same folder is refused in one sentence.
    let second = place.run(&["serve"]).with_code(1);
    assert!(second.err.contains("another server runs"), "{second:?}");
    // What the operations listener shows.
    let statistics = |path: &str| http(&server.operations, &format!("GET {path} HTTP/1.1"), "");
    let health: Value = serde_json::from_str(&statistics("/health").1).expect("JSON");
    assert_eq!((&health["status"], &health["store"]["up"]), (&"ready".into(), &true.into()), "{health}");
    assert!(statistics("/api/cache/stats").1.contains("\"cache\":\"client\""));
    let metrics = statistics("/metrics").1;
    assert!(metrics.contains("chancery_cache_requests_total{cache=\"client\""), "{metrics}");
    assert_eq!(http(&at, "GET /metrics HTTP/1.1", "").0, 404, "figures are not public");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn healthcheck_says_whether_the_server_is_ready() {
    let place = Place::new();
    let server = place.serve();
    let check = |address: &str| {
        let mut command = place.command(&["healthcheck", "--json"]);
        command.env("CHANCERY_SERVER_LISTEN", address).output().expect("the binary runs").status.code()
    };
    let address = server.listen.clone();
    assert_eq!(check(&address), Some(0));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(check(&address), Some(1));
}

#[test]
fn a_busy_port_is_one_clear_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a socket").to_string();
    let place = Place::new().with("CHANCERY_SERVER_LISTEN", &address);
    let said = place.run(&["serve"]).with_code(1);
    assert!(said.err.contains(&address) && said.err.contains("[server] listen"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
}

#[test]
fn a_restored_backup_revives_no_token() {
    let place = Place::new();
    let watcher = credentials(&place, "watcher", &["--introspect-any"]);
    let app = credentials(&place, "app", &[]);
    let server = place.serve();
    let token = issue(&server.listen, &app);
    let copy = place.path("copy.db");
    let made = place.json(&["backup", copy.to_str().expect("UTF-8")]);
    assert!(made["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{made}");
    let twice = place.run(&["backup", "copy.db"]).with_code(1);
    assert!(twice.err.contains("never overwrites"), "{twice:?}");
    place.run(&["client", "revoke-tokens", "app"]).with_code(0);
    let late = credentials(&place, "late", &[]);
    let of_late = issue(&server.listen, &late);
    assert_eq!(server.terminate(), Some(0));

    for file in ["chancery.db-wal", "chancery.db-shm"] {
        let _ = std::fs::remove_file(place.path("data").join(file));
    }
    std::fs::copy(&copy, place.path("data/chancery.db")).expect("the backup is restored");
    let restored = place.run(&["restored"]).with_code(0);
    assert!(restored.out.contains("sign in again"), "{restored:?}");
    let server = place.serve();
    assert!(!is_active(&server.listen, &watcher, &token), "the backup knows nothing of its revocation");
    assert!(!is_active(&server.listen, &watcher, &of_late), "the backup knows nothing of its client");
    let fresh = issue(&server.listen, &app);
    assert!(is_active(&server.listen, &watcher, &fresh));
    assert_eq!(server.terminate(), Some(0));
}

/// RFC 8707 §2: resources may be declared in the configuration.
#[test]
fn a_declared_resource_is_known_from_the_start() {
    let place = Place::new();
    let app = credentials(&place, "app", &[]);
    let file = place.path("chancery.toml");
    std::fs::write(&file, "[[resource]]\nuri = \"urn:declared\"\nowner = \"app\"\n").expect("a file");
    let mut serve = place.command(&["serve", "--config", "chancery.toml"]);
    let server = place.wait_for(serve.spawn().expect("the binary runs"));
    let listed = place.json(&["resource", "list"]);
    assert_eq!((&listed[0]["uri"], &listed[0]["owner"]), (&"urn:declared".into(), &"app".into()), "{listed}");
    issue(&server.listen, &app);
    assert_eq!(server.terminate(), Some(0));
}
