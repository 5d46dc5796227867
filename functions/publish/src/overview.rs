//! `/v1/overview`: how the account's messages and runs have fared lately.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::overview;
use tikku_domain::overview_view::OverviewView;
use tikku_platform::Ctx;
use utoipa::IntoParams;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request;

/// How far back.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::overview reads")]
pub struct OverviewQuery {
    /// Minutes until now, in at most 60 buckets of equal length.
    #[param(minimum = 1, maximum = 10_080, default = 60)]
    minutes: Option<i64>,
}

/// Shows throughput, success, latency, what waits and how destinations answer. Messages that were over in the time count, at the time of their
/// end; with more than 1,000 of them a sample of about 1,000 is looked at, and the answer says so.
#[utoipa::path(get, path = "/v1/overview", operation_id = "getOverview", tag = "account", params(OverviewQuery), responses(
    (status = 200, description = "The overview", body = OverviewView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let minutes = overview::minutes(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.overview(caller.account, minutes).await?))
}
