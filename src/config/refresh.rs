//! `[refresh]`: how long refresh tokens live and may be retried (RFC 9700 §4.14.2). Seconds.

use super::{
    reader::SettingReader,
    value::{DAY, MINUTE, SECOND, seconds},
};

/// Lifetimes of refresh tokens, for clients without their own.
#[derive(Clone, Copy, Debug)]
pub struct RefreshConfig {
    /// A token dies when it was not used for so long. Default 2,592,000 (30 d).
    pub idle_lifetime: u64,
    /// No rotation extends a family past this age. Default 7,776,000 (90 d).
    pub lifetime: u64,
    /// A token presented again within this time gets the same answer again. Default 10.
    pub retry_window: u64,
}

impl RefreshConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            idle_lifetime: reader.get(("refresh", "idle_lifetime"), seconds(MINUTE..=3650 * DAY)),
            lifetime: reader.get(("refresh", "lifetime"), seconds(MINUTE..=3650 * DAY)),
            retry_window: reader.get(("refresh", "retry_window"), seconds(0..=60 * SECOND)),
        };
        reader.agree(
            ("refresh", "idle_lifetime"),
            ("refresh", "lifetime"),
            read.idle_lifetime <= read.lifetime,
            "must be at most `lifetime`",
        );
        read
    }
}
