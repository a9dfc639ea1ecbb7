//! Who may import whom (DESIGN §3). What is not listed is forbidden.

use crate::{
    assert_none, assert_one,
    source::{Source, sources},
};

/// Layer, and the module paths it may use besides its own.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("crypto", &["model"]),
    // The CPU-only checks of digests and signatures: everything else in crypto needs keys or randomness.
    ("protocol", &["model", "crypto::digest", "crypto::verify"]),
    ("observe", &["model"]),
    ("resilience", &["model", "observe"]),
    ("store", &["model", "observe", "resilience"]),
    ("store::sqlite", &["store", "model", "observe", "crypto::seal"]),
    ("store::postgres", &["store", "model", "observe", "crypto::seal"]),
    ("limit", &["model", "observe", "resilience"]),
    ("cache", &["store", "limit", "model", "crypto::seal", "observe", "resilience"]),
    ("provider", &["protocol", "model", "crypto", "store", "limit", "observe", "resilience"]),
    (
        "http",
        &[
            "provider",
            "protocol",
            "model",
            "config",
            "limit",
            "observe",
            // A request's time begins here (decision 14), and refusals spread the moments of return.
            "resilience::deadline",
            "resilience::in_moments",
            "resilience::jitter",
        ],
    ),
    ("app", &["*"]),
    ("cli", &["*"]),
];

/// Layers that are a folder inside another one.
const NESTED: &[&str] = &["store::sqlite", "store::postgres"];

#[test]
fn every_layer_imports_only_what_the_table_allows() {
    assert_none(sources().iter().flat_map(misplaced_imports).collect());
}

#[test]
fn a_forbidden_import_is_noticed_in_every_spelling() {
    for line in [
        "use crate::store::Store;",
        "use crate::{model::Id, store::Store};",
        "use super::super::super::store::Store;",
        "fn f(a: crate::store::Store) {}",
    ] {
        let source = Source::new("src/protocol/grants/toy.rs", &format!("//! Toy.\n{line}\n"));
        assert_one(&misplaced_imports(&source), "src/protocol/grants/toy.rs:2: protocol may not use store");
    }
    let source = Source::new("src/cache/a.rs", "use crate::{\n    store::{Store, sqlite::Sqlite},\n};\n");
    assert_one(&misplaced_imports(&source), "cache may not use store::sqlite");
    let source = Source::new("src/protocol/a.rs", "use crate::crypto::seal::Sealer;\n");
    assert_one(&misplaced_imports(&source), "protocol may not use crypto::seal");
    let source = Source::new("src/attic/a.rs", "//! A.\n");
    assert_one(&misplaced_imports(&source), "is no layer");
    let good = "use crate::{\n    crypto::digest::digest,\n    model::*,\n};\nuse super::Params;\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n";
    assert_none(misplaced_imports(&Source::new("src/protocol/a.rs", good)));
}

fn misplaced_imports(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") || ["lib", "main"].contains(&source.stem()) {
        return Vec::new();
    }
    let module = source.module();
    let layer = layer_of(&module.join("::")).to_owned();
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{}:1: {layer} is no layer; put it where DESIGN §3 says", source.path)];
    };
    let mut findings = Vec::new();
    for (line, path) in imports(source, &module) {
        let target = layer_of(&path);
        let covered = |name: &&str| {
            *name == "*"
                || (layer_of(name) == target && (*name == path || path.starts_with(&format!("{name}::"))))
        };
        if target != layer && !allowed.iter().any(covered) {
            let short: Vec<&str> = path.split("::").take(2).collect();
            let short = if target.contains("::") { target.to_owned() } else { short.join("::") };
            let finding = format!(
                "{}:{line}: {layer} may not use {short}; pass what is needed in, or move the code",
                source.path
            );
            findings.push(finding);
        }
    }
    findings
}

/// The layer a path below the crate belongs to.
fn layer_of(path: &str) -> &str {
    let inside = |layer: &&&str| path == **layer || path.starts_with(&format!("{layer}::"));
    NESTED.iter().find(inside).copied().unwrap_or_else(|| path.split("::").next().unwrap_or_default())
}

/// Every path below the crate's root that the file names, with its line.
fn imports(source: &Source, module: &[&str]) -> Vec<(usize, String)> {
    let mut code = String::new();
    let mut starts = Vec::new();
    for line in source.product() {
        starts.push((code.len(), line.number));
        code.push_str(&line.code);
        code.push('\n');
    }
    let line_at =
        |at: usize| starts.iter().rev().find(|(start, _)| *start <= at).map_or(0, |(_, number)| *number);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        expand("", &code[at + 7..], &mut |path| found.push((line_at(at), path)));
    }
    // `super::super::…` that climbs to the crate's root.
    let climb = "super::".repeat(module.len());
    for (at, _) in code.match_indices(&climb) {
        if !code[..at].ends_with("::") {
            expand("", &code[at + climb.len()..], &mut |path| found.push((line_at(at), path)));
        }
    }
    found
}

/// Expands `a::{b, c::d}` to its paths; returns what follows.
fn expand<'c>(prefix: &str, code: &'c str, found: &mut dyn FnMut(String)) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if rest.is_empty() {
                return rest;
            }
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = expand(prefix, rest, found);
            // What is no path (a rename, a glob) is passed over.
            rest = if after.len() == rest.len() { &rest[1..] } else { after };
        }
    }
    let end = code.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    if name.is_empty() {
        if !prefix.is_empty() && code.starts_with('*') {
            found(prefix.to_owned());
        }
        return code.strip_prefix('*').unwrap_or(code);
    }
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(deeper) => expand(&path, deeper, found),
        None => {
            found(path);
            let renamed = rest.trim_start().strip_prefix("as ");
            renamed.map_or(rest, |after| {
                after.trim_start_matches(|sign: char| sign.is_alphanumeric() || sign == '_')
            })
        }
    }
}
