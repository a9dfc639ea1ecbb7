//! The numbers that code and tests name (`R21`, `T04`, `F6`, `I2`) stand in `docs/requirements.md`; what is
//! said there to hold has a test that names it; and `docs/security-traceability.md` lists those tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assert_none, assert_one,
    source::{Line, Source, files, has_word, root, sources, text},
};

const PAGE: &str = "docs/requirements.md";
const TRACE: &str = "docs/security-traceability.md";
/// Writes the page of tests instead of comparing it.
const UPDATE: &str = "CHANCERY_UPDATE";

/// A numbered row of the page.
struct Row {
    /// Its letter and number, which sort by number.
    number: (char, u32),
    /// What it says, in its second column.
    text: String,
    /// How it stands today, in its last column.
    today: String,
}

#[test]
fn what_holds_is_named_by_a_test_and_what_is_named_is_on_the_page() {
    assert_none(faults(&rows(&text(PAGE)), &sources()));
    let documents = files().into_iter().filter(|path| path.ends_with(".md") && path != PAGE && path != TRACE);
    let rows = rows(&text(PAGE));
    assert_none(documents.flat_map(|path| unknown(&rows, &path, &text(&path))).collect());
}

#[test]
fn a_number_without_a_test_or_without_a_row_is_noticed() {
    let page = |today: &str| format!("| R1 | One. | BCP 2 | {today} |\n| T01 | A | b | c | planned |\n");
    let tests = [Source::new("tests/a.rs", "/// R1\n#[test]\nfn one() {}\n")];
    assert_none(faults(&rows(&page("holds")), &tests));
    assert_one(&faults(&rows(&page("holds")), &[]), "R1 holds and no test names it");
    assert_one(&faults(&rows(&page("planned")), &tests), "R1 is planned, and tests/a.rs::one names it");
    assert_one(&faults(&rows(&page("perhaps")), &tests), "R1 is perhaps");
    // Outside the tests it is a promise, not a proof.
    assert_one(
        &faults(&rows(&page("holds")), &[Source::new("src/a.rs", "/// R1\nfn one() {}\n")]),
        "no test",
    );
    let more = Source::new("src/a.rs", "// R2: see there.\nfn two() {}\n");
    assert_one(&faults(&rows(&page("planned")), &[more]), "src/a.rs:1: R2 is not in docs/requirements.md");
    let gap = format!("{}| R3 | Three. | – | planned |\n", page("planned"));
    assert_one(&faults(&rows(&gap), &[]), "R3 follows R1");
    assert_one(&unknown(&rows(&page("planned")), "README.md", "see R1\nand T02\n"), "README.md:2: T02");
}

#[test]
fn the_page_of_tests_says_which_test_holds_what() {
    let should = traceability(&rows(&text(PAGE)), &sources());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(root().join(TRACE), &should).expect("the page is written");
    }
    assert!(text(TRACE) == should, "{TRACE}: is not what the tests say; run `just traceability`");
}

#[test]
fn a_test_is_found_by_the_comment_over_it_within_it_or_at_the_head_of_its_file() {
    let find = |text: &str| named(&[Source::new("tests/a.rs", text)])[&('R', 1)].clone();
    let one = |name: &str| BTreeSet::from([name.to_owned()]);
    assert_eq!(find("/// R1, R2: both.\n#[tokio::test]\nasync fn one() {}\n"), one("tests/a.rs::one"));
    assert_eq!(find("fn one() {\n    // R1\n    check();\n}\n"), one("tests/a.rs::one"));
    assert_eq!(find("//! All of R1.\n\nfn one() {}\n"), one("tests/a.rs"));
    assert_eq!(find("/// R1\nconst TABLE: u8 = 1;\nfn one() {}\n"), one("tests/a.rs::TABLE"));
    assert!(named(&[Source::new("tests/a.rs", "fn r() { f(\"R1\") }\n")]).is_empty());
}

/// The page's rows that begin with a number.
fn rows(page: &str) -> Vec<Row> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = page.lines().filter(|line| line.starts_with("| ")).map(cells);
    let row = |cells: Vec<String>| {
        let number = number(&cells[1])?;
        Some(Row { number, text: cells[2].clone(), today: cells[cells.len() - 2].clone() })
    };
    lines.filter_map(row).collect()
}

/// `R21`, `T04`, `F6` and `I2` as letter and number.
fn number(word: &str) -> Option<(char, u32)> {
    let letter = word.chars().next().filter(|letter| "RTFI".contains(*letter))?;
    let digits = &word[1..];
    let fits = !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|sign| sign.is_ascii_digit());
    let padded = digits.len() == 2 || letter != 'T';
    (fits && padded && (letter == 'T' || !digits.starts_with('0')))
        .then(|| Some((letter, digits.parse().ok()?)))?
}

fn spelled((letter, number): (char, u32)) -> String {
    if letter == 'T' { format!("T{number:02}") } else { format!("{letter}{number}") }
}

/// The numbers that a text names.
fn numbers(text: &str) -> impl Iterator<Item = (char, u32)> {
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '_').filter_map(number)
}

