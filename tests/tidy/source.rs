//! Rust sources as lines, with comments and strings told apart from code, and tests from the rest.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// One Rust file.
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of a Rust file.
#[derive(Default)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// As it stands in the file.
    pub raw: String,
    /// Without comments, and strings emptied.
    pub code: String,
    /// The contents of its strings.
    pub strings: Vec<String>,
    /// Whether it belongs to tests.
    pub in_test: bool,
}

impl Source {
    /// A file from its text.
    pub fn new(path: &str, text: &str) -> Self {
        let mut lines = split(text);
        let whole = ["tests/", "benches/", "load_test/"].iter().any(|folder| path.starts_with(folder));
        mark_tests(&mut lines, whole);
        Self { path: path.to_owned(), lines }
    }

    /// The lines that are not tests.
    pub fn product(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.in_test)
    }

    /// A finding at a line of this file.
    pub fn at(&self, line: &Line, message: &str) -> String {
        format!("{}:{}: {message}", self.path, line.number)
    }

    /// The file's name without `.rs`.
    pub fn stem(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The module path under `src/`: `src/store/sqlite/mod.rs` is `store`, `sqlite`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the repository, empty if there is none.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// All files of the repository, as paths from its root; without what builds and runs leave behind.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).into_iter().flatten().flatten() {
            let path = folder.join(entry.file_name());
            let name = path.to_string_lossy().replace('\\', "/");
            if ["target", ".git", "chancery-data"].contains(&name.as_str()) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                _ => found.push(name),
            }
        }
    }
    found.sort();
    found
}

/// All Rust files of the crate.
pub fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    let mut all: Vec<Source> = rust.map(|path| Source::new(&path, &text(&path))).collect();
    let tests: HashSet<String> = all.iter().flat_map(test_modules).collect();
    for source in &mut all {
        let module = source.module().join("/");
        if tests.iter().any(|test| module == *test || module.starts_with(&format!("{test}/"))) {
            source.lines.iter_mut().for_each(|line| line.in_test = true);
        }
    }
    all
}

/// The modules a file declares by `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let place = source.module().join("/");
    let place = if place == "lib" || place == "main" { String::new() } else { format!("{place}/") };
    let declared = source.lines.iter().filter(|line| line.in_test).filter_map(|line| {
        let name = line.code.trim().strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(format!("{place}{name}"))
    });
    declared.collect()
}

/// Marks what stands under `#[cfg(test)]`, up to the end of the item.
fn mark_tests(lines: &mut [Line], whole: bool) {
    let mut depth = 0usize;
    let mut pending = false;
    let mut until = None;
    for line in lines {
        pending |= until.is_none() && line.code.trim().starts_with("#[cfg(test)]");
        line.in_test = whole || pending || until.is_some();
        for sign in line.code.chars() {
            match sign {
                '{' => {
                    if pending {
                        until = Some(depth);
                        pending = false;
                    }
                    depth += 1;
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    if until == Some(depth) {
                        until = None;
                    }
                }
                ';' => pending = false,
                _ => {}
            }
        }
    }
}

enum State {
    Code,
    Comment(usize),
    Text { hashes: Option<usize>, held: String },
}

/// Splits a text into lines and tells code, strings and comments apart.
fn split(text: &str) -> Vec<Line> {
    let mut state = State::Code;
    let mut lines = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let mut line = Line { number: index + 1, raw: raw.to_owned(), ..Line::default() };
        let signs: Vec<char> = raw.chars().collect();
        let mut at = 0;
        while at < signs.len() {
            at += step(&mut state, &signs[at..], &mut line);
        }
        if let State::Text { held, .. } = &mut state {
            line.strings.push(std::mem::take(held));
        }
        lines.push(line);
    }
    lines
}

/// Reads one sign or one small group of them; returns how many.
fn step(state: &mut State, rest: &[char], line: &mut Line) -> usize {
    match state {
        State::Comment(depth) => match rest {
            ['*', '/', ..] => {
                *state = if *depth == 1 { State::Code } else { State::Comment(*depth - 1) };
                2
            }
            ['/', '*', ..] => {
                *depth += 1;
                2
            }
            _ => 1,
        },
        State::Text { hashes, held } => match (rest, *hashes) {
            (['\\', ..], None) => {
                held.extend(rest.iter().take(2));
                2
            }
            (['"', after @ ..], _) if closes(after, hashes.unwrap_or(0)) => {
                let length = 1 + hashes.unwrap_or(0);
                line.strings.push(std::mem::take(held));
                line.code.push('"');
                *state = State::Code;
                length
            }
            _ => {
                held.push(rest[0]);
                1
            }
        },
        State::Code => code_step(state, rest, line),
    }
}

fn closes(after: &[char], hashes: usize) -> bool {
    after.len() >= hashes && after[..hashes].iter().all(|sign| *sign == '#')
}

fn code_step(state: &mut State, rest: &[char], line: &mut Line) -> usize {
    match rest {
        ['/', '/', ..] => rest.len(),
        ['/', '*', ..] => {
            *state = State::Comment(1);
            2
        }
        ['"', ..] => {
            line.code.push('"');
            *state = State::Text { hashes: None, held: String::new() };
            1
        }
        ['r', after @ ..] if !line.code.ends_with(|last: char| last.is_alphanumeric() && last != 'b') => {
            let hashes = after.iter().take_while(|sign| **sign == '#').count();
            if after.get(hashes) == Some(&'"') {
                line.code.push('"');
                *state = State::Text { hashes: Some(hashes), held: String::new() };
                return hashes + 2;
            }
            line.code.push('r');
            1
        }
        // Character literals, which may hold a quote or a brace; a lifetime has no closing quote.
        ['\'', '\\', _, after @ ..] => 4 + after.iter().take_while(|sign| **sign != '\'').count(),
        ['\'', _, '\'', ..] => 3,
        _ => {
            line.code.push(rest[0]);
            1
        }
    }
}

/// Whether `word` stands in `code` as a word of its own.
pub fn has_word(code: &str, word: &str) -> bool {
    let part = |sign: char| sign.is_alphanumeric() || sign == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(part) && (word.ends_with('!') || !code[at + word.len()..].starts_with(part))
    })
}

#[test]
fn the_scanner_tells_code_strings_comments_and_tests_apart() {
    let text = "//! Doc.\nlet a = \"use crate::b\"; // use crate::c\nlet b = r#\"a \" {\"#; let c = '{';\n/* x\ny */ z();\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn after() {}\n";
    let source = Source::new("src/a.rs", text);
    let code: Vec<&str> = source.lines.iter().map(|line| line.code.trim()).collect();
    assert_eq!(code[1], "let a = \"\";");
    assert_eq!(code[2], "let b = \"\"; let c = ;");
    assert_eq!((code[3], code[4]), ("", "z();"));
    assert_eq!(source.lines[1].strings, ["use crate::b"]);
    let tests: Vec<bool> = source.lines.iter().map(|line| line.in_test).collect();
    assert_eq!(tests, [false, false, false, false, false, true, true, true, true, false]);
    assert!(
        has_word("a unsafe b", "unsafe")
            && !has_word("unsafe_code", "unsafe")
            && has_word("todo!()", "todo!")
    );
}

#[test]
fn a_module_declared_for_tests_is_all_tests() {
    let source = Source::new("src/config/mod.rs", "#[cfg(test)]\nmod tests;\nmod value;\n");
    assert_eq!(test_modules(&source), ["config/tests"]);
}
