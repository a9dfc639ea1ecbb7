//! The top level, and what may lie in it (ARCHITECTURE.md).

use crate::{
    assert_none, assert_one,
    source::{files, root, text},
};

/// Everything the top level may hold.
const ALLOWED: &[&str] = &[
    ".cargo",
    ".ci",
    ".dockerignore",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile.optimized",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "alerts.test.yml",
    "alerts.yml",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "grafana",
    "justfile",
    "load_test",
    "migrations",
    "rustfmt.toml",
    "scripts",
    "src",
    "tests",
];

/// What must be there.
const REQUIRED: &[&str] = &[
    ".ci/run",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile.optimized",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "docs/configuration.md",
    "justfile",
    "rustfmt.toml",
    "scripts/test",
    "src/lib.rs",
    "src/main.rs",
];

#[test]
fn the_top_level_holds_only_what_is_listed() {
    assert_none(strangers(&files()));
}

#[test]
fn a_stranger_at_the_top_level_is_noticed() {
    let files = ["README.md", "src/lib.rs", "sample.json"].map(str::to_owned);
    assert_one(&strangers(&files), "sample.json");
}

#[test]
fn what_a_project_needs_is_there() {
    assert_none(missing(&files()));
}

#[test]
fn a_missing_changelog_is_noticed() {
    let files: Vec<String> =
        REQUIRED.iter().filter(|path| **path != "CHANGELOG.md").map(|path| (*path).into()).collect();
    assert_one(&missing(&files), "CHANGELOG.md");
}

#[test]
fn every_script_is_executable_and_a_recipe() {
    let scripts = files().into_iter().filter(|path| path.starts_with("scripts/"));
    assert_none(
        scripts.flat_map(|path| script_faults(&path, &text("justfile"), executable(&path))).collect(),
    );
    assert!(executable(".ci/run"), ".ci/run: make it executable (chmod +x)");
}

#[test]
fn a_script_without_a_recipe_is_noticed() {
    assert_one(&script_faults("scripts/load", "test:\n    ./scripts/test\n", true), "justfile");
    assert_one(&script_faults("scripts/load", "load:\n    ./scripts/load\n", false), "executable");
    assert_none(script_faults("scripts/load.py", "load:\n    ./scripts/load.py\n", true));
}

fn strangers(files: &[String]) -> Vec<String> {
    let mut tops: Vec<&str> = files.iter().filter_map(|path| path.split('/').next()).collect();
    tops.dedup();
    let strange = tops.iter().filter(|top| !ALLOWED.contains(top));
    strange
        .map(|top| format!("{top}:1: not in the list of what lies at the top; move it into a folder"))
        .collect()
}

fn missing(files: &[String]) -> Vec<String> {
    let absent = REQUIRED.iter().filter(|path| !files.iter().any(|file| file == *path));
    absent.map(|path| format!("{path}:1: is missing; write it")).collect()
}

fn script_faults(path: &str, justfile: &str, executable: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if !executable {
        faults.push(format!("{path}:1: not executable; chmod +x"));
    }
    // The recipe's name has no `.sh` or `.py`: a name with a dot is none to `just`.
    let name = path.trim_start_matches("scripts/").split('.').next().unwrap_or_default();
    if !justfile.lines().any(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', ':', '*']))
    {
        faults.push(format!("{path}:1: no recipe `{name}` in the justfile; add one"));
    }
    faults
}

#[cfg(unix)]
fn executable(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(root().join(path)).is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(path: &str) -> bool {
    root().join(path).exists()
}
