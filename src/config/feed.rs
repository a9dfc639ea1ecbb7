//! `[feed]`: how soon a node hears of changes.

use std::time::Duration;

use super::{
    reader::SettingReader,
    value::{MINUTE, SECOND, duration},
};

/// The change feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedConfig {
    /// A node whose knowledge is older stops answering. Default 2 s.
    pub max_staleness: Duration,
    /// How often the feed is read. Default 500 ms.
    pub interval: Duration,
}

impl FeedConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            max_staleness: reader.get(("feed", "max_staleness"), duration(500..=MINUTE)),
            interval: reader.get(("feed", "interval"), duration(50..=30 * SECOND)),
        };
        reader.agree(
            ("feed", "interval"),
            ("feed", "max_staleness"),
            read.interval < read.max_staleness,
            "must be less than `max_staleness`, or every node is stale between two reads",
        );
        read
    }
}
