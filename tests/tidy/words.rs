//! Words: banned names, banned macros, dead code, and what each file begins with.

use crate::{
    assert_none, assert_one,
    source::{Line, Source, files, has_word, sources},
};

/// Names that say nothing, or that promise a second version of something.
const DRAWERS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "stuff"];
const SUFFIXES: &[&str] = &["Manager", "Helper", "Service", "Impl"];
const BANNED: &[&str] = &["unsafe", "todo!", "unimplemented!", "dbg!"];

/// Files that may say `unsafe`: each says why, lists its invariants, and is compared with something else.
const MAY_BE_UNSAFE: &[&str] = &["src/crypto/avx512.rs"];

/// Words of this house where the field has one: the names of files, of types, and what log lines say.
const HOUSE_FILES: &[&str] = &[
    "cells", "coding", "dial", "figures", "doorbell", "front", "hand_on", "heard", "opened", "patience",
    "place", "pulse", "through", "visit",
];
const HOUSE_TYPES: &[&str] = &["Desk", "Door", "Doorbell"];
const HOUSE_LOGS: &[&str] =
    &["dial", "doorbell", "heard", "hears", "nobody", "patience", "tells", "told", "visit"];

#[test]
fn every_file_says_first_what_it_is() {
    assert_none(sources().iter().filter_map(missing_doc).collect());
}

#[test]
fn a_file_without_a_doc_line_is_noticed() {
    let check = |text: &str| missing_doc(&Source::new("src/a.rs", text)).into_iter().collect::<Vec<_>>();
    assert_one(&check("use std::fs;\n"), "src/a.rs:1: ");
    assert_one(&check("//!\n"), "src/a.rs:1: ");
    assert_one(&check(""), "src/a.rs:1: ");
    assert_none(check("//! RFC 7662 — token introspection.\n"));
}

#[test]
fn no_drawers_and_no_twins() {
    assert_none(files().iter().filter_map(|path| banned_file(path)).collect());
    assert_none(sources().iter().flat_map(banned_names).collect());
}

#[test]
fn a_drawer_or_a_twin_is_noticed() {
    for path in [
        "src/utils.rs",
        "src/http/helpers/a.rs",
        "src/store_v2.rs",
        "src/search_optimized.rs",
        "src/cached_clients.rs",
    ] {
        assert_one(&banned_file(path).into_iter().collect::<Vec<_>>(), path);
    }
    assert!(banned_file("src/cache/cached.rs").is_none() && banned_file("Dockerfile.optimized").is_none());
    for line in [
        "pub struct TokenManager;",
        "enum KeyService {",
        "fn find_optimized() {}",
        "async fn cached_client() {}",
    ] {
        assert_one(&banned_names(&Source::new("src/a.rs", line)), "src/a.rs:1: ");
    }
    assert_none(banned_names(&Source::new("src/a.rs", "struct Cached<S>(S);")));
}

#[test]
fn the_fields_words_are_used() {
    assert_none(files().iter().filter_map(|path| house_file(path)).collect());
    assert_none(sources().iter().flat_map(house_words).collect());
}

#[test]
fn a_house_word_is_noticed() {
    assert_one(
        &house_file("src/cache/heard.rs").into_iter().collect::<Vec<_>>(),
        "src/cache/heard.rs:1: heard",
    );
    assert!(house_file("src/cache/read_through.rs").is_none() && house_file("docs/visit.md").is_none());
    let check = |text: &str| house_words(&Source::new("src/a.rs", text));
    assert_one(&check("struct Desk;"), "src/a.rs:1: Desk");
    assert_one(
        &check("tracing::warn!(\n    error = %error,\n    \"the doorbell\"\n);"),
        "src/a.rs:3: doorbell",
    );
    assert_none(check("tracing::warn!(\"Redis unavailable\");\nlet a = \"doorbell\";"));
}

#[test]
fn nothing_unsafe_and_nothing_unfinished() {
    assert_none(sources().iter().flat_map(unfinished).collect());
}

#[test]
fn something_unfinished_is_noticed() {
    for (line, word) in [
        ("unsafe { f() }", "unsafe"),
        ("todo!()", "todo!"),
        ("    unimplemented!();", "unimpl"),
        ("dbg!(a);", "dbg!"),
    ] {
        assert_one(&unfinished(&Source::new("src/a.rs", line)), word);
    }
    assert_none(unfinished(&Source::new("src/a.rs", "let a = \"unsafe\"; // unsafe")));
    assert_none(unfinished(&Source::new("src/crypto/avx512.rs", "unsafe { f() }")));
    assert_one(&unfinished(&Source::new("src/crypto/avx512.rs", "todo!()")), "todo!");
}

#[test]
fn no_code_is_commented_out() {
    assert_none(sources().iter().flat_map(dead_code).collect());
}

