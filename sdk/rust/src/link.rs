//! Checkpoints and journal pages: requests of the endpoint to the engine, sent until they are answered.
//!
//! Out of scope: giving up. Whoever waits drops the future (`drive`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::host::SharedHost;
use crate::run_info::encoded;
use crate::wire::{Answer, Page};

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why the engine does not go along.
#[derive(Debug)]
pub enum Refusal {
    /// Another dispatch or a verb came in between, or the run is over: stop.
    Stale,
    /// The run has all that it may have (413), with what it said: no request of ours is too large by itself.
    TooLarge(String),
    /// It does not take this request (422), with what it said.
    Unacceptable(String),
}

/// One dispatch's way to the engine.
#[derive(Clone)]
pub struct Link {
    pub host: SharedHost,
    pub token: Arc<str>,
    pub checkpoint: Arc<str>,
    pub journal: Arc<str>,
}

impl Link {
    /// Sends a checkpoint until it is answered.
    pub fn checkpoint(&self, body: Vec<u8>) -> BoxFuture<'static, Result<Answer, Refusal>> {
        let (link, body) = (self.clone(), Bytes::from(body));
        async move {
            let (answer, tries): (Answer, u32) = link.ask(Method::POST, &link.checkpoint, body).await?;
            Ok(Answer { resent: tries > 1, ..answer })
        }
        .boxed()
    }

    /// Reads a page of the journal.
    pub fn page(&self, cursor: &str) -> BoxFuture<'static, Result<Page, Refusal>> {
        let link = self.clone();
        let url = format!("{}?cursor={}", self.journal, encoded(cursor));
        async move { Ok(link.ask(Method::GET, &url, Bytes::new()).await?.0) }.boxed()
    }

    /// The answer, and how often it was asked for.
    async fn ask<T: DeserializeOwned>(&self, method: Method, url: &str, body: Bytes) -> Result<(T, u32), Refusal> {
        let mut pause = Duration::from_millis(100);
        let mut tries = 0;
        loop {
            tries += 1;
            let request = Request::builder()
                .method(method.clone())
                .uri(url)
                .header("authorization", format!("Bearer {}", self.token))
                .header("content-type", "application/json")
                .body(body.clone())
                .map_err(|error| Refusal::Unacceptable(error.to_string()))?;
            let wait = match self.host.send(request).await {
                Ok(response) if response.status().is_success() => match serde_json::from_slice(response.body()) {
                    Ok(answer) => return Ok((answer, tries)),
                    Err(_) => None,
                },
                Ok(response) => busy(&response)?,
                Err(_) => None,
            };
            self.host.sleep(wait.unwrap_or(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Whether to send the same again, and how long the engine asks to wait first.
fn busy(response: &Response<Bytes>) -> Result<Option<Duration>, Refusal> {
    match response.status() {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {}
        status if status.is_server_error() => {}
        StatusCode::PAYLOAD_TOO_LARGE => return Err(Refusal::TooLarge(detail(response.body()))),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
            return Err(Refusal::Unacceptable(String::from_utf8_lossy(response.body()).into_owned()));
        }
        _ => return Err(Refusal::Stale),
    }
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    Ok(seconds.map(Duration::from_secs))
}

/// What a problem document says.
fn detail(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    problem["detail"].as_str().unwrap_or("the engine found it too large").to_owned()
}
