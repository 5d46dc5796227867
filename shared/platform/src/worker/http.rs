//! Pushes from a Worker, through the runtime's own fetch; stage 3a.
//! Out of scope: pinning a socket to a checked address, which fetch does not offer. The URL is checked once more, redirects are not
//! followed, and the runtime refuses private networks in production.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use tikku_domain::destination::{self, UrlPolicy};
use tikku_domain::message::{Answer, Failure, Outcome, Reply};
use worker::js_sys::Uint8Array;
use worker::send::SendFuture;
use worker::web_sys::{Headers, RequestCache, RequestInit, RequestRedirect};
use worker::{AbortController, AbortSignal, Delay, Fetch, Request, ResponseBody, wasm_bindgen::JsValue};

use super::time::Stopwatch;
use crate::Push;

/// How many pushes may run at once. A Worker may hold six open connections for each event; Postgres has one of them.
pub const PUSHES_MAX: usize = 5;

/// The way to endpoints.
#[derive(Clone, Debug)]
pub struct Http {
    policy: UrlPolicy,
}

impl Http {
    /// Fetches what the policy allows.
    pub fn new(policy: UrlPolicy) -> Self {
        Self { policy }
    }

    /// Makes a push; whatever comes of it is a value. The caller keeps to [`PUSHES_MAX`] at once: a further fetch would wait for a
    /// connection while its timeout runs.
    pub async fn push(&self, push: Push) -> Outcome {
        let watch = Stopwatch::start();
        let result = SendFuture::new(exchange(&self.policy, &push)).await;
        Outcome { duration_ms: watch.elapsed_ms(), result }
    }
}

/// Fetches within the push's timeout, and aborts whatever is still under way at its end.
async fn exchange(policy: &UrlPolicy, push: &Push) -> Reply {
    if let Err(refused) = destination::parse(policy, push.url.as_str()) {
        return Reply::failed(Failure::Refused, refused.to_string());
    }
    let request = match request(push) {
        Ok(request) => request,
        Err(error) => return Reply::failed(Failure::Invalid, worker::Error::from(error).to_string()),
    };
    let abort = AbortController::default();
    let signal = abort.signal();
    let timeout = Delay::from(Duration::from_millis(push.timeout_ms));
    let mut answer = None;
    let fetched = match select(pin!(fetch(request, &signal, push.body_max, &mut answer)), timeout).await {
        Either::Left((fetched, _)) => fetched,
        Either::Right(((), _)) => {
            abort.abort();
            Err((Failure::Timeout, format!("no complete answer within {} s", push.timeout_ms.div_ceil(1000))))
        }
    };
    match fetched {
        Ok(()) => Reply::Response(answer.unwrap_or_default()),
        Err((kind, detail)) => Reply::Failed { kind, detail, partial: answer },
    }
}

fn request(push: &Push) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &push.headers {
        headers.append(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(&push.method);
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    // Only these may be answered from a cache; the mode adds request headers, so the others go without it.
    if matches!(push.method.as_str(), "GET" | "HEAD") {
        init.set_cache(RequestCache::NoStore);
    }
    // An empty body stays unset: fetch refuses any body on GET and HEAD.
    if !push.body.is_empty() {
        init.set_body(&Uint8Array::from(push.body.as_slice()));
    }
    Ok(worker::web_sys::Request::new_with_str_and_init(push.url.as_str(), &init)?.into())
}

/// Fetches and reads as much of the body as was asked for, into `answer` as it arrives. Dropping the stream cancels the rest, which frees
/// the connection.
async fn fetch(request: Request, signal: &AbortSignal, body_max: usize, answer: &mut Option<Answer>) -> Result<(), (Failure, String)> {
    let mut response = Fetch::Request(request).send_with_signal(signal).await.map_err(|error| unanswered(&error))?;
    let head = Answer { status: response.status_code(), headers: response.headers().entries().collect(), body: Vec::new() };
    let body = &mut answer.insert(head).body;
    if !matches!(response.body(), ResponseBody::Stream(_)) {
        return Ok(());
    }
    let broke = |error: worker::Error| (Failure::Interrupted, format!("the connection broke before the answer was complete: {error}"));
    let mut stream = response.stream().map_err(broke)?;
    while body.len() < body_max
        && let Some(chunk) = stream.next().await
    {
        let chunk = chunk.map_err(broke)?;
        let room = body_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(())
}

/// Sorts fetch's error by its text, the only sign it gives. A refused connection reads like one that broke later.
fn unanswered(error: &worker::Error) -> (Failure, String) {
    let text = error.to_string();
    if text.contains("Network connection lost") {
        return (Failure::Interrupted, format!("the connection was refused, or broke before an answer came: {text}"));
    }
    (Failure::Connect, format!("no connection: {text}"))
}
