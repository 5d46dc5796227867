//! `/v1/dlq` and what works on many messages at once: retry and delete dead letters, cancel. One call is one chunk; a client goes on while
//! `remaining` is not zero.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::bulk::{self, BulkView};
use tikku_domain::filter;
use tikku_domain::problem::Problem;
use tikku_domain::view::MessagePage;
use tikku_platform::Ctx;
use utoipa::ToSchema;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request;
use crate::shapes::{MessageFilterQuery, MessagePageQuery};

/// Which messages: ids or a filter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::bulk reads")]
pub struct BulkRequest {
    /// These messages; those that are unknown or in another state are left out of the count.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Option<Vec<String>>,
    /// All that match; an empty filter matches everything.
    filter: Option<MessageSelector>,
    /// Only messages that were in the state in question then: the asOf of the answer before. Without it, when the call begins.
    #[schema(format = DateTime)]
    as_of: Option<String>,
}

/// What messages have in common.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::bulk reads")]
pub struct MessageSelector {
    /// A substring of the destination, as it is stored: in WHATWG form.
    #[schema(min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// A label.
    #[schema(min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// The fanout they were published to.
    #[schema(min_length = 1, max_length = 64)]
    fanout: Option<String>,
    /// The schedule that fired them: `sch_...`.
    #[schema(pattern = "^sch_[0-9a-f]{32}$")]
    schedule: Option<String>,
    /// Created at or after this RFC 3339 time, not before 1970.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Created before this RFC 3339 time, not before 1970.
    #[schema(format = DateTime)]
    to: Option<String>,
}

/// Lists dead letters, newest first: messages whose retry budget is spent, or that an endpoint has refused for good.
#[utoipa::path(get, path = "/v1/dlq", operation_id = "listDeadLetters", tag = "dlq", params(MessageFilterQuery, MessagePageQuery), responses(
    (status = 200, description = "A page", body = MessagePage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let mut filter = filter::messages(&request::query(&uri))?;
    if filter.status.is_some() {
        return Err(Problem::invalid_field("status", "status is not a parameter of this list: all of it has failed").into());
    }
    filter.status = Some("failed".to_owned());
    Ok(json(StatusCode::OK, &ctx.store.message_list(caller.account, &filter).await?))
}

/// Makes up to 1,000 dead letters due now with a fresh budget, those that failed first first.
#[utoipa::path(post, path = "/v1/dlq/retry", operation_id = "retryDeadLetters", security(("key" = ["publish"])), tag = "dlq", request_body = BulkRequest, responses(
    (status = 200, description = "What was done and what is left", body = BulkView),
))]
pub async fn retry(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let bulk = bulk::parse(&request::bytes(&headers, body).await?)?;
    let (view, kicks) = ctx.store.message_retry_many(caller.account, &bulk).await?;
    ctx.kick(&kicks).await;
    Ok(json(StatusCode::OK, &view))
}

/// Deletes up to 1,000 dead letters with their attempts, those that failed first first. One that was retried meanwhile stays.
#[utoipa::path(post, path = "/v1/dlq/delete", operation_id = "deleteDeadLetters", security(("key" = ["publish"])), tag = "dlq", request_body = BulkRequest, responses(
    (status = 200, description = "What was done and what is left", body = BulkView),
))]
pub async fn delete(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let bulk = bulk::parse(&request::bytes(&headers, body).await?)?;
    Ok(json(StatusCode::OK, &ctx.store.message_delete_many(caller.account, &bulk).await?))
}

/// Cancels up to 1,000 messages that are not over. A push under way may still end delivered.
#[utoipa::path(post, path = "/v1/messages/cancel", operation_id = "cancelMessages", security(("key" = ["publish"])), tag = "messages", request_body = BulkRequest, responses(
    (status = 200, description = "What was done and what is left", body = BulkView),
))]
pub async fn cancel(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let bulk = bulk::parse(&request::bytes(&headers, body).await?)?;
    let (view, flows) = ctx.store.message_cancel_many(caller.account, &bulk).await?;
    if !flows.is_empty() {
        // Their places are free, or it is the next one's turn.
        let kicks = ctx.store.flow_wake(&flows).await?;
        ctx.kick(&kicks).await;
    }
    Ok(json(StatusCode::OK, &view))
}
