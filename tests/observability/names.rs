//! Metrics have one name: in the code, on dashboards, in alerts and in what is written about them.

use std::{collections::BTreeSet, process::Command};

use crate::{
    observability::{
        boards::BOARDS,
        live::{found, now},
    },
    servers::{Prometheus, shipped},
};

#[test]
fn dashboards_alerts_and_pages_name_what_is_exported_and_nothing_exported_is_forgotten() {
    let faults = &found().names;
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn promtool_finds_nothing_wrong_with_what_a_node_exports() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scrape");
    // One node's: promtool wants every family once.
    let one = found().scrape.split("# HELP chancery_build_info ").nth(1).expect("a scrape");
    std::fs::write(&file, format!("# HELP chancery_build_info {one}")).expect("our folder");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(std::fs::File::open(&file).expect("our file"));
    let said = command.output().expect("Missing: promtool. Install prometheus; ./scripts/test tries to.");
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && text.is_empty(), "{text}");
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let is_part =
        |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_' || sign == ':';
    let words = text.split(|sign: char| !is_part(sign));
    let families = words.filter(|word| word.starts_with("chancery_") || word.starts_with("process_"));
    families.filter(|word| !word.ends_with('_')).map(str::to_owned).collect()
}

/// What is not as it should be, on nodes that export this.
pub async fn faults(prometheus: &Prometheus, scrape: &str) -> Vec<String> {
    let mut exported = BTreeSet::new();
    for line in scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        exported.insert(name.to_owned());
        if kind == "histogram" {
            exported.extend(["_bucket", "_count", "_sum"].map(|end| format!("{name}{end}")));
        }
    }
    let mut faults = Vec::new();
    let boards = BOARDS.map(|name| format!("grafana/dashboards/{name}.json"));
    let pages =
        ["alerts.yml", "docs/observability.md", "docs/runbooks.md", "docs/metrics.md"].map(str::to_owned);
    for page in boards.into_iter().chain(pages) {
        let unknown = named(&shipped(&page)).difference(&exported).cloned().collect::<Vec<_>>();
        if !unknown.is_empty() {
            faults.push(format!("{page} names {unknown:?}, which no node exports"));
        }
    }
    let documented = named(&shipped("docs/metrics.md"));
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in types.filter(|name| !documented.contains(*name)).collect::<BTreeSet<_>>() {
        faults.push(format!("{name} is exported, and not in docs/metrics.md"));
    }
    faults.extend(unused(scrape));
    faults.extend(dead_selectors(prometheus).await);
    faults
}

/// What is exported, and on no panel and in no alert.
fn unused(scrape: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), scrape).expect("our file");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dashboards");
    let said = Command::new(script).arg("--metrics").arg(file.path()).output().expect("python3 is installed");
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    (!said.status.success() || !told.contains("not in this scrape: none")).then_some(told)
}

/// Series that the rules ask for and that do not exist: a label or one of its values is misspelt.
async fn dead_selectors(prometheus: &Prometheus) -> Vec<String> {
    let mut dead = Vec::new();
    let rules = shipped("alerts.yml");
    let written = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    for part in written.flat_map(|line| line.split([' ', '('])) {
        let Some((name, rest)) = part.split_once('{') else { continue };
        let Some((matchers, _)) = rest.split_once('}') else { continue };
        if !matchers.contains('"') || !name.contains("chancery_") && name != "up" {
            continue;
        }
        let selector = format!("{name}{{{matchers}}}");
        if prometheus.at(&format!("count({selector})"), now()).await.is_empty() {
            dead.push(format!("alerts.yml asks for {selector}, of which there is no series"));
        }
    }
    dead
}
