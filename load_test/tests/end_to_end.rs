//! The tool as it is used: its command line against servers on loopback, and what it reports.

mod stand_in;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use stand_in::{StandIn, Trouble, When};

/// A file of one test, removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("load-test-{}-{name}", std::process::id())))
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("it was written")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Not every test writes it.
        let _ = fs::remove_file(&self.0);
    }
}

fn tool(line: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_security_load_test");
    Command::new(program).args(line).output().expect("it runs")
}

fn well(_: &str, _: usize) -> Option<Trouble> {
    None
}

/// Runs against a server for a moment; the exit code, what it printed, and its JSON.
fn run(server: &StandIn, line: &[&str], name: &str) -> (Option<i32>, String, Value) {
    let file = File::new(&format!("{name}.json"));
    let ends = ["--url", &server.url, "--json", file.name(), "--warm-up", "0"];
    let output = tool(&[line, &ends].concat());
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let json = fs::read_to_string(&file.0).ok().and_then(|text| serde_json::from_str(&text).ok());
    (output.status.code(), text, json.unwrap_or_default())
}

/// A short run.
const SHORT: &[&str] = &["--duration", "200ms", "--clients", "4", "--tokens", "8"];

#[test]
fn every_endpoint_can_be_loaded_alone() {
    let server = StandIn::start(well);
    for name in ["token", "introspect", "userinfo", "discovery", "jwks", "batch", "refresh"] {
        let size: &[&str] = if name == "batch" { &["--size", "3"] } else { &[] };
        let (code, text, json) = run(&server, &[&[name], SHORT, size].concat(), name);
        assert_eq!(code, Some(0), "{name}: {text}");
        let median = &json["server"]["median"];
        let rate = median["requests_per_second"].as_f64().expect("a rate");
        assert!(rate > 20.0 && json["server"]["error_percent"] == 0.0, "{name}: {text}");
        let latency = |name: &str| median["latency_us"][name].as_f64().expect("a latency");
        assert!(latency("p50") > 1.0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        if name == "batch" {
            assert_eq!(median["tokens_per_second"].as_f64(), Some(rate * 3.0));
        }
    }
}

#[test]
fn tokens_are_renewed_before_they_expire() {
    let server = StandIn::start_with_lifetime(Duration::from_secs(4));
    let line = ["introspect", "--duration", "6s", "--rate", "50", "--clients", "2", "--tokens", "2"];
    let (code, text, json) = run(&server, &line, "renewed");
    assert_eq!((code, &json["server"]["error_percent"]), (Some(0), &serde_json::json!(0.0)), "{text}");
    // They would have expired without it.
    let server = StandIn::start_with_lifetime(Duration::from_secs(0));
    assert_ne!(run(&server, &line, "expired").0, Some(0));
}

#[test]
fn flows_are_measured_in_steps_and_as_a_whole() {
    let server = StandIn::start(well);
    for (name, first, second) in [("login", "login page", "login form"), ("code-flow", "authorize", "redeem")]
    {
        let (code, text, json) = run(&server, &[&[name], SHORT].concat(), name);
        assert_eq!(code, Some(0), "{name}: {text}");
        let kinds = &json["server"]["kinds"];
        assert_eq!((&kinds[0]["name"], &kinds[1]["name"]), (&first.into(), &second.into()));
        let flows = json["server"]["flows"]["requests"].as_u64().expect("a count");
        let steps = [0, 1].map(|at| kinds[at]["requests"].as_u64().expect("a count"));
        assert!(flows > 4 && steps[1] == flows && steps[0] - flows <= 4, "{steps:?} {flows}: {text}");
        let p50 = |of: &Value| of["latency_us"]["p50"].as_f64().expect("a latency");
        assert!(p50(&json["server"]["flows"]) > p50(&kinds[0]).max(p50(&kinds[1])));
    }
}

#[test]
fn a_mix_has_the_shares_it_was_given() {
    let server = StandIn::start(well);
    let mix = ["mixed-workload", "--distribution", "token:30,introspect:60,userinfo:10", "--threads", "2"];
    let (code, text, json) = run(&server, &[&mix, SHORT].concat(), "mix");
    assert_eq!(code, Some(0), "{text}");
    let counts = [0, 1, 2].map(|at| json["server"]["kinds"][at]["requests"].as_f64().expect("a count"));
    let sum: f64 = counts.iter().sum();
    for (count, share) in counts.iter().zip([0.3, 0.6, 0.1]) {
        assert!((count - sum * share).abs() <= 12.0, "{counts:?}");
    }
}

#[test]
fn a_ramp_begins_with_few_and_ends_with_none() {
    let server = StandIn::start(well);
    let ramp = ["discovery", "--stages", "100ms:4,100ms:4,100ms:0"];
    let (code, text, json) = run(&server, &ramp, "ramp");
    assert_eq!(code, Some(0), "{text}");
    assert!(json["server"]["median"]["requests"].as_f64() > Some(10.0), "{text}");
    assert_eq!(json["model"], "a ramp of up to 4 clients");
}

/// The stall is one request's latency for a closed model, and everybody's for an open one.
#[test]
fn a_stall_is_not_hidden_by_those_who_did_not_ask_meanwhile() {
    let stall = |_: &str, number: usize| (number == 30).then_some(Trouble::Stall(Duration::from_millis(400)));
    let p90 = |line: &[&str], name: &str| {
        let line = [&["discovery", "--duration", "1s"], line].concat();
        let (_, _, json) = run(&StandIn::start(stall), &line, name);
        json["server"]["median"]["latency_us"]["p90"].as_f64().expect("a latency")
    };
    let closed = p90(&["--clients", "1"], "closed");
    let open = p90(&["--rate", "100", "--clients", "2"], "open");
    assert!(open > 150_000.0 && open > 2.0 * closed, "closed {closed} µs, open {open} µs");
}

#[test]
fn what_an_overloaded_server_never_got_is_an_error_and_a_latency() {
    let slow = |_: &str, _: usize| Some(Trouble::Stall(Duration::from_millis(20)));
    let line = ["discovery", "--rate", "500", "--clients", "1", "--duration", "400ms"];
    let (code, text, json) = run(&StandIn::start(slow), &line, "overload");
    assert_eq!(code, Some(1), "{text}");
    assert!(json["server"]["errors"]["unsent"].as_u64() > Some(100), "{text}");
    assert!(json["server"]["median"]["latency_us"]["p50"].as_f64() > Some(100_000.0), "{text}");
}

#[test]
fn troubles_are_told_apart() {
    let cases: [(&str, When); 6] = [
        ("status 503", |_, number| (number > 10 && number % 3 == 0).then_some(Trouble::Status(503))),
        ("wrong answer", |path, number| {
            (number > 10 && path.ends_with("introspect")).then_some(Trouble::WrongAnswer)
        }),
        ("cut", |_, number| (number > 10 && number % 3 == 0).then_some(Trouble::Cut)),
        ("malformed", |_, number| (number > 10 && number % 3 == 0).then_some(Trouble::Garbage)),
        ("timeout", |_, number| (number == 12).then_some(Trouble::Silence)),
        ("status 401", |_, number| (number == 12).then_some(Trouble::Status(401))),
    ];
    for (kind, when) in cases {
        let server = StandIn::start(when);
        let patience = if kind == "timeout" { "300ms" } else { "10s" };
        let line = [&["introspect", "--timeout", patience], SHORT].concat();
        let (code, text, json) = run(&server, &line, kind);
        assert_eq!(code, Some(1), "{kind}: {text}");
        let errors = json["server"]["errors"].as_object().expect("errors");
        assert!(errors.len() == 1 && errors.get(kind).is_some(), "{kind}: {errors:?}");
        let tolerant = [&line[..], &["--max-errors", "100"]].concat();
        assert_eq!(run(&StandIn::start(when), &tolerant, "tolerant").0, Some(0), "{kind}");
    }
}

#[test]
fn a_bare_server_is_compared_with_in_turn() {
    let server = StandIn::start(well);
    let (page, pid) = (File::new("page.html"), std::process::id().to_string());
    let mix =
        ["mixed-workload", "--distribution", "token:1,introspect:1,jwks:1", "--baseline", "--workers", "1"];
    let more = ["--pid", &pid, "--html", page.name()];
    let (code, text, json) = run(&server, &[&mix, SHORT, &more].concat(), "baseline");
    assert_eq!(code, Some(0), "{text}");
    let rounds = |side: &str| json[side]["rounds"].as_array().expect("rounds").len();
    assert_eq!((rounds("server"), rounds("baseline")), (3, 3));
    assert_eq!(json["baseline"]["error_percent"], 0.0, "{text}");
    let rate = |side: &str| json[side]["median"]["requests_per_second"].as_f64().expect("a rate");
    let ratio = json["ratios"]["requests_per_second"].as_f64().expect("a ratio");
    assert!((ratio - rate("server") / rate("baseline")).abs() < 1e-9);
    assert!(json["ratios"]["server_cpu_per_request"].as_f64() > Some(0.0), "{text}");
    assert!(text.contains("server / bare server"), "{text}");
    let page = page.text();
    well_formed(&page);
    assert!(page.matches("<svg").count() == 2 && page.contains("class=\"line bare\""));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("<link"));
}

