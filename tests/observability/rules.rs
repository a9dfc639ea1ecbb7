//! The rules and configurations that are shipped, as Prometheus's and Alertmanager's own tools see them.

use std::process::Command;

/// Runs a tool in the folder of the repository; what it said.
#[track_caller]
fn good(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let ran = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| panic!("Missing: {program} ({error}). ./scripts/test installs it."));
    let [said, warned] = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(ran.status.success(), "{program} {arguments:?}: {said}{warned}");
    said
}

#[test]
fn prometheus_takes_the_rules_and_the_configurations() {
    good("promtool", &["check", "rules", "alerts.yml"]);
    for file in ["deploy/prometheus.yml", "deploy/prometheus-demo.yml"] {
        good("promtool", &["check", "config", file]);
    }
}

#[test]
fn every_alert_does_what_its_cases_say() {
    good("promtool", &["test", "rules", "alerts.test.yml"]);
}

#[test]
fn alertmanager_takes_its_configuration_and_tells_whom_it_should() {
    let file = "deploy/alertmanager.yml";
    good("amtool", &["check-config", file]);
    for (severity, receiver) in [("critical", "page"), ("warning", "ticket"), ("info", "nobody")] {
        let config = format!("--config.file={file}");
        let label = format!("severity={severity}");
        let routed = good("amtool", &["config", "routes", "test", &config, &label]);
        assert_eq!(routed.trim(), receiver, "{severity}");
    }
}

/// About a minute.
#[test]
#[ignore = "slow"]
fn the_cases_of_the_alerts_notice_mistakes() {
    good("scripts/mutate_alerts", &[]);
}
