//! `/v1/schedules`: make, look, edit, pause, resume, run, delete. A schedule is named by its id or its name.
//!
//! Out of scope: firing (tick). An edit first fires what was due until now, so that each due time is either of the old schedule or of the new.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri, header};
use tikku_domain::etag::IfMatch;
use tikku_domain::filter;
use tikku_domain::ids::{AccountId, ScheduleId};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::schedule::{self, NewSchedule, Plan, Timing};
use tikku_domain::schedule_view::{SchedulePage, ScheduleRun, ScheduleView};
use tikku_domain::view::FanoutMessage;
use tikku_platform::Ctx;
use tikku_store::{Kick, PauseChange, Paused, Put, Schedule, ScheduleEdit, ScheduleRan, ScheduleTimes};

use crate::auth::{self, Needs};
use crate::etag::{if_match, precondition_failed, with_etag};
use crate::publishing;
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::schedule_shapes::ScheduleRequest;
use crate::shapes::PageQuery;

/// A change is computed for what was read; others may change it in between, this often at most.
const TRIES: usize = 8;

/// Makes a schedule.
#[utoipa::path(post, path = "/v1/schedules", operation_id = "createSchedule", security(("key" = ["publish"])), tag = "schedules", request_body = ScheduleRequest, responses(
    (status = 201, description = "The schedule", body = ScheduleView, headers(("ETag" = String, description = "Its revision in quotes"))),
    (status = 409, description = "A schedule of this account has the name", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let new = schedule::parse(&request::bytes(&headers, body).await?, &publishing::rules(&ctx))?;
    let now_ms = ctx.store.schedule_clock().await?;
    let times = times(&new, new.paused == Some(true), now_ms, now_ms);
    let id = ctx.store.schedule_create(caller.account, &new, times).await?.ok_or_else(taken)?;
    answer(&ctx, caller.account, &id.to_string(), StatusCode::CREATED).await
}

/// Lists schedules, newest first, without their bodies.
#[utoipa::path(get, path = "/v1/schedules", operation_id = "listSchedules", tag = "schedules", params(PageQuery), responses(
    (status = 200, description = "A page", body = SchedulePage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<ScheduleId>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.schedule_list(caller.account, &page).await?))
}

/// Shows a schedule with its next and last run.
#[utoipa::path(get, path = "/v1/schedules/{id}", operation_id = "getSchedule", tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
), responses(
    (status = 200, description = "The schedule", body = ScheduleView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    answer(&ctx, caller.account, &id, StatusCode::OK).await
}

/// Replaces all that is set of a schedule; without `paused` it stays active or paused. Due times are counted from now on by what is new.
#[utoipa::path(put, path = "/v1/schedules/{id}", operation_id = "putSchedule", security(("key" = ["publish"])), tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be replaced"),
), request_body = ScheduleRequest, responses(
    (status = 200, description = "The schedule", body = ScheduleView, headers(("ETag" = String, description = "Its revision in quotes"))),
    (status = 409, description = "Another schedule of this account has the name", body = Problem, content_type = "application/problem+json"),
))]
pub async fn put(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let if_match = if_match(&headers)?;
    let new = schedule::parse(&request::bytes(&headers, body).await?, &publishing::rules(&ctx))?;
    for _ in 0..TRIES {
        let Schedule { plan: old, .. } = find(&ctx, caller.account, &id).await?;
        allow(&if_match, old.revision)?;
        if let Some(fire) = old.fire_before_edit() {
            let fired = ctx.store.schedule_fire(&[fire]).await?;
            ctx.kick(&fired.kicks).await;
        }
        let paused = if new.paused.unwrap_or(old.paused) { Paused::Yes } else { Paused::No };
        let anchor_ms = if new.timing.is_same(&old.timing) { old.anchor_ms } else { old.now_ms };
        let times = times(&new, paused == Paused::Yes, anchor_ms, old.now_ms);
        let edit = ctx.store.schedule_edit(caller.account, old.id, old.revision, &new, paused, times).await?;
        if done(edit)? {
            return answer(&ctx, caller.account, &old.id.to_string(), StatusCode::OK).await;
        }
    }
    Err(busy())
}

