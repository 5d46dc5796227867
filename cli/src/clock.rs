//! Times and spans, as people read and write them: the machine's own time zone, `90s`, `15m`, `7d`.
//!
//! Out of scope: times in JSON, which stay RFC 3339 as the API writes them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::print::clean;

const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];

/// A time of the API on the local clock, to the second; what is no time stays as it is.
pub fn local(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let Ok(time) = text.parse::<Timestamp>() else { return Some(clean(text)) };
    Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A time for a table: only what differs from now.
pub fn short(value: &Value) -> String {
    let Some(text) = value.as_str() else { return "-".to_owned() };
    let Ok(time) = text.parse::<Timestamp>() else { return clean(text) };
    short_at(time, Timestamp::now(), &TimeZone::system())
}

fn short_at(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (time, now) = (time.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let form = if time.date() == now.date() {
        "%H:%M:%S"
    } else if time.year() == now.year() {
        "%m-%d %H:%M"
    } else {
        "%Y-%m-%d"
    };
    time.strftime(form).to_string()
}

/// Milliseconds in the largest unit that says enough.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// How far a time is from now, such as `in 3.0 s` or `12 min 5 s ago`.
pub fn distance(value: &Value) -> Option<String> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    let ms = time.as_millisecond() - Timestamp::now().as_millisecond();
    let text = span(ms.unsigned_abs());
    Some(if ms > 0 { format!("in {text}") } else { format!("{text} ago") })
}

/// Reads a span of time in seconds: a number with `s`, `m`, `h`, `d` or `w`, or of seconds without.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "expected a time such as 90, 90s, 15m, 2h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = &text[digits.len()..];
    let factor = if unit.is_empty() { Some(1) } else { UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor) };
    factor.and_then(|factor| number.checked_mul(factor)).ok_or_else(wrong)
}

/// Reads a moment: RFC 3339, or how long ago, such as `15m`. It is RFC 3339 afterwards.
pub fn moment(text: &str) -> Result<String, String> {
    if text.parse::<Timestamp>().is_ok() {
        return Ok(text.to_owned());
    }
    let ago = seconds(text).map_err(|_| "expected a time as in RFC 3339, or how long ago: 90s, 15m, 2h or 7d".to_owned())?;
    let ms = Timestamp::now().as_millisecond() - i64::try_from(ago.saturating_mul(1000)).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).map_err(|_| "that is too long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_every_unit() {
        for (text, expected) in [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800), ("1w", 604_800), ("0", 0)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for wrong in ["", "m", "5x", "-1", "1.5h", "5 m", "99999999999999999999", "9999999999999999999w"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2027-01-31T09:00:00Z").unwrap(), "2027-01-31T09:00:00Z");
        assert!(moment("1h").unwrap().parse::<Timestamp>().unwrap() < Timestamp::now());
        assert!(moment("yesterday").is_err() && moment("99999999999w").is_err());
    }

    #[test]
    fn a_time_in_a_table_says_what_differs_from_now() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let short = |text: &str| short_at(at(text), at("2027-06-15T12:00:00Z"), &TimeZone::UTC);
        assert_eq!(short("2027-06-15T01:02:03.5Z"), "01:02:03");
        assert_eq!(short("2027-05-01T01:02:03Z"), "05-01 01:02");
        assert_eq!(short("2026-05-01T01:02:03Z"), "2026-05-01");
    }

    #[test]
    fn a_span_is_written_in_its_largest_unit() {
        let texts = [5, 1_500, 65_000, 3_700_000, 90_000_000].map(span);
        assert_eq!(texts, ["5 ms", "1.5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
    }
}
