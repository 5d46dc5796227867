//! Dispatches that go wrong, checkpoints, and journals that do not fit a request: what the engine makes of them.
//!
//! Out of scope: ops (`run_engine.rs`), races (`run_races.rs`).

use std::time::Duration;

use serde_json::{Value, json};
use tikku_domain::ids::RunId;
use tikku_domain::limits::{INLINE_BYTES_MAX, JOURNAL_PAGE_BYTES_MAX, REPLY_BYTES_MAX};
use tikku_domain::workflow_invoke;
use tikku_store::{Checkpointed, JournalAnswer};

use crate::endpoint::{Ending, Reply};
use crate::run_bed::{Bed, awaiting, ctx, done, ops, reply, token};

/// A run whose dispatch is under way: the endpoint holds its answer. With the task that waits for it.
async fn under_way(bed: &Bed) -> (RunId, Value, tokio::task::JoinHandle<()>) {
    let id = bed.start().await;
    let ctx = bed.ctx.clone();
    let before = bed.endpoint.count();
    let task = tokio::spawn(async move { tikku_step_invoke::handle(&ctx, &[id]).await.unwrap() });
    bed.endpoint.wait(before + 1, Duration::from_secs(60)).await;
    (id, bed.request(before), task)
}

#[tokio::test]
async fn an_endpoint_out_of_order_is_tried_again_later_and_later() {
    let html = Reply::status(200).header("content-type", "text/html").body("<html>");
    let no_object = Reply::status(200).header("content-type", "application/json").body("[]");
    let replies = [Reply::status(500), html, no_object, Reply::status(302), Reply::status(401)];
    let bed = Bed::new("run_refused", replies).await;
    let id = bed.start().await;
    let mut waits = Vec::new();
    for n in 0..5 {
        bed.dispatch_later(400 * n, id).await;
        assert_eq!((bed.state(id).await.as_str(), bed.column(id, "failures").await), ("retrying", (n + 1).to_string()));
        let sql = "select round(date_part('epoch', due_at - tikku.clock_now()) * 1000)::bigint from tikku.run where id = $1";
        waits.push(bed.count(sql, id).await - 400_000 * n);
    }
    for (n, wait_ms) in (0..).zip(&waits) {
        let most = 1000 << n;
        assert!((most / 2 - 300..=most).contains(wait_ms), "{waits:?}");
    }
    assert!(bed.json(id, "last_error").await["message"].as_str().unwrap().contains("401"));
}

