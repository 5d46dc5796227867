//! Durable workflows and messages with Tikku.
//!
//! A workflow is an async function of steps. The engine calls the endpoint that serves it, keeps each step's result, and calls again after a crash, a
//! deployment or a year of waiting: finished steps give their recorded results, and the function goes on where it was.
//!
//! ```no_run
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use tikku::{Serve, Workflow};
//!
//! #[derive(Deserialize)]
//! struct Order { id: String }
//! #[derive(Serialize)]
//! struct Done { charge: String, review: Option<String> }
//!
//! # async fn pay(order: &str, key: &str) -> Result<String, std::io::Error> { Ok(format!("{order}{key}")) }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let order = Workflow::new("order-flow", async |step, order: Order| {
//!     let charge = step.run("charge", async |ctx| Ok(pay(&order.id, &ctx.idempotency_key).await?)).max_attempts(5).await?;
//!     step.sleep("cooldown", Duration::from_secs(7 * 86_400)).await?;
//!     let review = step.wait_for_signal("review").timeout(Duration::from_secs(3 * 86_400)).await?;
//!     Ok(Done { charge, review })
//! });
//! let serve = Serve::builder().workflow(order).build()?; // reads TIKKU_SIGNING_SECRET
//! let app = axum::Router::new().route_service("/tikku", serve);
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:4000").await?, app).await?;
//! # Ok(()) }
//! ```
//!
//! **What is promised**: a start is accepted once per id; a step's *result* is recorded once; a step's *effects* happen at least once, with a stable
//! [`StepContext::idempotency_key`] to hand on.
//!
//! In scope: the workflow protocol's endpoint side (`docs/protocol.md`), a client of the API, verification of webhooks. Out of scope: the engine. The
//! core needs no runtime: HTTP and timers come from a [`Host`], and it compiles for wasm32-unknown-unknown.

pub mod ai;
mod all;
mod body;
mod calls;
mod checkpoint;
mod checks;
mod client;
mod drive;
mod failure;
mod host;
mod journal;
mod leaf;
mod link;
mod message;
mod outbox;
mod random;
#[cfg(feature = "reqwest")]
mod reqwest_host;
mod retry;
mod run_info;
mod serve;
mod settings;
mod step;
mod tower;
mod tree;
mod waits;
mod webhook;
mod wire;
mod workflow;

pub use all::All;
pub use body::{Run, StepContext};
pub use calls::{Accepted, Fetch, FetchWait, Fetched, PublishWait, Published};
pub use checkpoint::Checkpoint;
pub use client::{ClientError, EventAccepted, Page, RunHandle, RunView, Start, Tikku};
pub use failure::{FAILURE_BYTES_MAX, Failure, FailureParts, StepError};
pub use host::{Host, NoAnswer};
pub use message::Message;
#[cfg(feature = "reqwest")]
pub use reqwest_host::{NoClient, ReqwestHost};
pub use retry::{Backoff, Retry};
pub use run_info::RunInfo;
pub use serve::{REQUEST_BYTES_MAX, Serve, ServeBuilder, ServeError};
pub use step::Step;
pub use tikku_domain::signing::{SecretError, VerifyError};
pub use waits::{Approval, Child, Decision, Event, EventWait, Signal, Sleep, Wait, Woken};
pub use webhook::{TOLERANCE_SECONDS, Webhook, WebhookError};
pub use wire::AiUsage;
pub use workflow::{Per, Singleton, Triggered, Workflow, WorkflowName};

/// What steps and workflow functions give.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
