//! Says in words when a schedule is due, and what becomes of it when clocks change. Out of scope: reading expressions and finding due times (`cron`):
//! what is said here was read there.

use jiff::{Span, Timestamp};

use crate::cron::Cron;
use crate::schedule::Timing;

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Times of day that are named one by one.
const TIMES_MAX: usize = 6;

/// When a schedule is due.
#[must_use]
pub fn describe(timing: &Timing) -> String {
    match timing {
        Timing::Every { period_ms } => format!("{}, counted from when this was set", period(period_ms / 1000)),
        Timing::Cron { text, zone, .. } => {
            let fields: Vec<&str> = text.split_ascii_whitespace().collect();
            let [minute, hour, day, month, weekday] = fields[..] else { return text.clone() };
            let time = time(minute, hour);
            let days = days(day, weekday);
            let months = months(month);
            let days = if days.is_empty() && time.starts_with("at ") && !time.contains(" of ") { " every day".to_owned() } else { days };
            format!("{time}{days}{months}, {zone}{}", if zone == "UTC" { "" } else { " time" })
        }
    }
}

/// The next due times as the API shows them, so many at most.
#[must_use]
pub fn next_times(timing: &Timing, anchor_ms: i64, now_ms: i64, most: usize) -> Vec<String> {
    let times = std::iter::successors(timing.next(anchor_ms, now_ms), |at| timing.next(anchor_ms, *at));
    let shown = |ms: i64| Timestamp::from_millisecond(ms).ok().map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    times.map_while(shown).take(most).collect()
}

/// When the clocks of its zone next change, if that is within a year, and what becomes of due times then.
#[must_use]
pub fn clock_change(timing: &Timing, now_ms: i64) -> Option<String> {
    let Timing::Cron { cron, zone, .. } = timing else { return None };
    let now = Timestamp::from_millisecond(now_ms).ok()?;
    let change =
        cron.zone().following(now).find(|change| change.offset() != cron.zone().to_offset(before(change.timestamp())))?.timestamp();
    let within = now.checked_add(Span::new().hours(366 * 24)).ok()?;
    if change > within {
        return None;
    }
    let day = cron.zone().to_datetime(change).date();
    Some(format!("Clocks in {zone} next change on {day}: {}", rule(cron)))
}

fn before(moment: Timestamp) -> Timestamp {
    moment.checked_sub(Span::new().seconds(1)).unwrap_or(moment)
}

fn rule(cron: &Cron) -> &'static str {
    if cron.is_by_wall_clock() {
        "a time that is skipped runs at the first moment after it, and one that comes twice runs the first time."
    } else {
        "it goes on by real time, so what lies in a skipped hour does not run, and an hour that comes twice runs twice."
    }
}

fn period(seconds: i64) -> String {
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let (name, length) = units.into_iter().find(|(_, length)| seconds % length == 0).unwrap_or(("second", 1));
    every(seconds / length, name)
}

fn every(n: i64, name: &str) -> String {
    if n == 1 { format!("every {name}") } else { format!("every {n} {name}s") }
}

/// One member of a field's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Value(usize),
    Range { low: usize, high: usize, step: usize },
}

impl Item {
    fn values(self) -> Vec<usize> {
        match self {
            Self::Value(value) => vec![value],
            Self::Range { low, high, step } => (low..=high).step_by(step.max(1)).collect(),
        }
    }
}

/// Reads a field that `cron` has taken: `low` to `high`, with these words for `low` and on.
fn items(field: &str, low: usize, high: usize, words: &[&str]) -> Vec<Item> {
    let value = |text: &str| {
        let word = words.iter().position(|word| text.len() == 3 && word.get(..3).is_some_and(|w| w.eq_ignore_ascii_case(text)));
        word.map_or_else(|| text.parse().unwrap_or(low), |index| index + low)
    };
    let item = |text: &str| {
        let (base, step) = text.split_once('/').map_or((text, None), |(base, step)| (base, step.parse().ok()));
        match base.split_once('-') {
            None if base == "*" => Item::Range { low, high, step: step.unwrap_or(1) },
            None => Item::Value(value(base)),
            Some((from, to)) => {
                let (from, to) = (value(from), value(to));
                // Sunday ends a week too.
                Item::Range { low: from, high: if to < from { to + 7 } else { to }, step: step.unwrap_or(1) }
            }
        }
    };
    field.split(',').map(item).collect()
}

