//! Sizes (ARCHITECTURE.md, Invariants): a file that outgrows them usually holds two ideas.

use crate::{
    assert_none, assert_one,
    source::{Source, has_word, sources},
};

/// Lines a file may have without its tests, and with them.
const FILE: (usize, usize) = (400, 500);
/// Lines nine files out of ten stay within, without their tests.
const FILE_AIM: usize = 300;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION: usize = 60;
/// The same for tests, whose tables are long.
const TEST: usize = 100;
/// Lines of `main.rs`.
const MAIN: usize = 40;
/// Functions that may be longer, with the reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("src/protocol/redirect_uri.rs", "mutations", "a table of attacks, one on each line")];

#[test]
fn files_stay_small() {
    assert_none(sources().iter().flat_map(long_file).collect());
}

#[test]
fn a_long_file_is_noticed() {
    let long = Source::new("src/a.rs", &"f();\n".repeat(FILE.0 + 1));
    assert_one(&long_file(&long), "src/a.rs:1: 401 lines without tests");
    let text = format!("f();\n#[cfg(test)]\nmod tests {{\n{}}}\n", "f();\n".repeat(FILE.1));
    assert_one(&long_file(&Source::new("src/a.rs", &text)), "lines in all");
    assert_one(
        &long_file(&Source::new("src/main.rs", &"f();\n".repeat(MAIN + 1))),
        "src/main.rs:1: 41 lines",
    );
    assert_none(long_file(&Source::new("src/a.rs", &"f();\n".repeat(FILE.0))));
}

#[test]
fn most_files_stay_within_the_aim() {
    assert_none(crowd(&sources()));
}

#[test]
fn a_crowd_of_middling_files_is_noticed() {
    let file = |lines: usize| Source::new("src/a.rs", &"f();\n".repeat(lines));
    let mut all: Vec<Source> = (0..9).map(|_| file(10)).collect();
    all.push(file(FILE_AIM + 1));
    assert_none(crowd(&all));
    all.push(file(FILE_AIM + 1));
    assert_one(&crowd(&all), "2 of 11 files");
}

#[test]
fn functions_stay_small() {
    assert_none(sources().iter().flat_map(long_functions).collect());
}

#[test]
fn a_long_function_is_noticed() {
    let text = format!(
        "fn short() {{\n    f();\n}}\n\npub async fn long(\n    a: u8,\n) {{\n{}}}\n",
        "    f();\n".repeat(60)
    );
    assert_one(&long_functions(&Source::new("src/a.rs", &text)), "src/a.rs:5: long has 64 lines");
    let text = format!("trait T {{\n    fn a(&self);\n{}}}\n", "    // b\n".repeat(80));
    assert_none(long_functions(&Source::new("src/a.rs", &text)));
}

fn long_file(source: &Source) -> Vec<String> {
    let (product, all) = (source.product().count(), source.lines.len());
    let mut findings = Vec::new();
    let mut limit = |lines: usize, most: usize, what: &str| {
        if lines > most {
            let split = "split it where its two ideas meet";
            findings.push(format!("{}:1: {lines} lines {what}, at most {most}; {split}", source.path));
        }
    };
    if source.path == "src/main.rs" {
        limit(all, MAIN, "in main.rs");
    }
    limit(product, FILE.0, "without tests");
    if product <= FILE.0 {
        limit(all, FILE.1, "in all");
    }
    findings
}

fn crowd(sources: &[Source]) -> Vec<String> {
    let product: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with("src/")).collect();
    let over: Vec<&str> = product
        .iter()
        .filter(|source| source.product().count() > FILE_AIM)
        .map(|source| source.path.as_str())
        .collect();
    if over.len() * 10 <= product.len() {
        return Vec::new();
    }
    let (over_count, count) = (over.len(), product.len());
    vec![format!(
        "{over_count} of {count} files are over {FILE_AIM} lines; split some of {}",
        over.join(", ")
    )]
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let Some(name) = function_name(&line.code) else { continue };
        let Some(length) = body_length(&source.lines[at..]) else { continue };
        let excused = LONG_FUNCTIONS.iter().any(|(path, long, _)| *path == source.path && *long == name);
        let most = if line.in_test { TEST } else { FUNCTION };
        if length > most && !excused {
            let message = format!("{name} has {length} lines, at most {most}; give its steps names");
            findings.push(source.at(line, &message));
        }
    }
    findings
}

fn function_name(code: &str) -> Option<&str> {
    if !has_word(code, "fn") {
        return None;
    }
    let (before, rest) = code.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "default", "extern", "\"\""];
    let is_item = before.split_whitespace().all(|word| modifiers.contains(&word));
    let end = rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_')?;
    (is_item && end > 0).then(|| &rest[..end])
}

/// Lines to the brace that closes the body; `None` for a declaration without one.
fn body_length(lines: &[crate::source::Line]) -> Option<usize> {
    let (mut depth, mut brackets) = (0i32, 0i32);
    for (at, line) in lines.iter().enumerate() {
        for sign in line.code.chars() {
            match sign {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if depth == 0 && brackets == 0 => return None,
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
    }
    None
}
