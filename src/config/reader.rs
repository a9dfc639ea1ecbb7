//! Brings what was given and the defaults together, and collects everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::{
    Fault,
    env::{Env, is_service_link},
    suggest::nearest,
    table::{KEYS, Key, REFUSED},
    value::Reading,
};

/// The place of a key in the configuration: section and name.
pub(super) type SettingName = (&'static str, &'static str);

/// A value as it was written, and where.
pub(super) struct Given {
    pub(super) place: String,
    pub(super) value: GivenValue,
}

/// Values are kept as text, whatever their type in the file: `workers = 4` and `workers = "4"` are one.
pub(super) enum GivenValue {
    Text(Zeroizing<String>),
    List(Vec<Zeroizing<String>>),
}

/// Everything that was given, and every fault so far.
#[derive(Default)]
pub(super) struct SettingReader {
    pub(super) given: BTreeMap<SettingName, Given>,
    pub(super) faults: Vec<Fault>,
    /// Keys whose value was refused; a default stands in for them.
    unsound: BTreeSet<SettingName>,
    asked: BTreeSet<SettingName>,
    /// The file could not be understood, so nothing can be said about what it leaves out.
    pub(super) broken: bool,
}

impl SettingReader {
    /// Takes the environment, which wins over the file. Variables that are set but empty count as not set.
    pub(super) fn environment(&mut self, env: &dyn Env) {
        for key in KEYS {
            let own = self.variable(env, &key.variable());
            let familiar = key.familiar.and_then(|name| Some((name, self.variable(env, name)?)));
            let (place, text) = match (own, familiar) {
                (Some(own), Some((name, other))) if own != other => {
                    let place = format!("{} and {name}", key.variable());
                    self.bad(
                        (key.section, key.name),
                        place,
                        "are both set, and differ; unset one".to_owned(),
                    );
                    continue;
                }
                (Some(own), _) => (key.variable(), own),
                (None, Some((name, text))) => (name.to_owned(), text),
                (None, None) => continue,
            };
            self.given.insert((key.section, key.name), Given { place, value: GivenValue::Text(text) });
        }
        for (name, why) in REFUSED {
            if env.get(name).is_some_and(|value| !value.is_empty()) {
                self.faults.push(Fault::new(*name, format!("cannot be used: {why}; unset it")));
            }
        }
        self.unknown_variables(env);
    }

    fn variable(&mut self, env: &dyn Env, name: &str) -> Option<Zeroizing<String>> {
        match env.get(name)?.into_string() {
            Ok(text) => Some(Zeroizing::new(text)).filter(|text| !text.is_empty()),
            Err(_) => {
                self.faults.push(Fault::new(name, "must be UTF-8 text"));
                None
            }
        }
    }

    fn unknown_variables(&mut self, env: &dyn Env) {
        let known: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
        let mut names = env.names();
        names.sort_unstable();
        for name in names {
            let Some(rest) = name.strip_prefix("CHANCERY_").filter(|_| !known.contains(&name)) else {
                continue;
            };
            let value = env.get(&name).unwrap_or_default();
            if is_service_link(&name, &value.to_string_lossy()) {
                continue;
            }
            // Compared without the prefix, which would make every two names alike.
            let hint = nearest(rest, known.iter().filter_map(|name| name.strip_prefix("CHANCERY_")));
            let hint =
                hint.map_or_else(|| "unset it".to_owned(), |near| format!("did you mean CHANCERY_{near}?"));
            self.faults.push(Fault::new(name, format!("is not a variable of Chancery; {hint}")));
        }
    }

    /// Reads a key that has a default.
    pub(super) fn get<T>(&mut self, place: SettingName, read: impl Fn(&str) -> Reading<T>) -> T {
        let default = find(place).default;
        self.optional(place, &read)
            .unwrap_or_else(|| read(default).expect("the defaults are valid, a test reads them all"))
    }

    /// Reads a key that may be left out.
    pub(super) fn optional<T>(&mut self, place: SettingName, read: impl Fn(&str) -> Reading<T>) -> Option<T> {
        self.asked.insert(place);
        let given = self.given.get(&place)?;
        let (read, text) = match &given.value {
            GivenValue::Text(text) => (read(text), Some(text.as_str())),
            GivenValue::List(_) => (Err("must be a single value, not a list".to_owned()), None),
        };
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                let message = match text {
                    Some(text) if !find(place).secret => format!("{why}, not {}", quoted(text)),
                    _ => why,
                };
                self.bad(place, given.place.clone(), message);
                None
            }
        }
    }

    /// Reads a list; as text its items are separated by commas. What is wrong with one item is told
    /// with its position, not its value.
    pub(super) fn list<T>(&mut self, place: SettingName, read: impl Fn(&str) -> Reading<T>) -> Vec<T> {
        self.asked.insert(place);
        let split = |text: &str| -> Vec<Zeroizing<String>> {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| item.to_owned().into())
                .collect()
        };
        let default = split(find(place).default);
        let items = match self.given.get(&place).map(|given| &given.value) {
            Some(GivenValue::Text(text)) => split(text),
            Some(GivenValue::List(items)) => items.clone(),
            None => default.clone(),
        };
        let (mut values, mut wrong) = (Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            match read(item) {
                Ok(value) => values.push(value),
                Err(why) => wrong.push(format!("item {} {why}", at + 1)),
            }
        }
        if wrong.is_empty() {
            return values;
        }
        self.refuse(place, wrong.join("; "));
        default.iter().filter_map(|item| read(item).ok()).collect()
    }

    /// Refuses a key that was given where it can have no effect.
    pub(super) fn unused(&mut self, place: SettingName, why: &str) {
        if self.is_given(place) && self.is_sound(place) {
            self.refuse(place, why);
        }
    }

    /// Refuses every key of a section that was given.
    pub(super) fn unused_section(&mut self, section: &str, why: &str) {
        for key in KEYS.iter().filter(|key| key.section == section) {
            self.unused((key.section, key.name), why);
        }
    }

    /// Whether a key was set, in the file or by a variable.
    pub(super) fn is_given(&self, place: SettingName) -> bool {
        self.given.contains_key(&place)
    }

    /// Reports that two sound values do not go together.
    pub(super) fn agree(&mut self, place: SettingName, other: SettingName, holds: bool, why: &str) {
        if !holds && !self.unsound.contains(&place) && !self.unsound.contains(&other) {
            self.refuse(place, why);
        }
    }

    /// Reports a fault of one key.
    pub(super) fn refuse(&mut self, place: SettingName, why: impl Into<String>) {
        let at = self
            .given
            .get(&place)
            .map_or_else(|| format!("[{}] {}", place.0, place.1), |given| given.place.clone());
        self.bad(place, at, why.into());
    }

    /// Reports a fault that belongs to no key of the table.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Whether nothing is wrong with a key so far.
    pub(super) fn is_sound(&self, place: SettingName) -> bool {
        !self.unsound.contains(&place)
    }

    /// Whether the file could be understood.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Every fault that was found.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The keys that were asked for.
    #[cfg(test)]
    pub(super) fn asked(&self) -> &BTreeSet<SettingName> {
        &self.asked
    }

    /// Reports a fault of one key at a place.
    pub(super) fn bad(&mut self, key: SettingName, place: String, message: String) {
        self.unsound.insert(key);
        self.faults.push(Fault::new(place, message));
    }
}

fn find((section, name): SettingName) -> &'static Key {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
        .expect("sections read only keys of the table, a test reads them all")
}

/// A value for a message: shortened, control characters escaped.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", short.escape_debug())
}
