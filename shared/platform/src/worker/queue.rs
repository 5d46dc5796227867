//! The wake queues on Cloudflare Queues, the producer's side; stages 1 to 3 hand ids to them.
//! Out of scope: receiving, which `functions/edge` does, and whether a lost message matters: tick repairs it.

use worker::js_sys::JSON;
use worker::send::SendFuture;
use worker::{BatchMessageBuilder, QueueContentType, RawMessageBuilder};

use crate::{Kick, Parcel, QueueError, Wake, encode_ids, parcels};

/// Messages in one queue message: as many as one event pushes at once.
const MESSAGES_MAX: usize = super::http::PUSHES_MAX;
/// Runs in one queue message: two of them, in a batch of two, are one less than an event's connections.
const RUNS_MAX: usize = 2;
/// Cloudflare Queues: messages of one `sendBatch`. A message of ours stays under 300 bytes, so 256 KB for the batch is never reached.
const MESSAGES_PER_BATCH_MAX: usize = 100;

/// Sends kicks to the queues that the Worker consumes itself.
#[derive(Debug, Clone)]
pub struct Queue {
    messages: worker::Queue,
    runs: worker::Queue,
}

impl Queue {
    /// Wraps the bindings of the queues.
    pub fn new(messages: worker::Queue, runs: worker::Queue) -> Self {
        Self { messages, runs }
    }

    /// Hands over ids of this kind, those due in the same second together. Err: some or all of them did not reach the queue.
    pub async fn send(&self, kind: Wake, kicks: &[Kick]) -> Result<(), QueueError> {
        let (producer, ids_max) = match kind {
            Wake::Messages => (&self.messages, MESSAGES_MAX),
            Wake::Runs => (&self.runs, RUNS_MAX),
        };
        for batch in parcels(kicks, ids_max).chunks(MESSAGES_PER_BATCH_MAX) {
            SendFuture::new(send_batch(producer, batch)).await.map_err(|error| QueueError(error.to_string()))?;
        }
        Ok(())
    }
}

async fn send_batch(producer: &worker::Queue, batch: &[Parcel]) -> worker::Result<()> {
    let mut messages = BatchMessageBuilder::new();
    for parcel in batch {
        let body = JSON::parse(&encode_ids(&parcel.ids))?;
        let message = RawMessageBuilder::new(body).delay_seconds(parcel.delay_s.into());
        messages = messages.message(message.build_with_content_type(QueueContentType::Json));
    }
    producer.send_raw_batch(messages.build()).await
}
