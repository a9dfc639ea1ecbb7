//! Files of one folder import each other without circles: whoever reads one of them need not have read all.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assert_none, assert_one,
    layers::expand,
    source::{Source, sources},
};

/// Circles that are left, a line each: the folder, and its files (`*` for whatever follows). The list only
/// shrinks: open one, and take its line, or the files that have left it, away.
const LEFT: &str = "
app: backend compose schema
cli: *
crypto: argon2id argon2id::wide
http: *
observe: memory process
observe: metrics rates
observe: trace trace::export
protocol: grants grants::*
store: postgres postgres::*
store: sqlite sqlite::*
";

/// Which files a file imports, by module path.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    assert_none(unlisted(&sources(), LEFT));
}

#[test]
fn a_circle_of_files_is_noticed() {
    let of = |path: &str, code: &str| Source::new(path, &format!("//! A file.\n{code}\n"));
    let ring = |last: &str| {
        [
            of("src/a/mod.rs", "mod one;\nmod two;\nmod three;\npub use one::One;"),
            of("src/a/one.rs", "use super::two::Two;"),
            of("src/a/two.rs", "use crate::a::{three::Three};"),
            of("src/a/three.rs", last),
        ]
    };
    assert_none(unlisted(&ring(""), ""));
    // A name that the folder gives on leads to the file that has it.
    assert_one(&unlisted(&ring("use super::One;"), ""), "a: one three two");
    assert_one(&unlisted(&ring("fn f() -> super::one::One {}"), ""), "a: one three two");
    assert_none(unlisted(&ring("use super::One;"), "a: four one three two\n"));
    assert_none(unlisted(&ring("use super::One;"), "a: one t*\n"));
    // What the folder itself has, and what it uses, make a circle too.
    let folder = |code: &str| [of("src/a/mod.rs", code), of("src/a/one.rs", "use super::{Shared, Other};")];
    assert_none(unlisted(&folder("mod one;\npub struct Shared;"), ""));
    assert_one(&unlisted(&folder("mod one;\nuse one::f;\npub struct Shared;"), ""), "a: mod one");
}

/// The circles that the list does not have.
fn unlisted(sources: &[Source], left: &str) -> Vec<String> {
    let left: Vec<(&str, Vec<&str>)> = left
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(folder, files)| (folder, files.split(' ').collect()))
        .collect();
    let mut findings = Vec::new();
    for circle in circles(&graph(sources)) {
        let folder = circle[0].split("::").next().unwrap_or_default();
        let files = circle.iter().map(|path| path.split_once("::").map_or("mod", |(_, file)| file));
        let files: BTreeSet<&str> = files.collect();
        let known = left.iter().any(|(of, listed)| {
            let covers = |file: &&str| listed.iter().any(|pattern| covers(pattern, file));
            *of == folder && files.iter().all(covers)
        });
        if !known {
            let files: Vec<&str> = files.into_iter().collect();
            findings.push(format!(
                "src/{folder}:1: {folder}: {} import each other in a circle; move what they share into a file of its own",
                files.join(" ")
            ));
        }
    }
    findings
}

fn covers(pattern: &str, file: &str) -> bool {
    pattern.strip_suffix('*').map_or(file == pattern, |begin| file.starts_with(begin))
}

/// Who imports whom, inside of each folder of `src/`.
fn graph(sources: &[Source]) -> Graph {
    let inside = |source: &&Source| source.path.starts_with("src/") && source.path.matches('/').count() > 1;
    let files: Vec<(&Source, String)> =
        sources.iter().filter(inside).map(|source| (source, source.module().join("::"))).collect();
    let modules: BTreeSet<&str> = files.iter().map(|(_, module)| module.as_str()).collect();
    let imports: BTreeMap<&str, Vec<(String, bool)>> =
        files.iter().map(|(source, module)| (module.as_str(), imports(source, module))).collect();
    let mut graph = Graph::new();
    for (module, paths) in &imports {
        let folder = module.split("::").next().unwrap_or_default();
        let targets = graph.entry((*module).to_owned()).or_default();
        for (path, given_on) in paths {
            let target = resolve(path, &modules, &imports, 0);
            // What a folder's own file only gives on, it does not use.
            if !given_on && target != *module && target.split("::").next() == Some(folder) {
                targets.insert(target);
            }
        }
    }
    graph
}

/// The file that a path leads to: through the names that a folder's own file gives on, if need be.
fn resolve(
    path: &str,
    modules: &BTreeSet<&str>,
    imports: &BTreeMap<&str, Vec<(String, bool)>>,
    depth: usize,
) -> String {
    let mut module = path;
    while !modules.contains(module) {
        let Some((outer, _)) = module.rsplit_once("::") else { return String::new() };
        module = outer;
    }
    let name = path[module.len()..].trim_start_matches("::").split("::").next().unwrap_or_default();
    let given = imports
        .get(module)
        .into_iter()
        .flatten()
        .find(|(given, _)| !name.is_empty() && given.rsplit("::").next() == Some(name) && given != path);
    match given {
        Some((further, _)) if depth < 4 => resolve(further, modules, imports, depth + 1),
        _ => module.to_owned(),
    }
}

/// Every path that a file names, from the crate's root, and whether it only gives it on (`pub use`).
fn imports(source: &Source, module: &str) -> Vec<(String, bool)> {
    let code: String = source.product().flat_map(|line| [line.code.as_str(), "\n"]).collect();
    let children: BTreeSet<&str> = code
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name))
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    let given_on = |at: usize| {
        let statement = code[..at].rfind(';').map_or(0, |end| end + 1);
        code[statement..at].trim_start().starts_with("pub") && code[statement..at].contains("use ")
    };
    while let Some(length) = code[at..].find("::") {
        let end = at + length;
        let start = code[..end]
            .rfind(|sign: char| !sign.is_alphanumeric() && sign != '_')
            .map_or(0, |before| before + 1);
        at = end + 2;
        if code[..start].ends_with("::") {
            continue;
        }
        let base = match &code[start..end] {
            "crate" => Some(String::new()),
            "self" => Some(module.to_owned()),
            "super" => module.rsplit_once("::").map(|(outer, _)| outer.to_owned()),
            child if children.contains(child) => Some(format!("{module}::{child}")),
            _ => None,
        };
        let Some(mut base) = base else { continue };
        let mut rest = &code[at..];
        while let Some(further) = rest.strip_prefix("super::") {
            base = base.rsplit_once("::").map_or_else(String::new, |(outer, _)| outer.to_owned());
            rest = further;
        }
        let on = given_on(start);
        expand(&base, rest, &mut |path| found.push((path, on)));
    }
    found
}

/// The sets of files that import each other.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|from| (from.as_str(), reachable(graph, from))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (from, reached) in &reach {
        let circle: Vec<String> = reached
            .iter()
            .filter(|to| reach.get(*to).is_some_and(|back| back.contains(from)))
            .map(|to| (*to).to_owned())
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(graph.get(file).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}
