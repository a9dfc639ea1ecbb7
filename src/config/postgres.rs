//! `[postgres]`: how the connections to Postgres are kept.

use std::{path::PathBuf, time::Duration};

use super::{
    StoreConfig,
    reader::SettingReader,
    value::{DAY, HOUR, MINUTE, SECOND, duration, flag, path, whole},
};

/// Connections to Postgres.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The most connections for requests; 0 is four for each core. Default 0.
    pub max_connections: usize,
    /// Connections kept open when idle. Default 2.
    pub min_idle: usize,
    /// How long to wait for a free connection. Default 1 s.
    pub acquire_timeout: Duration,
    /// A connection is replaced at this age. Default 30 min.
    pub max_lifetime: Duration,
    /// One that was idle for so long is closed. Default 10 min.
    pub idle_timeout: Duration,
    /// The longest a statement may take. Default 5 s.
    pub statement_timeout: Duration,
    /// Whether statements are prepared and kept. Default true.
    pub prepared: bool,
    /// Connections that point reads share. Default 4.
    pub read_connections: usize,
    /// Certificates of the authorities to trust (PEM). Default those of the system.
    pub root_file: Option<PathBuf>,
    /// Whether concurrent commits are written together. Default true.
    pub group_commit: bool,
}

impl PostgresConfig {
    pub(super) fn read(reader: &mut SettingReader, store: &StoreConfig) -> Self {
        let read = Self {
            max_connections: reader.get(("postgres", "max_connections"), whole(0..=10_000)),
            min_idle: reader.get(("postgres", "min_idle"), whole(0..=10_000)),
            acquire_timeout: reader.get(("postgres", "acquire_timeout"), duration(10..=MINUTE)),
            max_lifetime: reader.get(("postgres", "max_lifetime"), duration(MINUTE..=7 * DAY)),
            idle_timeout: reader.get(("postgres", "idle_timeout"), duration(SECOND..=24 * HOUR)),
            statement_timeout: reader.get(("postgres", "statement_timeout"), duration(10..=10 * MINUTE)),
            prepared: reader.get(("postgres", "prepared"), flag),
            read_connections: reader.get(("postgres", "read_connections"), whole(1..=64)),
            root_file: reader.optional(("postgres", "root_file"), path),
            group_commit: reader.get(("postgres", "group_commit"), flag),
        };
        if !store.is_postgres() && reader.is_sound(("store", "url")) {
            let why =
                "is for Postgres, but the store is embedded; set `[store] url` to postgres://… or remove it";
            reader.unused_section("postgres", why);
            return read;
        }
        read.check(reader);
        read
    }

    fn check(&self, reader: &mut SettingReader) {
        let (least, most) = (("postgres", "min_idle"), ("postgres", "max_connections"));
        // The default gives way to a small pool; only what somebody asked for can contradict it.
        let fits =
            !reader.is_given(least) || self.max_connections == 0 || self.min_idle <= self.max_connections;
        reader.agree(least, most, fits, "must be at most `max_connections`");
        let idle = ("postgres", "idle_timeout");
        let lifetime = ("postgres", "max_lifetime");
        let fits = !reader.is_given(idle) || self.idle_timeout <= self.max_lifetime;
        reader.agree(idle, lifetime, fits, "must be at most `max_lifetime`");
        let readable = self.root_file.as_ref().is_none_or(|file| file.is_file());
        if !readable {
            reader.refuse(("postgres", "root_file"), "must be a file with certificates in PEM");
        }
    }
}
