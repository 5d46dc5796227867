//! A batch of a wake queue as Lambda hands it to a function: an SQS event in, the entries to be brought again out.
//!
//! Out of scope: what is done with the ids (deliver and step-invoke).

use std::error::Error;
use std::str::FromStr;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};

use crate::decode_ids;

/// Hands the ids of a batch to `handle`; when that fails, every entry is to be brought again.
pub async fn batch<Id: FromStr, E: Error>(event: SqsEvent, handle: impl AsyncFnOnce(&[Id]) -> Result<(), E>) -> SqsBatchResponse {
    let ids: Vec<Id> = event.records.iter().flat_map(|record| decode_ids(record.body.as_deref().unwrap_or_default())).collect();
    let mut response = SqsBatchResponse::default();
    if let Err(error) = handle(&ids).await {
        // Whatever was recorded stays recorded: bringing an id again changes nothing then.
        tracing::error!(%error, "the batch is to be brought again");
        response.batch_item_failures = event.records.into_iter().filter_map(|record| record.message_id).map(failed).collect();
    }
    response
}

fn failed(id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = id;
    failure
}
