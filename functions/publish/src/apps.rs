//! `/v1/apps`: the endpoints that serve workflows. To register one is to ask it, at once and signed, what it serves.
//!
//! Out of scope: invoking it (step-invoke), what its answer means (`domain::workflow_describe`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};
use tikku_domain::app::{self, AppName, AppNameError};
use tikku_domain::app_view::{AppPage, AppView};
use tikku_domain::ids::AccountId;
use tikku_domain::limits::DESCRIBE_BYTES_MAX;
use tikku_domain::problem::Problem;
use tikku_domain::signing::Secret;
use tikku_domain::workflow_describe::{self, Described};
use tikku_domain::{destination, filter, workflow_invoke};
use tikku_platform::{Ctx, Push};
use tikku_store::{AppEdit, DescribedApp, DescribedWorkflow, NewApp, StoreError};
use uuid::Uuid;

use crate::app_shapes::AppRequest;
use crate::auth::{self, Needs};
use crate::etag::{self, if_match, with_etag};
use crate::publishing;
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::shapes::PageQuery;

/// How long an endpoint may take to say what it serves.
const DESCRIBE_MS_MAX: u64 = 10_000;

/// Lists apps by name, without their workflows.
#[utoipa::path(get, path = "/v1/apps", operation_id = "listApps", tag = "apps", params(PageQuery), responses(
    (status = 200, description = "A page", body = AppPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<AppName>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.app_list(caller.account, &page).await?))
}

/// Shows an app with its workflows.
#[utoipa::path(get, path = "/v1/apps/{name}", operation_id = "getApp", tag = "apps", params(
    ("name" = String, Path, description = "The app's name"),
), responses(
    (status = 200, description = "The app", body = AppView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    answer(&ctx, caller.account, &request::id(&name, "app")?, StatusCode::OK).await
}

/// Registers an app, or changes where it is. Its endpoint is asked at once what it serves, by a signed request.
///
/// The app is stored whatever the endpoint answers: `describeError` says what was wrong with the answer, and its workflows stay as they were.
#[utoipa::path(put, path = "/v1/apps/{name}", operation_id = "putApp", security(("key" = ["admin"])), tag = "apps", params(
    ("name" = String, Path, description = "1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore; not . or .."),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be replaced; * for any, but none that is missing"),
), request_body = AppRequest, responses(
    (status = 200, description = "Replaced", body = AppView, headers(("ETag" = String, description = "Its revision in quotes"))),
    (status = 201, description = "Registered", body = AppView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn put(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let if_match = if_match(&headers)?;
    let name: AppName = name.parse().map_err(|e: AppNameError| Problem::invalid_field("name", format!("name {e}")))?;
    let bytes = request::bytes(&headers, body).await?;
    let app = app::parse(&bytes, &publishing::rules(&ctx))?;
    let new = NewApp { url: &app.url, timeout_ms: app.timeout_ms, lease_ms: app.lease_ms };
    let (status, revision) = match ctx.store.app_put(caller.account, &name.0, &if_match, &new).await? {
        AppEdit::Made { revision } => (StatusCode::CREATED, revision),
        AppEdit::Done { revision } => (StatusCode::OK, revision),
        AppEdit::Missing | AppEdit::Stale => return Err(etag::precondition_failed("app").into()),
    };
    describe_now(&ctx, caller.account, &name, revision, &app.url).await?;
    answer(&ctx, caller.account, &name, status).await
}

/// Asks an app again what it serves: after a deployment. Runs that were paused because nobody served their version go on if it does now.
#[utoipa::path(post, path = "/v1/apps/{name}/describe", operation_id = "describeApp", security(("key" = ["publish"])), tag = "apps", params(
    ("name" = String, Path, description = "The app's name"),
), responses(
    (status = 200, description = "The app; `describeError` says when the answer was of no use", body = AppView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn describe(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let name: AppName = request::id(&name, "app")?;
    let app = ctx.store.app_get(caller.account, &name.0).await?.ok_or_else(missing)?;
    describe_now(&ctx, caller.account, &name, app.revision, &app.url).await?;
    answer(&ctx, caller.account, &name, StatusCode::OK).await
}

/// Deletes an app. Its runs stay, and are paused as `unserved` when they would be dispatched next.
#[utoipa::path(delete, path = "/v1/apps/{name}", operation_id = "deleteApp", security(("key" = ["admin"])), tag = "apps", params(
    ("name" = String, Path, description = "The app's name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be deleted"),
), responses(
    (status = 204, description = "Deleted"),
))]
pub async fn delete(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let name: AppName = request::id(&name, "app")?;
    match ctx.store.app_delete(caller.account, &name.0, &if_match(&headers)?).await? {
        AppEdit::Made { .. } | AppEdit::Done { .. } => Ok(StatusCode::NO_CONTENT),
        AppEdit::Missing => Err(missing().into()),
        AppEdit::Stale => Err(etag::precondition_failed("app").into()),
    }
}

