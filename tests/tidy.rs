//! The architecture's rules as tests (ARCHITECTURE.md): what this file and its folder do
//! not allow does not get in.
//!
//! Each rule is a plain line scanner with two tests: one runs it over the repository, the other over a
//! small bad example, because a check that cannot fail is no check. A failure names file and line and
//! says what to do.

#[path = "tidy/agreement.rs"]
mod agreement;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/image.rs"]
mod image;
#[path = "tidy/ladder.rs"]
mod ladder;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/layout.rs"]
mod layout;
#[path = "tidy/log_fields.rs"]
mod log_fields;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/records.rs"]
mod records;
#[path = "tidy/requirements.rs"]
mod requirements;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/type_names.rs"]
mod type_names;
#[path = "tidy/words.rs"]
mod words;

/// Fails with all findings at once.
fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} finding(s):\n  {}\n", findings.len(), findings.join("\n  "));
}

/// Asserts that a rule notices its bad example: one finding, which contains `part`.
fn assert_one(findings: &[String], part: &str) {
    assert!(
        findings.len() == 1 && findings[0].contains(part),
        "expected one finding on {part:?}: {findings:?}"
    );
}
