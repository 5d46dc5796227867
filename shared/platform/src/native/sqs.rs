//! SQS. One SendMessageBatch holds ten entries, an entry several ids that share a delay of whole seconds, rounded down: deliver
//! waits out the rest.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use tikku_domain::ids::MessageId;
use tikku_domain::limits::QUEUE_DELAY_MS_MAX;

use crate::wake::encode_ids;
use crate::{QueueError, Wake};

/// Ids in one entry: few, because an entry whose one id could not be recorded comes back whole.
const IDS_MAX: usize = 10;
/// Entries in one SendMessageBatch (SQS quota).
const ENTRIES_MAX: usize = 10;

/// The wake queue on SQS.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue at a URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    pub(super) async fn send(&self, wakes: &[Wake]) -> Result<(), QueueError> {
        let mut by_delay: BTreeMap<i32, Vec<MessageId>> = BTreeMap::new();
        for wake in wakes {
            // invariant: at most 900.
            let seconds = (wake.delay_ms.min(QUEUE_DELAY_MS_MAX) / 1000) as i32;
            by_delay.entry(seconds).or_default().push(wake.id);
        }
        let chunks: Vec<(i32, &[MessageId])> =
            by_delay.iter().flat_map(|(seconds, ids)| ids.chunks(IDS_MAX).map(move |chunk| (*seconds, chunk))).collect();
        for batch in chunks.chunks(ENTRIES_MAX) {
            self.send_batch(batch).await?;
        }
        Ok(())
    }

    async fn send_batch(&self, batch: &[(i32, &[MessageId])]) -> Result<(), QueueError> {
        let mut call = self.client.send_message_batch().queue_url(&self.url);
        for (index, (seconds, ids)) in batch.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(encode_ids(ids)).delay_seconds(*seconds);
            call = call.entries(entry.build().map_err(|error| QueueError(error.to_string()))?);
        }
        let answer = call.send().await.map_err(|error| QueueError(DisplayErrorContext(&error).to_string()))?;
        match answer.failed().first() {
            Some(entry) => Err(QueueError(format!("{} of {} entries: {}", answer.failed().len(), batch.len(), entry.code()))),
            None => Ok(()),
        }
    }
}
