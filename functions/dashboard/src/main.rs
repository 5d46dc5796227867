//! The Lambda shell of the dashboard: a function URL's requests into its router.

use std::sync::Arc;

use lambda_http::{Error, run};
use tikku_platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ctx = Arc::new(aws::ctx().await?);
    let api = tikku_publish::router(ctx.clone());
    run(tikku_dashboard::router(ctx, api)).await
}
