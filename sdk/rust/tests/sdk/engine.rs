//! An engine in memory: one run's journal, its checkpoints, and the signed requests to an endpoint. It follows docs/protocol.md as far as the tests need it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use tikku::{Checkpoint, Host, NoAnswer, Serve, Workflow};
use tikku_domain::signing::sign;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const NOW_SECONDS: i64 = 1_795_255_200;

/// What the next checkpoint is answered with, instead of what is right.
pub enum Script {
    /// This status.
    Status(u16),
    /// Nothing: it is recorded, and the answer is lost.
    Lose,
    /// What is right, with these fields.
    With(Value),
}

#[derive(Default)]
pub struct State {
    pub entries: Vec<Value>,
    /// Planned keys with their kind, attempt and wait.
    pub pending: BTreeMap<String, Value>,
    pub script: Vec<Script>,
    /// The requests that came, with the bearer token of each.
    pub checkpoints: Vec<(String, Value)>,
    pub pages: Vec<String>,
    /// Entries that go inline, and on a page.
    pub page_entries: usize,
    pub budget_ms: u64,
    pub accept: u64,
}

#[derive(Clone)]
pub struct Engine(Arc<Mutex<State>>);

impl Engine {
    pub fn new(entries: Vec<Value>) -> Self {
        Self(Arc::new(Mutex::new(State { entries, page_entries: 1000, budget_ms: 30_000, ..State::default() })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Serves one workflow without a network; timers are tokio's.
    pub fn serve(&self, workflow: Workflow, checkpoint: Checkpoint) -> Serve {
        Serve::builder().workflow(workflow).signing_secret(SECRET).checkpoint(checkpoint).host(self.clone()).build().unwrap()
    }

    pub fn invoke(&self, workflow: &str, input: &Value, base: &str) -> Value {
        let state = self.state();
        let pending: Vec<&Value> = state.pending.values().collect();
        json!({
            "v": 1, "kind": "invoke", "app": "test", "workflow": workflow, "version": "1", "input": input,
            "run": { "id": "run_1", "attempt": 1, "seed": "5f0c", "budgetMs": state.budget_ms, "createdAt": "2026-11-21T10:00:00.000Z", "accept": state.accept },
            "fence": { "gen": 1, "token": "1.token" }, "journal": state.page(0), "pending": pending,
            "lease": { "ms": 30_000, "renewMs": 10_000 },
            "engine": { "checkpoint": format!("{base}/checkpoint"), "journal": format!("{base}/journal"), "resume": format!("{base}/resume"), "resumeKey": "ab12" },
            "limits": { "resultBytes": 4_194_304, "steps": 100_000, "inlineBytes": 196_608 }
        })
    }

    /// Signs a request as the engine does.
    pub fn signed(body: &Value, now_seconds: i64) -> Request<Bytes> {
        let body = Bytes::from(body.to_string());
        let signature = sign(&[SECRET.parse().unwrap()], "inv_1_1", now_seconds, &body);
        let request = Request::post("/").header("webhook-id", "inv_1_1").header("webhook-timestamp", now_seconds);
        request.header("webhook-signature", signature).body(body).unwrap()
    }

    /// One dispatch: the reply, whose ops are applied.
    pub async fn dispatch(&self, serve: &Serve, workflow: &str, input: &Value) -> Value {
        let request = Self::signed(&self.invoke(workflow, input, "http://engine"), NOW_SECONDS);
        let response = serve.answer(request).await;
        assert_eq!(response.status(), 200, "{response:?}");
        let reply: Value = serde_json::from_slice(response.body()).unwrap();
        self.state().apply(&reply["ops"]);
        reply
    }

    /// Dispatches until the run is over: its last op, and the number of dispatches.
    pub async fn drive(&self, serve: &Serve, workflow: &str, input: &Value) -> (Value, usize) {
        for dispatches in 1..100 {
            let reply = self.dispatch(serve, workflow, input).await;
            match reply["ops"].as_array().and_then(|ops| ops.last()) {
                Some(op) if op["key"].is_null() => return (op.clone(), dispatches),
                _ => self.state().pass_time(),
            }
        }
        panic!("the run does not end");
    }

    /// Answers a checkpoint or a page.
    pub fn handle(&self, path: &str, query: &str, token: &str, body: &[u8]) -> Option<(u16, Value)> {
        let mut state = self.state();
        if path.ends_with("/journal") {
            let after: usize = query.trim_start_matches("cursor=after-").parse().unwrap();
            state.pages.push(token.to_owned());
            return Some((200, state.page(after)));
        }
        let request: Value = serde_json::from_slice(body).unwrap();
        state.checkpoints.push((token.to_owned(), request.clone()));
        let script = if state.script.is_empty() { Script::With(json!({})) } else { state.script.remove(0) };
        if let Script::Status(status) = script {
            return Some((status, json!({ "type": "urn:tikku:problem:stale", "status": status })));
        }
        let mine = state.apply(&request["ops"]);
        let mut page = state.page(usize::try_from(request["have"].as_u64().unwrap()).unwrap());
        for entry in page["entries"].as_array_mut().unwrap() {
            if mine.contains(&entry["key"].as_str().unwrap().to_owned()) {
                entry.as_object_mut().unwrap().remove("value");
                entry["echo"] = true.into();
            }
        }
        let mut answer = json!({ "v": 1, "journal": page, "signals": [], "pauseRequested": false, "cancelled": false, "leaseMs": 30_000 });
        match script {
            Script::Lose => return None,
            Script::With(Value::Object(fields)) => answer.as_object_mut().unwrap().extend(fields),
            _ => {}
        }
        Some((200, answer))
    }
}

impl State {
    fn page(&self, after: usize) -> Value {
        let end = (after + self.page_entries).min(self.entries.len());
        let next = (end < self.entries.len()).then(|| format!("after-{end}"));
        json!({ "entries": self.entries[after..end], "seq": end, "next": next })
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry["key"] == key)
    }

    /// Records an entry unless there is one.
    pub fn record(&mut self, key: &str, mut entry: Value) -> bool {
        if self.has(key) {
            return false;
        }
        self.pending.remove(key);
        entry["seq"] = (self.entries.len() + 1).into();
        entry["key"] = key.into();
        self.entries.push(entry);
        true
    }

    fn apply(&mut self, ops: &Value) -> Vec<String> {
        let mut recorded = Vec::new();
        for op in ops.as_array().unwrap() {
            let Some(key) = op["key"].as_str() else { continue };
            let kind = op["kind"].as_str().unwrap_or("run");
            let is_new = match op["op"].as_str().unwrap() {
                "result" => self.record(key, json!({ "kind": kind, "state": "ok", "value": op["value"] })),
                "error" if op["retry"].is_null() => self.record(key, json!({ "kind": kind, "state": "error", "error": op["error"] })),
                "error" => {
                    let attempt = op["attempt"].as_u64().unwrap() + u64::from(op["retry"]["free"] != true);
                    let plan = json!({ "key": key, "kind": kind, "attempt": attempt, "waitMs": op["retry"]["afterMs"] });
                    self.pending.insert(key.to_owned(), plan);
                    false
                }
                other => {
                    if !self.has(key) {
                        let plan = json!({ "key": key, "kind": other, "attempt": 1, "waitMs": op["forMs"] });
                        self.pending.entry(key.to_owned()).or_insert(plan);
                    }
                    false
                }
            };
            if is_new {
                recorded.push(key.to_owned());
            }
        }
        recorded
    }

    /// Sleeps end, retries fall due.
    fn pass_time(&mut self) {
        let sleeps: Vec<String> = self.pending.iter().filter(|(_, plan)| plan["kind"] == "sleep").map(|(key, _)| key.clone()).collect();
        for key in sleeps {
            self.record(&key, json!({ "kind": "sleep", "state": "ok", "value": null }));
        }
        for plan in self.pending.values_mut() {
            plan["waitMs"] = if plan["waitMs"].is_null() { Value::Null } else { 0.into() };
        }
    }
}

impl Host for Engine {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, NoAnswer>> {
        let token = request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        let answer = self.handle(&path, &query, &token, request.body());
        async move {
            let (status, body) = answer.ok_or_else(|| NoAnswer("lost".to_owned()))?;
            Ok(Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap())
        }
        .boxed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn unix_ms(&self) -> u64 {
        u64::try_from(NOW_SECONDS).unwrap() * 1000
    }
}
