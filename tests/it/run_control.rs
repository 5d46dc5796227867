//! What people do to runs, and what becomes of their children. Out of scope: verbs that meet something else
//! (`run_control_races.rs`), signals and approvals (`run_signals.rs`), the API.

use serde_json::{Value, json};
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, RunId};
use tikku_domain::run_filter::RunFilter;
use tikku_store::{Checkpointed, Fork, Kick, RunBulk, RunControl, RunForked};
use uuid::Uuid;

use crate::run_bed::{Bed, checkpoint};
use crate::run_desk::{child_op, children, error, lease, parked, play, result_op, send, settle, signal_op, try_lease};

pub fn done(control: RunControl) -> Vec<Kick> {
    match control {
        RunControl::Done { kicks } => kicks,
        other => panic!("{other:?}"),
    }
}

pub fn conflict(state: &str) -> RunControl {
    RunControl::Conflict { state: state.to_owned() }
}

pub fn kicked(kicks: &[Kick]) -> Vec<RunId> {
    Kick::runs(kicks)
}

pub async fn sweep(bed: &Bed) {
    while bed.ctx.store.child_sweep(500).await.unwrap().rows > 0 {}
}

async fn fail(bed: &Bed, id: RunId, message: &str) {
    let lease = lease(&bed.ctx.store, id).await;
    assert!(settle(&bed.ctx.store, &lease.over("fail", None, Some(error(message)))).await);
}

#[tokio::test]
async fn what_the_endpoint_of_a_cancelled_run_does_is_refused() {
    let bed = Bed::new("ctl_cancel", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    let lease = lease(store, id).await;
    assert_eq!(done(store.run_cancel(account, id).await.unwrap()), []);
    let late = checkpoint(store, id, &lease.token, 0, &json!([result_op("a#0")])).await;
    assert!(matches!(late, Checkpointed::Stale), "{late:?}");
    assert!(!settle(store, &lease.over("done", Some("1"), None)).await);
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("cancelled", 0));
    assert_eq!(done(store.run_cancel(account, id).await.unwrap()), []);
    for verb in [store.run_pause(account, id).await, store.run_resume(account, id, false).await, store.run_wake(account, id).await] {
        assert_eq!(verb.unwrap(), conflict("cancelled"));
    }
}

#[tokio::test]
async fn another_accounts_run_is_missing() {
    let bed = Bed::new("ctl_other", []).await;
    let (store, other) = (&bed.ctx.store, AccountId(Uuid::from_u128(1)));
    let id = bed.start().await;
    let verbs = [
        store.run_cancel(other, id).await,
        store.run_pause(other, id).await,
        store.run_resume(other, id, false).await,
        store.run_wake(other, id).await,
        store.run_retry(other, id).await,
    ];
    assert!(verbs.into_iter().all(|verb| verb.unwrap() == RunControl::Missing));
    let fork = Fork { from_step: "a#0", input: None, results: &[], started_by: None };
    assert_eq!(store.run_fork(other, id, &fork).await.unwrap(), RunForked::Missing);
    assert!(store.run_get(other, id, None).await.unwrap().is_none() && store.run_steps(other, id, None, 10).await.unwrap().is_none());
    assert_eq!(bed.state(id).await, "queued");
}

#[tokio::test]
async fn a_run_that_is_paused_while_it_is_dispatched_stops_when_the_dispatch_ends() {
    let bed = Bed::new("ctl_pause_running", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    let first = lease(store, id).await;
    done(store.run_pause(account, id).await.unwrap());
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_requested").await.as_str()), ("running", "true"));
    let Checkpointed::Taken(taken) = checkpoint(store, id, &first.token, 0, &json!([result_op("a#0")])).await else { panic!() };
    assert!(taken.pause_requested);
    assert!(settle(store, &first.reply(json!([result_op("b#0")]), Value::Null)).await);
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("paused", "requested"));
    assert_eq!(bed.keys(id).await, ["a#0", "b#0"]);
    assert!(try_lease(store, id).await.is_none());
    assert_eq!(kicked(&done(store.run_resume(account, id, false).await.unwrap())), [id]);
    assert!(try_lease(store, id).await.is_some());
    done(store.run_pause(account, id).await.unwrap());
    assert_eq!(done(store.run_resume(account, id, false).await.unwrap()), []);
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_requested").await.as_str()), ("running", "false"));
}

#[tokio::test]
async fn a_paused_run_takes_signals_and_starts_only_when_it_is_resumed() {
    let bed = Bed::new("ctl_pause_fact", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([signal_op("s#0", "s")]), json!("s#0")).await;
    done(store.run_pause(account, id).await.unwrap());
    send(&bed, id, "s", "1").await;
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("paused", 1));
    assert!(try_lease(store, id).await.is_none());
    assert_eq!(kicked(&done(store.run_resume(account, id, false).await.unwrap())), [id]);
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("queued", ""));
    assert_eq!(store.run_resume(account, id, false).await.unwrap(), conflict("queued"));
}

