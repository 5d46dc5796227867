//! What the engine does for a run at once: call a URL (`step.fetch`), publish a message (`step.publish`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::message::Message;
use crate::waits::{Plan, Wait};

/// A call that the engine makes, unsigned; no answer, 408, 425, 429 and 5xx are tried again.
///
/// ```
/// use std::time::Duration;
/// use serde_json::json;
/// use tikku::Fetch;
///
/// let call = Fetch::new("https://api.example.com/v1/charges")
///     .method("POST").header("authorization", "Bearer …").json(json!({"amount": 100})).timeout(Duration::from_secs(20)).max_attempts(5);
/// # let _ = call;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetch {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
}

impl Fetch {
    /// A call of this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), method: None, headers: BTreeMap::new(), body: None, timeout_seconds: None, max_attempts: None }
    }

    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn json(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The time limit of one attempt, rounded up to seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_seconds = Some(timeout.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        self
    }

    /// At most so many attempts in all.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }
}

/// The last answer to a [`Fetch`]; at most 1 MiB of its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    #[serde(default)]
    pub headers: Value,
    /// The body as text; invalid UTF-8 is replaced.
    #[serde(default)]
    pub body: Value,
    /// The body's bytes in base64, where they are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The op `fetch`.
#[derive(Serialize)]
pub struct FetchPlan {
    pub(crate) request: Fetch,
}

impl Plan for FetchPlan {
    const KIND: &'static str = "fetch";
}

/// A call that the engine makes, and its answer.
pub type FetchWait = Wait<FetchPlan, Fetched>;

/// The op `publish`.
#[derive(Serialize)]
pub struct PublishPlan {
    pub(crate) message: Message,
}

impl Plan for PublishPlan {
    const KIND: &'static str = "publish";
}

/// A message that the engine publishes.
pub type PublishWait = Wait<PublishPlan, Published>;

/// What was published: one message, or one for each endpoint of a fanout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Published {
    /// To a fanout.
    Fanout {
        /// One for each endpoint.
        messages: Vec<Accepted>,
    },
    /// To a URL.
    One(Accepted),
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// `msg_…`
    pub id: String,
    /// `queued` or `scheduled`.
    pub status: String,
    /// There was one with this idempotency key before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deduplicated: bool,
    /// The endpoint, in a fanout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Refuses, where the protocol has no place for it, an idempotency key: the step's key is one.
pub(crate) fn publish_plan(message: Message) -> Result<PublishPlan, Failure> {
    if message.has_idempotency_key() {
        return Err(Failure::new("InvalidMessage", "a message of a step has no idempotency key: it is published once with the step"));
    }
    Ok(PublishPlan { message })
}
