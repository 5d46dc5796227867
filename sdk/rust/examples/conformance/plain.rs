//! Workflows of plain steps, and `kit-diverge`.

use std::time::Duration;

use futures_util::future::{Either, select, try_join, try_join3};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tikku::{Step, StepError, Workflow};

use crate::kit::Kit;

#[derive(Deserialize, Serialize)]
struct N {
    n: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Times {
    left_ms: u64,
    middle_ms: u64,
    right_ms: u64,
    fast_ms: u64,
    slow_ms: u64,
    ms: u64,
}

#[derive(Deserialize)]
struct Many {
    #[serde(default = "three")]
    n: u64,
    #[serde(default)]
    ms: u64,
    #[serde(default)]
    bytes: usize,
}

fn three() -> u64 {
    3
}

#[derive(Deserialize, Serialize)]
struct Padded {
    i: u64,
    pad: String,
}

/// A step that takes so long and returns its own name.
async fn named(step: &Step, kit: &Kit, name: &str, ms: u64) -> tikku::Result<String> {
    let body = async |ctx| {
        kit.take(&ctx, ms).await;
        Ok::<_, StepError>(name.to_owned())
    };
    step.run(name, body).await
}

pub fn workflows(kit: &Kit) -> Vec<Workflow> {
    vec![
        sequence(kit.clone()),
        parallel(kit.clone()),
        race(kit.clone()),
        values(kit.clone()),
        void(kit.clone()),
        long(kit.clone()),
        wide(kit.clone()),
        slow(kit.clone()),
        input(kit.clone()),
        Workflow::new("kit-versions", async |_step, _: Value| Ok("two")).version("2"),
        Workflow::new("kit-versions", async |_step, _: Value| Ok("one")),
        Workflow::new("kit-random", async |step, _: Value| Ok(json!({ "random": step.random(), "id": step.uuid() }))),
        diverge(kit.clone()),
    ]
}

fn sequence(kit: Kit) -> Workflow {
    Workflow::new("kit-sequence", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            let next = |name: &'static str, n: u64| {
                let kit = &kit;
                step.run(name, async move |ctx| {
                    kit.begin(&ctx);
                    Ok(N { n: n + 1 })
                })
            };
            let a = next("a", 0).await?;
            let b = next("b", a.n).await?;
            next("c", b.n).await
        }
    })
}

fn parallel(kit: Kit) -> Workflow {
    Workflow::new("kit-parallel", move |step: Step, input: Option<Times>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            let left = named(&step, &kit, "left", input.left_ms);
            let middle = named(&step, &kit, "middle", input.middle_ms);
            let right = named(&step, &kit, "right", input.right_ms);
            try_join3(left, middle, right).await
        }
    })
}

fn race(kit: Kit) -> Workflow {
    Workflow::new("kit-race", move |step: Step, input: Option<Times>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            let fast = Box::pin(named(&step, &kit, "fast", input.fast_ms));
            let slow = Box::pin(named(&step, &kit, "slow", input.slow_ms));
            let winner = match select(fast, slow).await {
                Either::Left((winner, _)) | Either::Right((winner, _)) => winner?,
            };
            let after = step.run("after", async |ctx| {
                kit.begin(&ctx);
                Ok(format!("after {winner}"))
            });
            Ok(json!({ "after": after.await?, "winner": winner }))
        }
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Given {
    value: Value,
}

fn values(kit: Kit) -> Workflow {
    Workflow::new("kit-values", move |step: Step, input: Option<Given>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            step.run("echo", async |ctx| {
                kit.begin(&ctx);
                Ok(input.value)
            })
            .await
        }
    })
}

fn void(kit: Kit) -> Workflow {
    Workflow::new("kit-void", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            step.run("nothing", async |ctx| {
                kit.begin(&ctx);
                Ok(())
            })
            .await
        }
    })
}

fn long(kit: Kit) -> Workflow {
    Workflow::new("kit-long", move |step: Step, input: Many| {
        let kit = kit.clone();
        async move {
            let mut sum = 0;
            for i in 0..input.n {
                let kit = &kit;
                let padded: Padded = step
                    .run("s", async move |ctx| {
                        kit.take(&ctx, input.ms).await;
                        Ok(Padded { i, pad: "x".repeat(input.bytes) })
                    })
                    .await?;
                sum += padded.i;
            }
            Ok(json!({ "sum": sum }))
        }
    })
}

fn wide(kit: Kit) -> Workflow {
    Workflow::new("kit-wide", move |step: Step, input: Many| {
        let kit = kit.clone();
        async move {
            let kit = &kit;
            let one = |i: u64| {
                step.run("w", async move |ctx| {
                    kit.take(&ctx, input.ms).await;
                    Ok(i)
                })
            };
            let all: Vec<u64> = step.all((0..input.n).map(one)).await?;
            Ok(json!({ "sum": all.iter().sum::<u64>() }))
        }
    })
}

fn slow(kit: Kit) -> Workflow {
    Workflow::new("kit-slow", move |step: Step, input: Option<Times>| {
        let (kit, input) = (kit.clone(), input.unwrap_or_default());
        async move {
            named(&step, &kit, "slow", input.ms).await?;
            named(&step, &kit, "after", 0).await
        }
    })
}

fn input(kit: Kit) -> Workflow {
    // serde reads a struct from a list, too; one with a flattened field only from an object.
    #[derive(Deserialize)]
    struct Number {
        n: serde_json::Number,
        #[serde(flatten)]
        _more: serde_json::Map<String, Value>,
    }
    Workflow::new("kit-input", move |step: Step, input: Number| {
        let kit = kit.clone();
        async move {
            step.run("double", async |ctx| {
                kit.begin(&ctx);
                let whole = input.n.as_i64().map(|n| Value::from(n * 2));
                Ok(whole.unwrap_or_else(|| Value::from(input.n.as_f64().unwrap_or_default() * 2.0)))
            })
            .await
        }
    })
}

fn diverge(kit: Kit) -> Workflow {
    Workflow::new("kit-diverge", move |step: Step, _: Value| {
        let kit = kit.clone();
        async move {
            let mut gave = Vec::new();
            for name in kit.shape() {
                if let Some(sleep) = name.strip_prefix("sleep:") {
                    step.sleep(sleep, Duration::from_secs(60)).await?;
                    gave.push(None);
                } else {
                    gave.push(Some(named(&step, &kit, &name, 0).await?));
                }
            }
            Ok(gave)
        }
    })
}

/// Two futures that end together, the first failure ends both.
pub async fn both<A, B>(a: impl Future<Output = tikku::Result<A>>, b: impl Future<Output = tikku::Result<B>>) -> tikku::Result<(A, B)> {
    try_join(Box::pin(a), Box::pin(b)).await
}
