//! The wake queue on Cloudflare Queues, the producer's side; stages 1 to 3 hand ids to it.
//! Out of scope: receiving, which `functions/edge` does, and whether a lost message matters: tick repairs it.

use worker::js_sys::JSON;
use worker::send::SendFuture;
use worker::{BatchMessageBuilder, QueueContentType, RawMessageBuilder};

use crate::{Kick, Parcel, QueueError, encode_ids, parcels};

/// Ids in one queue message: as many as one event pushes at once.
pub const IDS_PER_MESSAGE_MAX: usize = super::http::PUSHES_MAX;
/// Cloudflare Queues: messages of one `sendBatch`. A message of ours stays under 300 bytes, so 256 KB for the batch is never reached.
const MESSAGES_PER_BATCH_MAX: usize = 100;

/// Sends kicks to the queue that the Worker consumes itself.
#[derive(Debug, Clone)]
pub struct Queue {
    producer: worker::Queue,
}

impl Queue {
    /// Wraps the binding of the queue.
    pub fn new(producer: worker::Queue) -> Self {
        Self { producer }
    }

    /// Hands over the ids, those due in the same second together. Err: some or all of them did not reach the queue.
    pub async fn send(&self, kicks: &[Kick]) -> Result<(), QueueError> {
        for batch in parcels(kicks, IDS_PER_MESSAGE_MAX).chunks(MESSAGES_PER_BATCH_MAX) {
            SendFuture::new(self.send_batch(batch)).await.map_err(|error| QueueError(error.to_string()))?;
        }
        Ok(())
    }

    async fn send_batch(&self, batch: &[Parcel]) -> worker::Result<()> {
        let mut messages = BatchMessageBuilder::new();
        for parcel in batch {
            let body = JSON::parse(&encode_ids(&parcel.ids))?;
            let message = RawMessageBuilder::new(body).delay_seconds(parcel.delay_s.into());
            messages = messages.message(message.build_with_content_type(QueueContentType::Json));
        }
        self.producer.send_raw_batch(messages.build()).await
    }
}
