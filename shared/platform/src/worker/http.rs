//! Pushes from a Worker, through the runtime's own fetch; stage 3a.
//! Out of scope: pinning a socket to a checked address, which fetch does not offer. The URL is checked once more, redirects are not
//! followed, and the runtime refuses private networks in production.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use tikku_domain::destination::{self, UrlPolicy};
use tikku_domain::limits::RESPONSE_BODY_BYTES_MAX;
use tikku_domain::message::{Failure, Outcome, Reply};
use worker::js_sys::Uint8Array;
use worker::send::SendFuture;
use worker::web_sys::{Headers, RequestCache, RequestInit, RequestRedirect};
use worker::{AbortController, AbortSignal, Delay, Fetch, Request, Response, ResponseBody, wasm_bindgen::JsValue};

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
        return failed(Failure::Refused, refused.to_string());
    }
    let request = match request(push) {
        Ok(request) => request,
        Err(error) => return failed(Failure::Invalid, worker::Error::from(error).to_string()),
    };
    let abort = AbortController::default();
    let signal = abort.signal();
    let timeout = Delay::from(Duration::from_millis(push.timeout_ms));
    match select(pin!(fetch(request, &signal)), timeout).await {
        Either::Left((reply, _)) => reply,
        Either::Right(((), _)) => {
            abort.abort();
            failed(Failure::Timeout, format!("no complete answer within {} s", push.timeout_ms / 1000))
        }
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

async fn fetch(request: Request, signal: &AbortSignal) -> Reply {
    let mut response = match Fetch::Request(request).send_with_signal(signal).await {
        Ok(response) => response,
        Err(error) => return unanswered(&error),
    };
    match body_head(&mut response).await {
        Ok(body) => Reply::Response { status: response.status_code(), headers: response.headers().entries().collect(), body },
        Err(error) => failed(Failure::Interrupted, format!("the connection broke before the answer was complete: {error}")),
    }
}

/// Reads the first `RESPONSE_BODY_BYTES_MAX` bytes. Dropping the stream cancels the rest, which frees the connection.
async fn body_head(response: &mut Response) -> worker::Result<Vec<u8>> {
    let mut head = Vec::new();
    if !matches!(response.body(), ResponseBody::Stream(_)) {
        return Ok(head);
    }
    let mut stream = response.stream()?;
    while head.len() < RESPONSE_BODY_BYTES_MAX
        && let Some(chunk) = stream.next().await
    {
        let chunk = chunk?;
        let room = RESPONSE_BODY_BYTES_MAX - head.len();
        head.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(head)
}

/// Sorts fetch's error by its text, the only sign it gives. A refused connection reads like one that broke later.
fn unanswered(error: &worker::Error) -> Reply {
    let text = error.to_string();
    if text.contains("Network connection lost") {
        return failed(Failure::Interrupted, format!("the connection was refused, or broke before an answer came: {text}"));
    }
    failed(Failure::Connect, format!("no connection: {text}"))
}

fn failed(kind: Failure, detail: String) -> Reply {
    Reply::Failed { kind, detail }
}