/// Pauses a schedule: nothing of it is due until it is resumed. Pausing it again is the same.
#[utoipa::path(post, path = "/v1/schedules/{id}/pause", operation_id = "pauseSchedule", security(("key" = ["publish"])), tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed"),
), responses(
    (status = 200, description = "The schedule", body = ScheduleView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn pause(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    change(&ctx, &headers, &id, |_| PauseChange::Pause).await
}

/// Resumes a schedule. Its next due time lies in the future: what it would have fired while it was paused is not made up for.
#[utoipa::path(post, path = "/v1/schedules/{id}/resume", operation_id = "resumeSchedule", security(("key" = ["publish"])), tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed"),
), responses(
    (status = 200, description = "The schedule", body = ScheduleView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn resume(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    change(&ctx, &headers, &id, |plan| PauseChange::Resume { next_ms: plan.timing.next(plan.anchor_ms, plan.now_ms) }).await
}

/// Publishes now what a schedule says, paused or not; its due times stay as they are.
#[utoipa::path(post, path = "/v1/schedules/{id}/run", operation_id = "runSchedule", security(("key" = ["publish"])), tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
), responses(
    (status = 202, description = "What it published", body = ScheduleRun),
    (status = 409, description = "Its fanout does not exist", body = Problem, content_type = "application/problem+json"),
))]
pub async fn run(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = find(&ctx, caller.account, &id).await?.plan.id;
    let puts = match ctx.store.schedule_run(caller.account, id).await? {
        ScheduleRan::Done(puts) => puts,
        ScheduleRan::Missing => return Err(Problem::not_found("schedule").into()),
        ScheduleRan::TooLarge => return Err(publishing::too_large().into()),
        ScheduleRan::NoFanout => return Err(Problem::new(Kind::Conflict, "the schedule's fanout does not exist").into()),
    };
    let kicks: Vec<Kick> = puts.iter().filter_map(|put| put.kick).collect();
    ctx.kick(&kicks).await;
    let message = |put: Put| FanoutMessage::new(put.id.to_string(), put.state, put.url);
    Ok(json(StatusCode::ACCEPTED, &ScheduleRun { messages: puts.into_iter().map(message).collect() }))
}

/// Deletes a schedule. Messages that it has published stay, but those that are not due yet.
#[utoipa::path(delete, path = "/v1/schedules/{id}", operation_id = "deleteSchedule", security(("key" = ["publish"])), tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be deleted"),
), responses(
    (status = 204, description = "Deleted"),
))]
pub async fn delete(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let if_match = if_match(&headers)?;
    let id = find(&ctx, caller.account, &id).await?.plan.id;
    done(ctx.store.schedule_delete(caller.account, id, &if_match).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses or resumes, as often as it takes to hit the revision that the next due time was computed for.
async fn change(ctx: &Ctx, headers: &HeaderMap, id: &str, change: impl Fn(&Plan) -> PauseChange) -> Result<Response, ApiError> {
    let caller = auth::caller(ctx, headers, Needs::Publish).await?;
    let if_match = if_match(headers)?;
    for _ in 0..TRIES {
        let plan = find(ctx, caller.account, id).await?.plan;
        if done(ctx.store.schedule_pause(caller.account, plan.id, &if_match, plan.revision, change(&plan)).await?)? {
            return answer(ctx, caller.account, &plan.id.to_string(), StatusCode::OK).await;
        }
    }
    Err(busy())
}

/// When a schedule that is made or changed now is due.
fn times(new: &NewSchedule, paused: bool, anchor_ms: i64, now_ms: i64) -> ScheduleTimes {
    let next = |timing: &Timing| timing.next(anchor_ms, now_ms);
    ScheduleTimes { anchor_ms, next_ms: if paused { None } else { next(&new.timing) } }
}

/// A schedule of the account by its id or name, or 404.
pub async fn find(ctx: &Ctx, account: AccountId, id: &str) -> Result<Schedule, ApiError> {
    Ok(ctx.store.schedule_get(account, id).await?.ok_or_else(|| Problem::not_found("schedule"))?)
}

async fn answer(ctx: &Ctx, account: AccountId, id: &str, status: StatusCode) -> Result<Response, ApiError> {
    let view = find(ctx, account, id).await?.view;
    let mut response = with_etag(json(status, &view), view.revision);
    if let (StatusCode::CREATED, Ok(place)) = (status, format!("/v1/schedules/{}", view.id).parse()) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Refuses a change of a revision that If-Match does not name. The statement changes this revision or none.
fn allow(if_match: &IfMatch, revision: i64) -> Result<(), Problem> {
    match if_match.revisions() {
        Some(revisions) if !revisions.contains(&revision) => Err(precondition_failed("schedule")),
        _ => Ok(()),
    }
}

/// Whether the change was made; otherwise it is to be computed again.
fn done(edit: ScheduleEdit) -> Result<bool, Problem> {
    match edit {
        ScheduleEdit::Done => Ok(true),
        ScheduleEdit::Moved => Ok(false),
        ScheduleEdit::Missing => Err(Problem::not_found("schedule")),
        ScheduleEdit::Taken => Err(taken()),
        ScheduleEdit::Stale => Err(precondition_failed("schedule")),
    }
}

fn taken() -> Problem {
    Problem::new(Kind::Conflict, "a schedule of this account has the name")
}

fn busy() -> ApiError {
    Problem::new(Kind::Unavailable, "the schedule is being changed by others all the time; nothing was changed").into()
}
