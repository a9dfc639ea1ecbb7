//! RFC 9110 §6.6.1 — the time of an answer.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::HttpDate;

/// RFC 9110 §5.6.7: a time as a header field has it.
type DateText = [u8; 29];

/// The time as it was last written down. Most answers are of the same second as the one before.
#[derive(Clone, Copy, Default)]
pub(super) struct Date {
    second: Option<u64>,
    text: DateText,
}

impl Date {
    /// This second since 1970.
    pub(super) fn at(self, second: u64) -> Self {
        if self.second == Some(second) {
            return self;
        }
        let text = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)).to_string();
        let text = text.as_bytes().try_into().expect("all dates of four-digit years are of this length");
        Self { second: Some(second), text }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("it was made of a text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_as_headers_have_it() {
        let date = Date::default().at(784_111_777);
        assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(1).as_str(), "Thu, 01 Jan 1970 00:00:01 GMT");
    }
}