#[test]
fn commented_out_code_is_noticed() {
    for line in [
        "// let a = 1;",
        "    // return Err(e);",
        "f(); // g(a, b);",
        "// if !finished {",
        "//     self.check()?;",
        "// pub fn old() {",
    ] {
        assert_one(&dead_code(&Source::new("src/a.rs", line)), "src/a.rs:1: ");
    }
    for line in [
        "// RFC 7636 §4.6",
        "// If the row is gone, so is the family; see §5.",
        "/// let a = 1;",
        "//! let a = 1;",
    ] {
        assert_none(dead_code(&Source::new("src/a.rs", line)));
    }
}

fn missing_doc(source: &Source) -> Option<String> {
    let says = source
        .lines
        .first()
        .is_some_and(|line| line.raw.strip_prefix("//! ").is_some_and(|doc| !doc.is_empty()));
    (!says).then(|| format!("{}:1: begin with `//! …`: what the file is, and its specification", source.path))
}

fn is_twin(name: &str) -> bool {
    let versioned = name.rsplit_once("_v").is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    versioned || name.ends_with("_optimized") || name.starts_with("cached_")
}

fn banned_file(path: &str) -> Option<String> {
    if !["src/", "tests/", "benches/", "load_test/"].iter().any(|folder| path.starts_with(folder)) {
        return None;
    }
    let bad = path
        .split('/')
        .map(|part| part.trim_end_matches(".rs"))
        .find(|part| DRAWERS.contains(part) || is_twin(part))?;
    Some(format!(
        "{path}:1: the name {bad} is banned; name the one thing it holds, or replace what it doubles"
    ))
}

fn banned_names(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for line in source.product() {
        for keyword in ["struct ", "enum ", "trait ", "type ", "mod ", "fn "] {
            let Some((before, rest)) = line.code.split_once(keyword) else { continue };
            if before.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
                continue;
            }
            let name =
                rest.split(|sign: char| !sign.is_alphanumeric() && sign != '_').next().unwrap_or_default();
            let bad = SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
                || is_twin(name)
                || DRAWERS.contains(&name);
            if bad {
                findings.push(source.at(line, &format!("the name {name} is banned; say what it is or does")));
            }
        }
    }
    findings
}

fn house_file(path: &str) -> Option<String> {
    let inside = path.strip_prefix("src/")?;
    let word =
        inside.split('/').map(|part| part.trim_end_matches(".rs")).find(|part| HOUSE_FILES.contains(part))?;
    Some(format!("{path}:1: {word} is a word of this house; use the field's"))
}

fn house_words(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut finding = |line: &Line, word: &str| {
        findings.push(source.at(line, &format!("{word} is a word of this house; use the field's")));
    };
    // How many brackets of a log line are open.
    let mut open = 0i32;
    for line in source.product() {
        let types = HOUSE_TYPES.iter().filter(|word| has_word(&line.code, word));
        types.for_each(|word| finding(line, word));
        let begins =
            ["error!(", "warn!(", "info!(", "debug!(", "trace!("].iter().find_map(|log| line.code.find(log));
        let code = if open > 0 { Some(line.code.as_str()) } else { begins.map(|at| &line.code[at..]) };
        let Some(code) = code else { continue };
        open += code.matches(['(', '{']).count() as i32 - code.matches([')', '}']).count() as i32;
        let said = HOUSE_LOGS.iter().filter(|word| line.strings.iter().any(|text| has_word(text, word)));
        said.for_each(|word| finding(line, word));
    }
    findings
}

fn unfinished(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for line in &source.lines {
        for word in BANNED.iter().filter(|word| has_word(&line.code, word)) {
            if *word == "unsafe" && MAY_BE_UNSAFE.contains(&source.path.as_str()) {
                continue;
            }
            findings.push(source.at(line, &format!("{word} is banned; finish it or find another way")));
        }
    }
    findings
}

fn dead_code(source: &Source) -> Vec<String> {
    let lines = source.lines.iter().filter(|line| comment(line).is_some_and(looks_like_code));
    lines.map(|line| source.at(line, "commented-out code; delete it, the history keeps it")).collect()
}

/// The text of an ordinary comment.
fn comment(line: &Line) -> Option<&str> {
    // The scanner has cut the comment from the code, so the rest of the raw line holds it.
    let code_only = line.strings.is_empty() && !line.code.contains('"');
    let at = if code_only { line.raw.find("//")? } else { return None };
    let text = line.raw[at + 2..].trim();
    (!line.raw[at + 2..].starts_with(['/', '!'])).then_some(text)
}

fn looks_like_code(comment: &str) -> bool {
    let ends = |signs: &[char]| comment.ends_with(signs);
    let starts = |words: &[&str]| words.iter().any(|word| comment.starts_with(word));
    let call = comment.ends_with(");") || comment.ends_with(")?;") || comment.ends_with("),");
    let named =
        comment.split(['(', '.', ':']).next().is_some_and(|name| !name.is_empty() && !name.contains(' '));
    (starts(&["let ", "use ", "return ", "return;", "pub ", "const ", "assert"]) && ends(&[';', '{']))
        || (starts(&["fn ", "if ", "for ", "while ", "match ", "impl ", "struct ", "async ", "} else"])
            && ends(&['{']))
        || (call && named)
}
