//! Messages that start runs, in every way there is to publish one, and calls that the engine makes for a step. The workflows' endpoint answers by script.

use serde_json::{Value, json};

use super::{SOON, assert_signed, attempts, one_second, statuses};
use crate::api::Api;
use crate::endpoint::{Ending, Endpoint, Received, Reply};
use crate::host::{ALL, Deployment, on};

/// An endpoint's answer to the engine.
fn says(answer: &Value) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(answer.to_string())
}

fn done() -> Reply {
    says(&json!({ "v": 1, "ops": [{ "op": "done", "value": "ok" }] }))
}

/// A workflow of its own for each use, and the endpoint that serves it.
struct Flow {
    name: String,
    endpoint: Endpoint,
}

impl Flow {
    fn new() -> Flow {
        let endpoint = Endpoint::new();
        let name = endpoint.url().rsplit('/').next().unwrap().to_owned();
        Flow { name, endpoint }
    }

    /// Registers the endpoint; it answers dispatches by this script.
    async fn serve(&self, api: &Api, replies: impl IntoIterator<Item = Reply>) {
        let described = json!({ "v": 1, "sdk": "test/0", "checkpoint": "return", "workflows": [{ "name": self.name }] });
        self.endpoint.script([says(&described)].into_iter().chain(replies));
        let app = api.put(&format!("/v1/apps/{}", self.name), &json!({ "url": self.endpoint.url() })).await.expect(201).json();
        assert_eq!(app["workflows"][0]["name"], json!(self.name), "{app:#}");
    }

    /// What was dispatched so far, when it is `n` requests.
    async fn dispatched(&self, n: usize) -> Vec<Received> {
        // The first request is describe.
        self.endpoint.wait(n + 1, SOON).await.split_off(1)
    }

    /// The inputs of `n` runs that were dispatched once each, in the order of their text.
    async fn inputs(&self, n: usize) -> Vec<Value> {
        let mut inputs: Vec<Value> = self.dispatched(n).await.iter().map(|push| invoke(push)["input"].clone()).collect();
        inputs.sort_by_key(Value::to_string);
        inputs
    }
}

fn invoke(push: &Received) -> Value {
    let body: Value = serde_json::from_slice(&push.body).unwrap();
    assert_eq!(body["kind"], "invoke", "{body:#}");
    body
}

/// The run that a delivered message started.
#[track_caller]
fn run_of(message: &Value) -> String {
    let attempt = &attempts(message)[0];
    assert_eq!((&message["status"], &attempt["responseStatus"]), (&json!("delivered"), &json!(202)), "{message:#}");
    let body: Value = serde_json::from_str(attempt["responseBody"].as_str().unwrap()).unwrap();
    assert!(body["status"].is_string(), "{body}");
    body["id"].as_str().unwrap().to_owned()
}

async fn delivered(d: &Deployment, id: &str) -> Value {
    d.api.until(id, "delivered", SOON).await
}

#[test]
fn a_message_starts_a_run_with_its_body_as_the_input() {
    on(ALL, async |d| {
        let flow = Flow::new();
        flow.serve(&d.api, [done()]).await;
        let order =
            json!({ "workflow": flow.name, "body": { "id": 1, "text": "\u{0}é" }, "labels": ["orders"], "idempotencyKey": flow.name });
        let id = d.api.publish(&order).await;
        let message = delivered(d, &id).await;
        assert_eq!(
            (&message["workflow"], &message["url"], &message["body"]),
            (&json!(flow.name), &Value::Null, &order["body"]),
            "{message:#}"
        );
        let run = run_of(&message);
        let push = flow.dispatched(1).await.remove(0);
        assert_signed(d, &push);
        let invoked = invoke(&push);
        assert_eq!((&invoked["run"]["id"], &invoked["input"], &invoked["workflow"]), (&json!(run), &order["body"], &json!(flow.name)));
        let listed = d.api.get(&format!("/v1/messages?url=workflow:{}", flow.name)).await.expect(200).json();
        assert_eq!(listed["data"][0]["id"], json!(id), "{listed:#}");
        assert_eq!(d.api.publish(&order).await, id, "the same key is the same message");
        let shown = d.api.get(&format!("/v1/runs/{run}")).await.expect(200).json();
        assert_eq!(
            (&shown["startedHow"], &shown["source"], &shown["labels"]),
            (&json!("message"), &json!(id), &json!(["orders"])),
            "{shown:#}"
        );
        assert_eq!(flow.endpoint.count(), 2);
    });
}

