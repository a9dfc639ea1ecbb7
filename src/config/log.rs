//! `[log]`: what is logged, and how.

use super::{reader::SettingReader, value::flag};

/// Logging.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A level or a filter in the syntax of `RUST_LOG`. Default `info`.
    pub level: String,
    /// How lines look. Default [`LogFormat::Auto`].
    pub format: LogFormat,
    /// Whether each request is logged when it has been answered. Default false.
    pub requests: bool,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object on each line.
    Json,
    /// For people.
    Text,
}

impl LogConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        Self {
            level: reader.get(("log", "level"), |text| {
                let filter = tracing_subscriber::EnvFilter::builder().parse(text);
                filter.map(|_| text.to_owned()).map_err(|_| {
                    "must be error, warn, info, debug, trace, or a filter such as info,chancery::store=debug".to_owned()
                })
            }),
            format: reader.get(("log", "format"), |text| match text {
                "auto" => Ok(LogFormat::Auto),
                "json" => Ok(LogFormat::Json),
                "text" => Ok(LogFormat::Text),
                _ => Err("must be auto, json or text".to_owned()),
            }),
            requests: reader.get(("log", "requests"), flag),
        }
    }
}
