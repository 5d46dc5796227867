//! Control verbs that meet something else at the row of their run: two real connections, and a blocker that holds the row until both wait. Out of scope:
//! races of signals, approvals (`run_signals.rs`) and events (`run_events.rs`).

use serde_json::{Value, json};
use tikku_store::{Checkpointed, Fork, RunControl, RunForked, RunSignalled};

use crate::run_bed::{Bed, checkpoint};
use crate::run_control::{conflict, done, kicked, sweep};
use crate::run_desk::{Hold, child_op, children, error, lease, parked, play, result_op, send, settle, signal_op, try_lease};

#[tokio::test]
async fn of_a_cancel_and_a_settle_that_meet_one_counts() {
    for turn in 0..2 {
        let bed = Bed::new(&format!("ctl_race_settle_{turn}"), []).await;
        let account = bed.world.account;
        let id = bed.start().await;
        let last = lease(&bed.ctx.store, id).await.over("done", Some("1"), None);
        let hold = Hold::run(&bed, id).await;
        let (ctx, ctx2) = (bed.ctx.clone(), bed.ctx.clone());
        let cancel = async move { ctx.store.run_cancel(account, id).await.unwrap() };
        let end = async move { settle(&ctx2.store, &last).await };
        let (cancel, end) = if turn == 0 {
            (tokio::spawn(cancel), tokio::spawn(end))
        } else {
            let end = tokio::spawn(end);
            (tokio::spawn(cancel), end)
        };
        hold.release_for(&bed, 2).await;
        let (cancelled, recorded) = (cancel.await.unwrap(), end.await.unwrap());
        let expected = if recorded { (conflict("completed"), "completed") } else { (RunControl::Done { kicks: vec![] }, "cancelled") };
        assert_eq!((cancelled, bed.state(id).await.as_str()), expected);
    }
}

#[tokio::test]
async fn a_child_that_is_created_while_its_parent_is_cancelled_does_not_live() {
    for turn in 0..2 {
        let bed = Bed::new(&format!("ctl_race_child_{turn}"), []).await;
        let account = bed.world.account;
        let id = bed.start().await;
        let plan = lease(&bed.ctx.store, id).await.reply(json!([child_op("a#0")]), json!("a#0"));
        let hold = Hold::run(&bed, id).await;
        let (ctx, ctx2) = (bed.ctx.clone(), bed.ctx.clone());
        let cancel = async move { ctx.store.run_cancel(account, id).await.unwrap() };
        let end = async move { settle(&ctx2.store, &plan).await };
        let (cancel, end) = if turn == 0 {
            (tokio::spawn(cancel), tokio::spawn(end))
        } else {
            let end = tokio::spawn(end);
            (tokio::spawn(cancel), end)
        };
        hold.release_for(&bed, 2).await;
        done(cancel.await.unwrap());
        let recorded = end.await.unwrap();
        sweep(&bed).await;
        assert_eq!(children(&bed, id).await.len(), usize::from(recorded));
        let live = "select count(*) from tikku.run where parent_id = $1 and finished_at is null";
        assert_eq!((bed.state(id).await.as_str(), bed.count(live, id).await), ("cancelled", 0));
    }
}

#[tokio::test]
async fn a_pause_that_meets_a_settle_is_not_lost() {
    let bed = Bed::new("ctl_race_pause", []).await;
    let account = bed.world.account;
    let id = bed.start().await;
    let end = lease(&bed.ctx.store, id).await.reply(json!([result_op("a#0")]), Value::Null);
    let hold = Hold::run(&bed, id).await;
    let (ctx, ctx2) = (bed.ctx.clone(), bed.ctx.clone());
    let pause = tokio::spawn(async move { ctx.store.run_pause(account, id).await.unwrap() });
    let end = tokio::spawn(async move { settle(&ctx2.store, &end).await });
    hold.release_for(&bed, 2).await;
    done(pause.await.unwrap());
    assert!(end.await.unwrap());
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("paused", 1));
    assert!(try_lease(&bed.ctx.store, id).await.is_none());
}

#[tokio::test]
async fn a_late_checkpoint_that_meets_a_retry_records_nothing() {
    let bed = Bed::new("ctl_race_retry", []).await;
    let account = bed.world.account;
    let id = bed.start().await;
    let old = lease(&bed.ctx.store, id).await;
    settle(&bed.ctx.store, &old.over("fail", None, Some(error("no")))).await;
    let hold = Hold::run(&bed, id).await;
    let (ctx, ctx2, token) = (bed.ctx.clone(), bed.ctx.clone(), old.token.clone());
    let retry = tokio::spawn(async move { ctx.store.run_retry(account, id).await.unwrap() });
    let late = tokio::spawn(async move { checkpoint(&ctx2.store, id, &token, 0, &json!([result_op("a#0")])).await });
    hold.release_for(&bed, 2).await;
    assert_eq!(kicked(&done(retry.await.unwrap())), [id]);
    assert!(matches!(late.await.unwrap(), Checkpointed::Stale));
    assert_eq!(bed.keys(id).await.len(), 0);
}

