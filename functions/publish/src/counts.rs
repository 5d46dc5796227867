//! `/v1/messages/counts` and `/v1/runs/counts`: how many there are in each status, as far as that is worth counting.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::view::StatusCounts;
use tikku_domain::{filter, run_filter_query};
use tikku_platform::Ctx;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request;
use crate::run_shapes::RunFilterQuery;
use crate::shapes::{MessageFilterQuery, StatusQuery};

/// Counts messages in each status, or in the one that is asked for, up to 10,000 each; `more` says that there may be more. Without other filters a
/// count below 10,000 is exact, but when more than 10,000 messages failed, or were cancelled, or are about to be pushed. With filters the newest
/// 5,000 messages are looked at (of the fanout, or schedule, or of the status if it is scheduled, retrying, failed or cancelled).
#[utoipa::path(get, path = "/v1/messages/counts", operation_id = "countMessages", tag = "messages", params(StatusQuery, MessageFilterQuery), responses(
    (status = 200, description = "By status", body = StatusCounts),
))]
pub async fn messages(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let filter = filter::message_counts(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.message_counts(caller.account, &filter).await?))
}

/// Counts runs in each status, or in the one that is asked for, up to 10,000 each; `more` says that there may be more. With filters the newest
/// 5,000 runs are looked at (of the workflow, or of the parent).
#[utoipa::path(get, path = "/v1/runs/counts", operation_id = "countRuns", tag = "runs", params(RunFilterQuery), responses(
    (status = 200, description = "By status", body = StatusCounts),
))]
pub async fn runs(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let query = request::query(&uri);
    filter::not_paged(&query)?;
    let filter = run_filter_query::runs(&query)?;
    Ok(json(StatusCode::OK, &ctx.store.run_counts(caller.account, &filter).await?))
}
