//! `[redis]`: change notifications between nodes. They make changes take effect sooner; nothing depends on them.

use std::{path::PathBuf, time::Duration};

use super::{
    database_url::{SecretUrl, redis},
    reader::SettingReader,
    value::{SECOND, duration, path, whole},
};

/// Connections to Redis.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where it is. Default none: everything works without it.
    pub url: Option<SecretUrl>,
    /// How connections are shared. Default [`RedisStrategy::Multiplexed`].
    pub strategy: RedisStrategy,
    /// Connections for `pooled`. Default 16.
    pub pool_size: usize,
    /// The longest a command may take. Default 50 ms.
    pub command_timeout: Duration,
    /// Certificates of the authorities to trust (PEM). Default those of the system.
    pub root_file: Option<PathBuf>,
}

/// How connections to Redis are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisStrategy {
    /// All callers share one connection, their commands one behind the other.
    Multiplexed,
    /// Each caller borrows a connection from a pool. For a single server.
    Pooled,
    /// Each command makes a connection and closes it.
    Direct,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            url: reader.optional(("redis", "url"), redis),
            strategy: reader.get(("redis", "strategy"), |text| match text {
                "multiplexed" => Ok(RedisStrategy::Multiplexed),
                "pooled" => Ok(RedisStrategy::Pooled),
                "direct" => Ok(RedisStrategy::Direct),
                _ => Err("must be multiplexed, pooled or direct".to_owned()),
            }),
            pool_size: reader.get(("redis", "pool_size"), whole(1..=1024)),
            command_timeout: reader.get(("redis", "command_timeout"), duration(1..=10 * SECOND)),
            root_file: reader.optional(("redis", "root_file"), path),
        };
        if read.url.is_none() && reader.is_sound(("redis", "url")) {
            reader.unused_section("redis", "has no effect without `[redis] url`; set that, or remove it");
        } else if read.root_file.as_ref().is_some_and(|file| !file.is_file()) {
            reader.refuse(("redis", "root_file"), "must be a file with certificates in PEM");
        }
        read
    }
}
