//! `/v1/messages`: publish, look, cancel, retry, resend.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::filter;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::publish;
use tikku_domain::view::{MessageDetail, MessagePage, MessageView, PublishAnswer};
use tikku_platform::Ctx;
use tikku_store::{Control, Kick};

use crate::auth::{self, Needs};
use crate::publish_shapes::PublishRequest;
use crate::publishing;
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::shapes::{MessageFilterQuery, MessagePageQuery, StatusQuery};

/// Publishes a message, or one for each endpoint of a fanout.
#[utoipa::path(post, path = "/v1/messages", operation_id = "publishMessage", security(("key" = ["publish"])), tag = "messages", request_body = PublishRequest, responses(
    (status = 202, description = "Accepted: it is stored and will be pushed", body = PublishAnswer),
    (status = 422, description = "The idempotency key belongs to another payload", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The database did not answer: try again, with an idempotencyKey where it must not happen twice", body = Problem, content_type = "application/problem+json"),
))]
pub async fn publish(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    // The body first: what is answered before it is read may cost the connection.
    let bytes = request::bytes(&headers, body).await?;
    let hash = auth::key_hash(&headers)?;
    let message = match publish::parse(&bytes, &publishing::rules(&ctx)) {
        Ok(message) => message,
        Err(errors) => {
            // A stranger learns that the key is wrong before what is wrong with the message.
            auth::caller(&ctx, &headers, Needs::Publish).await?;
            return Err(errors.into());
        }
    };
    Ok(json(StatusCode::ACCEPTED, &publishing::one(&ctx, &hash, message).await??))
}

/// Lists messages, newest first. A page looks at 5,000 messages at most: one that ends there is `partial`, and its cursor goes on.
#[utoipa::path(get, path = "/v1/messages", operation_id = "listMessages", tag = "messages", params(StatusQuery, MessageFilterQuery, MessagePageQuery), responses(
    (status = 200, description = "A page", body = MessagePage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let filter = filter::messages(&request::query(&uri))?;
    let page = ctx.store.message_list(caller.account, &filter).await?;
    Ok(json(StatusCode::OK, &page))
}

/// Shows a message with every attempt. The headers of a push are those of the message, `webhook-id` (its id), `webhook-timestamp` and `webhook-signature`; the latter two differ
/// from attempt to attempt and are not kept.
#[utoipa::path(get, path = "/v1/messages/{id}", operation_id = "getMessage", tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageDetail),
))]
pub async fn detail(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id = request::id(&id, "message")?;
    let detail = ctx.store.message_detail(caller.account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    Ok(json(StatusCode::OK, &detail))
}

/// Cancels a message that is not over. A push under way may still end delivered.
#[utoipa::path(post, path = "/v1/messages/{id}/cancel", operation_id = "cancelMessage", security(("key" = ["publish"])), tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageView),
    (status = 409, description = "It is delivered or failed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    if let Some(flow) = done(ctx.store.message_cancel(caller.account, id).await?, "cancelled")? {
        // Others of its flow may have waited for it.
        ctx.kick(&ctx.store.flow_wake(&[(caller.account, flow)]).await?).await;
    }
    show(&ctx, caller.account, id, StatusCode::OK).await
}

/// Makes a failed, cancelled or retrying message due now, with a fresh budget.
#[utoipa::path(post, path = "/v1/messages/{id}/retry", operation_id = "retryMessage", security(("key" = ["publish"])), tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageView),
    (status = 409, description = "It is delivered, or on its way", body = Problem, content_type = "application/problem+json"),
))]
pub async fn retry(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    done(ctx.store.message_retry(caller.account, id).await?, "retried")?;
    ctx.kick(&[Kick::new(id, 0, caller.account)]).await;
    show(&ctx, caller.account, id, StatusCode::OK).await
}

/// Sends a copy of a message, whatever became of the first; the copy has no idempotency key.
#[utoipa::path(post, path = "/v1/messages/{id}/resend", operation_id = "resendMessage", security(("key" = ["publish"])), tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 202, description = "The copy", body = MessageView),
))]
pub async fn resend(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    let (copy, kick) = ctx.store.message_resend(caller.account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    ctx.kick(kick.as_slice()).await;
    show(&ctx, caller.account, copy, StatusCode::ACCEPTED).await
}

/// The flow of a message that the verb applied to.
fn done(control: Control, verb: &str) -> Result<Option<String>, Problem> {
    match control {
        Control::Done { flow } => Ok(flow),
        Control::Missing => Err(Problem::not_found("message")),
        Control::Conflict { state } => Err(Problem::new(Kind::Conflict, format!("a message that is {state} cannot be {verb}"))),
    }
}

async fn show(ctx: &Ctx, account: AccountId, id: MessageId, status: StatusCode) -> Result<Response, ApiError> {
    let message = ctx.store.message_get(account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    Ok(json(status, &message))
}
