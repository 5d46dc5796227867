//! `/v1/messages/batch`: many messages at once, each judged alone, stored by one statement.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tikku_domain::batch::{self, Item};
use tikku_domain::problem::Problem;
use tikku_domain::publish::NewMessage;
use tikku_domain::view::{BatchAnswer, BatchResult, PublishAnswer, Refused};
use tikku_platform::Ctx;

use crate::auth::{self, Needs};
use crate::publish_shapes::BatchRequest;
use crate::publishing::{self, Answer};
use crate::reply::{ApiError, json};
use crate::request;

/// Publishes up to 1,000 messages. One that is wrong does not stop the others: each has its own result, in the order of the request.
#[utoipa::path(post, path = "/v1/messages/batch", operation_id = "publishBatch", security(("key" = ["publish"])), tag = "messages", request_body = BatchRequest, responses(
    (status = 207, description = "What became of each message", body = BatchAnswer),
))]
pub async fn publish(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let bytes = request::bytes(&headers, body).await?;
    let hash = auth::key_hash(&headers)?;
    let parsed = batch::parse(&bytes, &publishing::rules(&ctx));
    drop(bytes);
    let items = match parsed {
        Ok(items) if items.iter().any(Result::is_ok) => items,
        nothing => {
            // There is nothing to store, so nothing else looks at the key.
            auth::caller(&ctx, &headers, Needs::Publish).await?;
            nothing?
        }
    };
    let (refusals, messages) = sorted(items);
    let mut answers = match messages.as_slice() {
        [] => Vec::new(),
        messages => publishing::many(&ctx, &hash, messages).await?,
    }
    .into_iter();
    let results = refusals.into_iter().filter_map(|refusal| match refusal {
        Some(problem) => Some(BatchResult::Refused(Refused { problem })),
        None => answers.next().map(result),
    });
    Ok(json(StatusCode::MULTI_STATUS, &BatchAnswer { results: results.collect() }))
}

/// For each item the reason not to publish it, or its place among the messages to publish.
fn sorted(items: Vec<Item>) -> (Vec<Option<Problem>>, Vec<NewMessage>) {
    let mut messages = Vec::with_capacity(items.len());
    let take = |item: Item| match item {
        Ok(message) => {
            messages.push(message);
            None
        }
        Err(errors) => Some(Problem::invalid(errors)),
    };
    let refusals = items.into_iter().map(take).collect();
    (refusals, messages)
}

fn result(answer: Answer) -> BatchResult {
    match answer {
        Ok(PublishAnswer::Message(accepted)) => BatchResult::Message(accepted),
        Ok(PublishAnswer::Fanout(accepted)) => BatchResult::Fanout(accepted),
        Err(problem) => BatchResult::Refused(Refused { problem }),
    }
}
