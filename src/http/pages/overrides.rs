//! A folder of templates that replace the built-in ones, for branding.

use std::{fs, path::Path};

use minijinja::Environment;

use super::{TEMPLATES, samples};

/// The one asset that a folder may replace.
const STYLESHEET: &str = "chancery.css";

/// Everything that is wrong with a template folder.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page templates cannot be used:\n  {}", faults.join("\n  "))]
pub struct PagesError {
    /// One sentence each.
    pub faults: Vec<String>,
}

/// The files of a template folder.
#[derive(Default)]
pub(super) struct Overrides {
    /// Name and source of each template.
    pub(super) templates: Vec<(&'static str, String)>,
    /// The content of `chancery.css`.
    pub(super) stylesheet: Option<String>,
}

impl Overrides {
    /// Reads a folder. Names that begin with a dot are left alone: editors, version control and mounted
    /// ConfigMaps put theirs there.
    pub(super) fn read(folder: &Path) -> Result<Self, PagesError> {
        let unreadable = |error| PagesError {
            faults: vec![format!("the folder {} cannot be read: {error}", folder.display())],
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();
        let mut found = Self::default();
        let mut faults = Vec::new();
        for path in paths {
            if let Err(fault) = found.take(&path) {
                faults.push(fault);
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(PagesError { faults }) }
    }

    fn take(&mut self, path: &Path) -> Result<(), String> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.starts_with('.') {
            return Ok(());
        }
        let template = TEMPLATES.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
        if template.is_none() && name != STYLESHEET {
            let known: Vec<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            return Err(format!("{name}: no page has this name; there are {known} and {STYLESHEET}"));
        }
        let content = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        match template {
            Some(template) => self.templates.push((template, content)),
            None => self.stylesheet = Some(content),
        }
        Ok(())
    }
}

/// Compiles the replacements into `env` and tries every page with sample values: an unknown variable, or
/// a form that lost its CSRF token or login transaction, is a fault at start.
pub(super) fn compile(
    mut env: Environment<'static>,
    templates: Vec<(&'static str, String)>,
) -> Result<Environment<'static>, PagesError> {
    let mut faults = Vec::new();
    for (name, source) in templates {
        if let Err(error) = env.add_template_owned(name, source) {
            faults.push(error.to_string());
        }
    }
    // What does not compile was reported; the rest is tried on top of the built-in pages.
    for trial in samples::trials() {
        match env.get_template(trial.template).and_then(|template| template.render(&trial.view)) {
            Ok(body) => {
                let lost = trial.must_have.iter().filter(|needed| !body.contains(*needed));
                faults.extend(lost.map(|needed| format!("{}: {needed} is missing", trial.template)));
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    faults.dedup();
    if faults.is_empty() { Ok(env) } else { Err(PagesError { faults }) }
}
