//! Cron expressions: five fields, read in a time zone. Croner parses and searches the wall clock; what happens where the wall clock
//! jumps is decided here, after Vixie cron (crontab(5), "daylight saving time").
//!
//! Out of scope: seconds, years, `L`, `W`, `#`, `?` and `@daily`, which are refused: not every cron has them or means the same by them.

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, civil};

use crate::limits::CRON_CHARS_MAX;

/// Why an expression or a zone is refused; continues a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// An expression in its zone.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
    clock: Clock,
}

/// What the times of an expression are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Neither minute nor hour begins with `*`: a time of day, once a day it names whatever the wall clock does.
    Wall,
    /// An interval: it goes on by real time.
    Real,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// Three letters each; the first is `low`.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[] },
    Field { name: "hour", low: 0, high: 23, words: &[] },
    Field { name: "day of month", low: 1, high: 31, words: &[] },
    Field { name: "month", low: 1, high: 12, words: &MONTHS },
    Field { name: "day of week", low: 0, high: 7, words: &DAYS },
];

/// A zone of the IANA time zone database by its name, in any case.
pub fn zone(name: &str) -> Result<TimeZone, CronError> {
    match TimeZone::get(name) {
        Ok(zone) if !zone.is_unknown() && zone.iana_name().is_some() => Ok(zone),
        _ => Err(CronError("must be the name of an IANA time zone, such as Europe/Berlin".to_owned())),
    }
}

impl Cron {
    /// Reads five fields: minute, hour, day of month, month, day of week. Each is a list of `*`, values and ranges, the first and last
    /// with a step if wanted; months and days of week have names; day 7 is Sunday. An expression that no date fits is refused.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, _, day_of_week] = fields[..] else {
            let detail = format!("must have five fields: minute, hour, day of month, month, day of week; there are {}", fields.len());
            return Err(CronError(detail));
        };
        if text.len() > CRON_CHARS_MAX {
            return Err(CronError(format!("must have at most {CRON_CHARS_MAX} characters")));
        }
        let plain = fields.iter().zip(&FIELDS).map(|(text, field)| plain(text, field)).collect::<Result<Vec<_>, _>>()?;
        let starred = |field: &str| field.starts_with('*');
        // Croner ignores a day field only if it is `*` and nothing more; Vixie cron lets `*/2` narrow the other one.
        let both_days = starred(day_of_month) || starred(day_of_week);
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).dom_and_dow(both_days).build();
        let pattern = parser.parse(&plain.join(" ")).map_err(|error| CronError(format!("cannot be read: {error}")))?;
        let clock = if starred(minute) || starred(hour) { Clock::Real } else { Clock::Wall };
        let cron = Self { pattern, zone, clock };
        if cron.wall_after(civil::date(2000, 1, 1).at(0, 0, 0, 0), false).is_none() {
            return Err(CronError("names no date that exists, so it would never fire".to_owned()));
        }
        Ok(cron)
    }

    /// The zone it is read in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether it names times of day, which come once whatever the wall clock does; otherwise it goes on by real time.
    pub fn is_by_wall_clock(&self) -> bool {
        self.clock == Clock::Wall
    }

    /// The first time after a time, both in milliseconds since 1970; `None` at the end of time.
    pub fn next(&self, after_ms: i64) -> Option<i64> {
        let after = Timestamp::from_millisecond(after_ms).ok()?;
        let next = match self.clock {
            Clock::Wall => self.next_by_wall(after),
            Clock::Real => self.next_by_real(after),
        };
        next.map(Timestamp::as_millisecond)
    }

    /// Each wall time is one moment: the first of two, and what a gap swallows is the moment after the gap. That keeps their order, so
    /// the search may start from the wall time of `after`.
    fn next_by_wall(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(after);
        loop {
            wall = self.wall_after(wall, false)?;
            let moment = match self.zone.to_ambiguous_timestamp(wall).offset() {
                AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(wall).ok()?,
                AmbiguousOffset::Gap { after, .. } => self.zone.following(after.to_timestamp(wall).ok()?).next()?.timestamp(),
            };
            if moment > after {
                return Some(moment);
            }
        }
    }

    /// The moments whose wall time matches, gap or repetition, one stretch of constant offset after the other.
    fn next_by_real(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        loop {
            let offset = self.zone.to_offset(from);
            let moment = offset.to_timestamp(self.wall_after(offset.to_datetime(from), inclusive)?).ok()?;
            match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= moment => (from, inclusive) = (change.timestamp(), true),
                _ => return Some(moment),
            }
        }
    }

    fn wall_after(&self, wall: DateTime, inclusive: bool) -> Option<DateTime> {
        self.pattern.find_next_occurrence(&wall, inclusive).ok()
    }
}

/// The field as croner reads it. Croner takes what it should not ("1,,2", "janfeb") and does not take `*` within a list; checking here also
/// says what is wrong in which field.
fn plain(text: &str, field: &Field) -> Result<String, CronError> {
    let wrong = |what: &str| {
        let words = match field.words {
            [] => String::new(),
            [first, .., last] | [first @ last] => format!(" or {first} to {last}"),
        };
        CronError(format!("has a {} of {text:?}: {what} ({} to {}{words}, * for all)", field.name, field.low, field.high))
    };
    let mut items = Vec::new();
    for item in text.split(',') {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        if step.is_some_and(|step| !number(step).is_some_and(|n| (1..=field.high).contains(&n))) {
            return Err(wrong("the step after / must be a number above 0 within the field"));
        }
        let (low, high) = match base.split_once('-') {
            Some(range) => range,
            None if base == "*" => {
                items.push(if item == text { item.to_owned() } else { format!("{}-{}/{}", field.low, field.high, step.unwrap_or("1")) });
                continue;
            }
            None if step.is_some() => return Err(wrong("a step needs * or a range before it")),
            None => {
                items.push(value(base, field).ok_or_else(|| wrong("not a value of this field"))?.to_string());
                continue;
            }
        };
        // Sunday ends a week as well as it begins one.
        let sunday = |n: u8| if field.high == 7 && n == 0 && number(high).is_none() { 7 } else { n };
        match (value(low, field), value(high, field).map(sunday)) {
            (Some(low), Some(high)) if low <= high => items.push(format!("{low}-{high}/{}", step.unwrap_or("1"))),
            (Some(_), Some(_)) => return Err(wrong("a range must not begin after its end")),
            _ => return Err(wrong("not a range of this field")),
        }
    }
    Ok(items.join(","))
}

fn value(text: &str, field: &Field) -> Option<u8> {
    let word = field.words.iter().position(|word| word.eq_ignore_ascii_case(text));
    // No list of words is that long.
    let value = word.map_or_else(|| number(text), |index| Some(field.low + index as u8))?;
    (field.low..=field.high).contains(&value).then_some(value)
}

fn number(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;
