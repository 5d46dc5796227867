//! `/v1/messages`: publish, look, cancel, retry, resend.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::filter;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::WINDOW_MS;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::publish::{self, Rules};
use tikku_domain::view::{Accepted, MessageDetail, MessagePage, MessageView};
use tikku_platform::Ctx;
use tikku_store::{Control, Kick, Published};

use crate::auth::{self, Needs};
use crate::openapi::{ListQuery, PublishRequest};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};

/// Publishes a message.
#[utoipa::path(post, path = "/v1/messages", operation_id = "publishMessage", tag = "messages", request_body = PublishRequest, responses(
    (status = 202, description = "Accepted: it is stored and will be pushed", body = Accepted),
    (status = 400, description = "Something is wrong with the request", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The key's role may not publish", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The request is too large", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The idempotency key belongs to another payload", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The database did not answer: try again, with an idempotencyKey where it must not happen twice", body = Problem, content_type = "application/problem+json"),
))]
pub async fn publish(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let hash = auth::key_hash(&headers)?;
    let bytes = request::bytes(&headers, body).await?;
    let rules = Rules { policy: &ctx.config.policy, timeout_seconds_max: ctx.config.timeout_seconds_max() };
    let message = match publish::parse(&bytes, &rules) {
        Ok(message) => message,
        Err(errors) => {
            // A stranger learns that the key is wrong before what is wrong with the message.
            auth::caller(&ctx, &headers, Needs::Publish).await?;
            return Err(errors.into());
        }
    };
    let accepted = match ctx.store.message_publish(&hash, &message).await? {
        Published::Accepted { id, state, wait_ms } => {
            if wait_ms <= WINDOW_MS {
                ctx.kick(&[Kick { id, wait_ms }]).await;
            }
            Accepted { id: id.to_string(), status: state, deduplicated: false }
        }
        Published::Deduplicated { id, state } => Accepted { id: id.to_string(), status: state, deduplicated: true },
        Published::Mismatch { id } => return Err(mismatch(id).into()),
        Published::Unauthorized => return Err(auth::unknown_key().into()),
        Published::Forbidden => return Err(auth::wrong_role(Needs::Publish).into()),
        Published::TooLate => return Err(Problem::invalid_field("/notBefore", "notBefore must lie within 3,650 days from now").into()),
    };
    Ok(json(StatusCode::ACCEPTED, &accepted))
}

fn mismatch(id: MessageId) -> Problem {
    let detail = format!("the idempotency key was used for {id}, whose url, method, headers or body differ; nothing was sent");
    Problem::new(Kind::IdempotencyMismatch, detail)
}

/// Lists messages, newest first.
#[utoipa::path(get, path = "/v1/messages", operation_id = "listMessages", tag = "messages", params(ListQuery), responses(
    (status = 200, description = "A page", body = MessagePage),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let filter = filter::messages(&request::query(&uri))?;
    let page = ctx.store.message_list(caller.account, &filter).await?;
    Ok(json(StatusCode::OK, &page))
}

/// Shows a message with every attempt.
#[utoipa::path(get, path = "/v1/messages/{id}", operation_id = "getMessage", tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageDetail),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Not in this account", body = Problem, content_type = "application/problem+json"),
))]
pub async fn detail(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id = request::id(&id, "message")?;
    let detail = ctx.store.message_detail(caller.account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    Ok(json(StatusCode::OK, &detail))
}

/// Cancels a message that is not over. A push under way may still end delivered.
#[utoipa::path(post, path = "/v1/messages/{id}/cancel", operation_id = "cancelMessage", tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageView),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The key's role may not cancel", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Not in this account", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is delivered or failed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    done(ctx.store.message_cancel(caller.account, id).await?, "cancelled")?;
    show(&ctx, caller.account, id, StatusCode::OK).await
}

/// Makes a failed, cancelled or retrying message due now, with a fresh budget.
#[utoipa::path(post, path = "/v1/messages/{id}/retry", operation_id = "retryMessage", tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 200, description = "The message", body = MessageView),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The key's role may not retry", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Not in this account", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is delivered, or on its way", body = Problem, content_type = "application/problem+json"),
))]
pub async fn retry(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    done(ctx.store.message_retry(caller.account, id).await?, "retried")?;
    ctx.kick(&[Kick { id, wait_ms: 0 }]).await;
    show(&ctx, caller.account, id, StatusCode::OK).await
}

/// Sends a copy of a message, whatever became of the first; the copy has no idempotency key.
#[utoipa::path(post, path = "/v1/messages/{id}/resend", operation_id = "resendMessage", tag = "messages", params(("id" = String, Path, description = "msg_...")), responses(
    (status = 202, description = "The copy", body = MessageView),
    (status = 401, description = "No key, or one that does not work", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The key's role may not publish", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Not in this account", body = Problem, content_type = "application/problem+json"),
))]
pub async fn resend(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id = request::id(&id, "message")?;
    let copy = ctx.store.message_resend(caller.account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    ctx.kick(&[Kick { id: copy, wait_ms: 0 }]).await;
    show(&ctx, caller.account, copy, StatusCode::ACCEPTED).await
}

fn done(control: Control, verb: &str) -> Result<(), Problem> {
    match control {
        Control::Done => Ok(()),
        Control::Missing => Err(Problem::not_found("message")),
        Control::Conflict { state } => Err(Problem::new(Kind::Conflict, format!("a message that is {state} cannot be {verb}"))),
    }
}

async fn show(ctx: &Ctx, account: AccountId, id: MessageId, status: StatusCode) -> Result<Response, ApiError> {
    let message = ctx.store.message_get(account, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    Ok(json(status, &message))
}