#[tokio::test]
async fn a_fork_of_a_run_that_goes_on_meanwhile_is_a_beginning_of_it() {
    let bed = Bed::new("ctl_race_fork", []).await;
    let account = bed.world.account;
    let id = bed.start().await;
    let open = lease(&bed.ctx.store, id).await;
    checkpoint(&bed.ctx.store, id, &open.token, 0, &json!([result_op("a#0")])).await;
    let hold = Hold::run(&bed, id).await;
    let (ctx, ctx2, token) = (bed.ctx.clone(), bed.ctx.clone(), open.token.clone());
    let fork = tokio::spawn(async move {
        let fork = Fork { from_step: "c#0", input: None, results: &[], started_by: None };
        ctx.store.run_fork(account, id, &fork).await.unwrap()
    });
    let goes_on = tokio::spawn(async move { checkpoint(&ctx2.store, id, &token, 1, &json!([result_op("b#0"), result_op("c#0")])).await });
    hold.release_for(&bed, 2).await;
    assert!(matches!(goes_on.await.unwrap(), Checkpointed::Taken(_)));
    let RunForked::Done { id: made, .. } = fork.await.unwrap() else { panic!() };
    let (source, copied) = (bed.keys(id).await, bed.keys(made).await);
    assert_eq!((source.len(), &source[..copied.len()]), (3, &copied[..]));
    assert!(!copied.contains(&"c#0".to_owned()) && !copied.is_empty());
}

#[tokio::test]
async fn a_signal_that_meets_a_resume_starts_the_run_once() {
    let bed = Bed::new("ctl_race_resume", []).await;
    let account = bed.world.account;
    let id = parked(&bed, json!([signal_op("s#0", "s")]), json!("s#0")).await;
    done(bed.ctx.store.run_pause(account, id).await.unwrap());
    let hold = Hold::run(&bed, id).await;
    let ctx = bed.ctx.clone();
    let resume = tokio::spawn(async move { ctx.store.run_resume(account, id, false).await.unwrap() });
    let (sent, ()) = futures_util::future::join(send(&bed, id, "s", "1"), hold.release_for(&bed, 2)).await;
    let RunSignalled::Done { kicks } = sent else { panic!() };
    let all = [kicks, done(resume.await.unwrap())].concat();
    assert_eq!((kicked(&all), bed.state(id).await.as_str()), (vec![id], "queued"));
}

#[tokio::test]
async fn a_retry_that_meets_the_sweep_of_its_children_waits_for_living_ones() {
    for turn in 0..2 {
        let bed = Bed::new(&format!("ctl_race_sweep_{turn}"), []).await;
        let account = bed.world.account;
        let id = parked(&bed, json!([child_op("a#0"), child_op("b#0")]), json!({ "all": ["a#0", "b#0"] })).await;
        done(bed.ctx.store.run_cancel(account, id).await.unwrap());
        let hold = Hold::run(&bed, children(&bed, id).await[1]).await;
        let (ctx, ctx2) = (bed.ctx.clone(), bed.ctx.clone());
        let retry = async move { ctx.store.run_retry(account, id).await.unwrap() };
        let swept = async move { ctx2.store.child_sweep(500).await.unwrap() };
        let (retry, swept) = if turn == 0 {
            let swept = tokio::spawn(swept);
            hold.release_for(&bed, 1).await;
            (tokio::spawn(retry), swept)
        } else {
            let parent = Hold::run(&bed, id).await;
            let (retry, swept) = (tokio::spawn(retry), tokio::spawn(swept));
            parent.release_for(&bed, 2).await;
            hold.release_for(&bed, 0).await;
            (retry, swept)
        };
        swept.await.unwrap();
        done(retry.await.unwrap());
        sweep(&bed).await;
        play(&bed.ctx.store, id, json!([child_op("a#0"), child_op("b#0")]), json!({ "all": ["a#0", "b#0"] })).await;
        assert_eq!(bed.state(id).await, "waiting");
        let live =
            "select count(*) from tikku.waiter w join tikku.run c on c.id = w.child_id where w.run_id = $1 and c.finished_at is null";
        assert_eq!(bed.count(live, id).await, 2);
        for kid in children(&bed, id).await {
            if let Some(lease) = try_lease(&bed.ctx.store, kid).await {
                settle(&bed.ctx.store, &lease.over("done", Some("1"), None)).await;
            }
        }
        assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("queued", 2));
    }
}
