//! From checked messages to an answer: stored, handed to the queue, told what became of each. In scope: whichever way they were published.
//! Out of scope: reading requests.

use tikku_domain::ids::MessageId;
use tikku_domain::limits;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::publish::{NewMessage, Rules, Target};
use tikku_domain::view::{Accepted, AcceptedFanout, FanoutMessage, PublishAnswer};
use tikku_platform::Ctx;
use tikku_store::{Kick, Published, PublishedBatch, PublishedItem, Put};

use crate::auth::{self, Needs};
use crate::reply::ApiError;

/// What this host allows.
pub fn rules(ctx: &Ctx) -> Rules<'_> {
    Rules { policy: &ctx.config.policy, timeout_seconds_max: ctx.config.timeout_seconds_max() }
}

/// What became of a message, or why it was not published.
pub type Answer = Result<PublishAnswer, Problem>;

/// Publishes one message. Fails only for the key or the database.
pub async fn one(ctx: &Ctx, key_hash: &[u8], message: NewMessage) -> Result<Answer, ApiError> {
    if let Target::Fanout(_) = message.target {
        let answer = many(ctx, key_hash, &[message]).await?.pop();
        return Ok(answer.unwrap_or_else(|| Err(unanswered())));
    }
    match ctx.store.message_publish(key_hash, &message).await? {
        Published::Accepted { id, state, kick } => {
            ctx.kick(kick.as_slice()).await;
            Ok(Ok(PublishAnswer::Message(Accepted { id: id.to_string(), status: state, deduplicated: false })))
        }
        Published::Deduplicated { id, state } => {
            Ok(Ok(PublishAnswer::Message(Accepted { id: id.to_string(), status: state, deduplicated: true })))
        }
        Published::Mismatch { id } => Ok(Err(mismatch(id))),
        Published::TooLate => Ok(Err(too_late())),
        Published::Unauthorized => Err(auth::unknown_key().into()),
        Published::Forbidden => Err(auth::wrong_role(Needs::Publish).into()),
    }
}

/// Publishes messages by one statement and answers each in order. Fails as a whole only for the key or the database.
pub async fn many(ctx: &Ctx, key_hash: &[u8], messages: &[NewMessage]) -> Result<Vec<Answer>, ApiError> {
    let items = match ctx.store.message_publish_batch(key_hash, messages).await? {
        PublishedBatch::Items(items) => items,
        PublishedBatch::Unauthorized => return Err(auth::unknown_key().into()),
        PublishedBatch::Forbidden => return Err(auth::wrong_role(Needs::Publish).into()),
    };
    let new = items.iter().filter_map(|item| if let PublishedItem::Accepted(puts) = item { Some(puts) } else { None });
    let kicks: Vec<Kick> = new.flatten().filter_map(|put| put.kick).collect();
    ctx.kick(&kicks).await;
    Ok(items.into_iter().zip(messages).map(|(item, message)| answer(item, &message.target)).collect())
}

fn answer(item: PublishedItem, target: &Target) -> Answer {
    let (mut puts, deduplicated) = match item {
        PublishedItem::Accepted(puts) => (puts, false),
        PublishedItem::Deduplicated(puts) => (puts, true),
        PublishedItem::Mismatch { id } => return Err(mismatch(id)),
        PublishedItem::TooLate => return Err(too_late()),
        PublishedItem::TooLarge => return Err(too_large()),
        PublishedItem::NoFanout => return Err(Problem::invalid_field("/fanout", "there is no such fanout in this account")),
    };
    if let Target::Fanout(_) = target {
        let message = |put: Put| FanoutMessage::new(put.id.to_string(), put.state, put.url);
        return Ok(PublishAnswer::Fanout(AcceptedFanout { messages: puts.into_iter().map(message).collect(), deduplicated }));
    }
    let put = puts.pop().ok_or_else(unanswered)?;
    Ok(PublishAnswer::Message(Accepted { id: put.id.to_string(), status: put.state, deduplicated }))
}

fn unanswered() -> Problem {
    Problem::new(Kind::Internal, "something went wrong on our side")
}

fn mismatch(id: MessageId) -> Problem {
    let detail =
        format!("the idempotency key was used for {id}, whose url, fanout or workflow, method, headers or body differ; nothing was sent");
    Problem::new(Kind::IdempotencyMismatch, detail)
}

/// A fanout that would make too many messages or bytes.
pub fn too_large() -> Problem {
    let mib = limits::FANOUT_BODIES_BYTES_MAX / (1024 * 1024);
    let detail = format!(
        "the fanouts of a request may make {} messages with {mib} MiB of bodies, counted once for each endpoint; nothing of this one was sent",
        limits::FANOUT_MESSAGES_MAX
    );
    Problem::new(Kind::TooLarge, detail)
}

fn too_late() -> Problem {
    Problem::invalid_field("/notBefore", "notBefore must lie within 3,650 days from now")
}
