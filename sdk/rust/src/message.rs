//! A message to publish: to a URL or a fanout, now or later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// What `POST /v1/messages` takes.
///
/// ```
/// use serde_json::json;
/// use tikku::Message;
///
/// let message = Message::to("https://example.com/hooks").body(json!({"orderId": "o1"})).delay(std::time::Duration::from_secs(60));
/// # let _ = message;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fanout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Message {
    fn new(url: Option<String>, fanout: Option<String>) -> Self {
        let (body, headers, more) = (None, BTreeMap::new(), BTreeMap::new());
        Self { url, fanout, body, headers, delay_seconds: None, max_attempts: None, idempotency_key: None, more }
    }

    /// A message to this URL.
    pub fn to(url: impl Into<String>) -> Self {
        Self::new(Some(url.into()), None)
    }

    /// A message to each endpoint of this fanout.
    pub fn to_fanout(name: impl Into<String>) -> Self {
        Self::new(None, Some(name.into()))
    }

    /// Sets the body: text is sent as it is, other JSON as JSON.
    #[must_use]
    pub fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Delivers it after this time, rounded up to seconds.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_seconds = Some(delay.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        self
    }

    /// At most so many attempts in all.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }

    /// Publishes once per key: a second message with it gives the first one's id. Not for `step.publish`.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sets any other field of the API by its JSON name: `backoff`, `flowControl`, `callback`, `label` …
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    pub(crate) fn has_idempotency_key(&self) -> bool {
        self.idempotency_key.is_some() || self.more.contains_key("idempotencyKey")
    }
}