#[tokio::test]
async fn a_resumed_run_sleeps_on_until_its_time() {
    let bed = Bed::new("ctl_resume_sleep", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([{ "op": "sleep", "key": "s#0", "forMs": 7_200_000 }]), json!("s#0")).await;
    let due = bed.column(id, "due_at").await;
    done(store.run_pause(account, id).await.unwrap());
    assert_eq!(done(store.run_resume(account, id, false).await.unwrap()), []);
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "due_at").await), ("sleeping", due));
}

#[tokio::test]
async fn a_delayed_start_that_was_paused_keeps_its_time_and_can_be_woken() {
    let bed = Bed::new("ctl_delayed", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    bed.client.execute("update tikku.run set due_at = tikku.clock_now() + interval '1 hour'", &[]).await.unwrap();
    let due = bed.column(id, "due_at").await;
    done(store.run_pause(account, id).await.unwrap());
    assert_eq!(store.run_wake(account, id).await.unwrap(), conflict("paused"));
    done(store.run_resume(account, id, false).await.unwrap());
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "due_at").await), ("queued", due));
    assert_eq!(kicked(&done(store.run_wake(account, id).await.unwrap())), [id]);
    assert!(try_lease(store, id).await.is_some());
}

#[tokio::test]
async fn resume_with_accept_covers_what_is_recorded_then() {
    let bed = Bed::new("ctl_accept", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([result_op("a#0"), result_op("b#0"), signal_op("s#0", "s")]), json!("s#0")).await;
    done(store.run_pause(account, id).await.unwrap());
    done(store.run_resume(account, id, true).await.unwrap());
    assert_eq!(bed.column(id, "accept_seq").await, "2");
}

