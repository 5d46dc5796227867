//! Workflows that wait.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::{Either, select};
use serde::Deserialize;
use serde_json::{Value, json};
use tikku::{Event, Fetch, Message, Per, Step, Triggered, Workflow, WorkflowName};

use crate::kit::Kit;

const MINUTE: Duration = Duration::from_secs(60);
const SEQUENCE: WorkflowName<Value, Value> = WorkflowName::new("kit-sequence");

pub fn workflows(kit: &Kit) -> Vec<Workflow> {
    vec![
        sleep(kit.clone()),
        sleep_until(kit.clone()),
        Workflow::new("kit-signals", async |step, _: Value| Ok([go(&step).await?, go(&step).await?])),
        signal_then_step(kit.clone()),
        Workflow::new("kit-tree", async |step, _: Value| tree(&step).await),
        event(),
        approval(),
        child(),
        Workflow::new("kit-children", children),
        Workflow::new("kit-fetch", async |step, input: Url| {
            let answer = step.fetch("call", Fetch::new(input.url).method("POST").header("x-kit", "1").json(json!({ "n": 1 }))).await?;
            Ok(json!({ "status": answer.status, "body": answer.body }))
        }),
        Workflow::new("kit-publish", async |step, input: Url| step.publish("mail", Message::to(input.url).body(json!({ "n": 1 }))).await),
        resume(kit.clone()),
        again(kit.clone()),
        trigger(kit.clone()),
    ]
}

#[derive(Deserialize)]
struct Url {
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Until {
    until_ms: u64,
}

/// A step that returns a value.
async fn give(step: &Step, kit: &Kit, name: &str, value: Value) -> tikku::Result<Value> {
    let body = async |ctx| {
        kit.begin(&ctx);
        Ok(value)
    };
    step.run(name, body).await
}

fn sleep(kit: Kit) -> Workflow {
    #[derive(Deserialize)]
    struct For {
        #[serde(default = "second")]
        ms: u64,
    }
    fn second() -> u64 {
        1000
    }
    Workflow::new("kit-sleep", move |step: Step, input: For| {
        let kit = kit.clone();
        async move {
            step.sleep("nap", Duration::from_millis(input.ms)).await?;
            give(&step, &kit, "after", "awake".into()).await
        }
    })
}

fn sleep_until(kit: Kit) -> Workflow {
    Workflow::new("kit-sleep-until", move |step: Step, input: Until| {
        let kit = kit.clone();
        async move {
            step.sleep_until("nap", UNIX_EPOCH + Duration::from_millis(input.until_ms)).await?;
            give(&step, &kit, "after", "awake".into()).await
        }
    })
}

async fn go(step: &Step) -> tikku::Result<Value> {
    Ok(step.wait_for_signal("go").timeout(MINUTE).await?.unwrap_or_else(|| "timeout".into()))
}

fn signal_then_step(kit: Kit) -> Workflow {
    Workflow::new("kit-signal-then-step", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            give(&step, &kit, "before", 1.into()).await?;
            let signal = step.wait_for_signal("go").await?;
            Ok(json!({ "got": give(&step, &kit, "after", signal).await? }))
        }
    })
}

async fn tree(step: &Step) -> tikku::Result<Vec<Value>> {
    let left = async { step.wait_for_signal("left").await };
    let right = async {
        match select(step.wait_for_signal("right"), step.sleep("limit", MINUTE)).await {
            Either::Left((signal, _)) => signal,
            Either::Right((slept, _)) => slept.map(|_| "limit".into()),
        }
    };
    step.all([Either::Left(left), Either::Right(right)]).await
}

fn event() -> Workflow {
    #[derive(Deserialize)]
    struct Invoice {
        #[serde(default = "first")]
        id: String,
    }
    fn first() -> String {
        "inv_1".to_owned()
    }
    Workflow::new("kit-event", async |step, input: Invoice| {
        let wait = step.wait_for_event::<Value>("paid", "invoice.paid").matching("data.id", input.id).timeout(MINUTE);
        let event: Option<Event> = wait.await?;
        Ok(event.map_or_else(|| "timeout".into(), |event| json!(event)))
    })
}

fn approval() -> Workflow {
    Workflow::new("kit-approval", async |step, _: Value| {
        let ok = step.approval("ok").role("admin").schema(json!({ "type": "object" })).title("Ship it?");
        let decision = ok.timeout(MINUTE * 1440).await?;
        Ok(decision.map_or_else(|| "timeout".into(), |it| json!({ "approved": it.approved, "data": it.data })))
    })
}

fn child() -> Workflow {
    #[derive(Deserialize)]
    struct Sub {
        #[serde(default = "sequence")]
        workflow: String,
        #[serde(default)]
        input: Value,
    }
    fn sequence() -> String {
        SEQUENCE.as_str().to_owned()
    }
    Workflow::new("kit-child", async |step, input: Sub| {
        let child: tikku::Result<Value> = step.invoke("sub", input.workflow, input.input).await;
        Ok(match child {
            Ok(output) => json!({ "output": output }),
            Err(failure) => json!({ "failed": failure.name, "message": failure.message, "runId": failure.run_id }),
        })
    })
}

#[derive(Deserialize)]
struct Count {
    n: Option<u64>,
}

async fn children(step: Step, input: Count) -> tikku::Result<Vec<Value>> {
    step.all((0..input.n.unwrap_or(3)).map(|i| step.invoke("sub", SEQUENCE, json!({ "i": i })))).await
}

fn resume(kit: Kit) -> Workflow {
    Workflow::new("kit-resume", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            let link = give(&step, &kit, "link", step.resume_url("go").into()).await?;
            let got: Value = step.wait_for_signal("go").await?;
            Ok(json!({ "url": link, "got": got }))
        }
    })
}

fn again(kit: Kit) -> Workflow {
    Workflow::new("kit-continue", move |step: Step, input: Count| {
        let kit = kit.clone();
        async move {
            let count = give(&step, &kit, "count", input.n.unwrap_or(1).into()).await?;
            match count.as_u64() {
                Some(n) if n > 0 => step.continue_as_new(json!({ "n": n - 1 })).await,
                _ => Ok("end"),
            }
        }
    })
}

fn trigger(kit: Kit) -> Workflow {
    let workflow = Workflow::new("kit-trigger", move |step: Step, input: Triggered| {
        let kit = kit.clone();
        async move { give(&step, &kit, "seen", input.event.data).await }
    });
    workflow.trigger_where("kit.started", [("data.kit", true)]).concurrency(2, Per::Key("input.event.data.id"))
}
