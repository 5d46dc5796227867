//! The Lambda shell of deliver: an SQS event in, the entries to be brought again out.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tikku_platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ctx = aws::ctx().await?;
    run(service_fn(async |event: LambdaEvent<_>| {
        Ok::<_, Error>(aws::batch(event.payload, async |ids| tikku_deliver::handle(&ctx, ids).await).await)
    }))
    .await
}
