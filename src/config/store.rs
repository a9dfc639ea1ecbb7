//! `[store]`: where the data is.

use std::path::PathBuf;

use super::{
    reader::Reader,
    value::{Reading, path, whole},
};

/// The embedded store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Folder of the store and of the generated master key. Default ./chancery-data.
    pub data_dir: PathBuf,
    /// The file that `url` (or `DATABASE_URL`) names, if it was set.
    pub url: Option<PathBuf>,
    /// Connections that read; 0 is one for each core. Default 0.
    pub readers: usize,
}

impl Store {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            data_dir: reader.get(("store", "data_dir"), path),
            url: reader.optional(("store", "url"), sqlite_path),
            readers: reader.get(("store", "readers"), whole(0..=256)),
        }
    }

    /// The database file: what `url` names, else `chancery.db` in `data_dir`.
    pub fn database(&self) -> PathBuf {
        self.url.clone().unwrap_or_else(|| self.data_dir.join("chancery.db"))
    }
}

/// Reads `sqlite:path`, `sqlite:///absolute/path` and `sqlite://relative/path`. The error does not repeat
/// the URL, which may hold a password.
fn sqlite_path(url: &str) -> Reading<PathBuf> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("must be of the form sqlite:path".to_owned());
    };
    match scheme {
        "sqlite" => {}
        "postgres" | "postgresql" => {
            return Err(
                "names PostgreSQL, which is not supported yet; use sqlite:path or unset it".to_owned()
            );
        }
        _ => return Err("names a database that is not supported; use sqlite:path or unset it".to_owned()),
    }
    if rest.contains(":memory:") {
        return Err("names a store in memory, which would forget revocations; use a file".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("must not have parameters after the path".to_owned());
    }
    path(rest.strip_prefix("//").unwrap_or(rest)).map_err(|_| "must name a file: sqlite:path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls_name_files() {
        for (url, expected) in [
            ("sqlite:chancery.db", "chancery.db"),
            ("sqlite:/srv/chancery.db", "/srv/chancery.db"),
            ("sqlite:///srv/chancery.db", "/srv/chancery.db"),
            ("sqlite://data/chancery.db", "data/chancery.db"),
            ("sqlite:./a b.db", "./a b.db"),
        ] {
            assert_eq!(sqlite_path(url), Ok(PathBuf::from(expected)), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason_and_without_the_password() {
        for (url, reason) in [
            ("postgres://chancery:hunter2@db/chancery", "PostgreSQL"),
            ("postgresql://chancery:hunter2@db/chancery", "PostgreSQL"),
            ("mysql://chancery:hunter2@db/chancery", "not supported"),
            ("hunter2", "sqlite:path"),
            ("sqlite:", "name a file"),
            ("sqlite://", "name a file"),
            ("sqlite::memory:", "memory"),
            ("sqlite:a.db?mode=rwc&key=hunter2", "parameters"),
        ] {
            let why = sqlite_path(url).unwrap_err();
            assert!(why.contains(reason) && !why.contains("hunter2"), "{url}: {why}");
        }
    }
}