/// Every tag is closed by its like, and no sign stands for itself that has a meaning.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in page.strip_prefix("<!DOCTYPE html>").expect("a page").split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("an open tag: {part}"));
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{part}");
        let ampersands = text.split('&').skip(1);
        ampersands
            .for_each(|after| assert!(after.split(';').next().is_some_and(|name| name.len() < 7), "{part}"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "{part}"),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn idle_connections_are_counted_with_the_servers_memory() {
    let server = StandIn::start(well);
    let pid = std::process::id().to_string();
    let line = ["connections", "--count", "25", "--hold", "50ms", "--pid", &pid];
    let file = File::new("connections.json");
    let output = tool(&[&line[..], &["--url", &server.url, "--json", file.name()]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: Value = serde_json::from_str(&file.text()).expect("JSON");
    assert_eq!((&json["opened"], &json["kept"]), (&25.into(), &25.into()));
    assert!(json["resident_bytes"][0].as_u64() > Some(100_000));
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let server = StandIn::start(well);
    let url = &*server.url;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = format!("http://{}", closed.expect("an address"));
    let cases: &[(&[&str], i32, &str)] = &[
        (&["token", "--url", "http://192.0.2.1:80"], 2, "--i-own-this-server"),
        (&["token", "--url", &closed], 1, "start the server"),
        (&["token", "--url", url, "--client", "a:b"], 1, "check --client"),
        (&["userinfo", "--url", url, "--password", "wrong"], 1, "check --user and the password"),
        (&["refresh", "--url", url, "--web-client", "a:b"], 1, "check --web-client"),
        (&["login", "--url", url, "--baseline"], 2, "cannot stand in"),
        (&["token", "--url", url, "--baseline", "--rounds", "2"], 2, "at least 3"),
        (&["token", "--url", url, "--rate", "0"], 2, "--rate"),
        (&["token", "--url", url, "--clients", "1", "--threads", "2"], 2, "--threads"),
        (&["token", "--url", url, "--pid", "4194305"], 1, "--pid"),
        (&["token", "--url", url, "--stages", "1s:5", "--rate", "5"], 2, "cannot be used with"),
        (&["batch", "--url", url, "--size", "1001"], 2, "1001"),
        (&["mixed-workload", "--distribution", "tokens:1"], 2, "choose from"),
    ];
    for (line, code, part) in cases {
        let output = tool(line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(*code) && text.contains(part), "{line:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{line:?}: {output:?}");
    }
}
