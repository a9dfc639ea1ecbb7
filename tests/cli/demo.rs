//! The demo: loopback only, facts that are true, nothing left behind.

use std::{
    io::BufReader,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::cli::process::{Place, first_line, post, terminate};

/// T: no default account outside loopback (R66).
#[test]
fn the_demo_listens_on_loopback_only() {
    let place = Place::new();
    for arguments in [
        ["demo", "--listen", "0.0.0.0:0"],
        ["demo", "--ops-listen", "192.0.2.1:0"],
        ["demo", "--listen", "[::]:0"],
    ] {
        let said = place.run(&arguments).with_code(2);
        assert!(said.err.contains("loopback") && said.err.contains(arguments[1]), "{said:?}");
    }
}

/// A running demo; ended if its test fails.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // Otherwise it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Demo {
    /// Sends SIGTERM, and gives the exit code.
    fn terminate(mut self) -> Option<i32> {
        terminate(&self.0);
        self.0.wait().expect("it ends").code()
    }
}

fn demo(place: &Place) -> (Demo, Value) {
    let mut child = place
        .command(&["demo", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--json"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let facts = serde_json::from_str(&first_line(&mut out)).expect("one object on one line");
    (Demo(child), facts)
}

#[test]
fn the_demos_facts_are_true_once_they_are_printed() {
    let place = Place::new();
    let (demo, facts) = demo(&place);
    let address = facts["listen"].as_str().expect("an address");
    assert_eq!(facts["issuer"], format!("http://{address}"));
    let service = "client_id=demo-service&client_secret=demo-service-secret";
    let basic = "Basic ZGVtby1zZXJ2aWNlOmRlbW8tc2VydmljZS1zZWNyZXQ=";
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: {basic}"
        )
    };
    let (status, body) =
        crate::cli::process::http(address, &head("/oauth/token"), "grant_type=client_credentials&scope=read");
    assert_eq!(status, 200, "{body}");
    let token: Value = serde_json::from_str(&body).expect("JSON");
    let token = format!("token={}", token["access_token"].as_str().expect("a token"));
    let introspect = || crate::cli::process::http(address, &head("/oauth/introspect"), &token);
    assert!(introspect().1.contains("\"active\":true"));
    assert_eq!(crate::cli::process::http(address, &head("/oauth/revoke"), &token).0, 200);
    assert_eq!(introspect(), (200, "{\"active\":false}".to_owned()));
    // One way to authenticate per client.
    assert_eq!(post(address, "/oauth/token", &format!("{service}&grant_type=client_credentials")).0, 401);

    assert_eq!(demo.terminate(), Some(0));
    let left: Vec<_> = std::fs::read_dir(place.path(".")).expect("our folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demos_lines_work_when_pasted() {
    let place = Place::new();
    let (demo, facts) = demo(&place);
    let line = |name: &str| facts["commands"][name].as_str().expect("a line").to_owned();
    let script =
        [line("token"), line("introspect"), line("revoke"), line("introspect"), line("metrics")].join("\n");
    let output = Command::new("sh").arg("-c").arg(script).output().expect("a shell");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("chy_at_") && lines[1].contains("\"active\":true"), "{out}");
    assert_eq!(lines[2..4], ["200", "{\"active\":false}"], "{out}");
    assert!(lines[4..].iter().any(|line| line.starts_with("chancery_tokens_issued_total")), "{out}");
    let link = facts["sign_in_url"].as_str().expect("a link");
    let fetch = ["-sL", "-c", "jar", "-b", "jar", link];
    let page = Command::new("curl").args(fetch).current_dir(place.path(".")).output().expect("curl runs");
    let page = String::from_utf8(page.stdout).expect("UTF-8");
    assert!(page.contains("login-submit"), "{page}");
    assert_eq!(demo.terminate(), Some(0));
}
