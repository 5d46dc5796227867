//! Tick in this process: its parts do not keep each other from their work, and what they find goes to the right queue.
//!
//! Out of scope: what each part does with its rows (`flows.rs`, `schedules.rs`, `prune.rs`, `run_engine.rs`).

use std::time::Duration;

use tikku_domain::ids::{MessageId, RunId};
use tikku_platform::queue::{MemoryQueue, MemoryQueues, Queue};
use tikku_platform::{Ctx, Kick};
use tikku_tick::TickReport;

use crate::endpoint::{Ending, Reply};
use crate::run_bed::{Bed, done};
use crate::schedules::process;
use crate::world::World;

fn queues(ctx: &Ctx) -> &MemoryQueues {
    #[allow(irrefutable_let_patterns, reason = "there is a second kind of queue when Lambda's features are on")]
    let Queue::Memory(queues) = &ctx.queue else { panic!("the queue is in memory") };
    queues
}

async fn taken(queue: &MemoryQueue) -> Vec<Kick> {
    tokio::time::timeout(Duration::from_secs(60), queue.take(100)).await.expect("an id in the queue")
}

/// A message and a run that no queue holds.
async fn forgotten(bed: &Bed) -> (MessageId, RunId) {
    let (message, run) = (bed.world.message().await, bed.start().await);
    bed.client
        .batch_execute("update tikku.message set kick_until = tikku.clock_now(); update tikku.run set kick_until = tikku.clock_now()")
        .await
        .unwrap();
    (message, run)
}

/// Has a function of the store fail from now on, as a fault of ours would.
async fn break_function(bed: &Bed, signature: &str, returns: &str) {
    let sql = format!(
        "create or replace function tikku.{signature} returns {returns} language plpgsql volatile as $$ begin raise 'broken'; end $$"
    );
    bed.client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_tick_without_work_reports_nothing() {
    let world = World::new("tick_idle").await;
    // The first looks for what is to be pruned.
    tikku_tick::handle(&process(&world, 0)).await.unwrap();
    assert_eq!(tikku_tick::handle(&process(&world, 0)).await.unwrap(), TickReport::default());
}

#[tokio::test]
async fn messages_and_runs_are_handed_to_queues_of_their_own() {
    let bed = Bed::new("tick_queues", [done()]).await;
    let (message, run) = forgotten(&bed).await;
    let report = tikku_tick::handle(&bed.ctx).await.unwrap();
    assert_eq!((report.kicked, report.run_kicked), (1, 1));
    let (messages, runs) = (taken(&queues(&bed.ctx).messages).await, taken(&queues(&bed.ctx).runs).await);
    assert_eq!((Kick::messages(&messages), Kick::runs(&messages)), (vec![message], vec![]));
    assert_eq!((Kick::messages(&runs), Kick::runs(&runs)), (vec![], vec![run]));
}

#[tokio::test]
async fn lost_dispatches_behind_a_page_of_renewed_ones_are_given_up_by_the_same_tick() {
    let bed = Bed::new("tick_renewed", [Reply::status(200).ending(Ending::Drop)]).await;
    let mut ids = Vec::new();
    for _ in 0..103 {
        ids.push(bed.start().await);
    }
    tikku_step_invoke::handle(&bed.ctx, &ids).await.unwrap();
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let renewed = "update tikku.run set lease_until = tikku.clock_now() - interval '1 hour', renewed_at = tikku.clock_now() where id = any($1) and state = 'running'";
    let silent =
        "update tikku.run set lease_until = tikku.clock_now() - interval '1 minute', renewed_at = tikku.clock_now() - interval '1 hour'
      where id = any($1) and state = 'running'";
    assert_eq!(bed.client.execute(renewed, &[&&ids[..100]]).await.unwrap(), 100);
    assert_eq!(bed.client.execute(silent, &[&&ids[100..]]).await.unwrap(), 3);
    assert_eq!(tikku_tick::handle(&bed.ctx).await.unwrap().run_lost, 3);
    for id in &ids[100..] {
        assert_eq!(bed.state(RunId(*id)).await, "queued");
    }
}

#[tokio::test]
async fn a_part_that_fails_does_not_keep_the_others_from_their_work_and_is_told_at_the_end() {
    let bed = Bed::new("tick_broken", [done()]).await;
    let (message, run) = forgotten(&bed).await;
    bed.client.execute("insert into tikku.child_sweep (parent_id, at) values ($1, tikku.clock_now())", &[&run.0]).await.unwrap();
    bed.client
        .execute("insert into tikku.gate (account_id, key, next_at) values ($1, 'g', tikku.clock_now())", &[&bed.world.account.0])
        .await
        .unwrap();
    break_function(&bed, "child_sweep_turn(p_rows int)", "table (taken int, id uuid, wait_ms bigint, account_id uuid)").await;
    break_function(&bed, "gate_sweep(p_rows int)", "table (id uuid, wait_ms bigint, account_id uuid)").await;
    let error = tikku_tick::handle(&bed.ctx).await.unwrap_err();
    assert!(error.to_string().contains("broken"), "{error}");
    assert_eq!(Kick::messages(&taken(&queues(&bed.ctx).messages).await), [message]);
    assert_eq!(Kick::runs(&taken(&queues(&bed.ctx).runs).await), [run]);
}
