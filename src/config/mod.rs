//! The configuration: one struct per section, read from a TOML file and the environment.
//!
//! Every key has a default that serves, every key can be set by `CHANCERY_<SECTION>_<KEY>`, the environment
//! wins over the file, and everything that is wrong is reported at once. `docs/configuration.md` is checked
//! against [`KEYS`].

mod cache;
mod database_url;
mod document;
mod env;
mod fault;
mod feed;
mod issuer;
mod keys;
mod log;
mod master_key;
mod metrics;
mod pages;
mod password;
mod postgres;
mod reader;
mod redis;
mod refresh;
mod resource;
mod server;
mod session;
mod store;
mod suggest;
mod table;
mod tls;
mod tokens;
mod tracing;
mod value;

use std::path::Path;

pub use cache::CacheConfig;
pub use database_url::{Location, SecretUrl};
pub use env::{Env, ProcessEnv};
pub use fault::Fault;
pub use feed::FeedConfig;
pub use issuer::Issuer;
pub use keys::KeysConfig;
pub use log::{LogConfig, LogFormat};
pub use master_key::{create_master_key, read_master_keys};
pub use metrics::MetricsConfig;
pub use pages::PagesConfig;
pub use password::PasswordConfig;
pub use postgres::PostgresConfig;
use reader::SettingReader;
pub use redis::{RedisConfig, RedisStrategy};
pub use refresh::RefreshConfig;
pub use resource::ResourceConfig;
pub use server::ServerConfig;
pub use session::SessionConfig;
pub use store::StoreConfig;
pub use table::{KEYS, Key, REFUSED};
pub use tls::TlsConfig;
pub use tokens::TokensConfig;
pub use tracing::TracingConfig;
pub use value::whole_seconds;

use crate::model::Secret;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[tls]`
    pub tls: Option<TlsConfig>,
    /// `[store]`
    pub store: StoreConfig,
    /// `[postgres]`
    pub postgres: PostgresConfig,
    /// `[redis]`
    pub redis: RedisConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[tokens]`
    pub tokens: TokensConfig,
    /// `[refresh]`
    pub refresh: RefreshConfig,
    /// `[session]`
    pub session: SessionConfig,
    /// `[feed]`
    pub feed: FeedConfig,
    /// `[cache]`
    pub cache: CacheConfig,
    /// `[password]`
    pub password: PasswordConfig,
    /// `[pages]`
    pub pages: PagesConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[tracing]`
    pub tracing: TracingConfig,
    /// `[[resource]]`
    pub resources: Vec<ResourceConfig>,
}

impl Config {
    /// Reads the file (its path, for messages, and its content) and the environment.
    ///
    /// Returns every fault at once, in the order file, environment, values.
    pub fn load(file: Option<(&Path, &str)>, env: &dyn Env) -> Result<Self, Vec<Fault>> {
        let mut reader = SettingReader::default();
        let entries = file.map(|(path, text)| reader.file(path, text)).unwrap_or_default();
        reader.environment(env);
        if reader.is_broken() {
            return Err(reader.into_faults());
        }
        let config = Self::read(&mut reader, entries);
        let faults = reader.into_faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn read(reader: &mut SettingReader, entries: Vec<document::TableEntry>) -> Self {
        let (store, tls) = (StoreConfig::read(reader), TlsConfig::read(reader));
        let config = Self {
            server: ServerConfig::read(reader, tls.is_some()),
            tls,
            postgres: PostgresConfig::read(reader, &store),
            store,
            redis: RedisConfig::read(reader),
            keys: KeysConfig::read(reader),
            tokens: TokensConfig::read(reader),
            refresh: RefreshConfig::read(reader),
            session: SessionConfig::read(reader),
            feed: FeedConfig::read(reader),
            cache: CacheConfig::read(reader),
            password: PasswordConfig::read(reader),
            pages: PagesConfig::read(reader),
            log: LogConfig::read(reader),
            metrics: MetricsConfig::read(reader),
            tracing: TracingConfig::read(reader),
            resources: ResourceConfig::read(reader, entries),
        };
        // A key is published for this long before it signs, so it cannot be replaced sooner.
        let head_start = config.keys.jwks_max_age + config.feed.max_staleness.as_secs() + 1;
        reader.agree(
            ("keys", "rotation"),
            ("keys", "jwks_max_age"),
            config.keys.rotation > head_start,
            "must be longer than `jwks_max_age` plus `[feed] max_staleness`",
        );
        // Otherwise the request is answered before the wait could have ended well.
        for (name, timeout) in [
            ("acquire_timeout", config.postgres.acquire_timeout),
            ("statement_timeout", config.postgres.statement_timeout),
        ] {
            reader.agree(
                ("postgres", name),
                ("server", "request_timeout"),
                !config.store.is_postgres() || timeout < config.server.request_timeout,
                "must be less than `[server] request_timeout`",
            );
        }
        config
    }

    /// The master keys, from the configuration or a file. `None` if nothing was configured and the data
    /// folder holds no key file yet: one has to be made, with [`create_master_key`].
    ///
    /// Nodes that share a store must share the master key, so that with Postgres it has to be given: a
    /// key that each node made for itself would open nothing of what the others sealed.
    pub fn master_keys(&self) -> Result<Option<Vec<Secret<[u8; 32]>>>, Fault> {
        let given = !self.keys.master.is_empty() || self.keys.master_file.is_some();
        if self.store.is_postgres() && !given {
            return Err(Fault::new(
                "[keys] master_file",
                "is required with Postgres, since every node must have the same master key; make one with \
                 `chancery keys generate-master FILE`, give each node a copy, and name it here (or hand its \
                 line over as CHANCERY_KEYS_MASTER)",
            ));
        }
        self.keys.master_keys(&self.store.data_dir)
    }
}

#[cfg(test)]
mod tests;
