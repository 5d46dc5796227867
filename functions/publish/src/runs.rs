//! `/v1/runs`: look at runs and their steps, send signals. Out of scope: starting one (`workflows`), what else people ask of runs (`run_verbs`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::ids::RunId;
use tikku_domain::limits::{IDEMPOTENCY_KEY_CHARS_MAX, SIGNAL_BYTES_MAX, SIGNAL_NAME_CHARS_MAX};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_view::{RunPage, RunView, StepPage};
use tikku_domain::{filter, run_filter_query, run_verbs};
use tikku_platform::Ctx;
use tikku_store::{NewSignal, RunSignalled};

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdPair, IdText};
use crate::run_shapes::{RunFilterQuery, SignalAnswer};
use crate::shapes::PageQuery;

/// Lists runs, newest first, without inputs, outputs and steps.
#[utoipa::path(get, path = "/v1/runs", operation_id = "listRuns", tag = "runs", params(RunFilterQuery, PageQuery), responses(
    (status = 200, description = "A page", body = RunPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let filter = run_filter_query::runs(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.run_list(caller.account, &filter).await?))
}

/// Shows a run with its first steps, what it waits for, and what it was given.
#[utoipa::path(get, path = "/v1/runs/{id}", operation_id = "getRun", tag = "runs", params(("id" = String, Path, description = "run_...")), responses(
    (status = 200, description = "The run", body = RunView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id: RunId = request::id(&id, "run")?;
    let view = ctx.store.run_get(caller.account, id, None).await?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &view))
}

/// Lists the finished steps of a run in the order in which they were recorded. A page ends early when its values have 1 MiB.
#[utoipa::path(get, path = "/v1/runs/{id}/steps", operation_id = "listSteps", tag = "runs", params(
    ("id" = String, Path, description = "run_..."), PageQuery,
), responses(
    (status = 200, description = "A page", body = StepPage),
))]
pub async fn steps(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id: RunId = request::id(&id, "run")?;
    let page = filter::page::<i32>(&request::query(&uri))?;
    let steps = ctx.store.run_steps(caller.account, id, page.cursor, page.limit).await?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &steps))
}

/// Sends a signal to a run: the next wait for its name gets the body, one that is there or one that comes later.
#[utoipa::path(post, path = "/v1/runs/{id}/signals/{name}", operation_id = "signalRun", security(("key" = ["publish"])), tag = "runs", params(
    ("id" = String, Path, description = "run_..."),
    ("name" = String, Path, description = "The signal's name, percent-encoded; 1 to 128 characters"),
    ("Idempotency-Key" = Option<String>, Header, description = "A second signal of the run with the same key is the first"),
), request_body(content = Option<serde_json::Value>, description = "Any JSON value, at most 1 MiB; without a body it is null"), responses(
    (status = 202, description = "Accepted", body = SignalAnswer),
    (status = 422, description = "The idempotency key belongs to another signal to this run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The run is over, or has 10,000 signals that it has not read", body = Problem, content_type = "application/problem+json"),
))]
pub async fn signal(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdPair(id, name): IdPair, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let bytes = request::bytes_within(&headers, body, SIGNAL_BYTES_MAX).await?;
    let id: RunId = request::id(&id, "run")?;
    if !run_verbs::is_signal_name(&name) {
        let detail = format!("name must have 1 to {SIGNAL_NAME_CHARS_MAX} characters, none of them a control character");
        return Err(Problem::invalid_field("name", detail).into());
    }
    let idempotency_key = idempotency_key(&headers)?;
    let value = run_verbs::signal(&bytes).map_err(|error| vec![error])?;
    let signal = NewSignal { name: &name, value, idempotency_key: idempotency_key.as_deref(), sent_by: Some(caller.key) };
    sent(&ctx, ctx.store.run_signal(caller.account, id, &signal).await?).await?;
    Ok(json(StatusCode::ACCEPTED, &SignalAnswer { run_id: id.to_string(), name: name.clone() }))
}

/// Whether a signal was taken; a run that it woke is handed to the queue.
pub async fn sent(ctx: &Ctx, signalled: RunSignalled) -> Result<(), ApiError> {
    match signalled {
        RunSignalled::Done { kicks } => ctx.kick(&kicks).await,
        RunSignalled::Missing => return Err(missing().into()),
        RunSignalled::Conflict { state } => {
            return Err(Problem::new(Kind::Conflict, format!("the run is {state}: it takes no more signals")).into());
        }
        RunSignalled::Mismatch => {
            let detail = "the idempotency key belongs to a signal to this run with another name or value; nothing was sent";
            return Err(Problem::new(Kind::IdempotencyMismatch, detail).into());
        }
        RunSignalled::Full => {
            return Err(Problem::new(Kind::Conflict, "the run has too many signals that it has not read; nothing was stored").into());
        }
    }
    Ok(())
}

/// The header Idempotency-Key.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = format!("Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters of ASCII");
    Err(Problem::invalid_field("Idempotency-Key", detail))
}

/// No such run in this account.
pub fn missing() -> Problem {
    Problem::not_found("run")
}
