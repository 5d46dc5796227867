//! SQS. One SendMessageBatch holds ten entries, an entry several ids of an account that share a delay. The account is the entry's message group:
//! a standard queue with groups is fair between them ("fair queues" in its guide).

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use crate::{Kick, Parcel, QueueError, Wake, encode_ids, parcels};

/// Messages in one entry: few, because an entry whose one id could not be recorded comes back whole.
const MESSAGES_MAX: usize = 10;
/// Runs in one entry: fewer, because each may hold its invocation for minutes.
const RUNS_MAX: usize = 5;
/// Entries in one SendMessageBatch (SQS quota).
const ENTRIES_MAX: usize = 10;

/// The wake queues on SQS.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    messages_url: String,
    runs_url: String,
}

impl SqsQueue {
    /// The queues at these URLs.
    pub fn new(client: Client, messages_url: String, runs_url: String) -> Self {
        Self { client, messages_url, runs_url }
    }

    pub(super) async fn send(&self, kind: Wake, kicks: &[Kick]) -> Result<(), QueueError> {
        let (url, ids_max) = match kind {
            Wake::Messages => (&self.messages_url, MESSAGES_MAX),
            Wake::Runs => (&self.runs_url, RUNS_MAX),
        };
        for batch in parcels(kicks, ids_max).chunks(ENTRIES_MAX) {
            self.send_batch(url, batch).await?;
        }
        Ok(())
    }

    async fn send_batch(&self, url: &str, batch: &[Parcel]) -> Result<(), QueueError> {
        let mut call = self.client.send_message_batch().queue_url(url);
        for (index, parcel) in batch.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(encode_ids(&parcel.ids));
            let entry = entry.delay_seconds(parcel.delay_s.into()).message_group_id(parcel.account.to_string());
            call = call.entries(entry.build().map_err(|error| QueueError(error.to_string()))?);
        }
        let answer = call.send().await.map_err(|error| QueueError(DisplayErrorContext(&error).to_string()))?;
        match answer.failed().first() {
            Some(entry) => Err(QueueError(format!("{} of {} entries: {}", answer.failed().len(), batch.len(), entry.code()))),
            None => Ok(()),
        }
    }
}
