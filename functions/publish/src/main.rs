//! The Lambda shell of publish: a function URL's requests into the router.

use std::sync::Arc;

use lambda_http::{Error, run};
use tikku_platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ctx = Arc::new(aws::ctx().await?);
    run(tikku_publish::router(ctx)).await
}
