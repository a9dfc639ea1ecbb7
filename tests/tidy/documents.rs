//! The documents say what is so: routes, files, links, and nothing of anybody's machine.

use std::collections::BTreeSet;

use chancery::{
    app::demo,
    http::{RouteAudience, route_table::ROUTES},
};

use crate::{
    assert_none, assert_one,
    source::{files, root, text},
};

/// A path and its methods.
type Route = (&'static str, Vec<&'static str>);

#[test]
fn the_readme_lists_exactly_the_routes() {
    // An operator's route may be described elsewhere; one that is listed must be served.
    let readme = text("README.md");
    let listed = listed_routes(&readme);
    let left_out = |route: &Route| is_for_operators(route) && !listed.contains(&spelled(route));
    let routes: Vec<Route> = routes(false).into_iter().filter(|route| !left_out(route)).collect();
    assert_none(route_faults(&readme, &routes));
}

fn is_for_operators((path, _): &Route) -> bool {
    ROUTES.iter().any(|route| route.path == *path && route.audience == RouteAudience::Operator)
}

/// What is served by builds with the feature `profiling` only, and listed where that is explained.
#[cfg(feature = "profiling")]
#[test]
fn the_page_on_profiling_lists_exactly_its_routes() {
    assert_none(route_faults(&text("docs/profiling.md"), &routes(true)));
}

fn routes(for_profiling: bool) -> Vec<Route> {
    let all = ROUTES.iter().filter(|route| route.path.starts_with("/debug/") == for_profiling);
    all.map(|route| (route.path, route.methods().collect())).collect()
}

#[test]
fn a_route_missing_from_the_readme_is_noticed() {
    let routes: &[Route] = &[("/oauth/token", vec!["POST", "OPTIONS"]), ("/login", vec!["GET", "POST"])];
    let table = |rows: &str| {
        format!("# A\n\n## Endpoints\n\n| endpoint | what |\n|---|---|\n{rows}\n## Next\n\n| `/no` |\n")
    };
    assert_none(route_faults(&table("| `POST /oauth/token` | t |\n| `GET, POST /login` | l |\n"), routes));
    assert_one(&route_faults(&table("| `POST /oauth/token` | t |\n"), routes), "/login is served");
    let more = "| `POST /oauth/token` | t |\n| `GET, POST /login`, `GET /gone` | l |\n";
    assert_one(&route_faults(&table(more), routes), "GET /gone is listed");
}

#[test]
fn the_readme_knows_the_demo_identities() {
    assert_none(unnamed_identities(&text("README.md")));
}

#[test]
fn a_demo_identity_missing_from_the_readme_is_noticed() {
    let all: String = IDENTITIES.iter().map(|name| format!("`{name}` ")).collect();
    assert_none(unnamed_identities(&all));
    assert_one(&unnamed_identities(&all.replace("`alice`", "`bob`")), "alice");
}

const IDENTITIES: &[&str] = &[
    demo::SERVICE,
    demo::SERVICE_SECRET,
    demo::WEB,
    demo::WEB_SECRET,
    demo::WEB_REDIRECT,
    demo::NATIVE,
    demo::NATIVE_REDIRECT,
    demo::USER,
    demo::PASSWORD,
];

fn unnamed_identities(readme: &str) -> Vec<String> {
    let missing = IDENTITIES.iter().filter(|name| !readme.contains(&format!("`{name}`")));
    missing
        .map(|name| format!("README.md:1: the demo has {name}, and the table of identities does not"))
        .collect()
}

#[test]
fn every_path_the_documents_name_exists() {
    let mut findings = Vec::new();
    for path in files().iter().filter(|path| path.ends_with(".md") || *path == "src/lib.rs") {
        findings.extend(dead_paths(path, &text(path), &|target| root().join(target).exists()));
    }
    assert_none(findings);
}