#[tokio::test]
async fn retry_after_is_a_floor() {
    let bed = Bed::new("run_retry_after", [Reply::status(503).header("retry-after", "120"), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    bed.dispatch_later(110, id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("retrying", 1));
    bed.dispatch_later(121, id).await;
    assert_eq!(bed.state(id).await, "completed");
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_tried_again() {
    let bed = Bed::new("run_away", [done()]).await;
    let id = bed.start().await;
    bed.client.execute("update tikku.app set url = 'http://127.0.0.1:9/'", &[]).await.unwrap();
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "retrying");
    bed.client.execute("update tikku.app set url = $1", &[&bed.endpoint.url()]).await.unwrap();
    bed.until(id, "completed").await;
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_never_called() {
    let bed = Bed::new("run_ssrf", [done()]).await;
    let id = bed.start().await;
    bed.client.execute("update tikku.app set url = 'http://10.0.0.1/'", &[]).await.unwrap();
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "retrying");
    assert!(bed.column(id, "last_error").await.contains("10.0.0.1"));
}

#[tokio::test]
async fn what_breaks_the_protocol_pauses_the_run_with_a_pointer() {
    let cases = [
        (json!({ "v": 1, "ops": [{ "op": "result", "key": "a#0" }, { "op": "teleport", "key": "b#0" }] }), "/ops/1/op"),
        (json!({ "v": 1, "ops": [{ "op": "sleep", "key": "a" }] }), "/ops/0/key"),
        (json!({ "v": 1, "ops": [], "await": { "some": [] } }), "/await"),
        (json!({ "v": 2, "ops": [] }), "/v"),
    ];
    let bed = Bed::new("run_protocol", cases.iter().map(|(body, _)| reply(body.clone()))).await;
    for (_, pointer) in cases {
        let id = bed.start().await;
        bed.dispatch(id).await;
        assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("paused", "protocolError"));
        assert_eq!((bed.json(id, "pause_detail").await["pointer"].as_str(), bed.keys(id).await.len()), (Some(pointer), 0));
    }
}

#[tokio::test]
async fn an_endpoint_of_another_protocol_pauses_the_run() {
    let problem = json!({ "type": "urn:tikku:problem:protocol-version", "versions": [2] }).to_string();
    let bed = Bed::new("run_version", [Reply::status(400).header("content-type", "application/problem+json").body(problem)]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!(bed.column(id, "pause_reason").await, "protocolError");
}

#[tokio::test]
async fn a_reply_of_sixteen_mib_is_taken_and_one_byte_more_is_not() {
    let sized = |bytes: usize| {
        let value = |size: usize| format!(r#""{}""#, "x".repeat(size - 2));
        let op = |n: usize, size: usize| format!(r#"{{"op":"result","key":"k{n}#0","value":{}}}"#, value(size));
        let frame = |last: usize| {
            format!(r#"{{"v":1,"ops":[{},{},{},{},{}]}}"#, op(0, 4 << 20), op(1, 4 << 20), op(2, 4 << 20), op(3, 3 << 20), op(4, last))
        };
        let last = bytes - frame(2).len() + 2;
        Reply::status(200).header("content-type", "application/json").body(frame(last))
    };
    let bed = Bed::new("run_large", [sized(REPLY_BYTES_MAX), done(), sized(REPLY_BYTES_MAX + 1)]).await;
    let (fits, large) = (bed.start().await, bed.start().await);
    bed.dispatch(fits).await;
    assert_eq!((bed.state(fits).await.as_str(), bed.keys(fits).await.len()), ("completed", 5));
    bed.dispatch(large).await;
    assert_eq!(bed.column(large, "pause_reason").await, "protocolError");
}

#[tokio::test]
async fn a_connection_that_breaks_says_nothing_and_the_lease_runs_on() {
    let bed = Bed::new("run_lost", [Reply::status(200).ending(Ending::Drop), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "fence").await.as_str()), ("running", "1"));
    // Neither a copy of the id nor tick begins another before the lease has ended.
    bed.dispatch(id).await;
    assert_eq!((bed.endpoint.count(), bed.world.store.run_reap(10).await.unwrap().lost), (1, 0));
    let reaped = bed.world.later(120).run_reap(10).await.unwrap();
    assert_eq!((reaped.lost, reaped.kicks.len(), bed.state(id).await.as_str()), (1, 1, "queued"));
    bed.dispatch_later(120, id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "lost").await.as_str(), bed.endpoint.count()), ("completed", "1", 2));
}

#[tokio::test]
async fn a_proxy_that_gave_up_waiting_says_nothing_either() {
    let bed = Bed::new("run_504", [Reply::status(504)]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "running");
}

#[tokio::test]
async fn a_reply_that_does_not_come_in_time_is_no_answer() {
    let bed = Bed::new("run_slow", [done().ending(Ending::Hang)]).await;
    bed.client.execute("update tikku.app set timeout_ms = 1500", &[]).await.unwrap();
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), &bed.request(0)["run"]["budgetMs"]), ("running", &json!(750)));
    assert!(bed.column(id, "last_error").await.contains("no complete answer"));
}

