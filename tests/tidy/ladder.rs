//! The modules of `src/http/` are a ladder: each imports only from those below it.

use crate::{
    assert_none, assert_one,
    source::{Source, sources},
};

/// From the connection down to what everything stands on.
const LADDER: &[&str] = &[
    "connection",
    "dispatch",
    "middleware",
    "route_table",
    "debug",
    "operations",
    "well_known",
    "oauth",
    "browser",
    "request_context",
    "extract",
    "worker",
    "admission",
    "state",
    "document",
    "error",
    "route",
    "pages",
    "cookies",
    "compression",
    "coarse_timeout",
    "tls",
];

#[test]
fn each_module_of_http_imports_only_from_those_below_it() {
    assert_none(sources().iter().flat_map(upward_imports).collect());
}

#[test]
fn an_import_from_above_is_noticed() {
    let faults = |path: &str, code: &str| upward_imports(&Source::new(path, code));
    assert_none(faults("src/http/dispatch.rs", "use super::{\n    error::{A, b},\n    worker::C,\n};\n"));
    assert_none(faults(
        "src/http/oauth/token.rs",
        "use super::cors;\nuse crate::{http::{error::A}, model::Id};\n",
    ));
    assert_none(faults("src/http/mod.rs", "use self::tls::Certificate;\n"));
    assert_one(
        &faults("src/http/worker.rs", "use super::{error::A, dispatch::B};\n"),
        "dispatch is above worker",
    );
    assert_one(
        &faults("src/http/error.rs", "use crate::{\n    http::route_table::B,\n};\n"),
        "route_table is above",
    );
    assert_one(
        &faults("src/http/oauth/token.rs", "fn a(b: super::super::middleware::C) {}\n"),
        "middleware is above",
    );
    assert_one(&faults("src/http/error.rs", "use super::AppState;\n"), "AppState is no module of the ladder");
    assert_one(&faults("src/http/attic.rs", "//! A.\n"), "attic is no module of the ladder");
}

fn upward_imports(source: &Source) -> Vec<String> {
    let module = source.module();
    let ["http", own, ..] = module[..] else { return Vec::new() };
    let place = |name: &str| LADDER.iter().position(|step| *step == name);
    let no_step = |name: &str| {
        format!(
            "{}:1: {name} is no module of the ladder; name the module, and its place in LADDER",
            source.path
        )
    };
    let Some(from) = place(own) else { return vec![no_step(own)] };
    let code: String = source.product().flat_map(|line| [line.code.as_str(), "\n"]).collect();
    let climb = "super::".repeat(module.len() - 1);
    let climbs = code.match_indices(&climb).filter(|(at, _)| !code[..*at].ends_with("::"));
    let named = climbs.map(|(at, _)| &code[at + climb.len()..]);
    let absolute = code.match_indices("http::").filter(|(at, _)| is_of_the_crate(&code[..*at]));
    let named = named.chain(absolute.map(|(at, found)| &code[at + found.len()..]));
    let imports = named.flat_map(first_segments).filter(|name| *name != own && *name != "super");
    let faults = imports.filter_map(|name| match place(name) {
        None => Some(no_step(name)),
        Some(to) if to < from => Some(format!(
            "{}:1: {name} is above {own} in the ladder of src/http; pass what is needed in, or move the code",
            source.path
        )),
        Some(_) => None,
    });
    faults.collect()
}

/// Whether what follows is below `crate`: it stands after `crate::`, or in the braces after it.
fn is_of_the_crate(before: &str) -> bool {
    let before = before.trim_end();
    let in_braces = || {
        let open = before.rfind("crate::{")?;
        let inside = &before[open + "crate::{".len()..];
        let depth = |sign| inside.matches(sign).count();
        Some(depth('{') == depth('}') && (inside.is_empty() || inside.ends_with(',')))
    };
    before.ends_with("crate::") || in_braces().unwrap_or(false)
}

/// The first segment of each path in `a::b` or `{a::b, c::{d, e}}`.
fn first_segments(code: &str) -> Vec<&str> {
    let name = |text: &'_ str| text.find(|sign: char| !sign.is_alphanumeric() && sign != '_');
    let Some(list) = code.strip_prefix('{') else {
        return vec![&code[..name(code).unwrap_or(code.len())]];
    };
    let (mut found, mut depth, mut at_start) = (Vec::new(), 0, true);
    for (at, sign) in list.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if depth == 0 && at_start && sign.is_alphanumeric() => {
                at_start = false;
                let rest = &list[at..];
                found.push(&rest[..name(rest).unwrap_or(rest.len())]);
            }
            _ => {}
        }
    }
    found
}
