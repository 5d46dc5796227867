//! Expressions beside what a person would say of them.

use proptest::prelude::*;

use super::*;
use crate::cron;

fn timing(text: &str, zone: &str) -> Timing {
    Timing::stored_cron(text, zone).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn words(text: &str) -> String {
    describe(&timing(text, "UTC")).trim_end_matches(", UTC").to_owned()
}

#[test]
fn expressions_are_said_as_a_person_would() {
    let cases = [
        ("* * * * *", "every minute"),
        ("*/1 * * * *", "every minute"),
        ("0-59 * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/15 9-17 * * mon-fri", "every 15 minutes from 09:00 to 17:59 on Monday to Friday"),
        ("* 9 * * *", "every minute from 09:00 to 09:59"),
        ("* 9,17,19 * * *", "every minute in the hours from 09:00, 17:00 and 19:00"),
        ("*/7 * * * *", "at every 7th minute from minute 0 of every hour"),
        ("0 * * * *", "every hour"),
        ("5 * * * *", "every hour at minute 5"),
        ("0,30 * * * *", "at minutes 0 and 30 of every hour"),
        ("0,10-20,40-50/5 * * * *", "at minutes 0, 10 to 20 and every 5th from 40 to 50 of every hour"),
        ("0 */2 * * *", "every 2 hours"),
        ("30 */6 * * *", "at 00:30, 06:30, 12:30 and 18:30 every day"),
        ("15 */3 * * *", "every 3 hours at minute 15"),
        ("0 */5 * * *", "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
        ("0 1-5,6,8 * * *", "at 01:00, 02:00, 03:00, 04:00, 05:00, 06:00 and 08:00 every day"),
        ("0,10,20,30 1,5,8 * * *", "at minutes 0, 10, 20 and 30 of the hours from 01:00, 05:00 and 08:00"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
        ("30 9-17 * * *", "every hour from 09:30 to 17:30 at minute 30"),
        ("0 1-23/3 * * *", "every 3 hours from 01:00 to 22:00"),
        ("0,30 9-17 * * *", "at minutes 0 and 30 of every hour from 09:00 to 17:00"),
        ("0 9 * * *", "at 09:00 every day"),
        ("30 2 * * *", "at 02:30 every day"),
        ("0 9,17 * * *", "at 09:00 and 17:00 every day"),
        ("0,30 9,17 * * *", "at 09:00, 09:30, 17:00 and 17:30 every day"),
        ("0 0 * * *", "at 00:00 every day"),
        ("0 9 * * mon-fri", "at 09:00 on Monday to Friday"),
        ("0 9 * * MON,WED,fri", "at 09:00 on Monday, Wednesday and Friday"),
        ("0 9 * * 0", "at 09:00 on Sunday"),
        ("0 9 * * 7", "at 09:00 on Sunday"),
        ("0 9 * * 6,7", "at 09:00 on Saturday and Sunday"),
        ("0 9 * * sat-sun", "at 09:00 on Saturday and Sunday"),
        ("0 9 * * fri-sun", "at 09:00 on Friday to Sunday"),
        ("0 9 * * sun-mon", "at 09:00 on Monday and Sunday"),
        ("0 9 * * */2", "at 09:00 on Tuesday, Thursday, Saturday and Sunday"),
        ("0 9 * * 0-7", "at 09:00 every day"),
        ("0 6 1 * *", "at 06:00 on day 1 of the month"),
        ("0 6 1,15 * *", "at 06:00 on days 1 and 15 of the month"),
        ("0 6 10-20 * *", "at 06:00 on days 10 to 20 of the month"),
        ("0 6 */2 * *", "at 06:00 on every 2nd day from day 1 of the month"),
        ("0 0 13 * fri", "at 00:00 on day 13 of the month, and on every Friday"),
        ("0 0 */2 * fri", "at 00:00 on every 2nd day from day 1 of the month, if that is a Friday"),
        ("0 0 13 * */7", "at 00:00 on day 13 of the month, if that is a Sunday"),
        ("0 0 1-31 * fri", "at 00:00 every day"),
        ("0 0 13 * 0-6", "at 00:00 every day"),
        ("0 0 1 1 *", "at 00:00 on day 1 of the month in January"),
        ("0 0 1 */3 *", "at 00:00 on day 1 of the month in January, April, July and October"),
        ("0 0 1 jan-mar,12 *", "at 00:00 on day 1 of the month in January to March and December"),
        ("0 12 * JAN,jul MON-fri", "at 12:00 on Monday to Friday in January and July"),
        ("* * * 5 *", "every minute in May"),
        ("59 23 31 12 *", "at 23:59 on day 31 of the month in December"),
        ("  0\t0  29 2   * ", "at 00:00 on day 29 of the month in February"),
        ("1,* 1,* * * *", "every minute"),
    ];
    for (text, said) in cases {
        assert_eq!(words(text), said, "{text}");
    }
}

#[test]
fn the_zone_is_said() {
    assert_eq!(describe(&timing("0 9 * * *", "Europe/Berlin")), "at 09:00 every day, Europe/Berlin time");
    assert_eq!(describe(&timing("0 9 * * *", "utc")), "at 09:00 every day, UTC");
}

#[test]
fn intervals_are_said_in_the_largest_unit_that_fits() {
    for (seconds, said) in
        [(1, "every second"), (90, "every 90 seconds"), (60, "every minute"), (300, "every 5 minutes"), (3_600, "every hour")]
    {
        assert_eq!(describe(&Timing::Every { period_ms: seconds * 1000 }), format!("{said}, counted from when this was set"));
    }
    assert!(describe(&Timing::Every { period_ms: 172_800_000 }).starts_with("every 2 days"));
}

#[test]
fn next_times_are_those_that_will_fire() {
    let now = "2026-03-28T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    let berlin = next_times(&timing("30 2 * * *", "Europe/Berlin"), 0, now, 3);
    assert_eq!(
        berlin,
        ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z", "2026-03-31T00:30:00.000Z"],
        "the first is skipped by the clock"
    );
    let every = next_times(&Timing::Every { period_ms: 90_000 }, now - 1, now, 2);
    assert_eq!(every, ["2026-03-28T12:01:29.999Z", "2026-03-28T12:02:59.999Z"]);
    assert_eq!(next_times(&timing("0 0 29 2 *", "UTC"), 0, now, 5).len(), 5);
}

#[test]
fn a_change_of_clocks_is_told_with_its_day_and_its_rule() {
    let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    let told = |text: &str, zone: &str, now: &str| clock_change(&timing(text, zone), ms(now));
    let spring = told("30 2 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z").unwrap();
    assert!(spring.starts_with("Clocks in Europe/Berlin next change on 2026-03-29: a time that is skipped runs"), "{spring}");
    let autumn = told("*/15 * * * *", "Europe/Berlin", "2026-04-01T00:00:00Z").unwrap();
    assert!(autumn.starts_with("Clocks in Europe/Berlin next change on 2026-10-25: it goes on by real time"), "{autumn}");
    let new_york = told("0 9 * * *", "America/New_York", "2026-01-01T00:00:00Z").unwrap();
    assert!(new_york.contains("2026-03-08"), "{new_york}");
    for zone in ["UTC", "Asia/Tokyo", "America/Sao_Paulo"] {
        assert_eq!(told("30 2 * * *", zone, "2026-01-01T00:00:00Z"), None, "{zone} keeps its clocks");
    }
    assert_eq!(clock_change(&Timing::Every { period_ms: 60_000 }, 0), None);
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let value = move || low..=high;
    let item = prop_oneof![
        Just("*".to_owned()),
        value().prop_map(|n| n.to_string()),
        (value(), value()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (2..=high).prop_map(|n| format!("*/{n}")),
        (value(), value(), 1..=high).prop_map(|(a, b, n)| format!("{}-{}/{n}", a.min(b), a.max(b))),
    ];
    prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))
}

proptest! {
    /// Whatever is read can be said, and what is said names a month, day or time of the field that made it.
    #[test]
    fn everything_that_is_read_is_said(minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), week in field(0, 7)) {
        let text = format!("{minute} {hour} {day} {month} {week}");
        prop_assume!(cron::Cron::parse(&text, jiff::tz::TimeZone::UTC).is_ok());
        let said = words(&text);
        prop_assert!(said.starts_with("every ") || said.starts_with("at "), "{text}: {said}");
        prop_assert!(!said.contains("  ") && !said.contains(", ,") && !said.ends_with(' '), "{text}: {said}");
        let all: Vec<usize> = set(&items(&month, 1, 12, &MONTHS), 13);
        prop_assert_eq!(all.len() < 12, MONTHS.iter().any(|name| said.contains(name)), "{}: {}", text, said);
    }
}