#[test]
fn a_path_that_does_not_exist_is_noticed() {
    let exists = |path: &str| path == "src/protocol/token.rs" || path == "docs/a.md";
    let check = |text: &str| dead_paths("README.md", text, &exists);
    assert_none(check(
        "`src/protocol/token.rs`, [a](docs/a.md#keys), [b](https://example.org), `cargo test`, `src/…`",
    ));
    assert_one(&check("see `src/protocol/tokens.rs`"), "README.md:1: src/protocol/tokens.rs");
    assert_one(&check("see [a](docs/b.md)"), "docs/b.md");
    let from_docs = dead_paths("docs/x.md", "see [a](a.md)", &exists);
    assert_none(from_docs);
}

#[test]
fn the_index_leads_to_every_page() {
    let pages: Vec<String> = files().into_iter().filter(|path| path.starts_with("docs/")).collect();
    assert_none(unlisted_pages(&pages, &text("docs/index.md")));
}

#[test]
fn a_page_that_the_index_leaves_out_is_noticed() {
    let pages = ["docs/index.md", "docs/a.md", "docs/decisions/0001-a.md"].map(str::to_owned);
    assert_none(unlisted_pages(&pages, "see [a.md](a.md)"));
    assert_one(&unlisted_pages(&pages, "see [b.md](b.md)"), "docs/a.md is not in docs/index.md");
}

/// The decisions are found by their folder.
fn unlisted_pages(files: &[String], index: &str) -> Vec<String> {
    let pages =
        files.iter().filter_map(|path| path.strip_prefix("docs/").filter(|name| name.ends_with(".md")));
    let pages = pages.filter(|name| *name != "index.md" && !name.contains('/'));
    let missing = pages.filter(|name| !index.contains(&format!("]({name})")));
    missing.map(|name| format!("docs/index.md:1: docs/{name} is not in docs/index.md; add its row")).collect()
}

#[test]
fn the_readme_says_which_file_holds_which_specification() {
    let readme = text("README.md");
    for specification in
        ["RFC 6749", "RFC 7636", "RFC 7009", "RFC 7662", "RFC 8414", "RFC 8707", "RFC 9068", "RFC 9207"]
    {
        let mut rows = readme.lines().filter(|line| line.starts_with('|') && line.contains(specification));
        assert!(
            rows.any(|row| row.contains("`src/")),
            "README.md:1: no row leads from {specification} to its file"
        );
    }
}

#[test]
fn no_machine_is_named() {
    let mut findings = Vec::new();
    for path in files().iter().filter(|path| *path != "Cargo.lock") {
        findings.extend(machine_paths(path, &text(path)));
    }
    assert_none(findings);
}

#[test]
fn a_path_of_somebodys_machine_is_noticed() {
    let home = concat!("cd /ho", "me/anna/chancery");
    assert_one(&machine_paths("docs/a.md", &format!("one\n{home}\n")), "docs/a.md:2: ");
    assert_none(machine_paths("docs/a.md", "/etc/chancery and /var/lib/chancery, GET /homepage"));
}

#[test]
fn the_decisions_are_numbered_and_short() {
    let records = files().into_iter().filter(|path| path.starts_with("docs/decisions/"));
    let records: Vec<(String, String)> = records.map(|path| (path.clone(), text(&path))).collect();
    assert_none(record_faults(&records));
}

#[test]
fn a_decision_out_of_form_is_noticed() {
    let record = |name: &str, text: &str| vec![(format!("docs/decisions/{name}"), text.to_owned())];
    let good = "# 1. A\n\n## Context\n\n## Decision\n\n## Consequences\n";
    assert_none(record_faults(&record("0001-a.md", good)));
    assert_one(&record_faults(&record("0002-a.md", good)), "0001");
    assert_one(
        &record_faults(&record("0001-a.md", "# 1. A\n\n## Context\n\n## Decision\n")),
        "## Consequences",
    );
    assert_one(&record_faults(&record("0001-a.md", &format!("{good}{}", "x\n".repeat(40)))), "40 lines");
}

