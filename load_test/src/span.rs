//! Lengths of time as people write them: `30s`, `2m`, `500ms`, or plain seconds.

use std::time::Duration;

/// Reads a length of time.
pub fn parse(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("`{unit}` is no unit of time; write ms, s, m or h")),
    };
    let count: f64 = number.parse().map_err(|_| format!("`{text}` is no length of time; write 30s or 2m"))?;
    Duration::try_from_secs_f64(count * seconds)
        .map_err(|_| format!("`{text}` is not a possible length of time"))
}

/// Nanoseconds as people read them, in three figures.
pub fn text(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_their_units() {
        let read = |text| parse(text).map(|span| span.as_millis());
        assert_eq!(read("5"), Ok(5_000));
        assert_eq!(read("0.25"), Ok(250));
        assert_eq!(read("30s"), Ok(30_000));
        assert_eq!(read("2m"), Ok(120_000));
        assert_eq!(read("1h"), Ok(3_600_000));
        assert_eq!(read("500ms"), Ok(500));
        for wrong in ["", "s", "5 s", "5d", "-1s", "five", "1e400s", "NaN"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nanoseconds_are_written_in_three_figures() {
        let texts = [999.0, 4_321.0, 43_210.0, 432_100.0, 2_500_000.0, 61e9].map(text);
        assert_eq!(texts, ["999 ns", "4.32 µs", "43.2 µs", "432 µs", "2.50 ms", "61.0 s"]);
    }
}
