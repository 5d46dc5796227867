//! Signals to runs, answers to approvals, and what both meet. Out of scope: resume URLs and roles (the API).

use serde_json::{Value, json};
use tikku_domain::filter::Page;
use tikku_domain::ids::RunId;
use tikku_store::{ApprovalAnswer, NewSignal, RunControl, RunSignalled};

use crate::run_bed::Bed;
use crate::run_desk::{Hold, lease, parked, play, send, settle, signal_op};

fn approval_op(key: &str) -> Value {
    json!({ "op": "approval", "key": key, "title": "Ship it?", "detail": { "order": 1 }, "policy": { "notInitiator": true },
      "schema": { "type": "object" }, "timeoutMs": 3_600_000 })
}

const YES: ApprovalAnswer<'static> = ApprovalAnswer { approve: true, data: Some(b"{\"n\":  1}"), by: None, by_name: Some("Ada \"A\"") };

async fn values(bed: &Bed, id: RunId) -> Vec<(String, String)> {
    bed.journal(id).await.into_iter().map(|row| (row.key, row.value.unwrap_or(row.state))).collect()
}

#[tokio::test]
async fn the_step_that_has_waited_longest_has_the_signal() {
    let bed = Bed::new("sig_fifo", []).await;
    let keys: Vec<String> = (0..12).map(|n| format!("s#{n}")).collect();
    let ops: Vec<Value> = keys.iter().map(|key| signal_op(key, "s")).collect();
    let id = parked(&bed, json!(ops), json!({ "all": keys })).await;
    for n in 0..11 {
        assert_eq!(send(&bed, id, "s", &n.to_string()).await, RunSignalled::Done { kicks: vec![] });
    }
    let RunSignalled::Done { kicks } = send(&bed, id, "s", "11").await else { panic!() };
    assert_eq!(kicks.len(), 1);
    let expected: Vec<_> = keys.iter().enumerate().map(|(n, key)| (key.clone(), n.to_string())).collect();
    assert_eq!((values(&bed, id).await, bed.state(id).await.as_str()), (expected, "queued"));
}