#[test]
fn a_batch_a_raw_publish_a_fanout_and_a_callback_start_runs_too() {
    on(ALL, async |d| {
        let (flow, hook) = (Flow::new(), Endpoint::new());
        flow.serve(&d.api, [done()]).await;
        let batch = json!({ "messages": [{ "workflow": flow.name, "body": 1 }, { "workflow": ".no" }, { "workflow": flow.name }] });
        let results = d.api.post("/v1/messages/batch", &batch).await.expect(207).json();
        assert_eq!(
            (&results["results"][0]["status"], &results["results"][1]["problem"]["status"]),
            (&json!("queued"), &json!(400)),
            "{results:#}"
        );

        let raw = format!("/v1/publish/workflow:{}", flow.name);
        d.api.send("POST", &raw, Some(b"[2]".to_vec())).await.expect(202);
        assert_eq!(d.api.send("POST", &raw, Some(b"a=b".to_vec())).await.problem(400)["errors"][0]["pointer"], "body");

        let endpoints = json!({ "endpoints": [{ "workflow": flow.name }, { "url": hook.url() }] });
        d.api.put(&format!("/v1/fanouts/{}", flow.name), &endpoints).await.expect(201);
        let fanned =
            d.api.post("/v1/messages", &json!({ "fanout": flow.name, "body": 3, "headers": { "x-a": "b" } })).await.expect(202).json();
        assert_eq!(
            (&fanned["messages"][0]["workflow"], &fanned["messages"][1]["url"]),
            (&json!(flow.name), &json!(hook.url())),
            "{fanned:#}"
        );
        hook.only(SOON).await;

        let told = Flow::new();
        told.serve(&d.api, [done()]).await;
        let id = d.api.publish(&json!({ "url": hook.url(), "callbackWorkflow": told.name })).await;
        let body = told.inputs(1).await.remove(0);
        assert_eq!((&body["messageId"], &body["status"], &body["response"]["status"]), (&json!(id), &json!("delivered"), &json!(200)));

        let failed = Flow::new();
        failed.serve(&d.api, [done()]).await;
        let gone = Endpoint::scripted([Reply::status(410)]);
        let id = d.api.publish(&json!({ "url": gone.url(), "failureCallbackWorkflow": failed.name })).await;
        let body = failed.inputs(1).await.remove(0);
        assert_eq!((&body["messageId"], &body["status"]), (&json!(id), &json!("failed")));

        assert_eq!(flow.inputs(4).await, [json!(1), json!(3), json!([2]), Value::Null], "one run for each");
    });
}

#[test]
fn a_workflow_that_nobody_serves_waits_as_a_message_does() {
    on(ALL, async |d| {
        let flow = Flow::new();
        let id = d.api.publish(&json!({ "workflow": flow.name, "maxAttempts": 2, "backoff": one_second() })).await;
        let message = d.api.until(&id, "failed", SOON).await;
        assert_eq!(statuses(&message), [Value::Null, Value::Null]);
        assert!(attempts(&message)[0]["error"].as_str().unwrap().contains(&flow.name), "{message:#}");
        flow.serve(&d.api, [done()]).await;
        d.api.act(&format!("/v1/messages/{id}/retry")).await.expect(200);
        let message = delivered(d, &id).await;
        assert_eq!(statuses(&message)[2], json!(202));
        flow.dispatched(1).await;
    });
}

#[test]
fn a_schedule_starts_runs_with_its_input() {
    on(ALL, async |d| {
        let flow = Flow::new();
        flow.serve(&d.api, [done()]).await;
        let schedule = json!({ "name": flow.name, "cron": "0 0 1 1 *", "workflow": flow.name, "input": { "kind": "full" } });
        let made = d.api.post("/v1/schedules", &schedule).await.expect(201).json();
        assert_eq!(
            (&made["workflow"], &made["input"], &made["url"]),
            (&schedule["workflow"], &schedule["input"], &Value::Null),
            "{made:#}"
        );
        let ran = d.api.act(&format!("/v1/schedules/{}/run", flow.name)).await.expect(202).json();
        let message = delivered(d, ran["messages"][0]["id"].as_str().unwrap()).await;
        assert_eq!(ran["messages"][0]["workflow"], schedule["workflow"]);
        assert_eq!(flow.inputs(1).await, [schedule["input"].clone()]);
        let shown = d.api.get(&format!("/v1/runs/{}", run_of(&message))).await.expect(200).json();
        assert_eq!((&shown["startedHow"], &shown["source"]), (&json!("schedule"), &made["id"]), "{shown:#}");
    });
}

/// What a run does that makes one call and ends when it is over.
fn fetches(request: &Value) -> Vec<Reply> {
    let op = json!({ "op": "fetch", "key": "call#0", "request": request });
    vec![says(&json!({ "v": 1, "ops": [op], "await": "call#0" })), done()]
}

/// The journal's entry of the call, as the run is dispatched with it.
async fn entry(flow: &Flow) -> Value {
    let entries = invoke(&flow.dispatched(2).await[1])["journal"]["entries"].clone();
    assert_eq!((&entries[0]["key"], &entries[0]["kind"]), (&json!("call#0"), &json!("fetch")), "{entries:#}");
    entries[0].clone()
}

