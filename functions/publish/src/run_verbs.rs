//! What people ask of runs: cancel, pause, resume, wake, retry, fork. The database decides, under the run's lock.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tikku_domain::bulk::BulkView;
use tikku_domain::fields::FieldError;
use tikku_domain::ids::{AccountId, RunId};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_filter_query::{self, RunPick};
use tikku_domain::run_verbs;
use tikku_domain::run_view::RunView;
use tikku_platform::Ctx;
use tikku_store::{Fork, RunBulk, RunControl, RunForked};

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::run_shapes::{ForkRequest, ResumeRequest, RunBulkRequest};
use crate::{runs, workflows};

/// Cancels a run and its children. A dispatch under way is told at its next checkpoint.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", operation_id = "cancelRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), responses(
    (status = 200, description = "The run", body = RunView),
    (status = 409, description = "It is over, and not cancelled", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let (account, id) = asked(&ctx, &headers, &id).await?;
    let control = ctx.store.run_cancel(account, id).await?;
    done(&ctx, control, "cancelled").await?;
    sweep_children(&ctx).await?;
    shown(&ctx, account, id, StatusCode::OK).await
}

/// Pauses a run: it is not dispatched until it is resumed. One that is being dispatched pauses when that ends. Its timers go on.
#[utoipa::path(post, path = "/v1/runs/{id}/pause", operation_id = "pauseRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), responses(
    (status = 200, description = "The run", body = RunView),
    (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn pause(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let (account, id) = asked(&ctx, &headers, &id).await?;
    let control = ctx.store.run_pause(account, id).await?;
    done(&ctx, control, "paused").await?;
    shown(&ctx, account, id, StatusCode::OK).await
}

/// Lets a paused run go on, whatever it was paused for.
#[utoipa::path(post, path = "/v1/runs/{id}/resume", operation_id = "resumeRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), request_body = Option<ResumeRequest>, responses(
    (status = 200, description = "The run", body = RunView),
    (status = 409, description = "It is not paused", body = Problem, content_type = "application/problem+json"),
))]
pub async fn resume(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, body: Body) -> Result<Response, ApiError> {
    let (account, id) = asked(&ctx, &headers, &id).await?;
    let accept = run_verbs::resume(&request::bytes(&headers, body).await?)?;
    let control = ctx.store.run_resume(account, id, accept).await?;
    done(&ctx, control, "resumed").await?;
    shown(&ctx, account, id, StatusCode::OK).await
}

/// Ends the sleeps of a run, its waits for another try, or the delay of its start now. A sleep that was ended has the value "woken".
#[utoipa::path(post, path = "/v1/runs/{id}/wake", operation_id = "wakeRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), responses(
    (status = 200, description = "The run", body = RunView),
    (status = 409, description = "There is nothing to end: it is over, paused, running, or waits for something else", body = Problem, content_type = "application/problem+json"),
))]
pub async fn wake(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let (account, id) = asked(&ctx, &headers, &id).await?;
    let control = ctx.store.run_wake(account, id).await?;
    done(&ctx, control, "woken").await?;
    shown(&ctx, account, id, StatusCode::OK).await
}

/// Lets a failed or cancelled run go on from the step that failed, its failed and cancelled children with it; what succeeded stays.
#[utoipa::path(post, path = "/v1/runs/{id}/retry", operation_id = "retryRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), responses(
    (status = 200, description = "The run", body = RunView),
    (status = 409, description = "It has not failed, or another run has its place as a singleton", body = Problem, content_type = "application/problem+json"),
))]
pub async fn retry(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let (account, id) = asked(&ctx, &headers, &id).await?;
    let control = ctx.store.run_retry(account, id).await?;
    done(&ctx, control, "retried").await?;
    shown(&ctx, account, id, StatusCode::OK).await
}

