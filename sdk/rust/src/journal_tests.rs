//! Delivery and determinism, rule by rule.

use futures_util::task::noop_waker;

use super::*;
use crate::wire::raw;

fn entry(seq: u64, key: &str, kind: &str) -> Entry {
    let json = format!(r#"{{"seq":{seq},"key":"{key}","kind":"{kind}","state":"ok","value":{seq}}}"#);
    serde_json::from_str(&json).unwrap()
}

fn journal(entries: &[(&str, &str)]) -> Journal {
    let entries = entries.iter().zip(1..).map(|((key, kind), seq)| entry(seq, key, kind)).collect();
    Journal::new(Page { entries, seq: 0, next: None }, Vec::new(), 0)
}

fn ask(journal: &mut Journal, key: &str, kind: &'static str) {
    let plan = (kind != "run").then(|| raw(&key).unwrap());
    journal.ask(&key.into(), Asked { kind, plan, replan: false }, noop_waker());
}

/// What the step gets now, if anything.
fn got(journal: &mut Journal, key: &str) -> Option<String> {
    match journal.turn(key, &noop_waker()) {
        Phase::Settled(Settled::Value(value)) => Some(value.get().to_owned()),
        _ => None,
    }
}

fn finish(journal: &mut Journal, key: &str) {
    assert!(matches!(journal.turn(key, &noop_waker()), Phase::Granted(1)));
    journal.finish(&key.into(), Finish { op: raw(&1).unwrap(), is_final: true });
}

#[test]
fn entries_are_delivered_one_by_one_in_their_order_and_not_in_that_of_asking() {
    let mut journal = journal(&[("b#0", "run"), ("a#0", "run")]);
    ask(&mut journal, "a#0", "run");
    ask(&mut journal, "b#0", "run");
    assert!(journal.deliver().is_some());
    assert_eq!((got(&mut journal, "a#0"), got(&mut journal, "b#0")), (None, Some("1".to_owned())));
    assert!(journal.deliver().is_some());
    assert_eq!(got(&mut journal, "a#0"), Some("2".to_owned()));
    assert!(journal.deliver().is_none());
    assert_eq!(journal.divergence(true), None);
}

#[test]
fn an_entry_that_nobody_waits_for_any_more_is_passed_over() {
    let mut journal = journal(&[("a#0", "run"), ("b#0", "run")]);
    ask(&mut journal, "a#0", "run");
    ask(&mut journal, "b#0", "run");
    journal.give_up("a#0");
    assert!(journal.deliver().is_some());
    assert_eq!(got(&mut journal, "b#0"), Some("2".to_owned()));
    assert_eq!(journal.divergence(true), None);
}

#[test]
fn new_work_diverges_only_while_something_recorded_was_not_asked_for() {
    let mut journal = journal(&[("a#0", "run")]);
    ask(&mut journal, "x#0", "run");
    let diff = journal.divergence(false).unwrap();
    assert_eq!((diff.expected[0].key.as_str(), diff.asked[0].key.as_str()), ("a#0", "x#0"));
    ask(&mut journal, "a#0", "run");
    assert_eq!(journal.divergence(false), None);
    assert!(journal.begin());
}

#[test]
fn an_end_before_all_that_was_recorded_is_asked_for_diverges_unless_it_is_accepted() {
    let mut journal = journal(&[("a#0", "run")]);
    assert_eq!(journal.divergence(false), None);
    assert_eq!(journal.divergence(true).unwrap().expected[0].key, "a#0");
    journal.accept = 1;
    assert_eq!(journal.divergence(true), None);
}

#[test]
fn another_kind_diverges_whether_it_is_recorded_or_pending() {
    let mut recorded = journal(&[("a#0", "sleep")]);
    ask(&mut recorded, "a#0", "run");
    assert_eq!(recorded.divergence(false).unwrap().asked[0].kind, "run");

    let pending: Pending = serde_json::from_str(r#"{"key":"a#0","kind":"run","attempt":2}"#).unwrap();
    let mut planned = Journal::new(Page::default(), vec![pending], 0);
    ask(&mut planned, "a#0", "sleep");
    assert_eq!(planned.divergence(false).unwrap().expected[0].kind, "run");
}

#[test]
fn results_settle_early_only_while_nothing_else_could_come_before_them() {
    let mut journal = journal(&[]);
    journal.early_max = 9;
    ask(&mut journal, "a#0", "run");
    ask(&mut journal, "s#0", "signal");
    assert!(journal.begin());
    finish(&mut journal, "a#0");
    assert!(journal.deliver().is_none(), "the signal may come first");
    assert!(journal.outbox.settles());

    journal.give_up("s#0");
    ask(&mut journal, "b#0", "run");
    assert!(journal.begin());
    finish(&mut journal, "b#0");
    assert!(journal.deliver().is_none(), "a#0 is to be recorded first");
}

#[test]
fn leaves_are_what_the_engine_knows_and_none_where_it_does_not() {
    let mut journal = journal(&[]);
    ask(&mut journal, "s#0", "signal");
    assert!(journal.leaves().is_none(), "nothing was planned yet");
    assert!(!journal.begin());
    assert_eq!(journal.leaves().unwrap(), [("s#0".into(), 0)]);
    ask(&mut journal, "a#0", "run");
    assert!(journal.begin());
    assert!(journal.leaves().is_none(), "a body runs");
    finish(&mut journal, "a#0");
    assert_eq!(journal.leaves().unwrap().len(), 2);
}
