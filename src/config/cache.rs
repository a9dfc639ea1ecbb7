//! `[cache]`: the cache in process.

use std::time::Duration;

use super::{
    reader::SettingReader,
    value::{HOUR, SECOND, bytes, duration},
};

/// Rows kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// How long a row is used at most. Default 60 s.
    pub ttl: Duration,
    /// Memory for rows, in bytes. Default 67,108,864 (64 MiB).
    pub max_memory: u64,
}

impl CacheConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        Self {
            ttl: reader.get(("cache", "ttl"), duration(SECOND..=24 * HOUR)),
            max_memory: reader.get(("cache", "max_memory"), bytes(1 << 20..=1 << 40)),
        }
    }
}
