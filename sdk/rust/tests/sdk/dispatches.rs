//! Dispatches against the engine in memory, in each checkpoint mode.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{Either, join, join_all, select};
use serde_json::{Value, json};
use tikku::{Backoff, Checkpoint, Failure, Step, StepError, Workflow};

use crate::engine::{Engine, Script};

const MODES: [Checkpoint; 3] = [Checkpoint::Each, Checkpoint::BATCHED, Checkpoint::Return];
const NULL: &Value = &Value::Null;

/// Adds 1 in each of n steps.
fn count(n: u64) -> Workflow {
    Workflow::new("count", move |step: Step, from: Option<u64>| async move {
        let mut sum = from.unwrap_or_default();
        for _ in 0..n {
            sum = step.run("add", async move |_| Ok(sum + 1)).await?;
        }
        Ok(sum)
    })
}

#[tokio::test(start_paused = true)]
async fn all_modes_give_the_same_journal_and_cost_what_they_say() {
    for (mode, dispatches, checkpoints) in [(MODES[0], 1, 10), (MODES[1], 1, 0), (MODES[2], 11, 0)] {
        let engine = Engine::new(Vec::new());
        let (end, took) = engine.drive(&engine.serve(count(10), mode), "count", &json!(5)).await;
        assert_eq!((end, took), (json!({ "op": "done", "value": 15 }), dispatches), "{mode:?}");
        let state = engine.state();
        assert_eq!(state.checkpoints.len(), checkpoints, "{mode:?}");
        assert!(state.checkpoints.iter().all(|(token, _)| token == "1.token"));
        let values: Vec<u64> = state.entries.iter().map(|entry| entry["value"].as_u64().unwrap()).collect();
        assert_eq!(values, (6..=15).collect::<Vec<_>>(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn batched_records_after_so_many_steps_and_after_so_long() {
    let engine = Engine::new(Vec::new());
    let batched = Checkpoint::Batched { every: Duration::from_secs(1), max_steps: 4 };
    engine.drive(&engine.serve(count(10), batched), "count", NULL).await;
    assert_eq!(sizes(&engine), [4, 4]);

    let slow = Workflow::new("slow", async |step, ()| {
        for _ in 0..4 {
            step.run("s", async |_| nap(600).await).await?;
        }
        Ok(())
    });
    let engine = Engine::new(Vec::new());
    engine.drive(&engine.serve(slow, batched), "slow", NULL).await;
    assert_eq!(sizes(&engine), [2], "the first result waits for a second, the last two travel in the reply");
}

/// A body that takes so long.
async fn nap(ms: u64) -> Result<(), StepError> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(())
}

/// Another hand writes into the journal while the dispatch is under way.
async fn record_at(engine: &Engine, ms: u64, key: &str, entry: Value) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    engine.state().record(key, entry);
}

fn sizes(engine: &Engine) -> Vec<usize> {
    engine.state().checkpoints.iter().map(|(_, request)| request["ops"].as_array().unwrap().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batched_result_waits_for_its_record_while_the_engine_could_decide_a_race() {
    let race = Workflow::new("race", async |step, ()| {
        let signal = step.wait_for_signal::<Value>("go");
        let work = step.run("work", async |_| nap(10).await);
        match select(signal, work).await {
            Either::Left(_) => step.run("signalled", async |_| Ok("signal".to_owned())).await,
            Either::Right(_) => step.run("worked", async |_| Ok("work".to_owned())).await,
        }
    });
    let engine = Engine::new(Vec::new());
    let serve = engine.serve(race, Checkpoint::Batched { every: Duration::from_secs(1), max_steps: 9 });
    let signal = json!({ "kind": "signal", "state": "ok", "value": null });
    let (reply, ()) = join(engine.dispatch(&serve, "race", NULL), record_at(&engine, 5, "go#0", signal)).await;
    assert_eq!(reply["ops"].as_array().unwrap().last().unwrap()["value"], "signal");
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_is_tried_again_in_later_dispatches_until_its_attempts_are_spent() {
    for mode in MODES {
        let bodies = Arc::new(AtomicU32::new(0));
        let seen = bodies.clone();
        let workflow = Workflow::new("flaky", move |step: Step, heals_at: u32| {
            let seen = seen.clone();
            async move {
                let flaky = async |ctx: tikku::StepContext| {
                    seen.fetch_add(1, Ordering::Relaxed);
                    if ctx.attempt >= heals_at { Ok(ctx.attempt) } else { Err(StepError::from("not yet")) }
                };
                match step.run("flaky", flaky).max_attempts(3).backoff(Backoff::fixed(Duration::from_secs(1))).await {
                    Ok(attempt) => Ok(json!(attempt)),
                    Err(failure) => step.run("undo", async |_| Ok(json!(failure.message))).await,
                }
            }
        });
        for (heals_at, output, runs) in [(3, json!(3), 3), (4, json!("not yet"), 3)] {
            bodies.store(0, Ordering::Relaxed);
            let engine = Engine::new(Vec::new());
            let (end, _) = engine.drive(&engine.serve(workflow.clone(), mode), "flaky", &json!(heals_at)).await;
            assert_eq!((&end["value"], bodies.load(Ordering::Relaxed)), (&output, runs), "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_and_a_refused_one_stops_the_dispatch() {
    let engine = Engine::new(Vec::new());
    engine.state().script = vec![Script::Lose, Script::Status(503)];
    let (end, dispatches) = engine.drive(&engine.serve(count(2), Checkpoint::Each), "count", NULL).await;
    assert_eq!((&end["value"], dispatches, engine.state().checkpoints.len()), (&json!(2), 1, 4));

    let engine = Engine::new(Vec::new());
    engine.state().script = vec![Script::Status(409)];
    let reply = engine.dispatch(&engine.serve(count(2), Checkpoint::Each), "count", NULL).await;
    assert_eq!((&reply["ops"], &reply["await"]), (&json!([]), &Value::Null));
    assert_eq!(engine.state().checkpoints.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_a_body_works_and_a_pause_lets_it_end() {
    let slow = Workflow::new("slow", async |step, ()| {
        step.run("first", async |_| nap(25000).await).await?;
        step.run("second", async |_| Ok(())).await
    });
    let engine = Engine::new(Vec::new());
    engine.state().script = vec![Script::With(json!({ "pauseRequested": true }))];
    let reply = engine.dispatch(&engine.serve(slow, Checkpoint::Each), "slow", NULL).await;
    assert_eq!(sizes(&engine), [0, 0]);
    assert_eq!(reply["ops"][0]["key"], "first#0");
    assert!(reply["await"].is_null());
    assert!(!engine.state().has("second#0"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_outlasts_the_budget_is_given_up_with_what_there_is() {
    let slow = Workflow::new("slow", async |step, ()| {
        let quick = step.run("quick", async |_| Ok(1));
        let slow = step.run("slow", async |_| {
            tokio::time::sleep(Duration::from_secs(100)).await;
            Ok(2)
        });
        step.all([quick, slow]).await
    });
    let engine = Engine::new(Vec::new());
    let began = tokio::time::Instant::now();
    let reply = engine.dispatch(&engine.serve(slow, Checkpoint::Return), "slow", NULL).await;
    assert_eq!(began.elapsed().as_secs(), 33);
    assert_eq!(reply["ops"].as_array().unwrap().len(), 1);
    assert!(reply["await"].is_null(), "it is dispatched again at once: {reply}");
}

#[tokio::test(start_paused = true)]
async fn all_waits_for_all_and_a_plain_join_for_any() {
    let all = Workflow::new("all", async |step, ()| step.all(["a", "b"].map(|name| step.wait_for_signal::<Value>(name))).await);
    let engine = Engine::new(Vec::new());
    let reply = engine.dispatch(&engine.serve(all, Checkpoint::Each), "all", NULL).await;
    assert_eq!(reply["await"], json!({ "all": ["a#0", "b#0"] }));

    let join = Workflow::new("join", async |step, ()| {
        let both = join_all(["a", "b"].map(|name| step.wait_for_signal::<Value>(name))).await;
        both.into_iter().collect::<Result<Vec<_>, Failure>>()
    });
    let engine = Engine::new(Vec::new());
    let reply = engine.dispatch(&engine.serve(join, Checkpoint::Each), "join", NULL).await;
    assert_eq!(reply["await"], json!({ "any": ["a#0", "b#0"] }));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_what_is_no_step_stops_the_run_and_says_so() {
    let stray = Workflow::new("stray", async |_step, ()| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let engine = Engine::new(Vec::new());
    let reply = engine.dispatch(&engine.serve(stray, Checkpoint::Each), "stray", NULL).await;
    assert_eq!(reply["ops"][0]["op"], "diverged");
    assert!(reply["ops"][0]["message"].as_str().unwrap().contains("no step"));
}

#[tokio::test(start_paused = true)]
async fn a_step_inside_a_step_is_an_error_and_a_panic_of_a_body_is_tried_again() {
    let nested = Workflow::new("nested", async |step, ()| {
        let outer = async |_| Ok(step.run("inner", async |_| Ok(1)).await?);
        step.run("outer", outer).max_attempts(1).await
    });
    let engine = Engine::new(Vec::new());
    let (end, _) = engine.drive(&engine.serve(nested, Checkpoint::Each), "nested", NULL).await;
    assert_eq!(end["error"]["name"], "InvalidStep");

    let panics = Workflow::new("panics", async |step, ()| {
        let body = async |ctx: tikku::StepContext| if ctx.attempt == 1 { panic!("oh") } else { Ok(ctx.attempt) };
        step.run("p", body).await
    });
    let engine = Engine::new(Vec::new());
    let (end, _) = engine.drive(&engine.serve(panics, Checkpoint::Each), "panics", NULL).await;
    assert_eq!(end["value"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_a_replay_could_not_give_back_is_refused() {
    let workflow = Workflow::new("nan", async |step, ()| step.run("nan", async |_| Ok(f64::NAN)).await);
    let engine = Engine::new(Vec::new());
    let (end, dispatches) = engine.drive(&engine.serve(workflow, Checkpoint::Each), "nan", NULL).await;
    assert_eq!((&end["error"]["name"], dispatches), (&json!("NotRecordable"), 1));
    assert_eq!(end["error"]["code"], "NOT_RECORDABLE");
}

#[tokio::test(start_paused = true)]
async fn a_long_journal_is_read_in_pages_before_anything_new_begins() {
    let entry = |i: u64| json!({ "seq": i, "key": format!("add#{}", i - 1), "kind": "run", "state": "ok", "value": i });
    let engine = Engine::new((1..=25).map(entry).collect());
    engine.state().page_entries = 10;
    let (end, dispatches) = engine.drive(&engine.serve(count(26), Checkpoint::Each), "count", NULL).await;
    assert_eq!((&end["value"], dispatches), (&json!(26), 1));
    let state = engine.state();
    assert_eq!((state.pages.len(), state.checkpoints.len()), (2, 1));
    assert_eq!(state.checkpoints[0].1["have"], 25);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_contradicts_the_record_is_not_built_upon() {
    let twice = Workflow::new("twice", async |step, ()| {
        let first: u64 = step.run("first", async |_| Ok(1)).await?;
        let wait = step.run("wait", async |_| nap(5000).await).await;
        wait?;
        step.run("second", async move |_| Ok(first + 10)).await
    });
    let engine = Engine::new(Vec::new());
    let serve = engine.serve(twice, Checkpoint::BATCHED);
    let other = json!({ "kind": "run", "state": "ok", "value": 2 });
    let (reply, ()) = join(engine.dispatch(&serve, "twice", NULL), record_at(&engine, 5, "first#0", other)).await;
    assert_eq!(reply["ops"], json!([]));
    let (end, _) = engine.drive(&serve, "twice", NULL).await;
    assert_eq!(end["value"], 12);
}