#[tokio::test]
async fn a_checkpoint_records_and_answers_what_the_endpoint_does_not_have() {
    let bed = Bed::new("run_checkpoint", [done().ending(Ending::Held)]).await;
    bed.client.execute("update tikku.app set checkpoint = 'each', lease_ms = 20000", &[]).await.unwrap();
    let (id, invoke, task) = under_way(&bed).await;
    assert_eq!(invoke["lease"], json!({ "ms": 20_000, "renewMs": 6_666 }));
    bed.signal(id, "s", "1").await;
    bed.signal(id, "s", "2").await;
    bed.signal(id, "t", "3").await;
    let plan = json!([{ "op": "result", "key": "a#0", "value": "mine" }, { "op": "signal", "key": "s#0", "name": "s" }]);
    let taken = bed.checkpoint(id, &invoke, 0, plan.clone()).await;
    let shape: Vec<_> = taken.journal.entries.iter().map(|e| (e.seq, e.key.as_str(), e.echo, e.value.clone())).collect();
    assert_eq!(shape, [(1, "a#0", true, None), (2, "s#0", false, Some(b"1".to_vec()))]);
    assert_eq!((taken.pause_requested, taken.lease_ms, taken.kicks.len()), (false, 20_000, 0));
    assert_eq!(serde_json::from_str::<Value>(&taken.signals).unwrap(), json!([{ "name": "s", "count": 1 }, { "name": "t", "count": 1 }]));
    // Sent again, its answer lost: the recorded value is in it now.
    let again = bed.checkpoint(id, &invoke, 0, plan).await;
    let shape: Vec<_> = again.journal.entries.iter().map(|e| (e.seq, e.echo, e.value.clone())).collect();
    assert_eq!(shape, [(1, false, Some(b"\"mine\"".to_vec())), (2, false, Some(b"1".to_vec()))]);
    let empty = bed.checkpoint(id, &invoke, 2, json!([])).await;
    assert_eq!((empty.journal.entries.len(), empty.journal.seq, empty.journal.more), (0, 2, false));
    bed.endpoint.release();
    task.await.unwrap();
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("completed", 2));
}

#[tokio::test]
async fn a_checkpoint_renews_the_lease() {
    let bed = Bed::new("run_renew", [Reply::status(200).ending(Ending::Drop)]).await;
    bed.client.execute("update tikku.app set checkpoint = 'each', lease_ms = 20000", &[]).await.unwrap();
    let id = bed.start().await;
    bed.dispatch(id).await;
    let later = bed.world.later(15);
    let Checkpointed::Taken(_) = crate::run_bed::checkpoint(&later, id, token(&bed.request(0)), 0, &json!([])).await else { panic!() };
    assert_eq!(bed.world.later(30).run_reap(10).await.unwrap().lost, 0);
    assert_eq!(bed.world.later(40).run_reap(10).await.unwrap().lost, 1);
}

