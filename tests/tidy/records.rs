//! Records that grow: a client's or user's field has its default in one place, so that a new one does not
//! have to be written into every place that makes a record.

use crate::{
    assert_none, assert_one,
    source::{Source, sources},
};

/// Records that are made from their `Default` everywhere but in it.
const RECORDS: [&str; 2] = ["Client", "User"];

#[test]
fn a_record_is_made_from_its_default() {
    assert_none(sources().iter().flat_map(spelled_out).collect());
}

#[test]
fn a_record_that_is_spelled_out_is_noticed() {
    let of = |code: &str| spelled_out(&Source::new("src/a.rs", code));
    assert_one(
        &of("fn f() -> Client {\n    let a = Client {\n        key,\n        name: g(),\n    };\n}\n"),
        "src/a.rs:2: this Client",
    );
    assert_one(&of("const U: User = User { id };\n"), "src/a.rs:1: this User");
    for good in [
        "fn f() -> Client {\n    Client {\n        key,\n        ..Client::default()\n    }\n}\n",
        "pub struct Client {\n    key: u8,\n}\nimpl Default for User {\n}\nimpl Client {\n}\n",
        "fn f(changed: &Change) {\n    let Change::Client { key, client_id } = changed;\n}\n",
        "enum Change {\n    Client {\n        key: u8,\n    },\n}\n",
        "fn f() -> reqwest::Client {\n    g()\n}\n",
    ] {
        assert_none(of(good));
    }
}

fn spelled_out(source: &Source) -> Vec<String> {
    let mut code = String::new();
    let mut starts = Vec::new();
    for line in &source.lines {
        starts.push(code.len());
        code.push_str(&line.code);
        code.push('\n');
    }
    let mut findings = Vec::new();
    for record in RECORDS {
        for (at, opening) in code.match_indices(&format!("{record} {{")) {
            if !begins_a_value(&code[..at])
                || is_a_variant(&code[..at])
                || has_a_base(&code[at + opening.len()..])
            {
                continue;
            }
            let line = &source.lines[starts.partition_point(|start| *start <= at) - 1];
            let message = format!(
                "this {record} names each of its fields; end it with `..{record}::default()` or another base"
            );
            findings.push(source.at(line, &message));
        }
    }
    findings
}

/// Whether what follows is a value, and no type, path or block.
fn begins_a_value(before: &str) -> bool {
    let before = before.trim_end_matches(' ');
    let word = before.rsplit(|sign: char| !sign.is_alphanumeric() && sign != '_').next().unwrap_or_default();
    let glued = !word.is_empty() && !["return", "in", "else", "match"].contains(&word);
    !before.ends_with("::") && !glued && !before.ends_with("->") && !before.ends_with('>')
}

/// Whether it stands inside of an enum's declaration.
fn is_a_variant(before: &str) -> bool {
    before.rfind("enum ").is_some_and(|at| !before[at..].contains("\n}"))
}

/// Whether a value's braces hold `..base` at their own depth.
fn has_a_base(body: &str) -> bool {
    let mut depth = 0_i32;
    let mut previous = ' ';
    for (at, sign) in body.char_indices() {
        match sign {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth == 0 => return false,
            '}' | ')' | ']' => depth -= 1,
            '.' if depth == 0 && previous == '.' => {
                // A range has a number before it; a base begins its own item.
                return body[..at - 1].trim_end().ends_with([',', '{']) || body[..at - 1].trim().is_empty();
            }
            _ => {}
        }
        previous = sign;
    }
    false
}