fn faults(rows: &[Row], sources: &[Source]) -> Vec<String> {
    let mut findings = gaps(rows);
    let named = named(sources);
    for row in rows.iter().filter(|row| "RT".contains(row.number.0)) {
        let (tests, number) = (named.get(&row.number), spelled(row.number));
        match (row.today.as_str(), tests) {
            ("holds" | "in part" | "tested", None) => findings.push(format!(
                "{PAGE}:1: {number} {} and no test names it; write `/// {number}` over the one that proves it",
                row.today
            )),
            ("planned", Some(tests)) => {
                let test = tests.iter().next().map_or("", String::as_str);
                findings.push(format!("{PAGE}:1: {number} is planned, and {test} names it; say that it holds"));
            }
            ("holds" | "in part" | "tested", Some(_)) | ("planned", None) => {}
            (today, _) => findings.push(format!("{PAGE}:1: {number} is {today}; say holds, in part or planned")),
        }
    }
    for source in scanned(sources) {
        for line in &source.lines {
            let Some(comment) = comment(line) else { continue };
            for number in numbers(comment).filter(|number| !rows.iter().any(|row| row.number == *number)) {
                findings.push(source.at(line, &format!("{} is not in {PAGE}; add its row", spelled(number))));
            }
        }
    }
    findings
}

/// Rows are numbered without gaps, each letter by itself.
fn gaps(rows: &[Row]) -> Vec<String> {
    let mut last = BTreeMap::new();
    let mut findings = Vec::new();
    for row in rows {
        let before = last.insert(row.number.0, row.number.1).unwrap_or(0);
        if row.number.1 != before + 1 {
            let (number, before) = (spelled(row.number), spelled((row.number.0, before)));
            findings.push(format!("{PAGE}:1: {number} follows {before}; rows are numbered without gaps"));
        }
    }
    findings
}

/// What a document names that the page does not have. Words such as `F1` that are no numbers of ours would
/// be noticed too; none occur.
fn unknown(rows: &[Row], path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let strange = numbers(line).filter(|number| "RT".contains(number.0));
        for number in strange.filter(|number| !rows.iter().any(|row| row.number == *number)) {
            findings.push(format!("{path}:{}: {} is not in {PAGE}", at + 1, spelled(number)));
        }
    }
    findings
}

fn scanned(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| !source.path.starts_with("tests/tidy"))
}

/// A line's comment. What stands in a string is none, though it may look like one.
fn comment(line: &Line) -> Option<&str> {
    let at = line.raw.find("//")?;
    (!line.strings.iter().any(|text| text.contains("//"))).then(|| &line.raw[at..])
}

/// Each number that the comments of tests name, with those tests.
fn named(sources: &[Source]) -> BTreeMap<(char, u32), BTreeSet<String>> {
    let mut tests: BTreeMap<(char, u32), BTreeSet<String>> = BTreeMap::new();
    for source in scanned(sources) {
        let mut around = None;
        for (at, line) in source.lines.iter().enumerate() {
            around = item(&line.code).filter(|_| has_word(&line.code, "fn")).or(around);
            let Some(comment) = comment(line).filter(|_| line.in_test) else { continue };
            let whole = line.raw.starts_with("//!");
            let item = if whole { None } else { below(&source.lines[at..]).or(around) };
            let place = item.map_or(source.path.clone(), |name| format!("{}::{name}", source.path));
            for number in numbers(comment) {
                tests.entry(number).or_default().insert(place.clone());
            }
        }
    }
    tests
}

/// The item that a comment stands over.
fn below(lines: &[Line]) -> Option<&str> {
    let code =
        lines.iter().map(|line| line.code.trim()).find(|code| !code.is_empty() && !code.starts_with("#["));
    code.and_then(item)
}

/// The name of the function, constant, type or module that a line declares.
fn item(code: &str) -> Option<&str> {
    let kinds = ["fn ", "const ", "static ", "struct ", "enum ", "mod "];
    let (before, rest) = kinds.iter().find_map(|kind| code.split_once(kind))?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    let end = rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(rest.len());
    (end > 0 && before.split_whitespace().all(|word| modifiers.contains(&word))).then(|| &rest[..end])
}

/// The page that says which tests hold what.
fn traceability(rows: &[Row], sources: &[Source]) -> String {
    let named = named(sources);
    let mut page = String::from(
        "# Which test holds which requirement\n\nGenerated from the comments of the tests by `just traceability`; \
         what the numbers mean is in [requirements.md](requirements.md). A file without a test's name holds \
         the number as a whole. What is planned has no entry.\n",
    );
    let parts = [('R', "Requirements"), ('T', "Attacks"), ('I', "Invariants"), ('F', "Faults")];
    for (letter, title) in parts {
        page.push_str(&format!("\n## {title}\n"));
        for row in rows.iter().filter(|row| row.number.0 == letter) {
            let Some(tests) = named.get(&row.number) else { continue };
            page.push_str(&format!("\n**{}** {}\n\n", spelled(row.number), row.text));
            tests.iter().for_each(|test| page.push_str(&format!("- `{test}`\n")));
        }
    }
    page
}
