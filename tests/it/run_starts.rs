//! Starts of runs: once per id and key, what a workflow's policy makes of them, and what is shown of them. Out of scope: gates (`run_engine.rs`), starts
//! by SQL (`run_sql.rs`).

use serde_json::json;
use tikku_domain::etag::IfMatch;
use tikku_domain::ids::{RunId, ScheduleId};
use tikku_store::{DescribedApp, DescribedWorkflow, Fork, NewApp, Origin, RunForked, RunStarted, StartRun};
use uuid::Uuid;

use crate::run_bed::Bed;
use crate::run_desk::{child_op, children, lease, parked, settle, try_lease};

const START: StartRun<'static> =
    StartRun { workflow: "flow", version: None, external_id: None, idempotency_key: None, input: b"1", delay_ms: None, labels: &[] };

async fn start(bed: &Bed, start: StartRun<'_>) -> RunStarted {
    bed.ctx.store.run_start(&bed.world.key_hash, &start).await.unwrap()
}

fn id_of(started: &RunStarted) -> RunId {
    match started {
        RunStarted::Accepted { id, .. }
        | RunStarted::Existing { id, .. }
        | RunStarted::Skipped { id, .. }
        | RunStarted::Debounced { id, .. }
        | RunStarted::Mismatch { id, .. } => *id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_eight_starts_with_one_id_one_starts_a_run() {
    let bed = Bed::new("start_race", []).await;
    let same = StartRun { external_id: Some("o1"), idempotency_key: Some("k1"), ..START };
    let all = futures_util::future::join_all((0..8).map(|_| start(&bed, same))).await;
    let accepted = all.iter().filter(|started| matches!(started, RunStarted::Accepted { kick: Some(_), .. })).count();
    let existing = all.iter().filter(|started| matches!(started, RunStarted::Existing { .. })).count();
    assert_eq!((accepted, existing), (1, 7));
    assert!(all.iter().all(|started| id_of(started) == id_of(&all[0])));
    let id = id_of(&all[0]);
    let last = lease(&bed.ctx.store, id).await.over("done", Some("1"), None);
    settle(&bed.ctx.store, &last).await;
    // Also when it is over, and in another version.
    bed.serve("flow", "2", "{}").await;
    assert_eq!(start(&bed, same).await, RunStarted::Existing { id, state: "completed".to_owned() });
    let other = RunStarted::Mismatch { id, state: "completed".to_owned() };
    assert_eq!(start(&bed, StartRun { input: b"2", idempotency_key: None, ..same }).await, other);
    assert_eq!(start(&bed, StartRun { input: b"2", external_id: None, ..same }).await, other);
    assert!(matches!(start(&bed, StartRun { workflow: "child", idempotency_key: None, ..same }).await, RunStarted::Accepted { .. }));
}

#[tokio::test]
async fn a_key_that_may_not_start_is_told() {
    let bed = Bed::new("start_key", []).await;
    assert_eq!(bed.ctx.store.run_start(&[0; 32], &START).await.unwrap(), RunStarted::Unauthorized);
    assert_eq!(start(&bed, StartRun { workflow: "none", ..START }).await, RunStarted::NoWorkflow);
    assert_eq!(start(&bed, StartRun { version: Some("9"), ..START }).await, RunStarted::NoVersion);
    bed.client.execute("update tikku.api_key set role = 'read'", &[]).await.unwrap();
    assert_eq!(start(&bed, START).await, RunStarted::Forbidden);
}

#[tokio::test]
async fn a_delayed_start_begins_at_its_time() {
    let bed = Bed::new("start_delay", []).await;
    let labels = ["vip".to_owned()];
    let RunStarted::Accepted { id, kick: Some(kick), .. } =
        start(&bed, StartRun { delay_ms: Some(60_000), labels: &labels, ..START }).await
    else {
        panic!()
    };
    assert!((59_000..=60_000).contains(&kick.wait_ms), "{kick:?}");
    assert!(try_lease(&bed.ctx.store, id).await.is_none());
    assert!(try_lease(&bed.world.later(61), id).await.is_some());
    let far = start(&bed, StartRun { delay_ms: Some(86_400_000), ..START }).await;
    assert!(matches!(far, RunStarted::Accepted { kick: None, .. }));
    let run = bed.ctx.store.run_get(bed.world.account, id, None).await.unwrap().unwrap().run;
    assert_eq!((run.labels, run.started_how.as_str(), run.started_by.is_some()), (labels.to_vec(), "api", true));
}

#[tokio::test]
async fn what_a_schedule_starts_says_so() {
    let bed = Bed::new("start_origin", []).await;
    let schedule = ScheduleId(Uuid::from_u128(7));
    let started = bed.ctx.store.run_start_for(bed.world.account, Origin::Schedule(schedule), &START).await.unwrap();
    let run = bed.ctx.store.run_get(bed.world.account, id_of(&started), None).await.unwrap().unwrap().run;
    assert_eq!((run.started_how.as_str(), run.source, run.started_by), ("schedule", Some(schedule.to_string()), None));
}

#[tokio::test]
async fn a_singleton_skips_or_cancels() {
    let bed = Bed::new("start_singleton", []).await;
    bed.serve("flow", "1", r#"{"singleton": {"key": "input.id", "mode": "skip"}}"#).await;
    bed.serve("child", "1", r#"{"singleton": {"mode": "cancel"}}"#).await;
    let by = |input: &'static [u8]| StartRun { input, ..START };
    let first = start(&bed, by(br#"{"id": 1}"#)).await;
    assert_eq!(start(&bed, by(br#"{"id": 1, "x": 2}"#)).await, RunStarted::Skipped { id: id_of(&first), state: "queued".to_owned() });
    assert!(matches!(start(&bed, by(br#"{"id": 2}"#)).await, RunStarted::Accepted { .. }));
    bed.ctx.store.run_cancel(bed.world.account, id_of(&first)).await.unwrap();
    assert!(matches!(start(&bed, by(br#"{"id": 1}"#)).await, RunStarted::Accepted { .. }));
    let old = id_of(&start(&bed, StartRun { workflow: "child", ..START }).await);
    lease(&bed.ctx.store, old).await;
    let new = start(&bed, StartRun { workflow: "child", ..START }).await;
    assert!(matches!(new, RunStarted::Accepted { .. }) && id_of(&new) != old);
    assert_eq!((bed.state(old).await.as_str(), bed.state(id_of(&new)).await.as_str()), ("cancelled", "queued"));
}

#[tokio::test]
async fn a_debounced_start_takes_the_last_input_and_children_and_forks_are_their_own() {
    let bed = Bed::new("start_debounce", []).await;
    let policy = r#"{"debounce": {"seconds": 60, "maxSeconds": 90}}"#;
    bed.serve("child", "1", policy).await;
    let child = |input: &'static [u8]| StartRun { workflow: "child", input, ..START };
    let first = id_of(&start(&bed, child(b"1")).await);
    assert!(matches!(start(&bed, child(b"2")).await, RunStarted::Debounced { id, kick: Some(_), .. } if id == first));
    assert_eq!(bed.column(first, "convert_from(input, 'UTF8')").await, "2");
    // A resumed run does not debounce: another may have its place.
    bed.ctx.store.run_pause(bed.world.account, first).await.unwrap();
    let second = id_of(&start(&bed, child(b"3")).await);
    assert_ne!(first, second);
    bed.ctx.store.run_resume(bed.world.account, first, false).await.unwrap();
    let fork = Fork { from_step: "a#0", input: None, results: &[], started_by: None };
    let RunForked::Done { id: forked, .. } = bed.ctx.store.run_fork(bed.world.account, second, &fork).await.unwrap() else { panic!() };
    let parent = parked(&bed, json!([child_op("a#0"), child_op("b#0")]), json!({ "all": ["a#0", "b#0"] })).await;
    let kids = children(&bed, parent).await;
    assert_eq!(kids.len(), 2);
    for id in [forked, kids[0], kids[1]] {
        let lease = lease(&bed.ctx.store, id).await;
        settle(&bed.ctx.store, &lease.over("done", Some("1"), None)).await;
    }
    assert_eq!(bed.state(parent).await, "queued");
    assert_eq!(bed.column(second, "convert_from(input, 'UTF8')").await, "3");
}

#[tokio::test]
async fn an_app_is_shown_with_the_policies_it_said() {
    let bed = Bed::new("start_policy", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let new = NewApp { url: "https://example.com/", timeout_ms: 1000, lease_ms: 2000 };
    store.app_put(account, "a", &IfMatch::Any, &new).await.unwrap();
    let policy = r#"{"triggers":[{"event":"placed","match":{"data.n":1.0}}],"concurrency":{"limit":3,"key":"input.id"},"priority":-5}"#;
    let workflows = [DescribedWorkflow { name: "w", version: "1", policy, triggers: vec![("placed", Some(r#"{"data.n":1.0}"#))] }];
    let said = DescribedApp { sdk: None, checkpoint: "each", workflows: &workflows };
    store.app_described(account, "a", 1, &said).await.unwrap().unwrap();
    let view = serde_json::to_value(store.app_get(account, "a").await.unwrap().unwrap()).unwrap();
    let served = &view["workflows"][0];
    assert_eq!((&served["priority"], &served["concurrency"]["limit"], &served["retry"]), (&json!(-5), &json!(3), &json!(null)));
    assert_eq!((&served["triggers"][0]["event"], &served["current"], &view["timeoutSeconds"]), (&json!("placed"), &json!(true), &json!(1)));
    let view = serde_json::to_value(store.workflow_get(account, "w").await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&view["version"], &view["concurrency"]["key"], &view["versions"][0]["app"]),
        (&json!("1"), &json!("input.id"), &json!("a"))
    );
}
