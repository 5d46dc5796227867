//! `/v1/breakers`: the circuit breakers of destinations that failed lately, to see and to reset.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::config_view::{BreakerPage, BreakerView};
use tikku_domain::filter;
use tikku_domain::problem::Problem;
use tikku_platform::Ctx;
use utoipa::{IntoParams, ToSchema};

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};

/// The states of a circuit breaker.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub enum BreakerStatus {
    /// Messages wait.
    Open,
    /// One push is under way to find out.
    HalfOpen,
    /// Pushes go.
    Closed,
}

/// Filters of the breaker list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub struct BreakerQuery {
    /// Only breakers in this state.
    #[param(inline)]
    status: Option<BreakerStatus>,
    /// Rows in the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The nextCursor of the page before.
    cursor: Option<String>,
}

/// Lists circuit breakers, newest first. A destination that is well has none.
#[utoipa::path(get, path = "/v1/breakers", operation_id = "listBreakers", tag = "flows", params(BreakerQuery), responses(
    (status = 200, description = "A page", body = BreakerPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let (status, page) = filter::breakers(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.breaker_list(caller.account, status.as_deref(), &page).await?))
}

/// Shows a circuit breaker.
#[utoipa::path(get, path = "/v1/breakers/{id}", operation_id = "getBreaker", tag = "flows", params(("id" = String, Path, description = "brk_...")), responses(
    (status = 200, description = "The breaker", body = BreakerView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id = request::id(&id, "breaker")?;
    let view = ctx.store.breaker_get(caller.account, id).await?.ok_or_else(|| Problem::not_found("breaker"))?;
    Ok(json(StatusCode::OK, &view))
}

/// Closes a circuit breaker and forgets what it counted: what waits is pushed now.
#[utoipa::path(post, path = "/v1/breakers/{id}/reset", operation_id = "resetBreaker", security(("key" = ["admin"])), tag = "flows", params(("id" = String, Path, description = "brk_...")), responses(
    (status = 200, description = "The breaker", body = BreakerView),
))]
pub async fn reset(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let id = request::id(&id, "breaker")?;
    let kicks = ctx.store.breaker_reset(caller.account, id).await?;
    ctx.kick(&kicks).await;
    let view = ctx.store.breaker_get(caller.account, id).await?.ok_or_else(|| Problem::not_found("breaker"))?;
    Ok(json(StatusCode::OK, &view))
}