/// What stands in quotes in the first column of the table under `## Endpoints`.
fn listed_routes(readme: &str) -> BTreeSet<String> {
    let section = readme.lines().skip_while(|line| !line.starts_with("## Endpoints")).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split('|').next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

/// A route as the documents list it. HEAD goes with GET, and OPTIONS is sent by browsers alone (CORS).
fn spelled((path, methods): &Route) -> String {
    let methods: Vec<&str> =
        methods.iter().filter(|method| !["HEAD", "OPTIONS"].contains(method)).copied().collect();
    format!("{} {path}", methods.join(", "))
}

fn route_faults(readme: &str, routes: &[Route]) -> Vec<String> {
    let (served, listed): (BTreeSet<String>, _) =
        (routes.iter().map(spelled).collect(), listed_routes(readme));
    let missing =
        served.difference(&listed).map(|route| format!("README.md:1: {route} is served but not listed"));
    let gone =
        listed.difference(&served).map(|route| format!("README.md:1: {route} is listed but not served"));
    missing.chain(gone).collect()
}

fn dead_paths(document: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        // `tests/a.rs::name` is the test of that name.
        let quoted = line.split('`').skip(1).step_by(2);
        let quoted = quoted.map(|path| path.split("::").next().unwrap_or_default().to_owned());
        let quoted = quoted.filter(|path| {
            ["src/", "tests/", "docs/", "migrations/", "deploy/", "scripts/"]
                .iter()
                .any(|folder| path.starts_with(folder))
        });
        let linked = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let linked =
            linked.filter(|path| !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:"));
        let linked =
            linked.map(|path| if folder.is_empty() { path.to_owned() } else { beside(folder, path) });
        let plain = |path: &String| !path.contains(['…', '<', '*', ' ', '{']) && !path.contains("toy");
        for path in quoted.chain(linked).filter(plain).filter(|path| !exists(path)) {
            findings.push(format!("{document}:{}: {path} does not exist; name the file that does", at + 1));
        }
    }
    findings
}

/// A link's target, which is relative to the document's folder.
fn beside(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Written in halves, so that this file does not find itself.
    let machines = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
        concat!("C:", "\\Us"),
    ];
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if machines.iter().any(|machine| line.contains(machine)) {
            findings.push(format!("{path}:{}: names somebody's machine; use a relative path", at + 1));
        }
    }
    findings
}

fn record_faults(records: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, (path, text)) in records.iter().enumerate() {
        let number = format!("docs/decisions/{:04}-", at + 1);
        if !path.starts_with(&number) {
            findings.push(format!("{path}:1: expected {number}….md: records are numbered without gaps"));
        }
        if text.lines().count() > 40 {
            findings.push(format!("{path}:1: more than 40 lines; a record is short"));
        }
        for part in
            ["## Context", "## Decision", "## Consequences"].iter().filter(|part| !text.contains(**part))
        {
            findings.push(format!("{path}:1: has no section {part}"));
        }
    }
    findings
}

/// The crate's doc leads from the specification to the file.
#[test]
fn the_crate_doc_leads_from_the_specification_to_the_file() {
    let doc: String = text("src/lib.rs")
        .lines()
        .filter(|line| line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_none(crate_doc_faults(&doc, &|path| root().join(path).exists()));
}

#[test]
fn a_crate_doc_without_a_table_is_noticed() {
    let exists = |path: &str| path == "src/provider/introspect.rs";
    let row = "//! | RFC 7662 | `provider/introspect.rs` |\n";
    assert_none(crate_doc_faults(row, &exists));
    assert_one(&crate_doc_faults("//! A crate.\n", &exists), "no row for RFC 7662");
    assert_one(
        &crate_doc_faults(&row.replace("| `", "| `provider/gone.rs`, `"), &exists),
        "provider/gone.rs does not exist",
    );
}

fn crate_doc_faults(doc: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let rows = || doc.lines().filter(|line| line.starts_with("//! |"));
    let quoted =
        rows().flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|path| path.ends_with(".rs"));
    let gone = quoted.filter(|path| !exists(&format!("src/{path}")));
    let mut findings: Vec<String> =
        gone.map(|path| format!("src/lib.rs:1: src/{path} does not exist; correct the table")).collect();
    if !rows().any(|row| row.contains("RFC 7662") && row.contains("introspect")) {
        findings
            .push("src/lib.rs:1: no row for RFC 7662; the crate doc has a table specification → file".into());
    }
    findings
}
