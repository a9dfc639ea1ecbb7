//! `[store]`: where the data is.

use std::path::PathBuf;

use super::{
    database_url::{Location, SecretUrl, location, postgres},
    reader::SettingReader,
    value::{path, whole},
};

/// The store, embedded or Postgres.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Folder of the embedded store and of the generated master key. Default ./chancery-data.
    pub data_dir: PathBuf,
    /// What `url` (or `DATABASE_URL`) names, if it was set; see [`StoreConfig::location`].
    pub url: Option<Location>,
    /// Where migrations and locks go, past a pooler; without it `url`. Postgres only.
    pub migration_url: Option<SecretUrl>,
    /// Read replicas. Default none. Postgres only.
    pub replica_urls: Vec<SecretUrl>,
    /// Connections that read; 0 is one for each core. Default 0. Embedded store only.
    pub readers: usize,
}

impl StoreConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            data_dir: reader.get(("store", "data_dir"), path),
            url: reader.optional(("store", "url"), location),
            migration_url: reader.optional(("store", "migration_url"), postgres),
            replica_urls: reader.list(("store", "replica_urls"), postgres),
            readers: reader.get(("store", "readers"), whole(0..=256)),
        };
        if !reader.is_sound(("store", "url")) {
            return read;
        }
        if read.is_postgres() {
            reader.unused(("store", "readers"), "is for the embedded store; see `[postgres]`, or remove it");
        } else {
            for name in ["migration_url", "replica_urls"] {
                let why = "is for Postgres, but the store is embedded; set `[store] url` to postgres://… or remove it";
                reader.unused(("store", name), why);
            }
        }
        read
    }

    /// Where the store is: what `url` names, else `chancery.db` in `data_dir`.
    pub fn location(&self) -> Location {
        self.url.clone().unwrap_or_else(|| Location::File(self.data_dir.join("chancery.db")))
    }

    /// Whether several nodes may serve it.
    pub fn is_postgres(&self) -> bool {
        matches!(self.url, Some(Location::Postgres(_)))
    }
}
