//! What endpoints ask of the engine during a dispatch (docs/protocol.md): checkpoints and pages of the journal. The hottest routes there are:
//! one statement each, no API key, no request limit, and user values go through as the bytes that they came as.
//!
//! Out of scope: what ops do (the database), how they are read and entries written (`domain::workflow_reply`, `domain::workflow_invoke`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Uri, header};
use tikku_domain::fields::FieldError;
use tikku_domain::ids::RunId;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::workflow::ProtocolError;
use tikku_domain::{workflow_invoke, workflow_reply};
use tikku_platform::Ctx;
use tikku_store::{Checkpointed, JournalAnswer, StoreError};

use crate::protocol_shapes::{CheckpointAnswer, CheckpointRequest, JournalPage};
use crate::publishing;
use crate::reply::ApiError;
use crate::request::{self, IdText};

/// Records what the endpoint has done, renews its lease, and answers all entries after `have`.
#[utoipa::path(post, path = "/v1/runs/{id}/checkpoint", operation_id = "checkpoint", security(("fence" = [])), tag = "protocol", params(
    ("id" = String, Path, description = "run_..."),
), request_body = CheckpointRequest, responses(
    (status = 200, description = "Recorded", body = CheckpointAnswer),
    (status = 401, description = "No token, or not one of this run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The run is over, or another dispatch or a control verb has come in between: stop", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The request, a value or the run is too large", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A rule of the protocol is broken; nothing was recorded", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: send the same again", body = Problem, content_type = "application/problem+json"),
))]
pub async fn checkpoint(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, body: Body) -> Result<Response, ApiError> {
    let bytes = request::bytes(&headers, body).await?;
    let (id, token) = (run(&id)?, token(&headers)?);
    let asked = match workflow_reply::parse_checkpoint(&bytes, &publishing::rules(&ctx)) {
        Ok(asked) => asked,
        Err(error) => {
            // A dispatch that is over learns that before it learns what is wrong.
            page(&ctx, id, token, i32::MAX).await?;
            return Err(broken(error).into());
        }
    };
    match ctx.store.run_checkpoint(id, token, asked.have, &asked.ops).await {
        Ok(Checkpointed::Taken(taken)) => {
            ctx.kick(&taken.kicks).await;
            let answer = workflow_invoke::checkpoint_answer(&taken.journal, &taken.signals, taken.pause_requested, taken.lease_ms);
            Ok(json(answer))
        }
        Ok(Checkpointed::Stale) => Err(stale().into()),
        Ok(Checkpointed::Unauthorized | Checkpointed::Missing) => Err(unknown_token().into()),
        Ok(Checkpointed::TooLarge) => {
            Err(Problem::new(Kind::TooLarge, "the run would be larger than it may be: 1 GiB of values and 100,000 steps").into())
        }
        Err(StoreError::Refused(detail)) => {
            tracing::warn!(detail, "the database refused a checkpoint");
            Err(Problem::new(Kind::Protocol, "the database refused a value of this checkpoint; nothing was recorded").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// A page of the run's journal: the entries after a cursor, in the order in which they were recorded; at most 1 MiB, or one entry.
#[utoipa::path(get, path = "/v1/runs/{id}/journal", operation_id = "journal", security(("fence" = [])), tag = "protocol", params(
    ("id" = String, Path, description = "run_..."),
    ("cursor" = Option<String>, Query, description = "The next of the page before", pattern = "^[0-9]{1,9}$"),
    ("after" = Option<i32>, Query, description = "Instead: the seq after which to begin", minimum = 0),
), responses(
    (status = 200, description = "A page", body = JournalPage),
    (status = 401, description = "No token, or not one of this run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The run is over, or another dispatch or a control verb has come in between: stop", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: ask again", body = Problem, content_type = "application/problem+json"),
))]
pub async fn journal(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText, uri: Uri) -> Result<Response, ApiError> {
    let (id, token) = (run(&id)?, token(&headers)?);
    let mut after = 0;
    for (name, text) in request::query(&uri) {
        // Unknown parameters are ignored, as unknown fields are.
        if name == "cursor" || name == "after" {
            let wrong = || Problem::invalid_field(&name, format!("{name} must be the next of a page, or a seq"));
            after = workflow_invoke::parse_cursor(&text).ok_or_else(wrong)?;
        }
    }
    let page = page(&ctx, id, token, after).await?;
    Ok(json(workflow_invoke::journal_page(&page)))
}

async fn page(ctx: &Ctx, id: RunId, token: &str, after: i32) -> Result<tikku_domain::workflow::Journal, ApiError> {
    match ctx.store.run_journal(id, token, after).await? {
        JournalAnswer::Page(page) => Ok(page),
        JournalAnswer::Stale => Err(stale().into()),
        JournalAnswer::Unauthorized | JournalAnswer::Missing => Err(unknown_token().into()),
    }
}

/// The run of a path. One that is none has no token.
fn run(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| unknown_token())
}

/// The Bearer token (RFC 6750, section 2.1).
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer {fence.token}` of the dispatch")),
    }
}

/// A run that does not exist and a token that is not its own are the same to a stranger.
fn unknown_token() -> Problem {
    Problem::new(Kind::Unauthorized, "this is no token of this run")
}

fn stale() -> Problem {
    Problem::new(Kind::Stale, "the run is over, or another dispatch, a cancel or a retry has come in between: stop")
}

fn broken(error: ProtocolError) -> Problem {
    let kind = if error.too_large { Kind::TooLarge } else { Kind::Protocol };
    let errors = vec![FieldError { pointer: error.pointer, detail: error.detail.clone() }];
    Problem { errors, ..Problem::new(kind, error.detail) }
}

fn json(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
