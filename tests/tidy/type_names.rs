//! A type name occurs once in `src/`: a reader who meets `Rotation` knows which one is meant.

use std::collections::BTreeMap;

use crate::{
    assert_none, assert_one,
    source::{Source, sources},
};

/// Names that may stay doubled, with the reason.
const PERMANENT: &[(&str, &str)] =
    &[("Command", "clap's subcommands: each group of commands has one, and none is imported by name")];

/// Names that are still doubled, and how often they occur. The list only shrinks: rename one, and take its
/// line away (or lower its number).
const DOUBLED: &str = "
Lane 2
Need 2
Spends 2
";

#[test]
fn a_type_name_occurs_once() {
    assert_none(doubled(&sources(), DOUBLED));
}

#[test]
fn a_type_name_that_occurs_twice_is_noticed() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let a = || source("src/a.rs", "pub struct Grant;\n");
    let twice = [
        a(),
        source("src/b.rs", "pub(crate) enum Grant {}\n#[cfg(test)]\nmod tests {\n    struct Fake;\n}\n"),
    ];
    assert_one(&doubled(&twice, ""), "src/a.rs:1, src/b.rs:1: Grant is declared 2 times");
    assert_none(doubled(&twice, "Grant 2\n"));
    assert_one(&doubled(&[a()], "Grant 2\n"), "Grant is listed 2 times and declared 1");
    // The two drivers of the store are written twice on purpose, in files of the same names.
    let twins = ["src/store/sqlite/rows.rs", "src/store/postgres/rows.rs"];
    assert_none(doubled(&twins.map(|path| source(path, "struct Row;\n")), ""));
    let apart = ["src/store/sqlite/rows.rs", "src/store/postgres/copy.rs"];
    assert_one(&doubled(&apart.map(|path| source(path, "struct Row;\n")), ""), "Row is declared");
}

/// What is declared more than once and not listed, and what is listed otherwise than it is.
fn doubled(sources: &[Source], listed: &str) -> Vec<String> {
    let mut places: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        for line in source.product() {
            let Some(name) = declared(&line.code) else { continue };
            // A file of one driver counts together with the file of the same name of the other.
            let home =
                source.path.replace("store/sqlite/", "store/*/").replace("store/postgres/", "store/*/");
            let driver = home != source.path;
            let key = if driver { home } else { format!("{home}:{}", line.number) };
            places.entry(name).or_default().insert(key, format!("{}:{}", source.path, line.number));
        }
    }
    let mut listed: BTreeMap<&str, usize> = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, times)| (name, times.parse().unwrap_or(0)))
        .collect();
    let mut findings = Vec::new();
    for (name, places) in places {
        let (times, may) = (places.len(), listed.remove(name));
        let permanent = PERMANENT.iter().any(|(exempt, _)| *exempt == name);
        match may {
            Some(may) if may != times => findings.push(format!(
                "tests/tidy/type_names.rs:1: {name} is listed {may} times and declared {times} times; correct the list"
            )),
            None if times > 1 && !permanent => {
                let places: Vec<String> = places.into_values().collect();
                findings.push(format!("{}: {name} is declared {times} times; say of each what it is", places.join(", ")));
            }
            _ => {}
        }
    }
    findings.extend(
        listed.keys().map(|name| {
            format!("tests/tidy/type_names.rs:1: {name} is listed and not declared; take it away")
        }),
    );
    findings
}

/// The name that a line declares as a struct, an enum or a trait.
fn declared(code: &str) -> Option<&str> {
    let code = code.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => code,
    };
    let rest = ["struct ", "enum ", "trait "].iter().find_map(|kind| code.trim_start().strip_prefix(kind))?;
    let end = rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}