/// Asks the endpoint what it serves and records its answer, or why there is none. Whoever changed the app meanwhile asks himself.
async fn describe_now(ctx: &Ctx, account: AccountId, name: &AppName, revision: i64, url: &str) -> Result<(), ApiError> {
    let described = match ask(ctx, account, name, revision, url).await? {
        Ok(described) => described,
        Err(error) => {
            tracing::info!(app = %name, "an app did not say what it serves");
            ctx.store.app_describe_failed(account, &name.0, revision, &error).await?;
            return Ok(());
        }
    };
    let workflows: Vec<DescribedWorkflow<'_>> = described.workflows.iter().map(DescribedWorkflow::of).collect();
    let said = DescribedApp { sdk: described.sdk.as_deref(), checkpoint: described.checkpoint, workflows: &workflows };
    let Some(kicks) = ctx.store.app_described(account, &name.0, revision, &said).await? else { return Ok(()) };
    ctx.kick(&kicks).await;
    resume_served(ctx, account).await
}

/// Lets runs go on that nobody served before, or whose code did not fit them: 50,000 at most, more with the next describe.
async fn resume_served(ctx: &Ctx, account: AccountId) -> Result<(), ApiError> {
    const ROUNDS_MAX: usize = 100;
    for _ in 0..ROUNDS_MAX {
        let swept = ctx.store.run_resume_served(account).await?;
        ctx.kick(&swept.kicks).await;
        if swept.rows == 0 {
            break;
        }
    }
    Ok(())
}

async fn ask(ctx: &Ctx, account: AccountId, name: &AppName, revision: i64, url: &str) -> Result<Result<Described, String>, StoreError> {
    let url = match destination::parse(&ctx.config.policy, url) {
        Ok(url) => url,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let shown = ctx.store.signing_secret_list(account).await?;
    let texts = std::iter::once(shown.secret).chain(shown.previous.into_iter().map(|previous| previous.secret));
    let secrets: Vec<Secret> = texts.filter_map(|text| text.parse().ok()).collect();
    let now_ms = ctx.store.schedule_clock().await?;
    let body = workflow_describe::describe_body(&name.0);
    let headers = workflow_invoke::headers(&secrets, question_id(account, name, revision, now_ms), now_ms / 1000, &body);
    let push = Push { url, method: "POST".to_owned(), headers, body, timeout_ms: DESCRIBE_MS_MAX, body_max: DESCRIBE_BYTES_MAX + 1 };
    Ok(workflow_describe::judge(ctx.http.push(push).await))
}

/// Another one for each question, without dice: those are the database's.
fn question_id(account: AccountId, name: &AppName, revision: i64, now_ms: i64) -> String {
    let digest = Sha256::digest(format!("{account}/{name}/{revision}/{now_ms}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    workflow_describe::webhook_id(Uuid::from_bytes(bytes))
}

fn missing() -> Problem {
    Problem::not_found("app")
}

async fn answer(ctx: &Ctx, account: AccountId, name: &AppName, status: StatusCode) -> Result<Response, ApiError> {
    let view = ctx.store.app_get(account, &name.0).await?.ok_or_else(missing)?;
    Ok(with_etag(json(status, &view), view.revision))
}
