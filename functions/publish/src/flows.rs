//! `/v1/flows`: what operators see of flow control, and how they overrule what messages say. A flow is there from its first message on.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::config_view::{FlowPage, FlowState};
use tikku_domain::fields::Fields;
use tikku_domain::filter;
use tikku_domain::flow::{self, FlowKey};
use tikku_domain::ids::AccountId;
use tikku_domain::problem::Problem;
use tikku_platform::Ctx;
use tikku_store::{FlowEdit, FlowVerb};
use utoipa::ToSchema;

use crate::auth::{self, Needs};
use crate::etag::{self, if_match, with_etag};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::shapes::PageQuery;

/// The limits of a flow, whatever its messages say. One that is absent is no limit.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what flows::pin reads")]
pub struct FlowLimitsRequest {
    /// Pushes at once; 1 keeps the order.
    #[schema(minimum = 1, maximum = 10_000)]
    parallelism: Option<i64>,
    /// Starts in a period.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate: Option<i64>,
    /// The period of the rate; only with one.
    #[schema(minimum = 1, maximum = 2_592_000, default = 1)]
    period_seconds: Option<i64>,
}

/// Lists flows by key.
#[utoipa::path(get, path = "/v1/flows", operation_id = "listFlows", tag = "flows", params(PageQuery), responses(
    (status = 200, description = "A page", body = FlowPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<FlowKey>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.flow_list(caller.account, &page).await?))
}

/// Shows a flow.
#[utoipa::path(get, path = "/v1/flows/{key}", operation_id = "getFlow", tag = "flows", params(
    ("key" = String, Path, description = "The flow's key, percent-encoded"),
), responses(
    (status = 200, description = "The flow", body = FlowState, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(key): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    answer(&ctx, caller.account, &request::id(&key, "flow")?, StatusCode::OK).await
}

/// Pins a flow's limits: what messages say is ignored from now on. Makes the flow when it is missing.
#[utoipa::path(put, path = "/v1/flows/{key}", operation_id = "pinFlow", security(("key" = ["admin"])), tag = "flows", params(
    ("key" = String, Path, description = "The flow's key, percent-encoded; 1 to 255 characters"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed; * for any, but none that is missing"),
), request_body = FlowLimitsRequest, responses(
    (status = 200, description = "Pinned", body = FlowState, headers(("ETag" = String, description = "Its revision in quotes"))),
    (status = 201, description = "Made and pinned", body = FlowState, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn pin(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(key): IdText, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let key: FlowKey = key.parse().map_err(|e: flow::FlowKeyError| Problem::invalid_field("key", format!("key {e}")))?;
    let bytes = request::bytes(&headers, body).await?;
    let mut fields = Fields::parse(&bytes).map_err(|error| vec![error])?;
    let (parallelism, rate, period_ms) = flow::bounds(&mut fields);
    fields.finish()?;
    edit(&ctx, &headers, caller.account, &key, FlowVerb::Pin { parallelism, rate, period_ms }).await
}

/// Unpins a flow: what messages say counts again.
#[utoipa::path(delete, path = "/v1/flows/{key}", operation_id = "unpinFlow", security(("key" = ["admin"])), tag = "flows", params(
    ("key" = String, Path, description = "The flow's key, percent-encoded"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed"),
), responses(
    (status = 204, description = "Unpinned"),
))]
pub async fn unpin(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(key): IdText) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let key = request::id(&key, "flow")?;
    edit(&ctx, &headers, caller.account, &key, FlowVerb::Unpin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a flow: nothing of it starts until it is resumed. Pushes under way end as they end.
#[utoipa::path(post, path = "/v1/flows/{key}/pause", operation_id = "pauseFlow", security(("key" = ["admin"])), tag = "flows", params(
    ("key" = String, Path, description = "The flow's key, percent-encoded"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed"),
), responses(
    (status = 200, description = "The flow", body = FlowState, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn pause(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(key): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    edit(&ctx, &headers, caller.account, &request::id(&key, "flow")?, FlowVerb::Pause).await
}

/// Resumes a flow: what waited starts, within its limits.
#[utoipa::path(post, path = "/v1/flows/{key}/resume", operation_id = "resumeFlow", security(("key" = ["admin"])), tag = "flows", params(
    ("key" = String, Path, description = "The flow's key, percent-encoded"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be changed"),
), responses(
    (status = 200, description = "The flow", body = FlowState, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn resume(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(key): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    edit(&ctx, &headers, caller.account, &request::id(&key, "flow")?, FlowVerb::Resume).await
}

async fn edit(ctx: &Ctx, headers: &HeaderMap, account: AccountId, key: &FlowKey, verb: FlowVerb) -> Result<Response, ApiError> {
    let status = match ctx.store.flow_edit(account, key, verb, &if_match(headers)?).await? {
        FlowEdit::Done(kicks) => {
            ctx.kick(&kicks).await;
            StatusCode::OK
        }
        FlowEdit::Made => StatusCode::CREATED,
        FlowEdit::Missing => return Err(Problem::not_found("flow").into()),
        FlowEdit::Stale => return Err(etag::precondition_failed("flow").into()),
    };
    answer(ctx, account, key, status).await
}

async fn answer(ctx: &Ctx, account: AccountId, key: &FlowKey, status: StatusCode) -> Result<Response, ApiError> {
    let view = ctx.store.flow_get(account, key).await?.ok_or_else(|| Problem::not_found("flow"))?;
    Ok(with_etag(json(status, &view), view.revision))
}
