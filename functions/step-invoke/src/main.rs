//! The Lambda shell of step-invoke: an SQS event in, the entries to be brought again out.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tikku_domain::ids::RunId;
use tikku_platform::{Ctx, aws, decode_ids};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ctx = aws::ctx().await?;
    ctx.config.public_url_required()?;
    run(service_fn(|event| handle(&ctx, event))).await
}

async fn handle(ctx: &Ctx, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let records = event.payload.records;
    let ids: Vec<_> = records.iter().flat_map(|record| decode_ids::<RunId>(record.body.as_deref().unwrap_or_default())).collect();
    let mut response = SqsBatchResponse::default();
    if let Err(error) = tikku_step_invoke::handle(ctx, &ids).await {
        // Whatever was recorded stays recorded: bringing an id again changes nothing then.
        tracing::error!(%error, "the batch is to be brought again");
        let failed = |id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        };
        response.batch_item_failures = records.into_iter().filter_map(|record| record.message_id).map(failed).collect();
    }
    Ok(response)
}
