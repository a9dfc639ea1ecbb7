//! The security requirements each have a test that names them (`R21`), and so do the attacks (`T04`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assert_none, assert_one,
    source::{Source, has_word, sources, text},
};

/// The requirements that hold today: from, to. The others wait for their mechanism.
const HOLD: &[(u32, u32)] = &[
    (1, 34),
    (36, 36),
    (40, 48),
    (50, 52),
    (54, 54),
    (56, 56),
    (58, 62),
    (64, 64),
    (66, 67),
    (69, 70),
    (72, 72),
];

#[test]
fn every_security_requirement_is_named_by_a_test() {
    assert_none(unnamed(&sources()));
}

#[test]
fn a_requirement_without_a_test_is_noticed() {
    let all: String = required().map(|number| format!("    /// R{number}\n")).collect();
    let tested =
        |docs: &str| Source::new("src/a.rs", &format!("//! A.\n#[cfg(test)]\nmod tests {{\n{docs}}}\n"));
    assert_none(unnamed(&[tested(&all)]));
    assert_one(&unnamed(&[tested(&all.replace("R41", "R410"))]), "R41 is named by no test");
    // Outside the tests it is a promise, not a proof.
    assert!(unnamed(&[Source::new("src/a.rs", &all)]).len() > 50);
}

fn required() -> impl Iterator<Item = u32> {
    HOLD.iter().flat_map(|(from, to)| *from..=*to)
}

fn unnamed(sources: &[Source]) -> Vec<String> {
    let mut named = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy")) {
        for line in source.lines.iter().filter(|line| line.in_test) {
            let Some(at) = line.raw.find("//") else { continue };
            named.extend(required().filter(|number| has_word(&line.raw[at..], &format!("R{number}"))));
        }
    }
    let missing = required().filter(|number| !named.contains(number));
    missing
        .map(|number| {
            format!("R{number} is named by no test; write `/// R{number}` over the test that proves it")
        })
        .collect()
}

#[test]
fn the_table_of_attacks_leads_to_their_tests() {
    assert_none(attack_faults(&text("SECURITY.md"), &sources()));
}

#[test]
fn a_wrong_row_of_attacks_is_noticed() {
    let tests = [Source::new("tests/a.rs", "/// T04\n"), Source::new("tests/b.rs", "/// T05, T04: again\n")];
    let (four, five) = ("| T04 one | `tests/a.rs`, `tests/b.rs` |\n", "| T05 two | `tests/b.rs` |\n");
    assert_none(attack_faults(&format!("{four}{five}"), &tests));
    assert_one(&attack_faults(four, &tests), "add the row `| T05 … | `tests/b.rs` |`");
    assert_one(&attack_faults(&format!("| T04 one | `tests/a.rs` |\n{five}"), &tests), four.trim());
    assert_one(
        &attack_faults(&format!("{four}{five}| T06 three | `tests/b.rs` |\n"), &tests),
        "no test names T06",
    );
}

/// Compares the table with what the tests say of themselves; a finding holds the row as it should be.
fn attack_faults(document: &str, sources: &[Source]) -> Vec<String> {
    let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy")) {
        for attack in attacks(source) {
            tests.entry(attack).or_default().push(format!("`{}`", source.path));
        }
    }
    let mut findings = Vec::new();
    for (at, row) in document.lines().enumerate().filter(|(_, row)| row.starts_with("| T")) {
        let title = row.split('|').nth(1).unwrap_or_default().trim();
        let Some(attack) = title.get(..3) else { continue };
        let should = match tests.remove(attack) {
            Some(files) => format!("| {title} | {} |", files.join(", ")),
            None => {
                findings.push(format!("SECURITY.md:{}: no test names {attack}; remove the row", at + 1));
                continue;
            }
        };
        if row != should {
            findings.push(format!("SECURITY.md:{}: make it {should}", at + 1));
        }
    }
    let missing = tests.iter().map(|(attack, files)| format!("| {attack} … | {} |", files.join(", ")));
    findings.extend(missing.map(|row| format!("SECURITY.md:1: add the row `{row}` to the table of attacks")));
    findings
}

/// The attacks that the comments of a file's tests name.
fn attacks(source: &Source) -> BTreeSet<String> {
    let comments = source
        .lines
        .iter()
        .filter(|line| line.in_test)
        .filter_map(|line| Some(&line.raw[line.raw.find("//")?..]));
    let words = comments.flat_map(|comment| comment.split(|sign: char| !sign.is_alphanumeric()));
    let attack = |word: &&str| {
        word.len() == 3 && word.starts_with('T') && word[1..].bytes().all(|sign| sign.is_ascii_digit())
    };
    words.filter(attack).map(str::to_owned).collect()
}
