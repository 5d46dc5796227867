//! Events: who is woken and what is started. Apps too, because what they say decides that. Out of scope: asking apps (the API).

use serde_json::{Value, json};
use tikku_domain::etag::IfMatch;
use tikku_domain::filter::Page;
use tikku_domain::ids::{EventId, RunId};
use tikku_store::{AppEdit, DescribedApp, DescribedWorkflow, EventApplied, EventPut, NewApp, NewEvent, RunStarted, StartRun};

use crate::run_bed::Bed;
use crate::run_desk::{Hold, lease, parked, play, settle, try_lease};

fn event_op(key: &str, name: &str, matching: Value) -> Value {
    json!({ "op": "event", "key": key, "name": name, "match": matching })
}

async fn publish(bed: &Bed, name: &str, data: &str) -> EventId {
    put(bed, name, data, None).await.0
}

async fn put(bed: &Bed, name: &str, data: &str, external_id: Option<&str>) -> (EventId, EventPut) {
    let event = NewEvent { name, data: data.as_bytes(), external_id };
    let put = bed.ctx.store.event_publish(bed.world.account, &event).await.unwrap();
    match put {
        EventPut::Accepted { id } | EventPut::Existing { id, .. } | EventPut::Mismatch { id } => (id, put),
    }
}

/// Applies an event to its end.
async fn apply(bed: &Bed, id: EventId) -> EventApplied {
    let mut all = EventApplied::default();
    loop {
        let applied = bed.ctx.store.event_apply(bed.world.account, id).await.unwrap();
        all.woken.extend(applied.woken);
        all.started.extend(applied.started);
        all.kicks.extend(applied.kicks);
        if !applied.more {
            return all;
        }
    }
}

fn workflow<'a>(name: &'a str, version: &'a str, triggers: &[(&'a str, Option<&'a str>)]) -> DescribedWorkflow<'a> {
    DescribedWorkflow { name, version, policy: "{}", triggers: triggers.to_vec() }
}