#[tokio::test]
async fn only_the_token_of_the_dispatch_opens_a_checkpoint_and_the_journal() {
    let bed = Bed::new("run_token", [done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let store = &bed.ctx.store;
    let good = bed.request(0)["fence"]["token"].as_str().unwrap().to_owned();
    for wrong in ["", "1", "1.", "x.y", &good[1..], &format!("2{}", &good[1..]), &format!("{good}0")] {
        assert_eq!(store.run_checkpoint(id, wrong, 0, &[]).await.unwrap(), Checkpointed::Unauthorized, "{wrong}");
        assert_eq!(store.run_journal(id, wrong, 0).await.unwrap(), JournalAnswer::Unauthorized, "{wrong}");
    }
    assert_eq!(store.run_checkpoint(id, &good, 0, &[]).await.unwrap(), Checkpointed::Stale);
    assert_eq!(store.run_journal(id, &good, 0).await.unwrap(), JournalAnswer::Stale);
    let nobody = RunId(uuid::Uuid::from_u128(7));
    assert_eq!(store.run_checkpoint(nobody, &good, 0, &[]).await.unwrap(), Checkpointed::Missing);
    assert_eq!(store.run_journal(nobody, &good, 0).await.unwrap(), JournalAnswer::Missing);
}

#[tokio::test]
async fn a_pause_during_a_dispatch_is_told_and_comes_at_its_end() {
    let bed = Bed::new("run_pause", [ops(json!([{ "op": "result", "key": "b#0" }])).ending(Ending::Held), done()]).await;
    let (id, invoke, task) = under_way(&bed).await;
    let sql = "select count(*) from tikku.run_pause((select account_id from tikku.run where id = $1), $1)";
    bed.count(sql, id).await;
    let taken = bed.checkpoint(id, &invoke, 0, json!([{ "op": "result", "key": "a#0" }])).await;
    assert!(taken.pause_requested);
    bed.endpoint.release();
    task.await.unwrap();
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("paused", "requested"));
    assert_eq!((bed.keys(id).await, bed.endpoint.count()), (vec!["a#0".to_owned(), "b#0".to_owned()], 1));
}

#[tokio::test]
async fn a_late_checkpoint_is_taken_until_something_newer_begins() {
    let bed = Bed::new("run_late", [Reply::status(200).ending(Ending::Drop), awaiting(json!([]), json!("b#0")).ending(Ending::Drop)]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    bed.world.later(120).run_reap(10).await.unwrap();
    let first = bed.request(0);
    let late = bed
        .checkpoint(id, &first, 0, json!([{ "op": "result", "key": "a#0", "value": 1 }, { "op": "sleep", "key": "s#0", "forMs": 1 }]))
        .await;
    assert_eq!((late.journal.entries.len(), bed.state(id).await.as_str(), bed.planned(id).await.len()), (1, "queued", 0));
    bed.dispatch_later(120, id).await;
    let stale = bed.try_checkpoint(id, &first, 1, json!([{ "op": "result", "key": "b#0", "value": 2 }])).await;
    assert_eq!((stale, bed.keys(id).await), (Checkpointed::Stale, vec!["a#0".to_owned()]));
    // Kept for whoever looks.
    assert_eq!(bed.count("select count(*) from tikku.step_attempt where run_id = $1 and orphan and key = 'b#0'", id).await, 1);
}

#[tokio::test]
async fn a_cancelled_runs_endpoint_is_told_by_its_next_checkpoint() {
    let bed = Bed::new("run_cancelled", [ops(json!([{ "op": "result", "key": "b#0" }])).ending(Ending::Held)]).await;
    let (id, invoke, task) = under_way(&bed).await;
    bed.count("select count(*) from tikku.run_cancel((select account_id from tikku.run where id = $1), $1)", id).await;
    assert_eq!(bed.try_checkpoint(id, &invoke, 0, json!([{ "op": "result", "key": "a#0" }])).await, Checkpointed::Stale);
    bed.endpoint.release();
    task.await.unwrap();
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("cancelled", 0));
}

#[tokio::test]
async fn a_journal_of_ten_thousand_steps_and_thirty_two_mb_resumes_by_pages() {
    let bed = Bed::new("run_journal", [done()]).await;
    let id = bed.start().await;
    let fill = "insert into tikku.entry (run_id, seq, key, kind, state, value, fence, at)
      select $1, n, 'step-' || n || '#0', 'run', 'ok', convert_to('\"' || repeat('x', 3200) || '\"', 'UTF8'), 1, tikku.clock_now() from generate_series(1, 10000) n";
    bed.client.execute(fill, &[&id.0]).await.unwrap();
    bed.client.execute("update tikku.run set next_seq = 10001, planned = 10000, bytes = 32020000 where id = $1", &[&id.0]).await.unwrap();
    bed.endpoint.script([done().ending(Ending::Held)]);
    let ctx = bed.ctx.clone();
    let task = tokio::spawn(async move { tikku_step_invoke::handle(&ctx, &[id]).await.unwrap() });
    bed.endpoint.wait(1, Duration::from_secs(60)).await;
    let invoke = bed.request(0);
    let inline = bed.endpoint.received()[0].body.len();
    assert!(inline <= INLINE_BYTES_MAX as usize + 8192, "{inline}");
    let mut seq = invoke["journal"]["entries"].as_array().unwrap().len() as i32;
    assert_eq!((&invoke["journal"]["seq"], invoke["journal"]["next"].as_str()), (&json!(seq), Some(seq.to_string().as_str())));
    let mut pages = 0;
    let mut next = workflow_invoke::parse_cursor(invoke["journal"]["next"].as_str().unwrap());
    while let Some(after) = next {
        let JournalAnswer::Page(page) = bed.ctx.store.run_journal(id, token(&invoke), after).await.unwrap() else { panic!() };
        let body = workflow_invoke::journal_page(&page);
        assert!(body.len() <= JOURNAL_PAGE_BYTES_MAX as usize + 65_536, "{}", body.len());
        for entry in &page.entries {
            seq += 1;
            assert_eq!((entry.seq, entry.value.as_ref().map(Vec::len)), (seq, Some(3202)));
        }
        next = page.more.then_some(page.seq);
        pages += 1;
    }
    assert_eq!(seq, 10_000);
    assert!((30..=60).contains(&pages), "{pages}");
    bed.endpoint.release();
    task.await.unwrap();
    assert_eq!(bed.state(id).await, "completed");
}

#[tokio::test]
async fn a_journal_that_outgrows_the_request_while_the_run_is_driven_goes_on_by_pages() {
    let step = |n: usize| ops(json!([{ "op": "result", "key": format!("a#{n}"), "value": "x".repeat(90_000) }]));
    let bed = Bed::new("run_outgrow", [step(0), step(1), step(2), step(3), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let shape = |n: usize| {
        let journal = &bed.request(n)["journal"];
        (journal["entries"].as_array().unwrap().len(), journal["seq"].clone(), journal["next"].clone())
    };
    assert_eq!([shape(2), shape(3), shape(4)], [(2, json!(2), Value::Null), (2, json!(2), json!("2")), (2, json!(2), json!("2"))]);
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("completed", 4));
}

#[tokio::test]
async fn batches_that_share_a_recorder_all_come_to_their_ends() {
    let bed = Bed::new("run_recorder", [ops(json!([{ "op": "result", "key": "a#0" }]))]).await;
    let recorder = std::sync::Arc::new(tikku_step_invoke::Recorder::default());
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(bed.start().await);
    }
    let mut batches = Vec::new();
    for some in ids.chunks(3) {
        let (ctx, recorder, some) = (bed.ctx.clone(), recorder.clone(), some.to_vec());
        batches.push(tokio::spawn(async move {
            let batch = tikku_step_invoke::load(&ctx, &some).await.unwrap();
            tikku_step_invoke::run_with(&ctx, &recorder, batch).await.unwrap();
        }));
    }
    bed.endpoint.wait(30, Duration::from_secs(60)).await;
    bed.endpoint.script([done()]);
    for batch in batches {
        batch.await.unwrap();
    }
    for id in ids {
        bed.until(id, "completed").await;
    }
}

#[tokio::test]
async fn a_run_whose_row_is_held_holds_up_no_other() {
    let bed = Bed::new("run_held", [done().ending(Ending::Held)]).await;
    let (held, free) = (bed.start().await, bed.start().await);
    let ctx = bed.ctx.clone();
    let batch = tokio::spawn(async move { tikku_step_invoke::handle(&ctx, &[held, free]).await.unwrap() });
    bed.endpoint.wait(2, Duration::from_secs(60)).await;
    let blocker = bed.world.client().await;
    blocker.batch_execute("begin").await.unwrap();
    blocker.query("select 1 from tikku.run where id = $1 for update", &[&held.0]).await.unwrap();
    bed.endpoint.release();
    bed.endpoint.release();
    for _ in 0..12_000 {
        // Either answer may go first: both are let go until both have arrived.
        bed.endpoint.release();
        if bed.state(free).await == "completed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((bed.state(held).await.as_str(), bed.state(free).await.as_str()), ("running", "completed"));
    blocker.batch_execute("commit").await.unwrap();
    batch.await.unwrap();
    assert_eq!(bed.state(held).await, "completed");
}

#[tokio::test]
async fn an_entry_larger_than_a_page_is_a_page_of_its_own() {
    let value = format!("\"{}\"", "x".repeat(3 << 20));
    let first = Reply::status(200)
        .header("content-type", "application/json")
        .body(format!(r#"{{"v":1,"ops":[{{"op":"result","key":"big#0","value":{value}}},{{"op":"result","key":"small#0"}}]}}"#));
    let bed = Bed::new("run_big_entry", [first, done().ending(Ending::Held)]).await;
    let (id, _, task) = under_way(&bed).await;
    bed.endpoint.wait(2, Duration::from_secs(60)).await;
    let invoke = bed.request(1);
    assert_eq!(invoke["journal"], json!({ "entries": [], "seq": 0, "next": "0" }));
    let JournalAnswer::Page(big) = bed.ctx.store.run_journal(id, token(&invoke), 0).await.unwrap() else { panic!() };
    assert_eq!((big.entries.len(), big.seq, big.more, big.entries[0].value.as_ref().unwrap().len()), (1, 1, true, value.len()));
    let JournalAnswer::Page(small) = bed.ctx.store.run_journal(id, token(&invoke), 1).await.unwrap() else { panic!() };
    assert_eq!((small.entries.len(), small.seq, small.more), (1, 2, false));
    bed.endpoint.release();
    task.await.unwrap();
}

#[tokio::test]
async fn entries_that_came_by_checkpoints_stand_in_the_next_dispatch_of_the_same_invocation() {
    let bed = Bed::new("run_mixed", [ops(json!([{ "op": "result", "key": "c#0" }])).ending(Ending::Held), done()]).await;
    bed.client.execute("update tikku.app set checkpoint = 'each'", &[]).await.unwrap();
    let (id, invoke, task) = under_way(&bed).await;
    bed.checkpoint(id, &invoke, 0, json!([{ "op": "result", "key": "a#0", "value": 1 }])).await;
    bed.checkpoint(id, &invoke, 1, json!([{ "op": "result", "key": "b#0", "value": 2 }])).await;
    bed.endpoint.release();
    task.await.unwrap();
    let entries = bed.request(1)["journal"]["entries"].clone();
    let keys: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap()).collect();
    assert_eq!((keys, bed.state(id).await.as_str()), (vec!["a#0", "b#0", "c#0"], "completed"));
}

#[tokio::test]
async fn a_poisoned_reply_leaves_the_others_of_its_group_settled() {
    let bed = Bed::new("run_poison", [done()]).await;
    let (good, bad) = (bed.start().await, bed.start().await);
    let leased = bed.ctx.store.run_lease(&[good, bad], 10).await.unwrap();
    assert_eq!(leased.len(), 2);
    let settlement = |id, ops: Value| tikku_domain::workflow::Settlement {
        id,
        fence: 1,
        have: 0,
        outcome: tikku_domain::workflow::Outcome::Reply,
        awaits: None,
        again: false,
        ops: crate::run_bed::parsed(&ops),
    };
    let mut poisoned = settlement(
        bad,
        json!([{ "op": "result", "key": "a#0" }, { "op": "error", "key": "b#0", "error": { "name": "E", "message": "m" } }]),
    );
    poisoned.ops[1].error = Some("{ no json".to_owned());
    let group = [settlement(good, json!([{ "op": "result", "key": "a#0" }])), poisoned];
    bed.ctx.store.run_settle(&group).await.unwrap();
    assert_eq!((bed.state(good).await.as_str(), bed.keys(good).await.len()), ("queued", 1));
    assert_eq!((bed.state(bad).await.as_str(), bed.column(bad, "pause_reason").await.as_str()), ("paused", "protocolError"));
    assert!(bed.column(bad, "pause_detail").await.contains("cannot be recorded"));
}

#[tokio::test]
async fn runs_beyond_the_free_slots_are_leased_when_others_are_through() {
    let bed = Bed::new("run_slots", [done()]).await;
    let ctx = ctx(bed.world.later(0));
    let _held: Vec<_> = futures_util::future::join_all((0..62).map(|_| ctx.config.run_lanes.slot())).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(bed.start().await);
    }
    tikku_step_invoke::handle(&ctx, &ids).await.unwrap();
    for id in ids {
        assert_eq!(bed.state(id).await, "completed");
    }
}
