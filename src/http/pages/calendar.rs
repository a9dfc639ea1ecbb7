//! Dates, times and durations in words, for people. All moments are in UTC: the server knows no other clock's zone.

use chrono::{DateTime, Utc};

/// A span in seconds as its largest unit and, if it is not even, the next one: `1 hour and 30 minutes`.
pub(super) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let count = |amount: u64, unit: &str| format!("{amount} {unit}{}", if amount == 1 { "" } else { "s" });
    let largest = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[largest];
    let whole = count(seconds / size, unit);
    match UNITS.get(largest + 1) {
        Some((next, unit)) if seconds % size >= *next => {
            format!("{whole} and {}", count(seconds % size / next, unit))
        }
        _ => whole,
    }
}

/// A moment for people: `20 November 2026, 10:54 UTC`.
pub(super) fn moment(unix: u64) -> String {
    date(unix).format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A moment for `<time datetime>` (RFC 3339).
pub(crate) fn iso(unix: u64) -> String {
    date(unix).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The moment, or the last that has a date.
fn date(unix: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(unix).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_in_its_largest_units() {
        let table = [
            (0, "0 seconds"),
            (1, "1 second"),
            (300, "5 minutes"),
            (3_600, "1 hour"),
            (3_601, "1 hour"),
            (5_400, "1 hour and 30 minutes"),
            (86_400 * 30, "30 days"),
            (90_000, "1 day and 1 hour"),
        ];
        for (seconds, words) in table {
            assert_eq!(duration(seconds), words);
        }
    }

    #[test]
    fn a_moment_is_a_date_and_a_time() {
        let table = [
            (0, "1970-01-01T00:00:00Z", "1 January 1970, 00:00 UTC"),
            (951_782_399, "2000-02-28T23:59:59Z", "28 February 2000, 23:59 UTC"),
            (951_782_400, "2000-02-29T00:00:00Z", "29 February 2000, 00:00 UTC"),
            (1_709_251_199, "2024-02-29T23:59:59Z", "29 February 2024, 23:59 UTC"),
            (1_709_251_200, "2024-03-01T00:00:00Z", "1 March 2024, 00:00 UTC"),
            (1_795_171_996, "2026-11-20T10:53:16Z", "20 November 2026, 10:53 UTC"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "1 March 2100, 00:00 UTC"),
        ];
        for (unix, machine, people) in table {
            assert_eq!(iso(unix), machine);
            assert_eq!(moment(unix), people);
        }
    }

    #[test]
    fn the_last_second_there_is_has_a_date() {
        assert!(moment(u64::MAX).ends_with("UTC"));
    }
}