#[tokio::test]
async fn a_signal_sent_again_with_its_key_is_the_first() {
    let bed = Bed::new("sig_again", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    let keyed = |name, value| NewSignal { name, value, idempotency_key: Some("k"), sent_by: None };
    for _ in 0..2 {
        assert_eq!(store.run_signal(account, id, &keyed("s", b"1")).await.unwrap(), RunSignalled::Done { kicks: vec![] });
    }
    for other in [keyed("s", b"2"), keyed("t", b"1")] {
        assert_eq!(store.run_signal(account, id, &other).await.unwrap(), RunSignalled::Mismatch);
    }
    let run = store.run_get(account, id, None).await.unwrap().unwrap();
    assert_eq!((run.signals[0].name.as_str(), run.signals[0].count), ("s", 1));
    play(store, id, json!([signal_op("s#0", "s"), signal_op("s#1", "s")]), json!("s#1")).await;
    assert_eq!(values(&bed, id).await, [("s#0".to_owned(), "1".to_owned())]);
    let lease = {
        send(&bed, id, "s", "3").await;
        lease(store, id).await
    };
    settle(store, &lease.over("done", Some("1"), None)).await;
    // What was accepted before the end is still answered so; anything new is not.
    let again = NewSignal { name: "s", value: b"1", idempotency_key: Some("k"), sent_by: None };
    assert_eq!(store.run_signal(account, id, &again).await.unwrap(), RunSignalled::Done { kicks: vec![] });
    assert_eq!(send(&bed, id, "s", "4").await, RunSignalled::Conflict { state: "completed".to_owned() });
    assert_eq!(send(&bed, RunId(uuid::Uuid::from_u128(1)), "s", "4").await, RunSignalled::Missing);
}

#[tokio::test]
async fn a_run_keeps_ten_thousand_unread_signals_and_no_more() {
    let bed = Bed::new("sig_full", []).await;
    let id = bed.start().await;
    let sql = "insert into tikku.signal (account_id, run_id, name, value, at) select $1, $2, 'other', '1', tikku.clock_now() from generate_series(1, $3::int)";
    bed.client.execute(sql, &[&bed.world.account.0, &id.0, &9_999]).await.unwrap();
    assert_eq!(send(&bed, id, "s", "1").await, RunSignalled::Done { kicks: vec![] });
    assert_eq!(send(&bed, id, "s", "2").await, RunSignalled::Full);
    play(&bed.ctx.store, id, json!([signal_op("s#0", "s")]), json!("s#0")).await;
    assert_eq!(send(&bed, id, "s", "2").await, RunSignalled::Done { kicks: vec![] });
}

#[tokio::test]
async fn a_signal_that_meets_the_park_that_waits_for_it_is_not_lost() {
    for turn in 0..2 {
        let bed = Bed::new(&format!("sig_race_park_{turn}"), []).await;
        let id = bed.start().await;
        let park = lease(&bed.ctx.store, id).await.reply(json!([signal_op("s#0", "s")]), json!("s#0"));
        let hold = Hold::run(&bed, id).await;
        let ctx = bed.ctx.clone();
        let park = async move { settle(&ctx.store, &park).await };
        let sent = send(&bed, id, "s", "1");
        if turn == 0 {
            let park = tokio::spawn(park);
            futures_util::future::join(sent, hold.release_for(&bed, 2)).await;
            assert!(park.await.unwrap());
        } else {
            let (_, parked, ()) = futures_util::future::join3(sent, park, hold.release_for(&bed, 2)).await;
            assert!(parked);
        }
        assert_eq!((values(&bed, id).await, bed.state(id).await.as_str()), (vec![("s#0".to_owned(), "1".to_owned())], "queued"));
    }
}

#[tokio::test]
async fn a_signal_that_loses_to_its_timeout_is_kept() {
    let bed = Bed::new("sig_race_timeout", []).await;
    let plan = json!([{ "op": "signal", "key": "s#0", "name": "s", "timeoutMs": 60_000 }]);
    let id = parked(&bed, plan, json!("s#0")).await;
    let hold = Hold::run(&bed, id).await;
    let later = bed.world.later(61);
    let timeout = tokio::spawn(async move { lease(&later, id).await });
    let (sent, ()) = futures_util::future::join(send(&bed, id, "s", "1"), hold.release_for(&bed, 2)).await;
    assert!(matches!(sent, RunSignalled::Done { .. }));
    timeout.await.unwrap();
    let unread = bed.count("select count(*) from tikku.signal where run_id = $1 and key is null", id).await;
    let outcome = (values(&bed, id).await.remove(0).1, unread);
    assert!(outcome == ("timeout".to_owned(), 1) || outcome == ("1".to_owned(), 0), "{outcome:?}");
    assert_eq!(bed.planned(id).await.len(), 0);
}

#[tokio::test]
async fn an_approval_is_answered_once() {
    let bed = Bed::new("apr_once", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = parked(&bed, json!([approval_op("ok#0")]), json!("ok#0")).await;
    let open = store.approval_get(account, id, "ok#0").await.unwrap().unwrap();
    assert_eq!((open.state.as_str(), open.policy.as_str()), ("open", r#"{"notInitiator":true}"#));
    assert!(open.started_by.is_some() && open.schema.is_some());
    assert_eq!(store.approval_list(account, true, &Page { limit: 1, cursor: None }).await.unwrap().data.len(), 1);
    let hold = Hold::run(&bed, id).await;
    let no = ApprovalAnswer { approve: false, data: None, ..YES };
    let answers =
        futures_util::future::join(store.approval_answer(account, id, "ok#0", &YES), store.approval_answer(account, id, "ok#0", &no));
    let ((yes, no), ()) = futures_util::future::join(answers, hold.release_for(&bed, 2)).await;
    let (won, lost, state) = match (yes.unwrap(), no.unwrap()) {
        (won @ RunControl::Done { .. }, lost) => (won, lost, "approved"),
        (lost, won) => (won, lost, "rejected"),
    };
    assert!(matches!(&won, RunControl::Done { kicks } if kicks.len() == 1), "{won:?}");
    assert_eq!(lost, RunControl::Conflict { state: state.to_owned() });
    let value: Value = serde_json::from_str(&values(&bed, id).await.remove(0).1).unwrap();
    assert_eq!((&value["approved"], &value["by"]), (&json!(state == "approved"), &json!("Ada \"A\"")));
    assert_eq!(
        (value["data"] == json!({ "n": 1 }), value["at"].is_string(), bed.state(id).await.as_str()),
        (state == "approved", true, "queued")
    );
    let view = store.approval_view(account, id, "ok#0").await.unwrap().unwrap();
    assert_eq!((view.status.as_str(), view.decided_name.as_deref(), view.title.as_deref()), (state, Some("Ada \"A\""), Some("Ship it?")));
    assert_eq!(store.approval_list(account, true, &Page { limit: 1, cursor: None }).await.unwrap().data.len(), 0);
    assert_eq!(store.approval_answer(account, id, "no#0", &YES).await.unwrap(), RunControl::Missing);
}

#[tokio::test]
async fn an_approval_that_has_expired_is_not_answered_though_nobody_noticed_yet() {
    let bed = Bed::new("apr_expired", []).await;
    let account = bed.world.account;
    let id = parked(&bed, json!([approval_op("ok#0")]), json!("ok#0")).await;
    let later = bed.world.later(3_700);
    let expired = RunControl::Conflict { state: "expired".to_owned() };
    assert_eq!(later.approval_answer(account, id, "ok#0", &YES).await.unwrap(), expired);
    lease(&later, id).await;
    assert_eq!(values(&bed, id).await, [("ok#0".to_owned(), "timeout".to_owned())]);
    assert_eq!(later.approval_answer(account, id, "ok#0", &YES).await.unwrap(), expired);
    let cancelled = parked(&bed, json!([approval_op("ok#0")]), json!("ok#0")).await;
    bed.ctx.store.run_cancel(account, cancelled).await.unwrap();
    let closed = RunControl::Conflict { state: "closed".to_owned() };
    assert_eq!(bed.ctx.store.approval_answer(account, cancelled, "ok#0", &YES).await.unwrap(), closed);
    // A retry asks again.
    bed.ctx.store.run_retry(account, cancelled).await.unwrap();
    play(&bed.ctx.store, cancelled, json!([approval_op("ok#0")]), json!("ok#0")).await;
    assert!(matches!(bed.ctx.store.approval_answer(account, cancelled, "ok#0", &YES).await.unwrap(), RunControl::Done { .. }));
}

#[tokio::test]
async fn approvals_are_listed_page_by_page() {
    let bed = Bed::new("apr_list", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let old = parked(&bed, json!([approval_op("a#0"), approval_op("b#0")]), json!("a#0")).await;
    let new = parked(&bed, json!([approval_op("a#0")]), json!("a#0")).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.approval_list(account, true, &Page { limit: 2, cursor }).await.unwrap();
        seen.extend(page.data.into_iter().map(|view| (view.run_id, view.key)));
        let Some(next) = page.next_cursor else { break };
        cursor = Some(next.parse().unwrap());
    }
    let entry = |run: RunId, key: &str| (run.to_string(), key.to_owned());
    assert_eq!(seen, [entry(new, "a#0"), entry(old, "a#0"), entry(old, "b#0")]);
}