#[tokio::test]
async fn wake_ends_sleeps_and_says_so() {
    let bed = Bed::new("ctl_wake", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let sleep = json!([{ "op": "sleep", "key": "s#0", "forMs": 7_200_000 }, { "op": "sleep", "key": "t#0", "forMs": 1_000_000 }]);
    let id = parked(&bed, sleep, json!({ "all": ["s#0", "t#0"] })).await;
    assert_eq!(kicked(&done(store.run_wake(account, id).await.unwrap())), [id]);
    let values: Vec<_> = bed.journal(id).await.into_iter().map(|row| (row.key, row.value.unwrap())).collect();
    assert_eq!(values, [("t#0".to_owned(), "\"woken\"".to_owned()), ("s#0".to_owned(), "\"woken\"".to_owned())]);
    assert_eq!(bed.state(id).await, "queued");
    let waiting = parked(&bed, json!([signal_op("s#0", "s")]), json!("s#0")).await;
    assert_eq!(store.run_wake(account, waiting).await.unwrap(), conflict("waiting"));
}

#[tokio::test]
async fn wake_retries_now_what_waits_to_be_retried() {
    let bed = Bed::new("ctl_wake_retry", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let retry = json!([{ "op": "error", "key": "a#0", "error": error("no"), "retry": { "afterMs": 7_200_000 } }]);
    let step = parked(&bed, retry, Value::Null).await;
    let backoff = bed.start().await;
    let lease = lease(store, backoff).await;
    let mut refused = lease.reply(json!([]), Value::Null);
    refused.outcome = tikku_domain::workflow::Outcome::Refused { retry_ms: 300_000, error: "{}".to_owned() };
    settle(store, &refused).await;
    for id in [step, backoff] {
        assert_eq!(bed.state(id).await, "retrying");
        assert!(try_lease(store, id).await.is_none());
        assert_eq!(kicked(&done(store.run_wake(account, id).await.unwrap())), [id]);
        assert!(try_lease(store, id).await.is_some());
    }
}

#[tokio::test]
async fn a_retry_drops_the_failure_that_ended_the_run_and_nothing_else() {
    let bed = Bed::new("ctl_retry", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    let failed = |key: &str, message: &str| json!({ "op": "error", "key": key, "error": error(message) });
    let ops =
        json!([result_op("a#0"), failed("handled#0", "dealt with"), failed("b#0", "no"), failed("beside#0", "too"), result_op("c#0")]);
    let first = lease(store, id).await;
    settle(store, &first.reply(ops, Value::Null)).await;
    let last = lease(store, id).await;
    let thrown = json!({ "name": "Wrapped", "message": "order failed", "cause": error("no") });
    settle(store, &last.over("fail", None, Some(thrown))).await;
    bed.client.execute("update tikku.run set failures = 3, lost = 4, idle = 5", &[]).await.unwrap();
    assert_eq!(kicked(&done(store.run_retry(account, id).await.unwrap())), [id]);
    assert_eq!(bed.keys(id).await, ["a#0", "handled#0", "c#0"]);
    let budgets = bed.column(id, "concat_ws(' ', state, attempt, failures, lost, idle, error)").await;
    assert_eq!(budgets, "queued 2 0 0 0");
    assert_eq!(store.run_retry(account, id).await.unwrap(), conflict("queued"));
    // Late results of the dispatch that failed do not count any more.
    let late = checkpoint(store, id, &last.token, 0, &json!([result_op("b#0")])).await;
    assert!(matches!(late, Checkpointed::Stale));
    play(store, id, json!([result_op("b#0"), signal_op("s#0", "s")]), json!("s#0")).await;
    assert_eq!((bed.keys(id).await.last().unwrap().as_str(), bed.state(id).await.as_str()), ("b#0", "waiting"));
}

#[tokio::test]
async fn a_retry_takes_failed_children_with_it() {
    let bed = Bed::new("ctl_retry_child", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([child_op("kid#0"), child_op("kid#1")]), json!({ "all": ["kid#0", "kid#1"] })).await;
    let kids = children(&bed, id).await;
    let first = lease(store, kids[0]).await;
    settle(store, &first.over("done", Some("7"), None)).await;
    fail(&bed, kids[1], "no").await;
    assert_eq!(bed.state(id).await, "queued");
    let told = bed.journal(id).await.pop().unwrap();
    assert_eq!((told.key.as_str(), told.state.as_str()), ("kid#1", "error"));
    let parent = lease(store, id).await;
    settle(store, &parent.over("fail", None, Some(serde_json::from_str(&told.error.unwrap()).unwrap()))).await;
    let mut going = kicked(&done(store.run_retry(account, id).await.unwrap()));
    going.sort();
    assert_eq!(going, [id, kids[1]]);
    assert_eq!((bed.keys(id).await, bed.planned(id).await), (vec!["kid#0".to_owned()], vec!["kid#1".to_owned()]));
    play(store, id, json!([child_op("kid#1")]), json!({ "all": ["kid#0", "kid#1"] })).await;
    assert_eq!((bed.state(id).await.as_str(), children(&bed, id).await.len()), ("waiting", 2));
    let again = lease(store, kids[1]).await;
    settle(store, &again.over("done", Some("8"), None)).await;
    assert_eq!((bed.state(id).await.as_str(), bed.journal(id).await[1].value.as_deref()), ("queued", Some("8")));
}

#[tokio::test]
async fn a_cancelled_run_that_is_retried_waits_again_for_all_its_children() {
    let bed = Bed::new("ctl_retry_cancelled", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let keys = ["live#0", "ok#0", "swept#0"];
    let id = parked(&bed, json!(keys.map(child_op)), json!({ "all": keys })).await;
    let kids = children(&bed, id).await;
    done(store.run_cancel(account, id).await.unwrap());
    let second = lease(store, kids[1]).await;
    settle(store, &second.over("done", Some("2"), None)).await;
    done(store.run_cancel(account, kids[2]).await.unwrap());
    done(store.run_retry(account, id).await.unwrap());
    sweep(&bed).await;
    assert_eq!((bed.state(kids[0]).await.as_str(), bed.state(kids[2]).await.as_str()), ("queued", "queued"));
    assert_eq!((bed.keys(id).await, bed.planned(id).await), (vec!["ok#0".to_owned()], vec!["live#0".to_owned(), "swept#0".to_owned()]));
    for kid in [kids[0], kids[2]] {
        let lease = lease(store, kid).await;
        settle(store, &lease.over("done", Some("1"), None)).await;
    }
    assert_eq!(bed.keys(id).await.len(), 3);
}

#[tokio::test]
async fn a_retry_does_not_make_a_second_run_of_a_singleton() {
    let bed = Bed::new("ctl_retry_singleton", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    bed.serve("flow", "1", r#"{"singleton": {"mode": "skip"}}"#).await;
    let old = bed.start().await;
    fail(&bed, old, "no").await;
    let new = bed.start().await;
    assert_eq!(store.run_retry(account, old).await.unwrap(), conflict("singleton"));
    assert_eq!((bed.state(old).await.as_str(), bed.column(old, "attempt").await.as_str()), ("failed", "1"));
    done(store.run_cancel(account, new).await.unwrap());
    done(store.run_retry(account, old).await.unwrap());
}

#[tokio::test]
async fn a_fork_is_the_beginning_of_its_source_with_its_edits() {
    let bed = Bed::new("ctl_fork", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let failed = json!({ "op": "error", "key": "b#0", "error": error("no") });
    let id = parked(&bed, json!([result_op("a#0"), failed, result_op("c#0"), signal_op("s#0", "s")]), json!("s#0")).await;
    let before = (bed.journal(id).await, bed.column(id, "r").await);
    let results = [("b#0".to_owned(), br#"{"edited":  1}"#.to_vec())];
    let fork = Fork { from_step: "c#0", input: Some(b"{\"n\": 2}"), results: &results, started_by: None };
    let RunForked::Done { id: made, kick: Some(_), .. } = store.run_fork(account, id, &fork).await.unwrap() else { panic!() };
    let values: Vec<_> = bed.journal(made).await.into_iter().map(|row| (row.seq, row.key, row.state, row.value.unwrap())).collect();
    let entry = |seq: i32, key: &str, value: &str| (seq, key.to_owned(), "ok".to_owned(), value.to_owned());
    assert_eq!(values, [entry(1, "a#0", "\"a#0\""), entry(2, "b#0", r#"{"edited":  1}"#)]);
    assert_eq!((bed.journal(id).await, bed.column(id, "r").await), before);
    let lineage = bed.column(made, "concat_ws(' ', forked_from, fork_key, convert_from(input, 'UTF8'), planned, next_seq)").await;
    assert_eq!(lineage, format!("{} c#0 {{\"n\": 2}} 2 3", id.0));
    play(store, made, json!([result_op("c#0")]), Value::Null).await;
    assert_eq!(bed.keys(made).await, ["a#0", "b#0", "c#0"]);
    // A step that was not reached: everything that is finished.
    let RunForked::Done { id: whole, .. } =
        store.run_fork(account, id, &Fork { from_step: "later#0", input: None, results: &[], started_by: None }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((bed.keys(whole).await, bed.planned(whole).await), (bed.keys(id).await, vec![]));
    let unfinished = Fork { from_step: "b#0", input: None, results: &results, started_by: None };
    assert_eq!(store.run_fork(account, id, &unfinished).await.unwrap(), RunForked::Unfinished { key: "b#0".to_owned() });
    done(store.run_cancel(account, id).await.unwrap());
    let nowhere = Fork { from_step: "later#0", input: None, results: &[], started_by: None };
    assert_eq!(store.run_fork(account, id, &nowhere).await.unwrap(), RunForked::NoStep);
}

#[tokio::test]
async fn the_children_of_a_cancelled_run_are_cancelled_and_theirs_too() {
    let bed = Bed::new("ctl_sweep", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([child_op("a#0"), child_op("b#0")]), json!({ "all": ["a#0", "b#0"] })).await;
    let kids = children(&bed, id).await;
    play(store, kids[0], json!([child_op("c#0")]), json!("c#0")).await;
    let grandchild = children(&bed, kids[0]).await[0];
    done(store.run_cancel(account, id).await.unwrap());
    sweep(&bed).await;
    for run in [kids[0], kids[1], grandchild] {
        assert_eq!(bed.state(run).await, "cancelled");
    }
    assert_eq!(bed.client.query("select 1 from tikku.child_sweep", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn many_runs_are_cancelled_by_what_they_have_in_common() {
    let bed = Bed::new("ctl_bulk", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let (a, b, other) = (bed.start().await, bed.start().await, bed.start_of("child", "1").await);
    let page = Page { limit: 1, cursor: None };
    let mut filter = RunFilter {
        status: None,
        workflow: Some("flow".to_owned()),
        version: None,
        label: None,
        parent: None,
        external_id: None,
        from_ms: None,
        to_ms: None,
        page,
    };
    let only = store.run_cancel_many(account, &RunBulk { filter: &filter, ids: Some(&[a, other]), as_of_us: None }).await.unwrap().0;
    assert_eq!((only.count, only.remaining), (1, 0));
    let rest = store.run_cancel_many(account, &RunBulk { filter: &filter, ids: None, as_of_us: None }).await.unwrap().0;
    assert_eq!((rest.count, rest.remaining), (1, 0));
    assert_eq!((bed.state(a).await, bed.state(b).await, bed.state(other).await), ("cancelled".into(), "cancelled".into(), "queued".into()));
    filter.workflow = None;
    let first = store.run_list(account, &filter).await.unwrap();
    assert_eq!((first.data[0].id.clone(), first.next_cursor.clone()), (other.to_string(), Some(other.to_string())));
    filter.page = Page { limit: 5, cursor: Some(other) };
    filter.status = Some("cancelled".to_owned());
    let second = store.run_list(account, &filter).await.unwrap();
    assert_eq!((second.data.len(), second.next_cursor), (2, None));
}
