//! The Lambda shell of tick: any event in, counts out.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};
use tikku_platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ctx = aws::ctx().await?;
    run(service_fn(async |_: LambdaEvent<Value>| {
        let report = tikku_tick::handle(&ctx).await?;
        Ok::<_, Error>(json!({
            "kicked": report.kicked, "lost": report.lost, "fired": report.fired, "runKicked": report.run_kicked, "runLost": report.run_lost,
            "events": report.events, "signals": report.signals, "children": report.children,
            "pruned": report.pruned,
        }))
    }))
    .await
}
