//! `/v1/workflows`: what apps serve, and starts of runs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::app::WorkflowName;
use tikku_domain::app_view::{WorkflowPage, WorkflowView};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_start::{self, NewRun};
use tikku_domain::{filter, ids::RunId};
use tikku_platform::Ctx;
use tikku_store::{RunStarted, StartRun};

use crate::app_shapes::StartRequest;
use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::run_shapes::StartAnswer;
use crate::shapes::PageQuery;

/// Lists workflows by name, each with the version that new runs get.
#[utoipa::path(get, path = "/v1/workflows", operation_id = "listWorkflows", tag = "workflows", params(PageQuery), responses(
    (status = 200, description = "A page", body = WorkflowPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<WorkflowName>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.workflow_list(caller.account, &page).await?))
}

/// Shows a workflow with its versions and policies.
#[utoipa::path(get, path = "/v1/workflows/{name}", operation_id = "getWorkflow", tag = "workflows", params(
    ("name" = String, Path, description = "The workflow's name"),
), responses(
    (status = 200, description = "The workflow", body = WorkflowView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let name: WorkflowName = request::id(&name, "workflow")?;
    let view = ctx.store.workflow_get(caller.account, &name.0).await?.ok_or_else(|| Problem::not_found("workflow"))?;
    Ok(json(StatusCode::OK, &view))
}

/// Starts a run.
///
/// With an `id` or an `idempotencyKey` a start may be sent again: the run that is there is answered, with 200, and nothing is started.
#[utoipa::path(post, path = "/v1/workflows/{name}/runs", operation_id = "startRun", security(("key" = ["publish"])), tag = "workflows", params(
    ("name" = String, Path, description = "The workflow's name"),
), request_body = Option<StartRequest>, responses(
    (status = 200, description = "It was there: the same id or idempotency key, or a singleton that is not over", body = StartAnswer),
    (status = 202, description = "Accepted: it is stored and will run", body = StartAnswer),
    (status = 404, description = "No app of this account serves such a workflow, or this version of it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The id or the idempotency key belongs to a run with another input", body = Problem, content_type = "application/problem+json"),
))]
pub async fn start(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText, body: Body) -> Result<Response, ApiError> {
    // The body first: what is answered before it is read may cost the connection.
    let bytes = request::bytes(&headers, body).await?;
    let hash = auth::key_hash(&headers)?;
    let run = match (run_start::parse(&bytes), name.parse::<WorkflowName>()) {
        (Ok(run), Ok(_)) => run,
        (read, named) => {
            // A stranger learns that the key is wrong before what is wrong with the start.
            auth::caller(&ctx, &headers, Needs::Publish).await?;
            named.map_err(|_| unserved(&name))?;
            return Err(read.err().unwrap_or_default().into());
        }
    };
    let start = StartRun {
        workflow: &name,
        version: run.version.as_deref(),
        external_id: run.external_id.as_deref(),
        idempotency_key: run.idempotency_key.as_deref(),
        input: &run.input,
        delay_ms: run.delay_ms,
        labels: &run.labels,
    };
    started(&ctx, &name, &run, ctx.store.run_start(&hash, &start).await?).await
}

async fn started(ctx: &Ctx, name: &str, run: &NewRun, started: RunStarted) -> Result<Response, ApiError> {
    let answer =
        |id: RunId, status: String| StartAnswer { id: id.to_string(), status, deduplicated: false, skipped: false, debounced: false };
    match started {
        RunStarted::Accepted { id, state, kick } => {
            ctx.kick(kick.as_slice()).await;
            Ok(json(StatusCode::ACCEPTED, &answer(id, state)))
        }
        RunStarted::Debounced { id, state, kick } => {
            ctx.kick(kick.as_slice()).await;
            Ok(json(StatusCode::ACCEPTED, &StartAnswer { debounced: true, ..answer(id, state) }))
        }
        RunStarted::Existing { id, state } => Ok(json(StatusCode::OK, &StartAnswer { deduplicated: true, ..answer(id, state) })),
        RunStarted::Skipped { id, state } => Ok(json(StatusCode::OK, &StartAnswer { skipped: true, ..answer(id, state) })),
        RunStarted::Mismatch { id, .. } => Err(mismatch(id).into()),
        RunStarted::NoWorkflow => Err(unserved(name).into()),
        RunStarted::NoVersion => Err(no_version(name, run.version.as_deref()).into()),
        RunStarted::Unauthorized => Err(auth::unknown_key().into()),
        RunStarted::Forbidden => Err(auth::wrong_role(Needs::Publish).into()),
    }
}

fn mismatch(id: RunId) -> Problem {
    let detail = format!("the id or the idempotency key belongs to {id}, whose input differs; nothing was started");
    Problem::new(Kind::IdempotencyMismatch, detail)
}

fn unserved(name: &str) -> Problem {
    let shown: String = name.chars().take(128).collect();
    let detail = format!(
        "no app of this account serves a workflow {shown}: register the endpoint that does with PUT /v1/apps/{{name}} {{\"url\": \"...\"}}, or ask it again with POST /v1/apps/{{name}}/describe after a deployment"
    );
    Problem::new(Kind::NotFound, detail)
}

/// No app serves the version that was asked for, or the current one.
pub fn no_version(name: &str, version: Option<&str>) -> Problem {
    let which = version.map_or_else(|| "a version".to_owned(), |version| format!("the version {version}"));
    let detail = format!(
        "no app of this account serves {which} of the workflow {name}; GET /v1/workflows/{name} shows which there are, POST /v1/apps/{{name}}/describe asks an app again"
    );
    Problem::new(Kind::NotFound, detail)
}