#[test]
fn a_call_of_a_step_is_unsigned_tried_again_and_its_answer_is_the_result() {
    on(ALL, async |d| {
        let flow = Flow::new();
        let long = "é".repeat(50_000);
        let called = Endpoint::scripted([Reply::status(503), Reply::status(404).header("X-Answer", "yes").body(long.clone())]);
        let request = json!({ "url": called.url(), "method": "POST", "headers": { "x-mine": "1" }, "body": { "a": 1 }, "maxAttempts": 3 });
        flow.serve(&d.api, fetches(&request)).await;
        d.api.publish(&json!({ "workflow": flow.name })).await;
        let entry = entry(&flow).await;
        assert_eq!((&entry["state"], &entry["value"]["status"], &entry["value"]["body"]), (&json!("ok"), &json!(404), &json!(long)));
        assert_eq!(entry["value"]["headers"]["x-answer"], "yes");
        let pushes = called.wait(2, SOON).await;
        let push = &pushes[1];
        assert_eq!((push.method.as_str(), push.header("x-mine"), &push.body[..]), ("POST", Some("1"), &br#"{"a":1}"#[..]));
        assert_eq!(push.header("content-type"), Some("application/json"));
        assert!(push.headers.iter().all(|(name, _)| !name.starts_with("webhook-") && name != "tikku-attempt"), "{:?}", push.headers);
        let run = invoke(&flow.dispatched(1).await[0])["run"]["id"].clone();
        let listed = d.api.get(&format!("/v1/messages?url={}", called.url())).await.expect(200).json();
        assert_eq!((&listed["data"][0]["run"], &listed["data"][0]["step"]), (&run, &json!("call#0")), "{listed:#}");
        let message = d.api.message(listed["data"][0]["id"].as_str().unwrap()).await;
        assert_eq!((&message["status"], attempts(&message)[1]["responseBody"].as_str().unwrap().len()), (&json!("delivered"), 4096));
    });
}

#[test]
fn a_call_without_an_answer_is_an_error_and_a_bad_answer_to_the_last_try_is_a_result() {
    on(ALL, async |d| {
        let (flow, called) = (Flow::new(), Endpoint::scripted([Reply::status(200).ending(Ending::Drop)]));
        flow.serve(&d.api, fetches(&json!({ "url": called.url(), "maxAttempts": 1 }))).await;
        d.api.publish(&json!({ "workflow": flow.name })).await;
        let failed = entry(&flow).await;
        assert_eq!((&failed["state"], &failed["error"]["name"]), (&json!("error"), &json!("FetchError")), "{failed:#}");

        let (flow, called) = (Flow::new(), Endpoint::scripted([Reply::status(500).body(b"\xff".to_vec())]));
        flow.serve(&d.api, fetches(&json!({ "url": called.url(), "maxAttempts": 1 }))).await;
        d.api.publish(&json!({ "workflow": flow.name })).await;
        let last = entry(&flow).await;
        assert_eq!((&last["state"], &last["value"]["status"]), (&json!("ok"), &json!(500)), "{last:#}");
        assert_eq!((&last["value"]["body"], &last["value"]["bodyBase64"]), (&Value::Null, &json!("/w==")));
    });
}

#[test]
fn a_call_that_a_person_cancels_is_an_error_of_its_step() {
    on(ALL, async |d| {
        let (flow, called) = (Flow::new(), Endpoint::scripted([Reply::status(503).header("retry-after", "600")]));
        flow.serve(&d.api, fetches(&json!({ "url": called.url() }))).await;
        d.api.publish(&json!({ "workflow": flow.name })).await;
        called.wait(1, SOON).await;
        let listed = d.api.get(&format!("/v1/messages?url={}", called.url())).await.expect(200).json();
        let id = listed["data"][0]["id"].as_str().unwrap();
        d.api.until(id, "retrying", SOON).await;
        d.api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200);
        d.tick().await;
        let entry = entry(&flow).await;
        assert_eq!((&entry["state"], &entry["error"]["name"]), (&json!("error"), &json!("FetchError")), "{entry:#}");
    });
}

#[test]
fn a_call_of_a_run_that_is_cancelled_is_not_made_again() {
    on(ALL, async |d| {
        let (flow, called) = (Flow::new(), Endpoint::scripted([Reply::status(503).header("retry-after", "3")]));
        flow.serve(&d.api, fetches(&json!({ "url": called.url() }))).await;
        d.api.publish(&json!({ "workflow": flow.name })).await;
        called.wait(1, SOON).await;
        let listed = d.api.get(&format!("/v1/messages?url={}", called.url())).await.expect(200).json();
        let (id, run) = (listed["data"][0]["id"].as_str().unwrap(), listed["data"][0]["run"].as_str().unwrap());
        d.api.until(id, "retrying", SOON).await;
        d.api.act(&format!("/v1/runs/{run}/cancel")).await.expect(200);
        let message = d.api.until(id, "cancelled", SOON).await;
        assert_eq!((called.count(), attempts(&message).len()), (1, 2), "the second attempt says why nothing was sent: {message:#}");
    });
}
