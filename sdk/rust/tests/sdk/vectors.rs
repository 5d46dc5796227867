//! The shared vectors (tests/vectors, README.md there): replay, signatures, resume URLs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, select_all};
use futures_util::{FutureExt, TryFutureExt};
use http::HeaderMap;
use serde_json::{Value, json};
use tikku::{Checkpoint, Serve, Step, StepError, Webhook, Workflow};

use crate::engine::{Engine, NOW_SECONDS};

pub fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

type Bodies = Arc<Mutex<Vec<String>>>;

fn programs(list: &Value) -> Vec<Value> {
    list.as_array().unwrap().clone()
}

/// Does the statements of a program one after the other.
fn play(step: Step, bodies: Bodies, program: Value) -> BoxFuture<'static, tikku::Result<Value>> {
    async move {
        let mut values = Vec::new();
        for statement in programs(&program) {
            values.push(play_one(&step, &bodies, &statement).await?);
        }
        Ok(Value::Array(values))
    }
    .boxed()
}

async fn play_one(step: &Step, bodies: &Bodies, statement: &Value) -> tikku::Result<Value> {
    let branch = |program: Value| play(step.clone(), bodies.clone(), program);
    if let Some(name) = statement["run"].as_str() {
        let body = async |ctx: tikku::StepContext| {
            bodies.lock().unwrap().push(ctx.key);
            match statement["throws"].as_str() {
                Some(message) => Err(StepError::from(message)),
                None => Ok(statement["returns"].clone()),
            }
        };
        return step.run(name, body).max_attempts(1).await;
    }
    if let Some(name) = statement["sleep"].as_str() {
        return step.sleep(name, Duration::from_millis(statement["ms"].as_u64().unwrap())).await.map(|_| Value::Null);
    }
    if let Some(name) = statement["signal"].as_str() {
        return match statement["timeoutMs"].as_u64() {
            None => step.wait_for_signal(name).await,
            Some(ms) => Ok(step.wait_for_signal(name).timeout(Duration::from_millis(ms)).await?.unwrap_or_else(|| "timeout".into())),
        };
    }
    if let Some(name) = statement["child"].as_str() {
        return step.invoke(name, statement["workflow"].as_str().unwrap(), Value::Null).await;
    }
    if statement["all"].is_array() {
        return step.all(programs(&statement["all"]).into_iter().map(branch)).map_ok(Value::Array).await;
    }
    if statement["any"].is_array() {
        let (value, index, _) = select_all(programs(&statement["any"]).into_iter().map(branch)).await;
        return Ok(json!({ "branch": index, "value": value? }));
    }
    match branch(statement["try"].clone()).await {
        Ok(value) => Ok(json!({ "value": value })),
        Err(failure) => Ok(json!({ "caught": failure.message, "value": branch(statement["catch"].clone()).await? })),
    }
}

/// Whether `got` has all that `expected` has.
fn covers(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Object(got), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| covers(got.get(name).unwrap_or(&Value::Null), value))
        }
        _ => got == expected,
    }
}

fn leaves(tree: &Value) -> Vec<String> {
    match tree {
        Value::String(key) => vec![key.clone()],
        Value::Object(node) => node.values().flat_map(|branches| branches.as_array().unwrap().iter().flat_map(leaves)).collect(),
        _ => Vec::new(),
    }
}

fn serve(program: &Value, bodies: &Bodies, engine: &Engine) -> Serve {
    let (program, bodies) = (program.clone(), bodies.clone());
    let workflow = Workflow::new("vector", move |step: Step, _: Value| play(step, bodies.clone(), program.clone()));
    engine.serve(workflow, Checkpoint::Return)
}

#[tokio::test]
async fn every_replay_of_the_vectors_does_what_it_must() {
    for case in cases("replay") {
        let name = case["name"].as_str().unwrap();
        let engine = Engine::new(programs(&case["journal"]));
        let pending = case["pending"].as_array().cloned().unwrap_or_default();
        let planned = |op: &&Value| op["op"] == "sleep" && pending.iter().any(|plan| plan["key"] == op["key"]);
        engine.state().pending = pending.iter().map(|plan| (plan["key"].as_str().unwrap().to_owned(), plan.clone())).collect();
        engine.state().accept = case["accept"].as_u64().unwrap_or_default();
        let bodies = Bodies::default();
        let reply = engine.dispatch(&serve(&case["program"], &bodies, &engine), "vector", &Value::Null).await;
        let expect = &case["expect"];
        assert_eq!(json!(*bodies.lock().unwrap()), expect["bodies"], "{name}");
        // A pending sleep is told again: the engine moves its end if its length has changed (docs/protocol.md, op `sleep`).
        let ops: Vec<&Value> = reply["ops"].as_array().unwrap().iter().filter(|op| !planned(op)).collect();
        let expected = expect["ops"].as_array().unwrap();
        assert_eq!(ops.len(), expected.len(), "{name}: {reply}");
        for op in expected {
            assert!(ops.iter().any(|got| covers(got, op)), "{name}: {op} is not in {reply}");
        }
        if let Some(awaits) = expect["awaits"].as_array() {
            let mut got = leaves(&reply["await"]);
            got.sort();
            assert_eq!(json!(got), json!(awaits), "{name}");
        }
    }
}

#[test]
fn every_signature_of_the_vectors_is_judged_rightly() {
    for case in cases("signatures") {
        let mut headers = HeaderMap::new();
        for (header, field) in [("webhook-id", "id"), ("webhook-timestamp", "timestamp"), ("webhook-signature", "signature")] {
            if let Some(text) = case[field].as_str() {
                headers.insert(header, text.parse().unwrap());
            }
        }
        let webhook = Webhook::new(case["secret"].as_str().unwrap()).unwrap();
        let verdict = webhook.verify_at(&headers, case["body"].as_str().unwrap().as_bytes(), case["nowSeconds"].as_i64().unwrap());
        assert_eq!(verdict.is_ok(), case["ok"].as_bool().unwrap(), "{}: {verdict:?}", case["name"]);
    }
}

#[tokio::test]
async fn every_resume_url_of_the_vectors_has_its_token() {
    for case in cases("resume") {
        let engine = Engine::new(Vec::new());
        let name = case["name"].as_str().unwrap().to_owned();
        let workflow = Workflow::new("link", move |step: Step, ()| std::future::ready(Ok(step.resume_url(&name))));
        let mut invoke = engine.invoke("link", &Value::Null, "http://engine");
        invoke["engine"]["resumeKey"] = case["resumeKey"].clone();
        let response = engine.serve(workflow, Checkpoint::Return).answer(Engine::signed(&invoke, NOW_SECONDS)).await;
        let reply: Value = serde_json::from_slice(response.body()).unwrap();
        let url = reply["ops"][0]["value"].as_str().unwrap();
        let (address, token) = url.split_once("?token=").unwrap();
        assert_eq!(token, case["token"].as_str().unwrap(), "{url}");
        assert!(address.starts_with("http://engine/resume/") && !address.contains([' ', '#']), "{url}");
    }
}
