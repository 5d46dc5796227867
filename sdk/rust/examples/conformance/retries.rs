//! Workflows whose steps fail.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tikku::{AiUsage, Backoff, Failure, Step, StepContext, StepError, Workflow, ai};

use crate::kit::Kit;
use crate::plain::both;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Failures {
    failures: u32,
    max_attempts: u32,
}

impl Default for Failures {
    fn default() -> Self {
        Self { failures: 1, max_attempts: 3 }
    }
}

pub fn workflows(kit: &Kit) -> Vec<Workflow> {
    vec![
        retry(kit.clone()),
        nonretriable(kit.clone()),
        retry_after(kit.clone()),
        try_catch(kit.clone()),
        catch_parallel(kit.clone()),
        Workflow::new("kit-fail", async |_step, _: Value| Err::<(), _>(broken())),
        llm(kit.clone()),
    ]
}

fn broken() -> Failure {
    Failure::new("FlowError", "broken").with_code("E_FLOW").with_data(json!({ "a": 1 })).with_cause(Failure::new("RootError", "root"))
}

fn retry(kit: Kit) -> Workflow {
    Workflow::new("kit-retry", move |step: Step, input: Option<Failures>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            let flaky = async |ctx: StepContext| {
                kit.begin(&ctx);
                let k = ctx.attempt;
                if k > input.failures {
                    return Ok(json!({ "attempt": k }));
                }
                let failure = Failure::new("FlakyError", format!("attempt {k}")).with_code("E_FLAKY").with_data(json!({ "k": k }));
                Err(failure.with_cause(Failure::new("RootError", "root")).into())
            };
            step.run("flaky", flaky).max_attempts(input.max_attempts).backoff(Backoff::fixed(SECOND)).await
        }
    })
}

fn nonretriable(kit: Kit) -> Workflow {
    Workflow::new("kit-nonretriable", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            step.run("fatal", async |ctx| {
                kit.begin(&ctx);
                Err::<(), _>(StepError::non_retriable("no more"))
            })
            .await
        }
    })
}

fn retry_after(kit: Kit) -> Workflow {
    Workflow::new("kit-retry-after", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            step.run(
                "limited",
                async |ctx| {
                    if kit.begin(&ctx) { Err(StepError::retry_after(SECOND * 20, "slow down")) } else { Ok("ok".to_owned()) }
                },
            )
            .await
        }
    })
}

fn try_catch(kit: Kit) -> Workflow {
    Workflow::new("kit-trycatch", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            let pay = step.run("pay", async |ctx| {
                kit.begin(&ctx);
                Err::<String, StepError>(Failure::new("PayError", "declined").into())
            });
            match pay.max_attempts(2).backoff(Backoff::fixed(SECOND)).await {
                Ok(paid) => Ok(paid),
                Err(failure) => undo(&step, &kit, "undo", failure).await,
            }
        }
    })
}

/// A step that returns its name and the error's message.
async fn undo(step: &Step, kit: &Kit, name: &str, failure: Failure) -> tikku::Result<String> {
    let body = async |ctx| {
        kit.begin(&ctx);
        Ok(format!("{name} {}", failure.message))
    };
    step.run(name, body).await
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Good {
    ok_ms: u64,
}

fn catch_parallel(kit: Kit) -> Workflow {
    Workflow::new("kit-catch-parallel", move |step: Step, input: Option<Good>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            let bad = step.run("bad", async |ctx| {
                kit.begin(&ctx);
                Err::<String, StepError>(Failure::new("BadError", "bad").into())
            });
            let good = step.run("good", async |ctx| {
                kit.take(&ctx, input.ok_ms).await;
                Ok("good".to_owned())
            });
            match both(bad.max_attempts(1), good).await {
                Ok(_) => Ok("nothing failed".to_owned()),
                Err(failure) => undo(&step, &kit, "after", failure).await,
            }
        }
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Throttle {
    throttle: bool,
}

fn llm(kit: Kit) -> Workflow {
    Workflow::new("kit-ai", move |step: Step, input: Option<Throttle>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            let answer: Value = step
                .ai("llm", async |ctx| {
                    if kit.begin(&ctx) && input.throttle {
                        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("20"))]);
                        return Err(ai::refused(StatusCode::TOO_MANY_REQUESTS, &headers, "slow down", 0));
                    }
                    ctx.record_usage(AiUsage { model: "kit-1".to_owned(), input_tokens: 12, output_tokens: 34, cost_usd: None });
                    Ok(json!({ "model": "kit-1", "text": "hello", "usage": { "input_tokens": 12, "output_tokens": 34 } }))
                })
                .await?;
            Ok(answer["text"].clone())
        }
    })
}
