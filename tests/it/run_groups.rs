//! Groups of runs: most are leased and ended by one statement for all of them, the others one by one. What comes of a run must not depend on its company.
//!
//! Out of scope: what each op does (`run_engine.rs`), groups that meet a fault (`run_faults.rs`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tikku_domain::ids::RunId;
use tikku_domain::workflow::{Dispatch, Settlement};
use tikku_store::Dispatched;

use crate::endpoint::Reply;
use crate::run_bed::{Bed, awaiting, replied};

/// Runs of every kind that a lease may meet 61 seconds from now, by name.
async fn crowd(bed: &Bed) -> BTreeMap<&'static str, RunId> {
    bed.serve("gated", "1", r#"{"concurrency":{"limit":1}}"#).await;
    bed.serve("gone", "1", "{}").await;
    let mut runs = BTreeMap::new();
    for (name, workflow) in [
        ("has slept", "flow"),
        ("sleeps on", "flow"),
        ("races a signal", "flow"),
        ("two sleeps, one over", "flow"),
        ("is tried again", "flow"),
        ("retries a step", "flow"),
        ("has slept, in a gate", "gated"),
        ("has a child", "flow"),
    ] {
        let id = bed.start_of(workflow, &json!({ "n": name }).to_string()).await;
        bed.dispatch(id).await;
        runs.insert(name, id);
    }
    for (name, workflow) in [("fresh", "flow"), ("fresh too", "child"), ("waits for its gate", "gated"), ("is not served", "gone")] {
        runs.insert(name, bed.start_of(workflow, &json!({ "n": name }).to_string()).await);
    }
    bed.client.execute("update tikku.workflow set served = false where name = 'gone'", &[]).await.unwrap();
    runs
}

/// The replies to the first dispatches of the crowd, in its order.
fn replies() -> [Reply; 8] {
    let sleep = |key: &str, s: u32| json!({ "op": "sleep", "key": key, "forMs": s * 1000 });
    let a = json!({ "op": "result", "key": "a#0", "value": [1] });
    let e = json!({ "name": "E", "message": "again" });
    [
        awaiting(json!([a, sleep("s#0", 60)]), json!("s#0")),
        awaiting(json!([sleep("s#0", 600)]), json!("s#0")),
        awaiting(json!([sleep("s#0", 60), { "op": "signal", "key": "g#0", "name": "g" }]), json!({ "any": ["s#0", "g#0"] })),
        awaiting(json!([sleep("s#0", 60), sleep("t#0", 600)]), json!("s#0")),
        Reply::status(500),
        awaiting(json!([a, { "op": "error", "key": "b#0", "error": e, "attempt": 1, "retry": { "afterMs": 60_000 } }]), json!("b#0")),
        awaiting(json!([sleep("s#0", 60)]), json!("s#0")),
        awaiting(json!([sleep("s#0", 60), { "op": "child", "key": "c#0", "workflow": "child" }]), json!({ "any": ["s#0", "c#0"] })),
    ]
}

/// Leases and ends the crowd, in the groups that `split` makes of it; answers each run's dispatch and its rows after both.
async fn outcome(name: &str, split: fn(&[RunId]) -> Vec<Vec<RunId>>) -> BTreeMap<&'static str, [String; 3]> {
    let bed = Bed::new(name, replies()).await;
    let runs = crowd(&bed).await;
    let store = bed.world.later(61);
    let ids: Vec<RunId> = runs.values().copied().collect();
    let mut dispatches = Vec::new();
    for group in split(&ids) {
        dispatches.extend(
            store
                .run_lease(&group, 25)
                .await
                .unwrap()
                .into_iter()
                .filter_map(|one| if let Dispatched::Started(d) = one { Some(*d) } else { None }),
        );
    }
    let mut outcome: BTreeMap<&str, [String; 3]> = BTreeMap::new();
    for (name, id) in &runs {
        let said = dispatches.iter().find(|d| d.id == *id).map_or_else(|| "not dispatched".to_owned(), said);
        outcome.insert(name, [said, row(&bed, *id).await, String::new()]);
    }
    for group in split(&ids) {
        let ends: Vec<Settlement> = group.iter().filter_map(|id| dispatches.iter().find(|d| d.id == *id)).map(end).collect();
        if !ends.is_empty() {
            store.run_settle(&ends).await.unwrap();
        }
    }
    for (name, id) in &runs {
        outcome.get_mut(name).unwrap()[2] = row(&bed, *id).await;
    }
    outcome
}

