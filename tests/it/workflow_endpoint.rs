//! Test bed: an endpoint that serves one workflow, by script, and the runs of it through the API alone. Out of scope: what SDKs do.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{Answer, Api};
use crate::endpoint::{Endpoint, Received, Reply};

/// Long enough for what should take milliseconds, on a busy machine; shorter than what a lost wake message takes to be handed over again.
const SOON: Duration = Duration::from_secs(60);

/// A JSON answer of an endpoint.
pub fn says(body: &Value) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(body.to_string())
}

/// The answer to describe: these workflows.
pub fn describes(workflows: &Value) -> Reply {
    says(&json!({ "v": 1, "sdk": "test/1", "workflows": workflows }))
}

/// A reply to a dispatch that plans these ops and waits for the tree.
pub fn waits(ops: &Value, awaits: &Value) -> Reply {
    says(&json!({ "v": 1, "have": 0, "ops": ops, "await": awaits }))
}

/// A reply to a dispatch whose last op ends the run, or that asks for another dispatch.
pub fn reports(ops: &Value) -> Reply {
    says(&json!({ "v": 1, "have": 0, "ops": ops }))
}

/// A reply that ends the run with this output.
pub fn completes(value: &Value) -> Reply {
    reports(&json!([{ "op": "done", "value": value }]))
}

/// A reply that waits for a signal of this name.
pub fn awaits_signal(key: &str, name: &str) -> Reply {
    waits(&json!([{ "op": "signal", "key": key, "name": name }]), &json!(key))
}

/// A workflow of its own for each use, the app of the same name, and the endpoint that serves it.
pub struct Flow {
    pub name: String,
    pub endpoint: Endpoint,
    api: Api,
}

impl Flow {
    /// Registers an app whose endpoint answers dispatches by this script; the last entry repeats.
    pub async fn serve(api: &Api, replies: impl IntoIterator<Item = Reply>) -> Flow {
        Flow::serve_as(api, &json!({}), replies).await
    }

    /// The same with these further fields of its description.
    pub async fn serve_as(api: &Api, fields: &Value, replies: impl IntoIterator<Item = Reply>) -> Flow {
        let endpoint = Endpoint::new();
        let name = endpoint.url().rsplit('/').next().unwrap().to_owned();
        let mut workflow = json!({ "name": name });
        workflow.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        endpoint.script([describes(&json!([workflow]))].into_iter().chain(replies));
        let app = api.put(&format!("/v1/apps/{name}"), &json!({ "url": endpoint.url() })).await.expect(201).json();
        assert_eq!(app["describeError"], Value::Null, "{app:#}");
        Flow { name, endpoint, api: api.clone() }
    }

    /// Sends a start.
    pub async fn send(&self, start: &Value) -> Answer {
        self.api.post(&format!("/v1/workflows/{}/runs", self.name), start).await
    }

    /// Starts a run and returns its id.
    pub async fn start(&self, start: &Value) -> String {
        let answer = self.send(start).await.expect(202).json();
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// What was dispatched, when it is at least `n` requests; describe is not counted.
    pub async fn dispatched(&self, n: usize) -> Vec<Received> {
        self.endpoint.wait(n + 1, SOON).await.split_off(1)
    }

    /// The body of the nth dispatch, from 1.
    pub async fn dispatch(&self, n: usize) -> Value {
        let body = self.dispatched(n).await.swap_remove(n - 1).body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["kind"], "invoke", "{body:#}");
        body
    }
}

/// The run with its steps.
pub async fn run(api: &Api, id: &str) -> Value {
    api.get(&format!("/v1/runs/{id}")).await.expect(200).json()
}

/// Waits until the run has this status; fails after a while, or at once when it ended otherwise.
pub async fn until(api: &Api, id: &str, status: &str) -> Value {
    until_within(api, id, status, SOON).await
}

/// The same with another patience.
pub async fn until_within(api: &Api, id: &str, status: &str, limit: Duration) -> Value {
    let begun = Instant::now();
    loop {
        let run = run(api, id).await;
        if run["status"] == status {
            return run;
        }
        let over = ["completed", "failed", "cancelled"].iter().any(|state| run["status"] == *state);
        assert!(!over && begun.elapsed() < limit, "{status} was expected within {limit:?}: {run:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
