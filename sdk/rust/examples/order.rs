//! An order flow served by axum.
//!
//! Run: `TIKKU_SIGNING_SECRET=whsec_… cargo run -p tikku --example order`, register `http://127.0.0.1:4000/tikku` as an app
//! (`PUT /v1/apps/shop {"url": …}`), then start one: `POST /v1/workflows/order-flow/runs {"id": "order-1", "input": {"id": "order-1", "cents": 4200}}`.

use std::time::Duration;

use axum::Router;
use serde::{Deserialize, Serialize};
use tikku::{Failure, Message, Per, Retry, Serve, Step, StepError, Workflow, WorkflowName};

const ORDER: WorkflowName<Order, Outcome> = WorkflowName::new("order-flow");
const RECEIPT: WorkflowName<Charge, u64> = WorkflowName::new("receipt-flow");
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Deserialize)]
struct Order {
    id: String,
    cents: u64,
}

#[derive(Clone, Deserialize, Serialize)]
struct Charge {
    id: String,
    cents: u64,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Outcome {
    Shipped { parcel: String, receipt: u64 },
    Refused { reason: String },
}

/// A payment provider, for want of one.
async fn pay(order: &Order, idempotency_key: &str) -> Result<Charge, StepError> {
    if order.cents == 0 {
        return Err(StepError::non_retriable(Failure::new("NothingToPay", "an order of nothing")));
    }
    Ok(Charge { id: format!("ch_{}", &idempotency_key[..8]), cents: order.cents })
}

async fn order(step: Step, order: Order) -> tikku::Result<Outcome> {
    let charge = match step.run("charge", async |ctx| pay(&order, &ctx.idempotency_key).await).max_attempts(5).await {
        Ok(charge) => charge,
        Err(failure) => return Ok(Outcome::Refused { reason: failure.message.clone() }),
    };

    // An order above 1,000 is looked at by a person. Nobody in three days means no.
    if order.cents > 100_000 {
        let decision = step.approval("review").role("admin").title(format!("Ship order {}?", order.id)).timeout(3 * DAY).await?;
        if !decision.is_some_and(|decision| decision.approved) {
            step.run("refund", async |_| Ok(charge.id.clone())).await?;
            return Ok(Outcome::Refused { reason: "not approved".to_owned() });
        }
    }

    // Side by side: packing here, the receipt in a run of its own.
    let pack = step.run("pack", async |_| Ok(format!("parcel of {}", order.id)));
    let receipt = step.invoke("receipt", RECEIPT, charge.clone());
    let (parcel, receipt) = futures_util::future::try_join(pack, receipt).await?;

    step.publish("tell", Message::to("https://example.com/hooks/shipped").body(serde_json::json!({ "orderId": order.id }))).await?;
    Ok(Outcome::Shipped { parcel, receipt })
}

async fn receipt(step: Step, charge: Charge) -> tikku::Result<u64> {
    step.run("number", async |_| Ok(charge.cents)).await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let serve = Serve::builder()
        .workflow(Workflow::new(ORDER, order).version("1").retry(Retry::attempts(6)).concurrency(10, Per::Key("input.id")))
        .workflow(Workflow::new(RECEIPT, receipt))
        .build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    println!("listening on http://{}/tikku", listener.local_addr()?);
    axum::serve(listener, Router::new().route_service("/tikku", serve)).await?;
    Ok(())
}