/// Starts a new run from the middle of this one, with the entries of the steps before, edited or not. This one stays as it is.
#[utoipa::path(post, path = "/v1/runs/{id}/fork", operation_id = "forkRun", security(("key" = ["publish"])), tag = "runs", params(("id" = String, Path, description = "run_...")), request_body = ForkRequest, responses(
    (status = 202, description = "The new run", body = RunView),
    (status = 409, description = "A result is one of a step that is not copied; or the workflow is a singleton, and its run is not over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn fork(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id: RunId = request::id(&id, "run")?;
    let bytes = request::bytes(&headers, body).await?;
    let fork = match run_verbs::fork(&bytes) {
        Ok(fork) => fork,
        Err(errors) => {
            // A run that is not there is the more useful answer.
            ctx.store.run_get(caller.account, id, None).await?.ok_or_else(runs::missing)?;
            return Err(errors.into());
        }
    };
    let asked = Fork { from_step: &fork.from_step, input: fork.input.as_deref(), results: &fork.results, started_by: Some(caller.key) };
    match ctx.store.run_fork(caller.account, id, &asked).await? {
        RunForked::Done { id, kick, .. } => {
            ctx.kick(kick.as_slice()).await;
            shown(&ctx, caller.account, id, StatusCode::ACCEPTED).await
        }
        RunForked::Missing => Err(runs::missing().into()),
        RunForked::NoStep => {
            let detail = "the run is over and never came to such a step: GET /v1/runs/{id} shows its steps".to_owned();
            let pointer = "/fromStep".to_owned();
            Err(Problem { errors: vec![FieldError { pointer, detail: detail.clone() }], ..Problem::new(Kind::Conflict, detail) }.into())
        }
        RunForked::Unfinished { key } => {
            let detail = format!("{key} is not among the finished steps before fromStep: its result cannot be replaced");
            let pointer = "/results".to_owned();
            Err(Problem { errors: vec![FieldError { pointer, detail: detail.clone() }], ..Problem::new(Kind::Conflict, detail) }.into())
        }
        RunForked::Conflict { id } => {
            let detail = format!("the workflow is a singleton, and its run {id} is not over: nothing was started");
            Err(Problem::new(Kind::Conflict, detail).into())
        }
        RunForked::NoWorkflow | RunForked::NoVersion => Err(unserved().into()),
        RunForked::TooLarge => Err(Problem::new(Kind::TooLarge, "the fork would be larger than a run may be").into()),
    }
}

fn unserved() -> Problem {
    workflows::no_version("of the run", None)
}

/// Cancels up to 500 runs that are not over, with their children. Repeat the call, with the `asOf` of the answer, until `remaining` is 0.
#[utoipa::path(post, path = "/v1/runs/cancel", operation_id = "cancelRuns", security(("key" = ["publish"])), tag = "runs", request_body = RunBulkRequest, responses(
    (status = 200, description = "What was done and what is left", body = BulkView),
))]
pub async fn cancel_many(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let bulk = run_filter_query::bulk(&request::bytes(&headers, body).await?)?;
    let (all, ids);
    let (filter, ids) = match bulk.pick {
        RunPick::Filter(filter) => {
            all = *filter;
            (&all, None)
        }
        RunPick::Ids(named) => {
            (all, ids) = (run_filter_query::all(), named);
            (&all, Some(ids.as_slice()))
        }
    };
    let bulk = RunBulk { filter, ids, as_of_us: bulk.as_of_us };
    let (view, kicks) = ctx.store.run_cancel_many(caller.account, &bulk).await?;
    ctx.kick(&kicks).await;
    sweep_children(&ctx).await?;
    Ok(json(StatusCode::OK, &view))
}

/// Cancels children of runs that are over: many at once here, so that it is seen at once; the rest is tick's.
async fn sweep_children(ctx: &Ctx) -> Result<(), ApiError> {
    const ROUNDS_MAX: usize = 10;
    const MOST: i32 = 500;
    for _ in 0..ROUNDS_MAX {
        let swept = ctx.store.child_sweep(MOST).await?;
        ctx.kick(&swept.kicks).await;
        if swept.rows == 0 {
            break;
        }
    }
    Ok(())
}

async fn asked(ctx: &Ctx, headers: &HeaderMap, id: &str) -> Result<(AccountId, RunId), ApiError> {
    let caller = auth::caller(ctx, headers, Needs::Publish).await?;
    Ok((caller.account, request::id(id, "run")?))
}

async fn done(ctx: &Ctx, control: RunControl, verb: &str) -> Result<(), ApiError> {
    match control {
        RunControl::Done { kicks } => {
            ctx.kick(&kicks).await;
            Ok(())
        }
        RunControl::Missing => Err(runs::missing().into()),
        RunControl::Conflict { state } => Err(Problem::new(Kind::Conflict, format!("a run that is {state} cannot be {verb}")).into()),
    }
}

async fn shown(ctx: &Ctx, account: AccountId, id: RunId, status: StatusCode) -> Result<Response, ApiError> {
    let view = ctx.store.run_get(account, id, None).await?.ok_or_else(runs::missing)?;
    Ok(json(status, &view))
}
