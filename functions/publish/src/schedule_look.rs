//! What is asked of schedules beside themselves: when an expression would be due, and what became of due times.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::limits::NEXT_RUNS_SHOWN;
use tikku_domain::schedule_view::{FiringPage, SchedulePreview};
use tikku_domain::{cron_words, filter, schedule};
use tikku_platform::Ctx;
use utoipa::IntoParams;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::schedules;
use crate::shapes::PageQuery;

/// When a schedule would be due: cron, or everySeconds.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::schedule reads")]
pub struct PreviewQuery {
    /// Five fields: minute, hour, day of month, month, day of week.
    #[param(min_length = 9, max_length = 255, example = "0 9 * * mon-fri")]
    cron: Option<String>,
    /// The IANA time zone in which cron is read.
    #[param(min_length = 1, max_length = 64, default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Instead of cron: so many seconds after the one before.
    #[param(rename = "everySeconds", minimum = 1, maximum = 31_536_000)]
    every_seconds: Option<i64>,
}

/// Says in words when a schedule would be due, with its next five due times. Nothing is stored.
#[utoipa::path(get, path = "/v1/schedule-preview", operation_id = "previewSchedule", tag = "schedules", params(PreviewQuery), responses(
    (status = 200, description = "The preview", body = SchedulePreview),
))]
pub async fn preview(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    auth::caller(&ctx, &headers, Needs::Read).await?;
    let timing = schedule::preview(&request::query(&uri))?;
    let now_ms = ctx.store.schedule_clock().await?;
    let preview = SchedulePreview {
        in_words: cron_words::describe(&timing),
        clock_change: cron_words::clock_change(&timing, now_ms),
        next_runs_at: cron_words::next_times(&timing, now_ms, now_ms, NEXT_RUNS_SHOWN),
    };
    Ok(json(StatusCode::OK, &preview))
}

/// Lists what became of a schedule's due times, the latest first: those made ahead of their time among them, and runs that were asked for.
#[utoipa::path(get, path = "/v1/schedules/{id}/firings", operation_id = "listFirings", tag = "schedules", params(
    ("id" = String, Path, description = "sch_... or the name"), PageQuery,
), responses(
    (status = 200, description = "A page", body = FiringPage),
))]
pub async fn firings(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<i64>(&request::query(&uri))?;
    let id = schedules::find(&ctx, caller.account, &id).await?.plan.id;
    Ok(json(StatusCode::OK, &ctx.store.schedule_firings(caller.account, id, &page).await?))
}
