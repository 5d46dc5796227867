//! What a schedule may say, and what a tick fires that comes on time, late, or after a day.

use proptest::prelude::*;

use super::*;
use crate::destination::UrlPolicy;

const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;
const NOON: i64 = 1_767_268_800_000; // 2026-01-01T12:00:00Z

fn read(json: &str) -> Result<NewSchedule, Vec<String>> {
    let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
}

fn with(fields: &str) -> Result<NewSchedule, Vec<String>> {
    read(&format!(r#"{{"name": "n", "url": "https://e.com", {fields}}}"#))
}

fn plan(fields: &str, catch_up: CatchUp, next_ms: i64, now_ms: i64) -> Plan {
    let timing = with(fields).unwrap().timing;
    let id = ScheduleId(uuid::Uuid::nil());
    Plan { id, revision: 1, timing, anchor_ms: NOON, next_ms: Some(next_ms), catch_up, paused: false, messages: 1, body_bytes: 0, now_ms }
}

fn minutely(catch_up: CatchUp, next_ms: i64, now_ms: i64) -> Plan {
    plan(r#""cron": "* * * * *""#, catch_up, next_ms, now_ms)
}

fn due(plan: &Plan) -> (Vec<i64>, Option<i64>) {
    let fire = plan.fire(limits::FIRE_AHEAD_MS, 100).unwrap();
    (fire.due_ms, fire.next_ms)
}

#[test]
fn a_name_a_time_and_a_destination_are_enough() {
    let schedule = with(r#""cron": "0 9 * * mon-fri", "timezone": "europe/berlin""#).unwrap();
    assert!(matches!(&schedule.timing, Timing::Cron { text, zone, .. } if text == "0 9 * * mon-fri" && zone == "Europe/Berlin"));
    assert_eq!((schedule.overlap, schedule.catch_up, schedule.paused), (Overlap::Allow, CatchUp::Latest, None));
    let Timing::Cron { zone, .. } = with(r#""cron": "* * * * *""#).unwrap().timing else { panic!() };
    assert_eq!(zone, "UTC");
    assert!(matches!(with(r#""everySeconds": 31536000"#).unwrap().timing, Timing::Every { period_ms: 31_536_000_000 }));
    assert!(
        read(r#"{"name": "täglich um 9", "fanout": "f", "everySeconds": 1, "overlap": "skip", "catchUp": "all", "paused": true}"#).is_ok()
    );
}

#[test]
fn what_is_wrong_is_said_where() {
    let cases = [
        (r#""cron": "0 0 30 2 *""#, "/cron"),
        (r#""cron": "* * * * * *""#, "/cron"),
        (r#""cron": 5"#, "/cron"),
        (r#""cron": "* * * * *", "timezone": "Mars/Base""#, "/timezone"),
        (r#""everySeconds": 60, "timezone": "UTC""#, "/timezone"),
        (r#""everySeconds": 0"#, "/everySeconds"),
        (r#""everySeconds": 31536001"#, "/everySeconds"),
        (r#""cron": "* * * * *", "everySeconds": 60"#, "/everySeconds"),
        (r#""overlap": "queue", "everySeconds": 60"#, "/overlap"),
        (r#""catchUp": "none", "everySeconds": 60"#, "/catchUp"),
        (r#""delaySeconds": 1, "everySeconds": 60"#, "/delaySeconds"),
        (r#""notBefore": "2030-01-01T00:00:00Z", "everySeconds": 60"#, "/notBefore"),
        (r#""idempotencyKey": "k", "everySeconds": 60"#, "/idempotencyKey"),
        (r#""contentBasedDeduplication": true, "everySeconds": 60"#, "/contentBasedDeduplication"),
        (r#""maxAttempts": 0, "everySeconds": 60"#, "/maxAttempts"),
        (r#""nope": 0, "everySeconds": 60"#, "/nope"),
        (r#""body": 1"#, "/cron"),
    ];
    for (fields, pointer) in cases {
        assert_eq!(with(fields).unwrap_err(), [pointer], "{fields}");
    }
    for name in
        ["\"\"", "5", "\"a\\nb\"", "\"a/b\"", "\"..\"", "\"sch_0192f3ab000070008000000000000001\"", &format!("\"{}\"", "x".repeat(65))]
    {
        assert_eq!(read(&format!(r#"{{"name": {name}, "url": "https://e.com", "everySeconds": 1}}"#)).unwrap_err(), ["/name"], "{name}");
    }
    assert_eq!(read(r#"{"url": "https://e.com", "everySeconds": 1}"#).unwrap_err(), ["/name"]);
    assert_eq!(read(r#"{"name": "n", "everySeconds": 1}"#).unwrap_err(), ["/url"]);
}

#[test]
fn an_interval_is_counted_from_its_anchor_and_does_not_drift() {
    let timing = Timing::Every { period_ms: 7_000 };
    for (after, next) in [(0, 7), (6, 7), (7, 14), (100, 105), (-100, 7)] {
        assert_eq!(timing.next(NOON, NOON + after * 1000), Some(NOON + next * 1000), "{after}");
    }
    assert_eq!(timing.next(NOON, NOON + 6_999), Some(NOON + 7_000));
    assert_eq!(Timing::Every { period_ms: i64::MAX }.next(NOON, NOON), None);
}

#[test]
fn a_tick_on_time_takes_what_is_due_in_the_next_ninety_seconds() {
    for catch_up in [CatchUp::Skip, CatchUp::Latest, CatchUp::All] {
        assert_eq!(due(&minutely(catch_up, NOON, NOON - 30_000)), (vec![NOON, NOON + MINUTE], Some(NOON + 2 * MINUTE)));
        assert_eq!(due(&minutely(catch_up, NOON, NOON - 90_001)), (vec![], Some(NOON)));
        // Two minutes late is still an ordinary tick.
        assert_eq!(due(&minutely(catch_up, NOON, NOON + 120_000)).0.len(), 4);
    }
}

#[test]
fn a_tick_that_was_away_for_a_day_does_what_the_policy_says() {
    let now = NOON + DAY + 15_000;
    let ahead = [NOON + DAY + MINUTE];
    assert_eq!(due(&minutely(CatchUp::Skip, NOON, now)), (ahead.to_vec(), Some(NOON + DAY + 2 * MINUTE)));
    assert_eq!(due(&minutely(CatchUp::Latest, NOON, now)), ([&[NOON + DAY], &ahead[..]].concat(), Some(NOON + DAY + 2 * MINUTE)));
    let (first, next) = due(&minutely(CatchUp::All, NOON, now));
    assert_eq!((first[0], first[99], first.len(), next), (NOON, NOON + 99 * MINUTE, 100, Some(NOON + 100 * MINUTE)));
    let mut plan = minutely(CatchUp::All, NOON, now);
    let mut fired = 0;
    while let Some(fire) = plan.fire(0, 100).filter(|fire| !fire.due_ms.is_empty()) {
        fired += fire.due_ms.len();
        plan.next_ms = fire.next_ms;
    }
    assert_eq!(fired, 1441);
}

#[test]
fn ten_seconds_after_two_days_are_bounded() {
    let now = NOON + 2 * DAY;
    let every = |catch_up| due(&plan(r#""everySeconds": 10"#, catch_up, NOON + 10_000, now));
    let ahead: Vec<i64> = (1..=9).map(|n| now + n * 10_000).collect();
    assert_eq!(every(CatchUp::Skip).0, ahead);
    assert_eq!(every(CatchUp::Latest).0, [&[now], &ahead[..]].concat());
    assert_eq!((every(CatchUp::All).0.len(), every(CatchUp::All).1), (100, Some(NOON + 1_010_000)));
}

#[test]
fn an_edit_first_fires_what_was_due_but_not_a_backlog() {
    let before = |catch_up, late| minutely(catch_up, NOON, NOON + late).fire_before_edit().map(|fire| (fire.due_ms, fire.next_ms));
    for catch_up in [CatchUp::Skip, CatchUp::Latest, CatchUp::All] {
        assert_eq!(before(catch_up, -1), None);
        assert_eq!(before(catch_up, 1), Some((vec![NOON], Some(NOON + MINUTE))));
        assert_eq!(before(catch_up, MINUTE), Some((vec![NOON, NOON + MINUTE], Some(NOON + 2 * MINUTE))));
    }
    assert_eq!(before(CatchUp::Skip, DAY), Some((vec![], Some(NOON + DAY + MINUTE))));
    for catch_up in [CatchUp::Latest, CatchUp::All] {
        assert_eq!(before(catch_up, DAY), Some((vec![NOON + DAY], Some(NOON + DAY + MINUTE))));
    }
}

#[test]
fn a_statement_is_bounded_and_gives_every_schedule_its_share() {
    let late = |messages, body_bytes| Plan { messages, body_bytes, ..minutely(CatchUp::All, NOON, NOON + DAY) };
    let counts = |plans: &[Plan]| fires(plans).iter().map(|fire| fire.due_ms.len()).collect::<Vec<_>>();
    assert_eq!(counts(&[late(1, 0)]), [100]);
    assert_eq!(counts(&vec![late(1, 0); 100]), [10; 100]);
    assert_eq!(counts(&[late(50, 0)]), [20]);
    assert_eq!(counts(&[late(1_000, 0), late(1, 0)]), [1], "the second is for the next statement");
    assert_eq!(counts(&[late(1, 4 << 20)]), [4]);
    assert_eq!(counts(&[late(1_000, 4 << 20)]), [1], "one due time is never split");
}

proptest! {
    #[test]
    fn the_newest_missed_time_is_found_whatever_the_period(period_s in 1..100_000_i64, away_s in 121..10_000_000_i64, offset_ms in 0..1000_i64) {
        let now = NOON + away_s * 1000 + offset_ms;
        let first = NOON + period_s * 1000;
        prop_assume!(now - first > limits::FIRE_LATE_MS_MAX);
        let fire = plan(&format!(r#""everySeconds": {period_s}"#), CatchUp::Latest, first, now).fire(0, 100).unwrap();
        let newest = now - (now - NOON) % (period_s * 1000);
        prop_assert_eq!((fire.due_ms, fire.next_ms), (vec![newest], Some(newest + period_s * 1000)));
    }
}

#[test]
fn a_schedule_of_a_workflow_has_an_input() {
    let with = |fields: &str| read(&format!(r#"{{"name": "n", "everySeconds": 60, {fields}}}"#));
    let body = |fields: &str| with(fields).unwrap().message.body.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(body(r#""workflow": "w", "input": {"a": 1}"#).as_deref(), Some(r#"{"a": 1}"#));
    assert_eq!(body(r#""workflow": "w", "input": null"#), None);
    assert_eq!(body(r#""workflow": "w", "input": 0, "body": null"#).as_deref(), Some("0"));
    assert_eq!(body(r#""workflow": null, "url": "https://e.com", "input": null, "body": 5"#).as_deref(), Some("5"));
    assert_eq!(body(r#""workflow": "w", "body": 5"#).as_deref(), Some("5"));
    assert_eq!(body(r#""workflow": "w""#), None);
    assert_eq!(with(r#""workflow": "w", "input": 1, "body": 1"#).unwrap_err(), ["/input"]);
    assert_eq!(with(r#""url": "https://e.com", "input": 1"#).unwrap_err(), ["/input"]);
    assert_eq!(with(r#""workflow": "w", "url": "https://e.com""#).unwrap_err(), ["/workflow"]);
}
