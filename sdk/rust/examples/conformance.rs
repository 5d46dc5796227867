//! The endpoint that the conformance kit drives (conformance/README.md): PORT, TIKKU_SIGNING_SECRET and TIKKU_CHECKPOINT come from the environment.
//!
//! Run: `PORT=4000 TIKKU_SIGNING_SECRET=whsec_… cargo run -p tikku --example conformance`

#[path = "conformance/kit.rs"]
mod kit;
#[path = "conformance/plain.rs"]
mod plain;
#[path = "conformance/retries.rs"]
mod retries;
#[path = "conformance/waiting.rs"]
mod waiting;

use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use kit::{Began, Kit};
use tikku::{Checkpoint, Serve};

#[derive(serde::Deserialize)]
struct LogQuery {
    run: String,
}

async fn log(State(kit): State<Kit>, Query(query): Query<LogQuery>) -> axum::Json<Vec<Began>> {
    axum::Json(kit.log(&query.run))
}

async fn shape(State(kit): State<Kit>, axum::Json(shape): axum::Json<Vec<String>>) -> StatusCode {
    kit.set_shape(shape);
    StatusCode::NO_CONTENT
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the kit configures its endpoints by the environment")]
async fn main() -> anyhow::Result<()> {
    let checkpoint = match std::env::var("TIKKU_CHECKPOINT").as_deref() {
        Ok("batched") => Checkpoint::Batched { every: Duration::from_millis(50), max_steps: 20 },
        Ok("return") => Checkpoint::Return,
        _ => Checkpoint::Each,
    };
    let kit = Kit::default();
    let workflows = [plain::workflows(&kit), retries::workflows(&kit), waiting::workflows(&kit)];
    let builder = workflows.into_iter().flatten().fold(Serve::builder(), tikku::ServeBuilder::workflow);
    let serve = builder.checkpoint(checkpoint).build()?;
    let app = Router::new().route("/kit/log", get(log)).route("/kit/shape", put(shape)).with_state(kit).route_service("/", serve);
    let port = std::env::var("PORT").unwrap_or_default();
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", if port.is_empty() { "0" } else { &port })).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
