//! The fields of log lines are those that `docs/logs-and-traces.md` lists.

use std::collections::BTreeSet;

use crate::{
    assert_none, assert_one,
    source::{Source, sources, text},
};

const PAGE: &str = "docs/logs-and-traces.md";

#[test]
fn every_field_of_a_log_line_is_documented() {
    let listed = listed(&text(PAGE));
    assert!(listed.contains("request_id") && listed.contains("cause"), "{listed:?}");
    assert_none(sources().iter().flat_map(|source| strangers(source, &listed)).collect());
}

#[test]
fn every_documented_field_is_logged() {
    // Those that the log itself adds.
    let added = ["timestamp", "level", "target", "message", "request_id", "trace_id", "span_id"];
    let mut logged: BTreeSet<String> = added.map(str::to_owned).into();
    logged.extend(sources().iter().flat_map(fields).map(|(_, field)| field));
    let gone = listed(&text(PAGE)).into_iter().filter(|field| !logged.contains(field));
    assert_none(gone.map(|field| format!("{PAGE}:1: {field} is in no line; remove it")).collect());
}

#[test]
fn a_field_that_is_not_listed_is_noticed() {
    let listed = BTreeSet::from(["error".to_owned(), "listen".to_owned()]);
    let check = |code: &str| strangers(&Source::new("src/a.rs", &format!("//! A.\n{code}\n")), &listed);
    assert_none(check("tracing::warn!(%error, \"it, failed\");"));
    assert_none(check("tracing::info!(\n    listen = format!(\"{a}{}\", f(b, c)), ?error,\n    \"x\"\n);"));
    assert_none(check("tracing::info!(\"nothing\");"));
    assert_one(&check("tracing::debug!(%error, user, \"x\");"), "src/a.rs:2: user");
    assert_one(&check("tracing::debug!(\n    ?secret,\n    \"x\"\n);"), "secret");
}

/// What stands in quotes in the first column of the tables of fields.
fn listed(page: &str) -> BTreeSet<String> {
    let section = page.lines().skip_while(|line| *line != "### Fields").skip(1);
    let rows = section.take_while(|line| !line.starts_with("##")).filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn strangers(source: &Source, listed: &BTreeSet<String>) -> Vec<String> {
    let strange = fields(source).into_iter().filter(|(_, field)| !listed.contains(field));
    strange
        .map(|(line, field)| {
            format!("{}:{line}: {field} is not in {PAGE}; add it, or reuse one", source.path)
        })
        .collect()
}

/// The fields of every event, with the line it begins in.
fn fields(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if !source.path.starts_with("src/") {
        return found;
    }
    let lines: Vec<_> = source.product().collect();
    for (at, line) in lines.iter().enumerate() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let Some((_, begun)) = line.code.split_once(&format!("tracing::{level}!(")) else { continue };
            let rest = lines[at + 1..].iter().map(|line| line.code.as_str());
            let code: Vec<&str> = std::iter::once(begun).chain(rest).collect();
            found.extend(names(&code.join(" ")).into_iter().map(|name| (line.number, name)));
        }
    }
    found
}

/// The names in `%a, b = f(c), "message")…`.
fn names(code: &str) -> Vec<String> {
    let (mut depth, mut argument, mut arguments) = (0, String::new(), Vec::new());
    for sign in code.chars() {
        match sign {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => arguments.push(std::mem::take(&mut argument)),
            _ => {}
        }
        if depth > 0 || sign != ',' {
            argument.push(sign);
        }
    }
    arguments.push(argument);
    let name = |argument: &String| {
        let (name, _) = argument.split_once(" = ").unwrap_or((argument, ""));
        name.trim().trim_start_matches(['%', '?']).rsplit('.').next().unwrap_or_default().to_owned()
    };
    // The message is a string, which the scanner has emptied.
    arguments
        .iter()
        .filter(|argument| !argument.trim().starts_with('"'))
        .map(name)
        .filter(|name| !name.is_empty())
        .collect()
}
