//! Standard output and error: tables for people, JSON for programs. Nothing else prints.

use std::{
    io::{self, ErrorKind, Write},
    ops::ControlFlow,
    sync::Mutex,
};

use serde_json::Value;

use crate::{
    http::pages::calendar,
    model::UnixTime,
    provider::admin::view::{Property, Wording},
};

/// Why a result did not reach its reader, if one did not.
static UNTOLD: Mutex<Option<String>> = Mutex::new(None);

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the reader is a program.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// One result: the value for programs, the text for people.
    pub(super) fn result(self, value: &Value, text: impl FnOnce() -> String) {
        let shown = if self.json { value.to_string() } else { text() };
        write_result(&shown);
    }

    /// What was done, to one thing with a name.
    pub(super) fn done(self, value: &Value, sentence: &str) {
        self.result(value, || sentence.to_owned());
    }

    /// A list: an array for programs, aligned columns for people.
    pub(super) fn list(self, values: &[Value], headings: &[&str], rows: impl FnOnce() -> Vec<Vec<String>>) {
        if self.json {
            return write_result(&Value::from(values).to_string());
        }
        let rows = rows();
        let text = if rows.is_empty() { "(none)".to_owned() } else { table(headings, &rows) };
        write_result(&text);
    }

    /// Why a result could not be written, if one could not: the command must not pass for done.
    pub(super) fn untold(self) -> Option<String> {
        UNTOLD.lock().ok()?.take()
    }

    /// What went wrong, for people.
    pub(super) fn error(self, message: &str) {
        for line in message.lines() {
            // If even that fails, the exit code is all that is left.
            let _ = print(io::stderr().lock(), &format!("chancery: {line}"));
        }
    }
}

/// Records as NDJSON: one JSON object on each line, written as they come, so that there may be any
/// number of them.
pub(super) struct NdjsonWriter {
    to: io::BufWriter<io::StdoutLock<'static>>,
}

impl NdjsonWriter {
    pub(super) fn begin() -> Self {
        Self { to: io::BufWriter::new(io::stdout().lock()) }
    }

    /// Writes one. Breaks when the reader has gone, as `head` does: it has what it wanted.
    pub(super) fn write(&mut self, value: &Value) -> io::Result<ControlFlow<()>> {
        until_gone(writeln!(self.to, "{value}"))
    }

    /// Hands on what is still held back.
    pub(super) fn end(mut self) -> io::Result<()> {
        until_gone(self.to.flush()).map(drop)
    }
}

fn until_gone(written: io::Result<()>) -> io::Result<ControlFlow<()>> {
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error),
    }
}

/// Writes a result. A reader that has gone, as `head` does, has what it wanted.
fn write_result(text: &str) {
    let Err(error) = print(io::stdout().lock(), text) else { return };
    if error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut untold) = UNTOLD.lock()
    {
        *untold = Some(format!(
            "the result could not be written: {error}; a secret that was in it is lost, make another with `chancery client rotate-secret`"
        ));
    }
}

fn print(mut to: impl Write, text: &str) -> io::Result<()> {
    writeln!(to, "{text}").and_then(|()| to.flush())
}

/// Columns as wide as their widest cell, two blanks apart.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width =
        |column: usize| lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..headings.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and values, one on each line.
pub(super) fn properties(of: &[(impl AsRef<str>, String)]) -> String {
    let width = of.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0);
    let line = |name: &str, value: &str| format!("{name:<width$}  {value}").trim_end().to_owned();
    of.iter().map(|(name, value)| line(name.as_ref(), value)).collect::<Vec<_>>().join("\n")
}

/// A record's view as names and values for people.
pub(super) fn viewed(view: &[Property]) -> Vec<(String, String)> {
    view.iter().map(|one| (one.name.replace('_', " "), read(one))).collect()
}

fn read(property: &Property) -> String {
    match (&property.text, &property.value) {
        (Wording::Words(words), _) => words.clone(),
        (Wording::Seconds, value) => format!("{value} s"),
        (Wording::Moment, value) => moment(UnixTime(value.as_u64().unwrap_or_default())),
        (Wording::Plain, Value::Bool(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        (Wording::Plain, Value::String(text)) => text.clone(),
        (Wording::Plain, Value::Array(entries)) if entries.is_empty() => "-".to_owned(),
        (Wording::Plain, Value::Array(entries)) => entries
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        (Wording::Plain, value) => value.to_string(),
    }
}

/// A moment for people (RFC 3339).
pub(super) fn moment(time: UnixTime) -> String {
    calendar::iso(time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".into(), "long cell".into(), "x".into()],
            vec!["äöü".into(), "b".into(), String::new()],
        ];
        assert_eq!(table(&["n", "what", ""], &rows), "N    WHAT\na    long cell  x\näöü  b");
    }

    #[test]
    fn properties_are_aligned() {
        assert_eq!(properties(&[("a", "1".into()), ("long", "2".into())]), "a     1\nlong  2");
    }
}
