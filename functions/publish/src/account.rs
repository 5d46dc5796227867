//! `/v1/account`: the settings of the caller's own account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tikku_domain::account_settings::{self, AccountView};
use tikku_domain::problem::Problem;
use tikku_platform::Ctx;
use utoipa::ToSchema;

use crate::auth::{self, Needs};
use crate::etag;
use crate::reply::{ApiError, json};
use crate::request;

/// Changes to the account; what is absent stays.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::account_settings reads")]
pub struct AccountRequest {
    /// How long finished messages are kept.
    #[schema(minimum = 1, maximum = 3650)]
    retention_days: Option<i64>,
    /// When the circuit breakers of its destinations open.
    breaker: Option<BreakerChange>,
}

/// Changes to the circuit breakers' settings; what is absent stays.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::account_settings reads")]
pub struct BreakerChange {
    /// One opens when so many pushes at least ended within 60 s,
    #[schema(minimum = 1, maximum = 1_000_000)]
    min_attempts: Option<i64>,
    /// and so many percent of them failed; 101 means never.
    #[schema(minimum = 1, maximum = 101)]
    failure_percent: Option<i64>,
    /// How long it stays open before a single push tries.
    #[schema(minimum = 1, maximum = 86_400)]
    open_seconds: Option<i64>,
}

/// Shows the account that the key belongs to.
#[utoipa::path(get, path = "/v1/account", operation_id = "getAccount", tag = "account", responses(
    (status = 200, description = "The account", body = AccountView, headers(("ETag" = String, description = "The revision in quotes, for If-Match"))),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let account = ctx.store.account_get(caller.account).await?.ok_or_else(|| Problem::not_found("account"))?;
    Ok(etag::with_etag(json(StatusCode::OK, &account), account.revision))
}

/// Changes the account's settings. How many requests it may make is the operator's to set: `tikku accounts limit`.
#[utoipa::path(patch, path = "/v1/account", operation_id = "changeAccount", security(("key" = ["admin"])), tag = "account", request_body = AccountRequest,
    params(("If-Match" = Option<String>, Header, description = "Change it only at this revision: its ETag")), responses(
    (status = 200, description = "The account", body = AccountView, headers(("ETag" = String, description = "The revision in quotes, for If-Match"))),
))]
pub async fn change(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let if_match = etag::if_match(&headers)?;
    let change = account_settings::parse(&request::bytes(&headers, body).await?)?;
    let changed = ctx.store.account_change(caller.account, if_match.revisions(), &change).await?;
    let account = changed.ok_or_else(|| etag::precondition_failed("account"))?;
    Ok(etag::with_etag(json(StatusCode::OK, &account), account.revision))
}
