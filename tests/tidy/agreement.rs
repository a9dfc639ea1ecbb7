//! Things that must agree: a word at every layer, grants and their registry, migrations of two stores.

use std::collections::BTreeSet;

use crate::{
    assert_none, assert_one,
    source::{Source, files, sources, text},
};

/// Endpoints: each is a file of this name at all three layers.
const ENDPOINTS: &[&str] = &["authorize", "introspect", "logout", "revoke", "token", "userinfo"];

#[test]
fn an_endpoint_has_the_same_name_at_every_layer() {
    assert_none(missing_stems(&files()));
}

#[test]
fn an_endpoint_misnamed_at_one_layer_is_noticed() {
    let mut files: Vec<String> = ENDPOINTS.iter().flat_map(|stem| layers(stem)).collect();
    assert_none(missing_stems(&files));
    files.retain(|path| path != "src/provider/introspect.rs");
    assert_one(&missing_stems(&files), "src/provider/introspect.rs");
    files.push("src/provider/introspect/mod.rs".into());
    assert_none(missing_stems(&files));
}

#[test]
fn every_grant_is_a_file_and_an_entry_of_grants() {
    let files: Vec<String> = files().iter().filter_map(|path| grant_file(path)).collect();
    assert_none(grant_faults(
        &files,
        &Source::new("src/protocol/grants/mod.rs", &text("src/protocol/grants/mod.rs")),
    ));
}

#[test]
fn a_grant_that_is_not_registered_is_noticed() {
    let source = |text: &str| Source::new("src/protocol/grants/mod.rs", text);
    let good = "mod toy;\npub const GRANTS: &[&dyn Grant] = &[\n    &toy::Toy,\n];\n";
    assert_none(grant_faults(&["toy".into()], &source(good)));
    assert_one(&grant_faults(&["toy".into(), "other".into()], &source(good)), "other");
    assert_one(&grant_faults(&[], &source(good)), "toy");
}

#[test]
fn migrations_are_numbered_and_the_same_for_every_store() {
    let of = |store: &str| {
        let place = format!("migrations/{store}/");
        files().iter().filter_map(|path| path.strip_prefix(&place).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_none(migration_faults("sqlite", &of("sqlite")));
    assert_none(migration_faults("postgres", &of("postgres")));
    let (sqlite, postgres) = (of("sqlite"), of("postgres"));
    assert!(
        postgres.is_empty() || sqlite == postgres,
        "migrations/: the same names in both, got {sqlite:?}, {postgres:?}"
    );
}

#[test]
fn a_misnamed_migration_is_noticed() {
    let check = |names: &[&str]| migration_faults("sqlite", &names.map_owned());
    assert_none(check(&["V1__first.sql", "V2__more.sql"]));
    assert_one(&check(&["V1__first.sql", "V3__more.sql"]), "V2");
    assert_one(&check(&["V1__first.sql", "V1__again.sql"]), "V1");
    assert_one(&check(&["V1_first.sql"]), "V<n>__name.sql");
    assert_one(&check(&["1.sql"]), "V<n>__name.sql");
}

/// SQL and Rust of the two drivers lie in files of the same names.
#[test]
fn the_store_drivers_have_the_same_files() {
    let of = |store: &str| {
        let place = format!("src/store/{store}/");
        let sources = sources();
        sources
            .iter()
            .filter_map(|source| source.path.strip_prefix(&place).map(str::to_owned))
            .collect::<BTreeSet<_>>()
    };
    let (sqlite, postgres) = (of("sqlite"), of("postgres"));
    let twins: Vec<&String> = ["clients.rs", "users.rs", "grants.rs", "sessions.rs", "keys.rs", "feed.rs"]
        .iter()
        .filter_map(|name| sqlite.get(*name))
        .filter(|name| !postgres.is_empty() && !postgres.contains(*name))
        .collect();
    assert!(twins.is_empty(), "src/store/postgres/ lacks {twins:?}");
}

trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|name| (*name).to_owned()).collect()
    }
}

fn layers(stem: &str) -> [String; 3] {
    ["protocol", "provider", "http/oauth"].map(|layer| format!("src/{layer}/{stem}.rs"))
}

fn missing_stems(files: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for path in ENDPOINTS.iter().flat_map(|stem| layers(stem)) {
        let folder = path.replace(".rs", "/mod.rs");
        if !files.iter().any(|file| *file == path || *file == folder) {
            findings.push(format!("{path}:1: is missing; an endpoint has the same name at every layer"));
        }
    }
    findings
}

fn grant_file(path: &str) -> Option<String> {
    let stem = path.strip_prefix("src/protocol/grants/")?.strip_suffix(".rs")?;
    (stem != "mod" && !stem.contains('/')).then(|| stem.to_owned())
}

fn grant_faults(files: &[String], registry: &Source) -> Vec<String> {
    let lines = registry.product().map(|line| line.code.as_str());
    let list = lines
        .skip_while(|code| !code.contains("const GRANTS"))
        .skip(1)
        .take_while(|code| !code.trim().starts_with(']'));
    let entries: BTreeSet<&str> =
        list.filter_map(|code| Some(code.trim().strip_prefix('&')?.split_once("::")?.0)).collect();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !entries.contains(file.as_str())) {
        findings.push(format!(
            "src/protocol/grants/{file}.rs:1: has no entry in GRANTS; add one, or it is no grant"
        ));
    }
    for entry in entries.iter().filter(|entry| !files.iter().any(|file| file == *entry)) {
        findings.push(format!("{}:1: the entry {entry} of GRANTS has no file of its own", registry.path));
    }
    findings
}

fn migration_faults(store: &str, names: &[String]) -> Vec<String> {
    let number = |name: &String| {
        let (number, rest) = name.strip_prefix('V')?.split_once("__")?;
        let named = rest.strip_suffix(".sql").is_some_and(|rest| !rest.is_empty());
        if named { number.parse::<usize>().ok() } else { None }
    };
    let mut findings = Vec::new();
    let mut numbers = Vec::new();
    for name in names {
        match number(name) {
            Some(number) => numbers.push(number),
            None => findings.push(format!("migrations/{store}/{name}:1: is not named V<n>__name.sql")),
        }
    }
    numbers.sort_unstable();
    for (at, number) in numbers.iter().enumerate() {
        if *number != at + 1 {
            findings
                .push(format!("migrations/{store}:1: V{} is missing or V{number} is there twice", at + 1));
            break;
        }
    }
    findings
}