async fn describe(bed: &Bed, app: &str, workflows: &[DescribedWorkflow<'_>]) -> Vec<RunId> {
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let revision =
        match store.app_put(account, app, &IfMatch::Any, &NewApp { url: "https://example.com/", timeout_ms: 1, lease_ms: 1 }).await {
            Ok(AppEdit::Made { revision } | AppEdit::Done { revision }) => revision,
            other => panic!("{other:?}"),
        };
    let said = DescribedApp { sdk: Some("test"), checkpoint: "each", workflows };
    let kicks = store.app_described(account, app, revision, &said).await.unwrap().unwrap();
    tikku_store::Kick::runs(&kicks)
}

#[tokio::test]
async fn an_event_wakes_those_whose_values_it_has() {
    let bed = Bed::new("evt_match", []).await;
    let cases = [
        (json!({ "data.id": 1 }), true),
        (json!({ "data.id": 1.0 }), true),
        (json!({ "data.id": "1" }), false),
        (json!({ "data.id": 1, "data.deep.er": [{ "b": 2, "a": null }] }), true),
        (json!({ "data.deep.er.0.b": 2 }), true),
        (json!({ "data.text": "é\n" }), true),
        (json!({ "data.none": null }), false),
        (json!({ "data.null": null }), true),
        (json!({ "data.id": 1, "data.none": 1 }), false),
        (json!({ "data.huge": 1 }), false),
        (json!({}), true),
        (Value::Null, true),
    ];
    let mut runs = Vec::new();
    for (matching, hit) in &cases {
        let mut op = event_op("e#0", "placed", matching.clone());
        if matching.is_null() {
            op.as_object_mut().unwrap().remove("match");
        }
        runs.push((parked(&bed, json!([op]), json!("e#0")).await, *hit, matching.clone()));
    }
    let other = parked(&bed, json!([event_op("e#0", "other", json!({}))]), json!("e#0")).await;
    // What jsonb refuses stands beside what is looked at.
    let data =
        r#"{"id": 1.00, "deep": {"er": [{"a": null, "b": 2e0}]}, "text": "\u00e9\n", "null": null, "x": "\u0000\ud800", "huge": 1e999999}"#;
    let applied = apply(&bed, publish(&bed, "placed", data).await).await;
    for (id, hit, matching) in &runs {
        assert_eq!((applied.woken.contains(id), bed.state(*id).await == "queued"), (*hit, *hit), "{matching}");
    }
    assert_eq!(bed.state(other).await, "waiting");
    let value = bed.journal(runs[0].0).await.remove(0).value.unwrap();
    assert!(value.ends_with(&format!(r#","name":"placed","data":{data}}}"#)) && value.starts_with(r#"{"id":"evt_"#), "{value}");
    assert_eq!(applied.kicks.len(), applied.woken.len());
}

#[tokio::test]
async fn an_event_that_was_published_before_the_wait_began_does_not_count() {
    let bed = Bed::new("evt_before", []).await;
    let early = publish(&bed, "e", "1").await;
    let id = parked(&bed, json!([event_op("e#0", "e", json!({}))]), json!("e#0")).await;
    assert_eq!(apply(&bed, early).await.woken, []);
    assert_eq!(bed.state(id).await, "waiting");
    assert_eq!(apply(&bed, publish(&bed, "e", "2").await).await.woken, [id]);
}

#[tokio::test]
async fn of_two_events_the_first_is_the_one_whichever_is_applied_first() {
    let bed = Bed::new("evt_order", []).await;
    let id = parked(&bed, json!([event_op("e#0", "e", json!({}))]), json!("e#0")).await;
    let (first, second) = (publish(&bed, "e", "1").await, publish(&bed, "e", "2").await);
    let applied = apply(&bed, second).await;
    assert_eq!((applied.woken.len(), applied.kicks.len()), (0, 1), "the first is applied by the way, and its run is handed over");
    assert!(bed.journal(id).await[0].value.as_ref().unwrap().ends_with(r#""data":1}"#));
    assert_eq!(bed.ctx.store.event_get(bed.world.account, first).await.unwrap().unwrap().woken, 1);
    assert_eq!(apply(&bed, first).await, EventApplied::default());
}

#[tokio::test]
async fn a_step_that_begins_to_wait_while_an_event_is_published_misses_it_or_has_it() {
    for turn in 0..2 {
        let bed = Bed::new(&format!("evt_race_{turn}"), []).await;
        let account = bed.world.account;
        publish(&bed, "e", "0").await;
        let id = bed.start().await;
        let park = lease(&bed.ctx.store, id).await.reply(json!([event_op("e#0", "e", json!({}))]), json!("e#0"));
        let hold = Hold::row(&bed, "select 1 from tikku.event_name for update").await;
        let (ctx, ctx2) = (bed.ctx.clone(), bed.ctx.clone());
        let put = async move {
            let event = NewEvent { name: "e", data: b"1", external_id: None };
            let EventPut::Accepted { id } = ctx.store.event_publish(account, &event).await.unwrap() else { panic!() };
            while ctx.store.event_apply(account, id).await.unwrap().more {}
        };
        let park = async move { settle(&ctx2.store, &park).await };
        let (put, park) = if turn == 0 {
            let put = tokio::spawn(put);
            (put, tokio::spawn(park))
        } else {
            let park = tokio::spawn(park);
            (tokio::spawn(put), park)
        };
        hold.release_for(&bed, 2).await;
        put.await.unwrap();
        assert!(park.await.unwrap());
        // Whatever came first: what was registered in time was woken, and what was not waits for a later one.
        let open = "select count(*) from tikku.waiter w where w.run_id = $1 and w.event_seq <= (select max(seq) from tikku.event)";
        assert_eq!(bed.count(open, id).await, 0);
        assert_eq!(bed.state(id).await, if bed.keys(id).await.is_empty() { "waiting" } else { "queued" });
    }
}

#[tokio::test]
async fn more_runs_than_one_call_wakes_are_all_woken() {
    let bed = Bed::new("evt_many", []).await;
    let first = parked(
        &bed,
        json!([event_op("e#0", "e", json!({ "data.id": 1 })), event_op("e#1", "e", json!({}))]),
        json!({ "all": ["e#0", "e#1"] }),
    )
    .await;
    let copies = "with s as (select g, tikku.new_id() as id from generate_series(1, 700) g), c as (
        insert into tikku.run_content (account_id, run_id, workflow, version, created_at, input, secret, seed)
          select c.account_id, s.id, c.workflow, c.version, c.created_at, c.input, c.secret, c.seed from s, tikku.run_content c where c.run_id = $1),
      r as (insert into tikku.run (id, account_id, state, due_at, kick_until, planned, awaits)
          select s.id, r.account_id, r.state, r.due_at, r.kick_until, r.planned, '\"e#0\"' from s, tikku.run r where r.id = $1)
      insert into tikku.waiter (run_id, key, kind, account_id, name, since, event_seq, match)
        select s.id, 'e#0', 'event', w.account_id, w.name, w.since, w.event_seq, '{\"data.id\": 1}' from s, tikku.waiter w where w.run_id = $1 and w.key = 'e#0'";
    bed.client.execute(copies, &[&first.0]).await.unwrap();
    let event = publish(&bed, "e", r#"{"id": 1}"#).await;
    let one = bed.ctx.store.event_apply(bed.world.account, event).await.unwrap();
    assert_eq!((one.more, one.woken.len()), (true, 500));
    let rest = apply(&bed, event).await;
    let kicks = one.kicks.len() + rest.kicks.len();
    assert_eq!((rest.woken.len(), kicks), (201, 701));
    let view = bed.ctx.store.event_get(bed.world.account, event).await.unwrap().unwrap();
    assert_eq!((view.woken, bed.keys(first).await.len()), (701, 2));
}

#[tokio::test]
async fn an_event_starts_each_workflow_that_it_triggers_once() {
    let bed = Bed::new("evt_trigger", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let de = Some(r#"{"data.country": "DE"}"#);
    let old = workflow("orders", "1", &[("placed", None), ("old", None)]);
    describe(&bed, "a", &[workflow("orders", "2", &[("placed", de), ("placed", None)]), old, workflow("german", "1", &[("placed", de)])])
        .await;
    let event = publish(&bed, "placed", r#"{"country":  "DE"}"#).await;
    let (one, two) = futures_util::future::join(apply(&bed, event), apply(&bed, event)).await;
    let started = [one.started, two.started].concat();
    assert_eq!(started.len(), 2);
    let run = store.run_get(account, started[1], None).await.unwrap().unwrap();
    assert_eq!((run.run.workflow.as_str(), run.run.version.as_str(), run.run.started_how.as_str()), ("orders", "2", "event"));
    assert_eq!(run.run.source, Some(event.to_string()));
    let input = format!(r#"{{"event":{{"id":"{event}","name":"placed","data":{{"country":  "DE"}}}}}}"#);
    assert_eq!(run.input.unwrap().get(), input);
    assert_eq!(apply(&bed, publish(&bed, "placed", r#"{"country": "FR"}"#).await).await.started.len(), 1);
    assert_eq!(apply(&bed, publish(&bed, "old", "{}").await).await.started.len(), 0, "only the current version is triggered");
    describe(&bed, "a", &[]).await;
    assert_eq!(apply(&bed, publish(&bed, "placed", "1").await).await.started.len(), 0);
    let page = store.event_list(account, Some("placed"), &Page { limit: 2, cursor: None }).await.unwrap();
    assert_eq!((page.data.len(), page.next_cursor.is_some(), page.data[0].data.as_ref().map(|data| data.get())), (2, true, Some("1")));
    publish(&bed, "placed", &format!("\"{}\"", "x".repeat(4_100))).await;
    let page = store.event_list(account, Some("placed"), &Page { limit: 1, cursor: None }).await.unwrap();
    assert!(page.data[0].data.is_none(), "what is large is shown by the event alone");
}

#[tokio::test]
async fn an_event_published_again_with_its_id_is_the_first() {
    let bed = Bed::new("evt_again", []).await;
    describe(&bed, "a", &[workflow("orders", "1", &[("placed", None)])]).await;
    let (id, first) = put(&bed, "placed", "1", Some("o1")).await;
    assert_eq!(first, EventPut::Accepted { id });
    let started = apply(&bed, id).await.started;
    assert_eq!(put(&bed, "placed", "1", Some("o1")).await.1, EventPut::Existing { id, woken: 0, started });
    assert_eq!(put(&bed, "placed", "2", Some("o1")).await.1, EventPut::Mismatch { id });
    assert_eq!(put(&bed, "other", "1", Some("o1")).await.1, EventPut::Mismatch { id });
    let two = futures_util::future::join(put(&bed, "placed", "1", Some("o2")), put(&bed, "placed", "1", Some("o2"))).await;
    assert_eq!(two.0.0, two.1.0);
}

#[tokio::test]
async fn tick_finds_events_that_nobody_applied() {
    let bed = Bed::new("evt_open", []).await;
    let id = publish(&bed, "e", "1").await;
    assert_eq!(bed.ctx.store.event_open(10).await.unwrap(), []);
    let later = bed.world.later(6);
    assert_eq!(later.event_open(10).await.unwrap(), [(bed.world.account, id)]);
    apply(&bed, id).await;
    assert_eq!(later.event_open(10).await.unwrap(), []);
}

async fn start(bed: &Bed, name: &str, version: Option<&str>) -> RunStarted {
    let start = StartRun { workflow: name, version, external_id: None, idempotency_key: None, input: b"1", delay_ms: None, labels: &[] };
    bed.ctx.store.run_start(&bed.world.key_hash, &start).await.unwrap()
}

#[tokio::test]
async fn runs_whose_version_is_served_again_go_on() {
    let bed = Bed::new("app_served", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    describe(&bed, "a", &[workflow("w", "1", &[])]).await;
    let RunStarted::Accepted { id, .. } = start(&bed, "w", None).await else { panic!() };
    describe(&bed, "a", &[workflow("w", "2", &[])]).await;
    assert!(try_lease(store, id).await.is_none());
    let run = store.run_get(account, id, None).await.unwrap().unwrap().run;
    assert_eq!((run.status.as_str(), run.pause_reason.as_deref(), run.version.as_str()), ("paused", Some("unserved"), "1"));
    assert_eq!(start(&bed, "w", Some("1")).await, RunStarted::NoVersion);
    // The name passes to another app, which still has the old version.
    assert_eq!(describe(&bed, "b", &[workflow("w", "3", &[]), workflow("w", "1", &[])]).await, [id]);
    lease(store, id).await;
    let view = store.workflow_get(account, "w").await.unwrap().unwrap();
    assert_eq!((view.version.as_deref(), view.app.as_str(), view.versions.len()), (Some("3"), "b", 3));
    assert_eq!(store.app_get(account, "a").await.unwrap().unwrap().workflows.unwrap().len(), 1);
    assert_eq!(store.workflow_list(account, &Page { limit: 1, cursor: None }).await.unwrap().data.len(), 1);
    describe(&bed, "b", &[]).await;
    assert_eq!(start(&bed, "w", None).await, RunStarted::NoWorkflow);
}

#[tokio::test]
async fn what_its_endpoint_did_not_serve_is_asked_for_again_when_that_has_said_anew_what_it_serves() {
    let bed = Bed::new("app_unserved", []).await;
    describe(&bed, "a", &[workflow("w", "1", &[])]).await;
    let RunStarted::Accepted { id, .. } = start(&bed, "w", None).await else { panic!() };
    let mut said = lease(&bed.ctx.store, id).await.reply(json!([]), Value::Null);
    said.outcome = tikku_domain::workflow::Outcome::Pause { reason: "unserved", detail: "{}".to_owned() };
    settle(&bed.ctx.store, &said).await;
    assert_eq!(describe(&bed, "b", &[workflow("other", "1", &[])]).await, []);
    assert_eq!(bed.state(id).await, "paused");
    assert_eq!(describe(&bed, "a", &[workflow("w", "1", &[])]).await, [id]);
}

#[tokio::test]
async fn an_app_is_changed_only_at_the_revision_that_was_seen() {
    let bed = Bed::new("app_revision", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let new = NewApp { url: "https://example.com/", timeout_ms: 5000, lease_ms: 6000 };
    assert_eq!(store.app_put(account, "a", &IfMatch::Exists, &new).await.unwrap(), AppEdit::Missing);
    assert_eq!(store.app_put(account, "a", &IfMatch::Any, &new).await.unwrap(), AppEdit::Made { revision: 1 });
    assert_eq!(store.app_put(account, "a", &IfMatch::Revisions(vec![1]), &new).await.unwrap(), AppEdit::Done { revision: 2 });
    assert_eq!(store.app_put(account, "a", &IfMatch::Revisions(vec![1]), &new).await.unwrap(), AppEdit::Stale);
    let said = DescribedApp { sdk: None, checkpoint: "return", workflows: &[workflow("w", "1", &[])] };
    assert_eq!(store.app_described(account, "a", 1, &said).await.unwrap(), None, "it was asked where it no longer is");
    assert!(store.app_describe_failed(account, "a", 2, "no answer").await.unwrap());
    assert_eq!(store.app_get(account, "a").await.unwrap().unwrap().describe_error.as_deref(), Some("no answer"));
    assert_eq!(store.app_described(account, "a", 2, &said).await.unwrap(), Some(vec![]));
    let view = store.app_get(account, "a").await.unwrap().unwrap();
    assert_eq!((view.describe_error, view.lease_seconds, view.revision), (None, 6, 2));
    assert_eq!(store.app_delete(account, "a", &IfMatch::Revisions(vec![1])).await.unwrap(), AppEdit::Stale);
    assert_eq!(store.app_delete(account, "a", &IfMatch::Any).await.unwrap(), AppEdit::Done { revision: 0 });
    assert_eq!(store.app_delete(account, "a", &IfMatch::Any).await.unwrap(), AppEdit::Missing);
    assert_eq!(start(&bed, "w", None).await, RunStarted::NoWorkflow);
    let page = store.app_list(account, &Page { limit: 10, cursor: None }).await.unwrap();
    assert_eq!(page.data.into_iter().map(|app| app.name).collect::<Vec<_>>(), ["shop"]);
}

#[tokio::test]
async fn a_run_is_shown_with_its_steps_and_large_values_apart() {
    let bed = Bed::new("run_shown", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let large = "x".repeat(600_000);
    let ai = json!({ "model": "m", "inputTokens": 10, "outputTokens": 5, "costUsd": 0.25 });
    let ops = json!([
        { "op": "error", "key": "ai#0", "kind": "ai", "attempt": 1, "error": { "name": "E", "message": "429" }, "ai": ai, "retry": { "afterMs": 0 } },
        { "op": "result", "key": "large#0", "value": large }, { "op": "result", "key": "large#1", "value": large },
        { "op": "sleep", "key": "s#0", "forMs": 3_600_000 },
    ]);
    let id = parked(&bed, ops, Value::Null).await;
    play(store, id, json!([{ "op": "result", "key": "ai#0", "kind": "ai", "attempt": 2, "value": 1, "ai": ai, "ms": 7 }]), json!("s#0"))
        .await;
    let run = store.run_get(account, id, None).await.unwrap().unwrap();
    assert_eq!((run.ai.input_tokens, run.ai.output_tokens, run.ai.cost_usd), (20, 10, 0.5));
    let shown: Vec<_> = run.steps.iter().map(|step| (step.key.as_str(), step.truncated, step.attempts.len())).collect();
    assert_eq!(shown, [("large#0", true, 0), ("large#1", true, 0), ("ai#0", false, 1)]);
    assert_eq!((run.pending[0].key.as_str(), run.steps_cursor, run.run.wakes_at), ("s#0", None, run.pending[0].due_at.clone()));
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.run_steps(account, id, after, 2).await.unwrap().unwrap();
        keys.push(page.data.iter().map(|step| step.key.clone()).collect::<Vec<_>>());
        assert!(page.data.iter().all(|step| !step.truncated && step.value.is_some()));
        let Some(cursor) = page.next_cursor else { break };
        after = Some(cursor.parse().unwrap());
    }
    assert_eq!(keys, [vec!["large#0", "large#1"], vec!["ai#0"]]);
    assert_eq!(store.run_step(account, id, "large#0").await.unwrap().unwrap().value.unwrap().get().len(), 600_002);
    assert!(store.run_step(account, id, "none#0").await.unwrap().is_none());
}
