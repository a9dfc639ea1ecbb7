//! `[pages]`: branding.

use std::path::PathBuf;

use super::{reader::SettingReader, value::path};

/// Page templates.
#[derive(Clone, Debug)]
pub struct PagesConfig {
    /// Folder with templates that replace the built-in ones of the same name. Default none.
    pub templates: Option<PathBuf>,
}

impl PagesConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let place = ("pages", "templates");
        let templates = reader.optional(place, path);
        if templates.as_ref().is_some_and(|folder| !folder.is_dir()) {
            reader.refuse(place, "must be a folder that exists");
        }
        Self { templates }
    }
}
