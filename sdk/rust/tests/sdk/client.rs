//! The client against scripted answers: what it sends, what it makes of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use tikku::{ClientError, Host, Message, NoAnswer, Published, Start, Tikku, WorkflowName};

type Sent = (String, String, Value);

/// Answers in order, status 0 being none; notes what was sent.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Host for Scripted {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, NoAnswer>> {
        assert_eq!(request.headers()["authorization"], "Bearer tk_test");
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        self.sent.lock().unwrap().push((request.method().to_string(), request.uri().to_string(), body));
        let (status, answer) = self.answers.lock().unwrap().remove(0);
        let response = Response::builder().status(status).body(Bytes::from(answer.to_string()));
        std::future::ready(response.map_err(|_| NoAnswer("refused".to_owned()))).boxed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn unix_ms(&self) -> u64 {
        0
    }
}

fn scripted(answers: Vec<(u16, Value)>) -> (Tikku, Scripted) {
    let host = Scripted { answers: Arc::new(Mutex::new(answers)), ..Scripted::default() };
    (Tikku::with_host("https://tikku.example/", "tk_test", host.clone()), host)
}

const DOUBLE: WorkflowName<u64, u64> = WorkflowName::new("double");

#[tokio::test(start_paused = true)]
async fn a_run_is_started_signalled_and_followed_to_its_end() {
    let over = json!({ "id": "run_2", "status": "completed", "output": 4 });
    let (tikku, host) = scripted(vec![
        (503, json!({})),
        (202, json!({ "id": "run_1", "status": "queued" })),
        (202, json!({})),
        (200, json!({ "id": "run_1", "status": "waiting" })),
        (200, json!({ "id": "run_1", "status": "completed", "output": null, "continuedBy": "run_2" })),
        (200, over),
    ]);
    let run = tikku.start(DOUBLE, &2, Start::id("my-1")).await.unwrap();
    run.signal("go on", &json!({ "x": 1 })).await.unwrap();
    assert_eq!(run.result(Duration::from_secs(5)).await.unwrap(), 4);
    let sent = host.sent.lock().unwrap();
    let start = ("POST".to_owned(), "https://tikku.example/v1/workflows/double/runs".to_owned(), json!({ "id": "my-1", "input": 2 }));
    assert_eq!(sent[..2], [start.clone(), start]);
    assert_eq!(sent[2].1, "https://tikku.example/v1/runs/run_1/signals/go%20on");
    assert_eq!((sent[3].0.as_str(), sent[3].1.as_str()), ("GET", "https://tikku.example/v1/runs/run_1"));
    assert_eq!(sent[5].1, "https://tikku.example/v1/runs/run_2", "the run that continued it");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_and_a_refusal_are_errors_with_their_reasons() {
    let failed = json!({ "id": "run_1", "status": "failed", "error": { "name": "PayError", "message": "declined" } });
    let (tikku, _) = scripted(vec![(200, failed)]);
    let Err(ClientError::Run(failure)) = tikku.run::<u64>("run_1").result(Duration::ZERO).await else { panic!("a failure") };
    assert_eq!(failure.name, "PayError");

    let problem = json!({ "type": "urn:tikku:problem:not-found", "title": "Not found", "status": 404, "detail": "no such run" });
    let (tikku, _) = scripted(vec![(404, problem)]);
    let Err(ClientError::Refused { status, kind, detail }) = tikku.run::<u64>("run_2").view().await else { panic!("a refusal") };
    assert_eq!((status.as_u16(), kind.as_str(), detail.as_str()), (404, "urn:tikku:problem:not-found", "no such run"));

    let (tikku, _) = scripted(vec![(200, json!({ "id": "run_1", "status": "paused" }))]);
    let Err(ClientError::NotOver(status)) = tikku.run::<u64>("run_1").result(Duration::ZERO).await else { panic!("not over") };
    assert_eq!(status, "paused");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_published_as_the_api_takes_it() {
    let (tikku, host) = scripted(vec![(0, json!({})), (202, json!({ "id": "msg_1", "status": "scheduled" }))]);
    let message = Message::to("https://example.com/x").body(json!({ "n": 1 })).delay(Duration::from_millis(1500)).field("label", "a");
    let Published::One(accepted) = tikku.publish(&message).await.unwrap() else { panic!("one message") };
    assert_eq!((accepted.id.as_str(), accepted.status.as_str()), ("msg_1", "scheduled"));
    let expected = json!({ "url": "https://example.com/x", "body": { "n": 1 }, "delaySeconds": 2, "label": "a" });
    assert_eq!(host.sent.lock().unwrap()[1].2, expected);
}
