//! Expressions against dates that a person has checked, both changes of clocks in two zones, and a search that knows nothing of croner.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn cron(text: &str, zone_name: &str) -> Cron {
    Cron::parse(text, zone(zone_name).unwrap()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The wall times of what fires from `from` (included) until `to` (not included).
fn fires(text: &str, zone_name: &str, from: &str, to: &str) -> Vec<String> {
    let (cron, zone) = (cron(text, zone_name), zone(zone_name).unwrap());
    let (mut at, end) = (ms(from) - 1, ms(to));
    let mut shown = Vec::new();
    while let Some(next) = cron.next(at).filter(|next| *next < end) {
        at = next;
        shown.push(Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string());
    }
    shown
}

#[test]
fn fields_mean_what_crontab_says() {
    let cases = [
        ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z"),
        ("5-59/20 * * * *", "2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z"),
        ("0 9,17 * * *", "2026-01-01T09:00:00Z", "2026-01-01T17:00:00Z"),
        ("0,30 8-10 * * *", "2026-01-01T10:30:00Z", "2026-01-02T08:00:00Z"),
        ("0 0 1 */3 *", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 12 * JAN,jul MON-fri", "2026-01-30T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * sun", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * 5-7", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * SAT-SUN", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * sun-mon", "2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z"),
        ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
        ("  0\t0  1 1   * ", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ];
    for (text, after, next) in cases {
        assert_eq!(cron(text, "UTC").next(ms(after)), Some(ms(next)), "{text} after {after}");
    }
}

#[test]
fn a_day_of_month_and_a_day_of_week_are_either_unless_one_begins_with_a_star() {
    let days = |text: &str| fires(text, "UTC", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z").len();
    // February 2026 has four of each day of the week; the 13th is a Friday.
    assert_eq!(days("0 0 13 * 5"), 4);
    assert_eq!(days("0 0 14 * 5"), 5);
    assert_eq!(days("0 0 13 * *"), 1);
    assert_eq!(days("0 0 * * 5"), 4);
    // As in Vixie cron: fourteen days are odd, two of the Fridays (the 13th and the 27th) are.
    assert_eq!(days("0 0 */2 * 5"), 2);
    assert_eq!(days("0 0 1-31/2 * 5"), 16);
    // The first Monday of the month.
    assert_eq!(fires("0 0 1-7 * */7", "UTC", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"), ["02-01 00:00+00:00"]);
}

#[test]
fn in_berlin_a_time_of_day_comes_once_on_every_day_and_an_interval_goes_on_by_real_time() {
    let spring = |text: &str| fires(text, "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    let autumn = |text: &str| fires(text, "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    // 02:00 to 03:00 does not exist on 29 March, and comes twice on 25 October.
    assert_eq!(spring("30 2 * * *"), ["03-29 03:00+02:00"]);
    assert_eq!(spring("0,30 2 * * *"), ["03-29 03:00+02:00"]);
    assert_eq!(spring("0 2,3 * * *"), ["03-29 03:00+02:00"]);
    assert_eq!(spring("59 1 * * *"), ["03-29 01:59+01:00"]);
    assert_eq!(spring("30 3 * * *"), ["03-29 03:30+02:00"]);
    assert_eq!(spring("0 0-23 * * *").len(), 23);
    assert_eq!(spring("0 * * * *").len(), 23);
    assert_eq!(spring("* * * * *").len(), 23 * 60);
    assert_eq!(spring("*/15 2 * * *"), Vec::<String>::new());
    assert_eq!(spring("30 */2 * * *").len(), 11);

    assert_eq!(autumn("30 2 * * *"), ["10-25 02:30+02:00"]);
    assert_eq!(autumn("0,30 2 * * *"), ["10-25 02:00+02:00", "10-25 02:30+02:00"]);
    assert_eq!(autumn("30 1-3 * * *"), ["10-25 01:30+02:00", "10-25 02:30+02:00", "10-25 03:30+01:00"]);
    assert_eq!(autumn("0 0-23 * * *").len(), 24);
    assert_eq!(autumn("0 * * * *").len(), 25);
    assert_eq!(autumn("* * * * *").len(), 25 * 60);
    assert_eq!(autumn("30 */2 * * *").len(), 13);
    assert_eq!(
        autumn("*/30 2 * * *"),
        ["10-25 02:00+02:00", "10-25 02:30+02:00", "10-25 02:00+01:00", "10-25 02:30+01:00"],
        "an interval within an hour that comes twice"
    );
}

#[test]
fn in_london_the_same_holds_an_hour_earlier() {
    let spring = |text: &str| fires(text, "Europe/London", "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z");
    let autumn = |text: &str| fires(text, "Europe/London", "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z");
    assert_eq!(spring("30 1 * * *"), ["03-29 02:00+01:00"]);
    assert_eq!(spring("*/10 * * * *").len(), 23 * 6);
    assert_eq!(autumn("30 1 * * *"), ["10-25 01:30+01:00"]);
    assert_eq!(autumn("*/10 * * * *").len(), 25 * 6);
}

#[test]
fn a_year_has_one_occurrence_of_a_time_of_day_for_each_day_in_every_zone() {
    for zone in ["Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC"]
    {
        for text in ["30 2 * * *", "0 0 * * *", "15 1 * * *"] {
            let days = fires(text, zone, "2026-01-01T12:00:00Z", "2027-01-01T12:00:00Z");
            assert_eq!(days.len(), 365, "{text} in {zone}");
        }
    }
    // Samoa had no 30 December 2011: what was set for that day came when it was over.
    let samoa = fires("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-31T00:00:00Z");
    assert_eq!(samoa, ["12-29 09:00-10:00", "12-31 00:00+14:00", "12-31 09:00+14:00"]);
}

#[test]
fn what_is_no_expression_is_refused_and_the_field_is_named() {
    let cases = [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * 32 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "day of week"),
        ("* * * * fri-mon", "range must not begin"),
        ("10-5 * * * *", "range must not begin"),
        ("*/0 * * * *", "step"),
        ("*/60 * * * *", "step"),
        ("5/10 * * * *", "step needs"),
        ("/5 * * * *", "step needs"),
        ("1,,2 * * * *", "minute"),
        (", * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("+1 * * * *", "minute"),
        ("001 * * * *", "minute"),
        ("a * * * *", "minute"),
        ("* * * janfeb *", "month"),
        ("* * * january *", "month"),
        ("* * mon * *", "day of month"),
        ("* * L * *", "day of month"),
        ("* * 15W * *", "day of month"),
        ("* * ? * *", "day of month"),
        ("* * * * 5#2", "day of week"),
        ("* * * * +5", "day of week"),
        ("\u{0661} * * * *", "minute"),
        ("0 0 30 2 *", "never fire"),
        ("0 0 31 4,6,9,11 *", "never fire"),
        ("* * 31 feb *", "never fire"),
    ];
    for (text, reason) in cases {
        let error = Cron::parse(text, TimeZone::UTC).expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
    assert!(Cron::parse(&format!("{} * * * *", "1,".repeat(200)), TimeZone::UTC).is_err());
    for name in ["", "Europe/Nowhere", "CEST+1", "local", "+02:00", "Etc/Unknown", "../etc/passwd", "\0"] {
        assert!(zone(name).is_err(), "{name}");
    }
    assert_eq!(zone("europe/BERLIN").unwrap().iana_name(), Some("Europe/Berlin"));
}

/// The values of a field, read without croner.
fn set(text: &str, low: u8, high: u8) -> Vec<u8> {
    let mut values = Vec::new();
    for item in text.split(',') {
        let (base, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match base.split_once('-') {
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None if base == "*" => (low, high),
            None => (base.parse().unwrap(), base.parse().unwrap()),
        };
        values.extend((from..=to).step_by(step.parse().unwrap()));
    }
    values
}

fn matches(text: &str, wall: DateTime) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let has = |index: usize, low: u8, high: u8, value: i8| set(fields[index], low, high).contains(&(value as u8));
    let weekday = wall.date().weekday().to_sunday_zero_offset();
    let (dom, dow) = (has(2, 1, 31, wall.day()), has(4, 0, 7, weekday) || weekday == 0 && has(4, 0, 7, 7));
    let either = !fields[2].starts_with('*') && !fields[4].starts_with('*');
    has(0, 0, 59, wall.minute())
        && has(1, 0, 23, wall.hour())
        && has(3, 1, 12, wall.month())
        && if either { dom || dow } else { dom && dow }
}

/// The first moment after `after` within two days, minute by minute.
fn slow_next(text: &str, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let minute = |n: i64| Timestamp::from_second((after.as_second().div_euclid(60) + n) * 60).unwrap();
    if text.starts_with('*') || text.split(' ').nth(1).unwrap().starts_with('*') {
        return (1..=2 * 1440).map(minute).find(|at| matches(text, zone.to_datetime(*at)));
    }
    // Wall minutes, each at the first moment at which the wall clock has come so far.
    let start = zone.to_datetime(after).date().yesterday().unwrap().at(0, 0, 0, 0);
    let clock: Vec<(Timestamp, DateTime)> = (-1440..3 * 1440).map(|n| (minute(n), zone.to_datetime(minute(n)))).collect();
    let mut first = 0;
    for wall in (0..4 * 1440).map(|n| start + jiff::SignedDuration::from_mins(n)).filter(|wall| matches(text, *wall)) {
        while clock.get(first).is_some_and(|(_, shown)| *shown < wall) {
            first += 1;
        }
        if let Some((moment, _)) = clock.get(first).filter(|(moment, _)| *moment > after) {
            return Some(*moment).filter(|at| *at <= minute(2 * 1440));
        }
    }
    None
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let one = (low..=high, low..=high, 1..=high.min(20)).prop_flat_map(|(a, b, step)| {
        let (from, to) = (a.min(b), a.max(b));
        prop_oneof![Just("*".to_owned()), Just(format!("*/{step}")), Just(from.to_string()), Just(format!("{from}-{to}/{step}"))]
    });
    proptest::collection::vec(one, 1..3).prop_map(|items| items.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_next_time_is_the_one_that_a_search_minute_by_minute_finds(
        minute in field(0, 59), hour in field(0, 23), days in prop_oneof![4 => Just("* * *".to_owned()), 1 => field(1, 31).prop_map(|d| format!("{d} * *")), 1 => field(0, 7).prop_map(|d| format!("1-15 * {d}"))],
        zone_index in 0..4_usize, change in 0..4_usize, before_s in 0..200_000_i64,
    ) {
        let zone_name = ["UTC", "Europe/Berlin", "Europe/London", "Australia/Lord_Howe"][zone_index];
        let around = ["2026-03-30T00:00:00Z", "2026-10-26T00:00:00Z", "2026-04-05T12:00:00Z", "2026-10-04T12:00:00Z"][change];
        let text = format!("{minute} {hour} {days}");
        let after = Timestamp::from_millisecond(ms(around) - before_s * 1000).unwrap();
        let found = cron(&text, zone_name).next(after.as_millisecond());
        prop_assert!(found.is_none_or(|next| next > after.as_millisecond()));
        let expected = slow_next(&text, &zone(zone_name).unwrap(), after);
        let soon = found.filter(|next| *next <= (after.as_second().div_euclid(60) + 2 * 1440) * 60_000);
        prop_assert_eq!(soon, expected.map(|at| at.as_millisecond()), "{} in {} after {}", text, zone_name, after);
    }
}
