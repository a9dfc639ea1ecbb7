//! `[session]`: how long a browser's sign-in lasts. Seconds.

use super::{
    reader::SettingReader,
    value::{DAY, MINUTE, flag, seconds},
};

/// Sign-ins.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// It ends when it was not used for so long. Default 28,800 (8 h).
    pub idle_lifetime: u64,
    /// It ends at this age in any case. Default 604,800 (7 d).
    pub lifetime: u64,
    /// Whether a logout also revokes the tokens issued in it. Default true.
    pub logout_revokes: bool,
}

impl SessionConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            idle_lifetime: reader.get(("session", "idle_lifetime"), seconds(MINUTE..=365 * DAY)),
            lifetime: reader.get(("session", "lifetime"), seconds(MINUTE..=365 * DAY)),
            logout_revokes: reader.get(("session", "logout_revokes"), flag),
        };
        reader.agree(
            ("session", "idle_lifetime"),
            ("session", "lifetime"),
            read.idle_lifetime <= read.lifetime,
            "must be at most `lifetime`",
        );
        read
    }
}
