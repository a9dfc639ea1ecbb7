//! Who may import whom: the table of layers in ARCHITECTURE.md, which is read here. What it does not list is
//! forbidden, and what it lists is used.

use std::collections::BTreeSet;

use crate::{
    assert_none, assert_one,
    source::{Source, sources, text},
};

/// A row of the table.
struct Layer {
    /// `store::sqlite` for `src/store/sqlite/`.
    name: String,
    /// The module paths it may use besides its own; `None` for everything.
    may_use: Option<Vec<String>>,
}

/// The rows that begin with a folder of `src/`. The third column names what the layer may use.
fn table(page: &str) -> Vec<Layer> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix("`src/")?.strip_suffix("/`")?.replace('/', "::");
        let quoted = cells.get(3)?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some(Layer { name, may_use: (cells[3] != "everything").then_some(quoted) })
    };
    page.lines().filter_map(row).collect()
}

fn the_table() -> Vec<Layer> {
    table(&text("ARCHITECTURE.md"))
}

#[test]
fn every_layer_imports_only_what_the_table_allows() {
    let layers = the_table();
    assert_none(sources().iter().flat_map(|source| misplaced_imports(&layers, source)).collect());
}

#[test]
fn the_table_lists_no_layer_and_no_use_that_is_not_there() {
    assert_none(phantoms(&the_table(), &sources()));
}

#[test]
fn a_phantom_in_the_table_is_noticed() {
    let layers = table("| `src/a/` | A. | `b`, `c::d` |\n| `src/b/` | B. | – |\n");
    let uses = |code: &str| [Source::new("src/a/mod.rs", code), Source::new("src/b/mod.rs", "")];
    assert_none(phantoms(&layers, &uses("use crate::{b::B, c::d::D};\n")));
    assert_one(&phantoms(&layers, &uses("use crate::{b::B, c::e::D};\n")), "a uses nothing of c::d");
    assert_one(&phantoms(&layers, &uses("use crate::{b::B, c::d};\n")[..1]), "b is no folder");
}

#[test]
fn a_forbidden_import_is_noticed_in_every_spelling() {
    let layers = the_table();
    let misplaced_imports = |source: &Source| misplaced_imports(&layers, source);
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

fn misplaced_imports(layers: &[Layer], source: &Source) -> Vec<String> {
    let Some(module) = layered(source) else { return Vec::new() };
    let layer = layer_of(layers, &module.join("::"));
    let Some(row) = layers.iter().find(|row| row.name == layer) else {
        let place = "put it into a folder that the table in ARCHITECTURE.md lists";
        return vec![format!("{}:1: {layer} is no layer; {place}", source.path)];
    };
    let Some(may_use) = &row.may_use else { return Vec::new() };
    let mut findings = Vec::new();
    for (line, path) in imports(source, &module) {
        let target = layer_of(layers, &path);
        let covered = |name: &String| layer_of(layers, name) == target && within(&path, name);
        if target != layer && !may_use.iter().any(covered) {
            let short: Vec<&str> = path.split("::").take(2).collect();
            let short = if target.contains("::") { target } else { short.join("::") };
            let finding = format!(
                "{}:{line}: {layer} may not use {short}; pass what is needed in, or move the code",
                source.path
            );
            findings.push(finding);
        }
    }
    findings
}

/// What the table lists and the sources do not have.
fn phantoms(layers: &[Layer], sources: &[Source]) -> Vec<String> {
    let mut uses = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for source in sources {
        let Some(module) = layered(source) else { continue };
        let layer = layer_of(layers, &module.join("::"));
        uses.extend(imports(source, &module).into_iter().map(|(_, path)| (layer.clone(), path)));
        folders.insert(layer);
    }
    let mut findings = Vec::new();
    let gone = layers.iter().filter(|row| !folders.contains(&row.name));
    findings.extend(gone.map(|row| format!("ARCHITECTURE.md:1: {} is no folder; remove its row", row.name)));
    for row in layers {
        for name in row.may_use.iter().flatten() {
            if !uses.iter().any(|(layer, path)| *layer == row.name && within(path, name)) {
                findings.push(format!(
                    "ARCHITECTURE.md:1: {} uses nothing of {name}; remove it from its row",
                    row.name
                ));
            }
        }
    }
    findings
}

/// The module of a file that belongs to a layer.
fn layered(source: &Source) -> Option<Vec<&str>> {
    let inside = source.path.starts_with("src/") && !["lib", "main"].contains(&source.stem());
    inside.then(|| source.module())
}

fn within(path: &str, module: &str) -> bool {
    path == module || path.starts_with(&format!("{module}::"))
}

/// The layer a path below the crate belongs to: a folder within a folder, where the table has one.
fn layer_of(layers: &[Layer], path: &str) -> String {
    let inside = layers.iter().map(|row| &row.name).filter(|name| name.contains("::") && within(path, name));
    inside
        .max_by_key(|name| name.len())
        .cloned()
        .unwrap_or_else(|| path.split("::").next().unwrap_or_default().to_owned())
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
pub fn expand<'c>(prefix: &str, code: &'c str, found: &mut dyn FnMut(String)) -> &'c str {
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
