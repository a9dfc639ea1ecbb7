//! The scripts that judge something can fail: each checks its own judgement. What they judge is right.

use std::{path::Path, process::Command};

/// Runs a script of the repository; whether it succeeded, and what it printed.
fn run(script: &str, arguments: &[&str]) -> (bool, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
    let ran = Command::new(path).args(arguments).output().expect("python3 is installed");
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (ran.status.success(), said.concat())
}

#[test]
fn a_slower_hot_path_fails_the_instruction_counts() {
    let (good, said) = run("instruction_counts", &["--self-test"]);
    assert!(good && said.contains("the comparison works") && said.contains("SLOWER"), "{said}");
}

#[test]
fn a_change_that_costs_too_much_is_told_from_one_that_does_not() {
    let (good, said) = run("cost_of_change", &["--self-test"]);
    assert!(good && said.contains("the comparison works"), "{said}");
}

#[test]
fn a_worse_measurement_is_told_from_noise() {
    let (good, said) = run("compare_benchmarks.py", &["--self-test"]);
    assert!(good && said.contains("the comparison works"), "{said}");
}

#[test]
fn capacity_is_the_sum_that_its_help_shows() {
    let (good, said) = run("capacity.py", &["--self-test"]);
    assert!(good && said.contains("the sum works"), "{said}");
}

#[test]
fn two_measurements_are_compared_by_exit_status() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, rates: [u32; 5]| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{{\"token\":{{\"rate\":{rates:?}}}}}")).expect("it is written");
        path.display().to_string()
    };
    let before = write("before.json", [1000, 1010, 990, 1005, 995]);
    let worse = write("worse.json", [800, 810, 790, 805, 795]);
    assert!(run("compare_benchmarks.py", &[&before, &before]).0);
    let (good, said) = run("compare_benchmarks.py", &[&before, &worse]);
    assert!(!good && said.contains("WORSE"), "{said}");
    assert!(run("compare_benchmarks.py", &[&worse, &before]).0, "faster is not worse");
}

#[test]
fn the_dashboards_are_what_their_tables_say() {
    let (good, said) = run("dashboards", &["--check"]);
    assert!(good, "{said}");
}

#[test]
fn a_fault_in_a_dashboard_is_noticed() {
    let (good, said) = run("dashboards", &["--self-test"]);
    assert!(good && said.contains("the rules work"), "{said}");
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("it is shipped")
}

#[test]
fn every_alert_has_a_runbook_and_a_case_that_fires() {
    let (rules, cases) = (shipped("alerts.yml"), shipped("alerts.test.yml"));
    let (runbooks, table) = (shipped("docs/runbooks.md"), shipped("docs/observability.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 30, "{alerts:?}");
    for alert in &alerts {
        let anchor = alert.to_lowercase();
        assert!(rules.contains(&format!("runbook_url: docs/runbooks.md#{anchor}\n")), "{alert}");
        assert!(runbooks.contains(&format!("### {alert}\n")), "{alert} has no section in docs/runbooks.md");
        assert!(
            table.contains(&format!("| [{alert}](runbooks.md#{anchor}) |")),
            "{alert} is not in the table"
        );
        for kind in ["fires", "stays quiet"] {
            assert!(cases.contains(&format!("name: \"{alert} {kind}: ")), "{alert} {kind} in no case");
        }
    }
    let sections = runbooks.lines().filter_map(|line| line.strip_prefix("### "));
    for section in sections {
        assert!(alerts.contains(&section), "docs/runbooks.md tells of {section}, which is no alert");
    }
}

#[test]
fn the_bill_of_materials_lists_what_is_linked_the_same_each_time() {
    let (good, said) = run("bill_of_materials", &["--self-test"]);
    assert!(good && said.contains("without a licence: one 1.0.0 has no licence"), "{said}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [one, other] = ["one", "other"].map(|name| {
        let at = folder.path().join(name);
        let (good, said) = run("bill_of_materials", &["--out", &at.display().to_string()]);
        assert!(good, "{said}");
        ["sbom.json", "licences.txt"]
            .map(|file| std::fs::read_to_string(at.join(file)).expect("it was written"))
    });
    assert_eq!(one, other);
    let [bill, licences] = one;
    let bill: serde_json::Value = serde_json::from_str(&bill).expect("it is JSON");
    assert_eq!(bill["specVersion"], "1.5");
    let required = |name: &str| {
        let components = bill["components"].as_array().expect("a list");
        components.iter().any(|one| one["name"] == name && one["scope"] == "required")
    };
    for name in ["actix-web", "aws-lc", "sqlite", "mimalloc", "rust-std"] {
        assert!(required(name), "{name}");
        assert!(licences.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    for name in ["syn", "cc", "proptest", "reqwest", "ring"] {
        assert!(!required(name), "{name} is not linked");
    }
}
