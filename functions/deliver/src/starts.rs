//! Messages to workflows, STAGE 3a: each starts a run, in the place of a push. What that came to is judged and recorded as a push is.
//!
//! Out of scope: dispatching the run (step-invoke), which the queue of runs brings.

use std::collections::HashMap;

use tikku_domain::destination;
use tikku_domain::ids::MessageId;
use tikku_domain::message::{self, Failure, Job, Outcome, Reply};
use tikku_domain::started::{self, Started};
use tikku_platform::Ctx;
use tikku_platform::time::{self, Stopwatch};
use tikku_store::{Kick, StoreError};
use tokio::sync::mpsc;

use crate::{Done, persist};

/// Starts the runs of leased messages, those that are due at the same time by one statement. An error means that it is not known what became of some.
pub(crate) async fn start_all(
    ctx: &Ctx,
    mut jobs: Vec<Job>,
    watch: Stopwatch,
    sender: mpsc::UnboundedSender<Done>,
) -> Result<(), StoreError> {
    let mut result = Ok(());
    jobs.sort_by_key(|job| job.wait_ms);
    while let Some(first) = jobs.first() {
        let left_ms = first.wait_ms.saturating_sub(watch.elapsed_ms());
        if left_ms > 0 {
            time::sleep_ms(left_ms).await;
        }
        let due_ms = watch.elapsed_ms().max(first.wait_ms);
        let later = jobs.split_off(jobs.partition_point(|job| job.wait_ms <= due_ms));
        result = result.and(start(ctx, jobs, watch, &sender).await);
        jobs = later;
    }
    result
}

async fn start(ctx: &Ctx, jobs: Vec<Job>, watch: Stopwatch, sender: &mpsc::UnboundedSender<Done>) -> Result<(), StoreError> {
    let started_ms = watch.elapsed_ms();
    let report = |job: &Job, result: Reply| {
        let ended_ms = watch.elapsed_ms();
        let outcome = Outcome { duration_ms: ended_ms.saturating_sub(started_ms), result };
        let settlement = Box::new(message::settle(job, outcome, job.now_ms.saturating_add_unsigned(ended_ms)));
        // The recorder listens until this sender is gone.
        let _unheard = sender.send(Done::Pushed { settlement, started_ms });
    };
    let mut good = Vec::with_capacity(jobs.len());
    for job in jobs {
        match started::input(job.body.as_deref()) {
            Ok(_) => good.push(job),
            Err(reply) => report(&job, reply),
        }
    }
    let ids: Vec<MessageId> = good.iter().map(|job| job.id).collect();
    let (mut known, result) = ask(ctx, &ids).await;
    // What the database no longer knows as leased is another's to record.
    let mut kicks = Vec::new();
    for job in &good {
        let Some(came) = known.remove(&job.id) else { continue };
        let reply = match came {
            Ok(run) => {
                kicks.extend(Kick::started(&run, job.account));
                started::reply(destination::workflow(&job.url).unwrap_or_default(), &run)
            }
            Err(detail) => Reply::failed(Failure::Invalid, detail),
        };
        report(job, reply);
    }
    ctx.kick(&kicks).await;
    result
}

type Known = HashMap<MessageId, Result<Started, String>>;

/// What became of each start. One that the database refuses fails alone.
async fn ask(ctx: &Ctx, ids: &[MessageId]) -> (Known, Result<(), StoreError>) {
    let (mut known, mut result) = (Known::new(), Ok(()));
    if ids.is_empty() {
        return (known, result);
    }
    match persist(|| ctx.store.message_start(ids)).await {
        Err(StoreError::Refused(_) | StoreError::Failed(_)) if ids.len() > 1 => {
            for one in ids.chunks(1) {
                take(&mut known, &mut result, one, persist(|| ctx.store.message_start(one)).await);
            }
        }
        answer => take(&mut known, &mut result, ids, answer),
    }
    (known, result)
}

fn take(known: &mut Known, result: &mut Result<(), StoreError>, ids: &[MessageId], answer: Result<Vec<(MessageId, Started)>, StoreError>) {
    match answer {
        Ok(started) => known.extend(started.into_iter().map(|(id, run)| (id, Ok(run)))),
        Err(StoreError::Refused(detail)) => {
            known.extend(ids.iter().map(|id| (*id, Err(format!("the database refused the input: {detail}")))));
        }
        Err(error) => *result = Err(error),
    }
}
