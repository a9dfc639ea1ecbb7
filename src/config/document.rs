//! The configuration file: TOML (v1.1), with the line of everything that is wrong in it.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::{
    Fault,
    reader::{Given, GivenValue, SettingReader},
    suggest::nearest,
    table::{KEYS, sections},
};

/// One entry of a list of tables: its fields, each with its place.
pub(super) struct TableEntry {
    pub(super) place: String,
    pub(super) fields: BTreeMap<&'static str, (String, String)>,
}

/// The file's name and text, to tell lines.
struct File<'a> {
    name: String,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.text[..offset].matches('\n').count() + 1)
    }

    fn position(&self, offset: usize) -> String {
        let before = &self.text.get(..offset).unwrap_or(self.text);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{}:{}:{column}", self.name, before.matches('\n').count() + 1)
    }
}

impl SettingReader {
    /// Takes the file's sections; returns the entries of `[[resource]]`.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> Vec<TableEntry> {
        let file = File { name: path.display().to_string(), text };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            // Only the parser's message: its Display quotes the line, which may hold a secret.
            let at = error.span().map_or_else(|| file.name.clone(), |span| file.position(span.start));
            self.faults.push(Fault::new(at, format!("is not TOML: {}", error.message())));
        }
        if !errors.is_empty() {
            self.broken = true;
            return Vec::new();
        }
        let mut resources = Vec::new();
        for (name, value) in document.into_inner() {
            let line = file.line(name.span().start);
            match value.into_inner() {
                DeValue::Array(entries) if name.get_ref() == "resource" => {
                    for entry in entries {
                        let at = file.line(entry.span().start);
                        resources.extend(self.entry(&file, at, entry.into_inner()));
                    }
                }
                DeValue::Table(table) => self.section(&file, name.get_ref(), line, table),
                DeValue::Array(_) => {
                    let place = format!("{line}: {}", name.get_ref());
                    self.faults
                        .push(Fault::new(place, "is not a list of Chancery; the only one is [[resource]]"));
                }
                _ => self.faults.push(Fault::new(
                    format!("{line}: {}", name.get_ref()),
                    "stands outside of a section; put it under its [section]",
                )),
            }
        }
        resources
    }

    fn section(&mut self, file: &File, name: &str, line: String, table: DeTable) {
        let Some(section) = sections().find(|section| *section == name) else {
            let hint =
                nearest(name, sections().chain(["resource"])).map(|near| format!("; did you mean [{near}]?"));
            let what = if name == "resource" { "is a list; write [[resource]]" } else { "is not a section" };
            self.faults.push(Fault::new(
                format!("{line}: [{name}]"),
                format!("{what}{}", hint.filter(|_| name != "resource").unwrap_or_default()),
            ));
            return;
        };
        for (name, value) in table {
            let place = format!("{}: [{section}] {}", file.line(name.span().start), name.get_ref());
            let Some(key) =
                KEYS.iter().find(|key| key.section == section && key.name == name.get_ref().as_ref())
            else {
                self.faults.push(Fault::new(place, unknown_key(section, name.get_ref())));
                continue;
            };
            match read_value(value.into_inner()) {
                Ok(value) => {
                    self.given.insert((key.section, key.name), Given { place, value });
                }
                Err(why) => self.bad((key.section, key.name), place, why),
            }
        }
    }

    /// One `[[resource]]`.
    fn entry(&mut self, file: &File, line: String, value: DeValue) -> Option<TableEntry> {
        let place = format!("{line}: [[resource]]");
        let DeValue::Table(table) = value else {
            self.faults.push(Fault::new(place, "must be a table with `uri` and optionally `owner`"));
            return None;
        };
        let mut entry = TableEntry { place, fields: BTreeMap::new() };
        for (name, value) in table {
            let place = format!("{}: [[resource]] {}", file.line(name.span().start), name.get_ref());
            match (["uri", "owner"].into_iter().find(|known| known == name.get_ref()), value.into_inner()) {
                (Some(name), DeValue::String(text)) => {
                    entry.fields.insert(name, (place, text.into_owned()));
                }
                (Some(_), _) => self.faults.push(Fault::new(place, "must be a string")),
                (None, _) => {
                    let hint = nearest(name.get_ref(), ["uri", "owner"]);
                    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    self.faults.push(Fault::new(place, format!("is not a key of [[resource]]{hint}")));
                }
            }
        }
        Some(entry)
    }
}

fn read_value(value: DeValue) -> Result<GivenValue, String> {
    use DeValue::{Array, Boolean, Float, Integer, String};
    match value {
        String(text) => Ok(GivenValue::Text(Zeroizing::new(text.into_owned()))),
        Integer(number) if number.radix() == 10 => Ok(GivenValue::Text(number.as_str().to_owned().into())),
        Float(number) => Ok(GivenValue::Text(number.as_str().to_owned().into())),
        Boolean(flag) => Ok(GivenValue::Text(flag.to_string().into())),
        Array(items) => {
            let texts = items.into_iter().map(|item| match item.into_inner() {
                String(text) => Ok(Zeroizing::new(text.into_owned())),
                _ => Err("must be a list of strings".to_owned()),
            });
            texts.collect::<Result<_, _>>().map(GivenValue::List)
        }
        _ => Err("must be a string, a number, true or false".to_owned()),
    }
}

fn unknown_key(section: &str, name: &str) -> String {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("is not a key of [{section}]; there is one in [{}]", key.section);
    }
    let names = KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    let hint = nearest(name, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("is not a key of [{section}]{hint}")
}