/// Ends that differ by the run: done without more, fail, done with a result, a step without an end.
fn end(d: &Dispatch) -> Settlement {
    let ops = match (d.workflow.as_str(), d.journal.entries.len()) {
        ("child", _) => json!([{ "op": "fail", "error": { "name": "E", "message": "no" } }]),
        (_, 0) => json!([{ "op": "done", "value": { "x": 1.0 } }]),
        (_, 1) => json!([{ "op": "result", "key": "z#0", "value": 1 }, { "op": "done" }]),
        _ => json!([{ "op": "done" }]),
    };
    replied(d, &ops, None)
}

/// What a dispatch says, without what differs between two databases. Waits are counted from now: only whether there is one is compared.
fn said(d: &Dispatch) -> String {
    let mut pending: Value = serde_json::from_str(&d.pending).unwrap();
    for wait in pending.as_array_mut().unwrap() {
        wait["waitMs"] = json!(wait["waitMs"].is_number());
    }
    let entries: Vec<String> = (d.journal.entries.iter())
        .map(|e| format!("{} {} {} {} {:?} {:?}", e.seq, e.key, e.kind, e.state, e.value.as_deref().map(String::from_utf8_lossy), e.error))
        .collect();
    format!(
        "{} {} fence {} failures {} attempt {} lease {} timeout {} input {} seq {} more {} pending {pending} secrets {} token {} resume {} app {} entries {entries:?}",
        d.workflow,
        d.version,
        d.fence,
        d.failures,
        d.attempt,
        d.lease_ms,
        d.timeout_ms,
        String::from_utf8_lossy(&d.input),
        d.journal.seq,
        d.journal.more,
        d.secrets.len(),
        d.token.len(),
        d.resume_key.len(),
        d.app
    )
}

/// The rows of a run, without times, ids and secrets.
async fn row(bed: &Bed, id: RunId) -> String {
    let sql = "select concat_ws(' | ', state, num_nulls(kick_until), num_nulls(lease_until), num_nulls(finished_at), kick_until = 'infinity', fence, kicks, next_seq, planned,
          bytes, failures, lost, idle, awaits, awaits_left, pause_requested, lease_ms, num_nulls(renewed_at), num_nulls(started_at), convert_from(output, 'UTF8'), error,
          pause_reason, (select string_agg(w.key, ',' order by w.key) from tikku.waiter w where w.run_id = r.id),
          (select string_agg(concat_ws(' ', e.seq, e.key, e.state, convert_from(e.value, 'UTF8'), e.fence), ',' order by e.seq) from tikku.entry e where e.run_id = r.id))
        from tikku.run r join tikku.run_content c on c.run_id = r.id where r.id = $1";
    bed.client.query_one(sql, &[&id.0]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_comes_of_a_run_is_the_same_alone_and_in_a_group() {
    let alone = outcome("run_alone", |ids| ids.iter().map(|id| vec![*id]).collect()).await;
    let together = outcome("run_together", |ids| vec![ids.to_vec()]).await;
    let backwards = outcome("run_backwards", |ids| vec![ids.iter().rev().copied().collect()]).await;
    let dispatched = alone.values().filter(|[said, ..]| said != "not dispatched").count();
    assert_eq!(dispatched, 9, "{alone:#?}");
    for (name, alone) in &alone {
        assert_eq!(&together[name], alone, "{name}");
        // Which of two runs gets the one place of their gate is a matter of the order.
        if !name.contains("gate") {
            assert_eq!(&backwards[name], alone, "{name}");
        }
    }
}
