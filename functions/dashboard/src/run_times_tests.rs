//! Tests of `run_times`.

use serde_json::{Value, json};

use super::*;

/// A time: so many milliseconds after nine.
fn at(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(NINE_MS + ms).unwrap().to_string()
}

const NINE_MS: i64 = 1_801_386_000_000;

fn step(key: &str, kind: &str, recorded: i64, duration: Option<i64>, more: Value) -> Step {
    let mut json = json!({ "seq": 1, "key": key, "kind": kind, "state": "ok", "truncated": false, "attempt": 1, "recordedAt": at(recorded),
        "durationMs": duration, "copied": false, "attempts": [] });
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json).unwrap()
}

/// From, to and kind of each part, in milliseconds after nine.
fn parts(spans: &[Span]) -> Vec<(i64, i64, &'static str)> {
    spans.iter().map(|span| (span.from_ms - NINE_MS, span.to_ms - NINE_MS, span.kind)).collect()
}

fn all(steps: &[Step]) -> Vec<Vec<(i64, i64, &'static str)>> {
    of_finished(steps, NINE_MS).iter().map(|spans| parts(spans)).collect()
}

#[test]
fn a_step_took_what_it_says_and_a_wait_began_with_what_was_recorded_before_it() {
    let steps = [
        step("charge#0", "run", 100, Some(60), json!({})),
        step("cool#0", "sleep", 5_100, None, json!({})),
        step("child#0", "child", 6_000, None, json!({ "plannedAt": at(40) })),
        step("mail#0", "publish", 6_100, None, json!({})),
    ];
    assert_eq!(all(&steps), [[(40, 100, "run")], [(100, 5_100, "wait")], [(40, 6_000, "child")], [(6_100, 6_100, "run")]]);
}

#[test]
fn failed_attempts_are_shown_with_the_waits_after_them() {
    let tried = |number: i32, ms: i64, late: bool| json!({ "number": number, "recordedAt": at(ms), "durationMs": 10, "error": { "name": "E", "message": "m" }, "free": false, "late": late, "retryMs": 1_000 });
    let attempts = json!({ "attempt": 3, "attempts": [tried(1, 20, false), tried(9, 30, true), tried(2, 1_030, false)] });
    let spans = all(&[step("a#0", "run", 3_100, Some(50), attempts)]);
    let expected = [(10, 20, "error"), (20, 1_020, "retry"), (1_020, 1_030, "error"), (1_030, 3_050, "retry"), (3_050, 3_100, "run")];
    assert_eq!(spans, [expected]);
    let pending: Pending = serde_json::from_value(
        json!({ "key": "a#0", "kind": "run", "plannedAt": at(20), "dueAt": at(9_000), "attempt": 2, "attempts": [tried(1, 20, false)] }),
    )
    .unwrap();
    assert_eq!(parts(&of_pending(&pending, NINE_MS, NINE_MS + 500)), [(10, 20, "error"), (20, 500, "retry")]);
}

#[test]
fn what_is_recorded_together_ran_together_unless_it_fills_its_time() {
    let pair = |recorded, a, b| [step("a#0", "run", recorded, Some(a), json!({})), step("b#0", "run", recorded, Some(b), json!({}))];
    assert_eq!(all(&pair(110, 100, 90)), [[(10, 110, "run")], [(20, 110, "run")]]);
    assert_eq!(all(&pair(200, 100, 90)), [[(10, 110, "run")], [(110, 200, "run")]], "one batch");
    assert_eq!(all(&pair(50, 2, 1)), [[(48, 50, "run")], [(49, 50, "run")]]);
}

#[test]
fn what_a_fork_has_copied_has_no_time_in_it() {
    let steps = [step("a#0", "run", -5_000, Some(10), json!({ "copied": true })), step("b#0", "run", 30, Some(500), json!({}))];
    assert_eq!(all(&steps), [vec![], vec![(0, 30, "run")]], "and nothing began before its run");
}

#[test]
fn a_long_child_is_a_wait() {
    let child = |ms| Span::new(0, ms, "child", "").stretch().is_work;
    assert!(child(1_000) && !child(3_600_000));
}