/// Each value once, in order.
fn set(items: &[Item], modulus: usize) -> Vec<usize> {
    let mut all: Vec<usize> = items.iter().flat_map(|item| item.values()).map(|n| n % modulus).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a field takes every value that there is.
fn is_all(items: &[Item], low: usize, high: usize) -> bool {
    set(items, high + 1).len() == high - low + 1
}

/// The step of a field that is `*/n`, if it divides the whole evenly.
fn even_step(items: &[Item], whole: usize) -> Option<usize> {
    match items {
        [Item::Range { low: 0, high, step }] if high + 1 == whole && whole.is_multiple_of(*step) => Some(*step),
        _ => None,
    }
}

fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn ordinal(n: usize) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

fn time(minute: &str, hour: &str) -> String {
    let (minutes, hours) = (items(minute, 0, 59, &[]), items(hour, 0, 23, &[]));
    let (minute_set, hour_set) = (set(&minutes, 60), set(&hours, 24));
    let (all_minutes, all_hours) = (is_all(&minutes, 0, 59), is_all(&hours, 0, 23));
    let again = all_hours || even_step(&hours, 24).is_some() || matches!(hours[..], [Item::Range { .. }]);
    if !all_hours && (minute_set.len() * hour_set.len() <= TIMES_MAX || (minute_set.len() == 1 && !again)) {
        let times = hour_set.iter().flat_map(|h| minute_set.iter().map(move |m| format!("{h:02}:{m:02}")));
        return format!("at {}", join(&times.collect::<Vec<_>>()));
    }
    if let [only] = minute_set[..] {
        return format!("{}{}", every_hour(&hours, all_hours, only), if only == 0 { String::new() } else { format!(" at minute {only}") });
    }
    let minutes = match even_step(&minutes, 60) {
        _ if all_minutes => "every minute".to_owned(),
        Some(step) => every(step as i64, "minute"),
        None => format!("at {}", listed(&minutes, "minute", 59)),
    };
    match (all_hours, minutes.starts_with("at ")) {
        (true, true) => format!("{minutes} of every hour"),
        (true, false) => minutes,
        (false, true) => format!("{minutes} of {}", every_hour(&hours, false, 0)),
        (false, false) => format!("{minutes} {}", during(&hours)),
    }
}

/// Hours as something that comes again and again.
fn every_hour(hours: &[Item], all: bool, minute: usize) -> String {
    match (even_step(hours, 24), hours) {
        _ if all => "every hour".to_owned(),
        (Some(step), _) => every(step as i64, "hour"),
        (None, [Item::Range { low, high, step }]) => {
            let last = low + (high - low) / step * step;
            format!("{} from {low:02}:{minute:02} to {last:02}:{minute:02}", every(*step as i64, "hour"))
        }
        (None, _) => format!("the hours from {}", starts(hours)),
    }
}

/// Hours as a part of the day.
fn during(hours: &[Item]) -> String {
    match hours {
        [Item::Value(hour)] => format!("from {hour:02}:00 to {hour:02}:59"),
        [Item::Range { low, high, step: 1 }] => format!("from {low:02}:00 to {high:02}:59"),
        _ => format!("in the hours from {}", starts(hours)),
    }
}

fn starts(hours: &[Item]) -> String {
    join(&set(hours, 24).iter().map(|hour| format!("{hour:02}:00")).collect::<Vec<_>>())
}

/// A list of numbers with what they are.
fn listed(items: &[Item], name: &str, high: usize) -> String {
    if let [Item::Range { low, high: end, step: step @ 2.. }] = items
        && *end == high
    {
        return format!("every {} {name} from {name} {low}", ordinal(*step));
    }
    let word = |item: &Item| match *item {
        Item::Value(value) => value.to_string(),
        Item::Range { low, high, step: 1 } => format!("{low} to {high}"),
        Item::Range { low, high: end, step } if end == high => format!("every {} from {low}", ordinal(step)),
        Item::Range { low, high, step } => format!("every {} from {low} to {high}", ordinal(step)),
    };
    let words: Vec<String> = items.iter().map(word).collect();
    format!("{name}{} {}", if matches!(items, [Item::Value(_)]) { "" } else { "s" }, join(&words))
}

/// Names, those that follow each other as a range.
fn named(set: &[usize], names: &[&str], first: usize) -> String {
    let name = |n: usize| names.get(n - first).copied().unwrap_or_default().to_owned();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for n in set {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *n => *last = *n,
            _ => ranges.push((*n, *n)),
        }
    }
    let words = ranges.into_iter().flat_map(|(low, high)| match high - low {
        0 => vec![name(low)],
        1 => vec![name(low), name(high)],
        _ => vec![format!("{} to {}", name(low), name(high))],
    });
    join(&words.collect::<Vec<_>>())
}

/// Days of the week, told from Monday on.
fn weekdays(set: &[usize]) -> String {
    let mut days: Vec<usize> = set.iter().map(|day| if *day == 0 { 7 } else { *day }).collect();
    days.sort_unstable();
    let names: Vec<&str> = DAYS[1..].iter().chain(&DAYS[..1]).copied().collect();
    named(&days, &names, 1)
}

fn days(day: &str, weekday: &str) -> String {
    let (dates, week) = (items(day, 1, 31, &[]), items(weekday, 0, 7, &DAYS));
    let week_set = set(&week, 7);
    let of_month = || format!("{} of the month", listed(&dates, "day", 31));
    // As in `cron`: if neither begins with a star, either is enough.
    let either = !day.starts_with('*') && !weekday.starts_with('*');
    match (is_all(&dates, 1, 31), week_set.len() == 7) {
        (true, true) => String::new(),
        (true, false) | (false, true) if either => String::new(),
        (false, true) => format!(" on {}", of_month()),
        (true, false) => format!(" on {}", weekdays(&week_set)),
        (false, false) if either => format!(" on {}, and on every {}", of_month(), weekdays(&week_set)),
        (false, false) => format!(" on {}, if that is a {}", of_month(), weekdays(&week_set)),
    }
}

fn months(month: &str) -> String {
    let all = set(&items(month, 1, 12, &MONTHS), 13);
    if all.len() == 12 { String::new() } else { format!(" in {}", named(&all, &MONTHS, 1)) }
}

#[cfg(test)]
#[path = "cron_words_tests.rs"]
mod tests;
