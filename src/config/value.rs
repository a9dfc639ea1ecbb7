//! Reading single values from text: numbers, durations, sizes, flags, addresses.
//!
//! Each function returns what is wrong as a predicate ("must be …") and never repeats the value, which
//! may be a secret.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// A reader of one value.
pub(super) type Reading<T> = Result<T, String>;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// A whole number within bounds.
pub(super) fn whole<T: TryFrom<u64>>(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Reading<T> {
    move |text| {
        digits(text)
            .filter(|number| bounds.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// A duration within bounds, which are in milliseconds.
pub(super) fn duration(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Reading<Duration> {
    move |text| match milliseconds(text) {
        None => Err("must be a duration such as 500ms, 10s, 15m, 1h or 30d".to_owned()),
        Some(ms) if !bounds.contains(&ms) => {
            Err(format!("must be a duration from {} to {}", show(*bounds.start()), show(*bounds.end())))
        }
        Some(ms) => Ok(Duration::from_millis(ms)),
    }
}

/// A duration in whole seconds, as protocol times are counted; the bounds are in milliseconds.
pub(super) fn seconds(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Reading<u64> {
    let duration = duration(bounds);
    move |text| {
        let read = duration(text)?;
        if read.subsec_millis() == 0 {
            Ok(read.as_secs())
        } else {
            Err("must be in whole seconds".to_owned())
        }
    }
}

/// A duration in whole seconds as it is written on the command line: the same notation, up to ten years.
pub fn whole_seconds(text: &str) -> Result<u64, String> {
    seconds(0..=3650 * DAY)(text)
}

/// A size in bytes within bounds.
pub(super) fn bytes(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Reading<u64> {
    move |text| match size(text) {
        None => Err("must be a size such as 64MiB, 512KB or 1048576 (bytes)".to_owned()),
        Some(size) if !bounds.contains(&size) => {
            Err(format!("must be a size from {} to {} bytes", bounds.start(), bounds.end()))
        }
        Some(size) => Ok(size),
    }
}

/// A share of a whole, from 0 to 1.
pub(super) fn share(text: &str) -> Reading<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = text.parse().ok().filter(|share| plain && (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1, such as 0.1".to_owned())
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Reading<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A path; relative ones are relative to the working directory.
pub(super) fn path(text: &str) -> Reading<PathBuf> {
    if text.is_empty() || text.contains('\0') { Err("must be a path".to_owned()) } else { Ok(text.into()) }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Reading<SocketAddr> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "ms" => 1,
        "" | "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// "15 m" or "15m" as number and unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((digits(&text[..end])?, text[end..].trim_start()))
}

/// Unlike `u64::from_str` takes no leading `+`.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A number of milliseconds in its largest whole unit.
fn show(ms: u64) -> String {
    [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")]
        .into_iter()
        .find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit))
        .map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("15m", 900_000),
            ("1h", HOUR),
            ("30d", 30 * DAY),
            ("7", 7_000),
            ("2 h", 2 * HOUR),
        ] {
            assert_eq!(duration(0..=u64::MAX)(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in
            ["", "s", "-1s", "+1s", "1.5s", "1w", "10S", "99999999999999999999d", "213503982335d", "１s"]
        {
            assert!(duration(0..=u64::MAX)(text).is_err(), "{text}");
        }
        assert_eq!(seconds(0..=DAY)("1500ms"), Err("must be in whole seconds".to_owned()));
    }

    #[test]
    fn bounds_are_named_in_the_largest_unit() {
        assert_eq!(duration(MINUTE..=DAY)("5s"), Err("must be a duration from 1m to 1d".to_owned()));
        assert_eq!(whole::<u32>(1..=4)("5"), Err("must be a whole number from 1 to 4".to_owned()));
    }

    #[test]
    fn sizes_are_decimal_or_binary() {
        for (text, expected) in [("64MiB", 64 << 20), ("512KB", 512_000), ("1 GiB", 1 << 30), ("17", 17)] {
            assert_eq!(bytes(0..=u64::MAX)(text), Ok(expected), "{text}");
        }
        for text in ["", "MiB", "64mib", "1.5GB", "-1"] {
            assert!(bytes(0..=u64::MAX)(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_at_most_the_whole() {
        for (text, expected) in [("0", 0.0), ("1", 1.0), ("0.1", 0.1), ("1.0", 1.0)] {
            assert_eq!(share(text), Ok(expected), "{text}");
        }
        for text in ["", ".", "-0.1", "1.1", "1e-1", "NaN", "inf", "10%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_that_does_not_fit_its_type_is_refused() {
        assert!(whole::<u8>(0..=1000)("256").is_err());
        assert_eq!(whole::<u8>(0..=1000)("255"), Ok(255));
    }
}
