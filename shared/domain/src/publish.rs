//! What a publish as JSON accepts: every field checked, every error with its pointer. Out of scope: who may publish, a publish as
//! bytes (`raw_publish`), whether anybody serves a workflow, and what needs a clock (`notBefore` beyond ten years is refused by the database).

use sha2::{Digest, Sha256};

use serde_json::value::RawValue;

use crate::app::WorkflowName;
use crate::destination::{self, UrlPolicy};
use crate::fields::{FieldError, Fields};
use crate::flow::{self, Flow};
use crate::header_rules::HeaderFault;
use crate::retry::{Backoff, BackoffKind};
use crate::{filter, header_rules, limits};

/// The methods a push can have.
pub const METHODS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"];

/// Where a publish goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One destination: a URL in WHATWG form, without a fragment, or a workflow behind [`destination::WORKFLOW`].
    Url(String),
    /// Each active endpoint of the fanout of this name.
    Fanout(String),
}

impl Target {
    /// Whether it starts runs of a workflow.
    pub fn is_workflow(&self) -> bool {
        matches!(self, Self::Url(url) if destination::workflow(url).is_some())
    }
}

/// A message as published, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Where it goes.
    pub target: Target,
    /// One of [`METHODS`].
    pub method: String,
    /// The publisher's headers in order.
    pub headers: Vec<(String, String)>,
    /// The body as it was written; `None` for an empty body.
    pub body: Option<Vec<u8>>,
    /// Published as bytes: the push has no content-type but one among the headers. Else it is JSON's when there is a body.
    pub raw: bool,
    /// Delay from now.
    pub delay_ms: Option<i64>,
    /// Earliest push, in milliseconds since 1970.
    pub not_before_ms: Option<i64>,
    /// Retry budget.
    pub max_attempts: i32,
    /// Wait between attempts.
    pub backoff: Backoff,
    /// Longest push.
    pub timeout_ms: i32,
    /// The publisher's key, or one made of the payload, with the hash of what it stands for.
    pub idempotency: Option<(String, Vec<u8>)>,
    /// For filters.
    pub labels: Vec<String>,
    /// Whose limits it shares.
    pub flow: Option<Flow>,
    /// Told when it is delivered: a URL, or a workflow behind [`destination::WORKFLOW`].
    pub callback_url: Option<String>,
    /// Told when it has failed, likewise.
    pub failure_callback_url: Option<String>,
}

/// What the host allows.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// Which destinations.
    pub policy: &'a UrlPolicy,
    /// Longest push.
    pub timeout_seconds_max: i64,
}

/// Reads one message from JSON.
pub fn parse(json: &[u8], rules: &Rules<'_>) -> Result<NewMessage, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let message = take(&mut fields, rules);
    fields.finish()?;
    Ok(message)
}

/// Takes a message's members. What is wrong stays in `fields`: the message counts only when [`Fields::finish`] finds nothing.
pub fn take(fields: &mut Fields<'_>, rules: &Rules<'_>) -> NewMessage {
    let target = target(fields, rules.policy);
    let words = METHODS.map(|method| (method, method));
    let method = fields.word("method", &words).unwrap_or("POST").to_owned();
    let headers = headers(fields);
    let body = body(fields, &method);
    if target.is_workflow() {
        check_unpushed(fields, Some(method.as_str()), &headers);
    }
    take_options(fields, rules, Payload { target, method, headers, body, raw: false })
}

/// What is pushed, and where: what an idempotency key stands for.
pub(crate) struct Payload {
    pub target: Target,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub raw: bool,
}

/// Takes the members that say how to push, and makes a message of them and the payload.
pub(crate) fn take_options(fields: &mut Fields<'_>, rules: &Rules<'_>, payload: Payload) -> NewMessage {
    let (delay_ms, not_before_ms) = when(fields);
    let max_attempts = fields.integer("maxAttempts", 1..=limits::ATTEMPTS_MAX).unwrap_or(limits::ATTEMPTS_DEFAULT);
    let backoff = fields.object("backoff", backoff).unwrap_or_default();
    let timeout_seconds = fields
        .integer("timeoutSeconds", 1..=rules.timeout_seconds_max)
        .unwrap_or(limits::TIMEOUT_SECONDS_DEFAULT.min(rules.timeout_seconds_max));
    let idempotency = idempotency(fields, &payload);
    let labels = fields.strings("labels", limits::LABELS_MAX, 1..=limits::LABEL_CHARS_MAX);
    let flow = fields.object("flowControl", flow::parse);
    let callback_url = told(fields, "callbackUrl", "callbackWorkflow", rules.policy);
    let failure_callback_url = told(fields, "failureCallbackUrl", "failureCallbackWorkflow", rules.policy);
    let Payload { target, method, headers, body, raw } = payload;
    NewMessage {
        target,
        method,
        headers,
        body,
        raw,
        delay_ms,
        not_before_ms,
        // Both are within their ranges, which fit.
        max_attempts: max_attempts as i32,
        backoff,
        timeout_ms: (timeout_seconds * 1000) as i32,
        idempotency,
        labels,
        flow,
        callback_url,
        failure_callback_url,
    }
}

pub(crate) fn target(fields: &mut Fields<'_>, policy: &UrlPolicy) -> Target {
    let mut given = ["workflow", "fanout", "url"].into_iter().filter(|name| {
        let given = fields.has(name);
        if !given {
            fields.raw(name);
        }
        given
    });
    let (first, others) = (given.next(), given.collect::<Vec<_>>());
    if let (Some(first), [other, ..]) = (first, others.as_slice()) {
        fields.refuse(first, format!("and {other} exclude each other"));
    }
    for other in others {
        // What is said of the first stands for all.
        fields.raw(other);
    }
    match first {
        Some("workflow") => Target::Url(workflow(fields, "workflow").unwrap_or_else(|| destination::WORKFLOW.to_owned())),
        Some("fanout") => Target::Fanout(fields.string("fanout", 1..=limits::FANOUT_NAME_CHARS_MAX).unwrap_or_default()),
        Some(_) => Target::Url(url(fields, "url", policy).unwrap_or_default()),
        None => {
            fields.refuse("url", "is required, or a fanout, or a workflow");
            Target::Url(String::new())
        }
    }
}

/// Takes the name of a workflow and answers it as a destination.
pub(crate) fn workflow(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    let text = fields.string(name, 1..=limits::WORKFLOW_NAME_CHARS_MAX)?;
    match text.parse::<WorkflowName>() {
        Ok(workflow) => Some(format!("{}{workflow}", destination::WORKFLOW)),
        Err(error) => {
            fields.refuse(name, error.to_string());
            None
        }
    }
}

/// Takes whom a callback goes to: a URL or a workflow.
fn told(fields: &mut Fields<'_>, by_url: &str, by_workflow: &str, policy: &UrlPolicy) -> Option<String> {
    if !fields.has(by_workflow) {
        fields.raw(by_workflow);
        return url(fields, by_url, policy);
    }
    if fields.raw(by_url).is_some_and(|raw| raw.get() != "null") {
        fields.refuse(by_workflow, format!("and {by_url} exclude each other"));
    }
    workflow(fields, by_workflow)
}

/// Notes what only a push has.
pub(crate) fn check_unpushed(fields: &mut Fields<'_>, method: Option<&str>, headers: &[(String, String)]) {
    if method.is_some_and(|method| method != "POST") {
        fields.refuse("method", "has no meaning with workflow: a run is started, nothing is pushed");
    }
    if !headers.is_empty() {
        fields.refuse("headers", "has no meaning with workflow: what the run is to know belongs into its input");
    }
}

/// Takes a destination and answers it in WHATWG form.
pub(crate) fn url(fields: &mut Fields<'_>, name: &str, policy: &UrlPolicy) -> Option<String> {
    if !fields.has(name) {
        fields.raw(name);
        return None;
    }
    let raw = fields.raw(name)?;
    let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
        fields.refuse(name, "must be a string");
        return None;
    };
    match destination::parse(policy, &text) {
        Ok(url) => Some(url.into()),
        Err(error) => {
            fields.refuse_at(&[name], error.to_string());
            None
        }
    }
}

fn idempotency(fields: &mut Fields<'_>, payload: &Payload) -> Option<(String, Vec<u8>)> {
    let keyed = fields.has("idempotencyKey");
    let key = fields.string("idempotencyKey", 1..=limits::IDEMPOTENCY_KEY_CHARS_MAX);
    let by_content = fields.boolean("contentBasedDeduplication").unwrap_or(false);
    if keyed && by_content {
        fields.refuse("contentBasedDeduplication", "and idempotencyKey exclude each other");
    }
    if key.is_none() && !by_content {
        return None;
    }
    let hash = fingerprint(payload);
    let key = key.unwrap_or_else(|| hash.iter().fold("content:".to_owned(), |text, byte| format!("{text}{byte:02x}")));
    Some((key, hash))
}

pub(crate) fn headers(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    let headers = fields.string_map("headers");
    checked(fields, headers)
}

/// The headers, with what is wrong with them noted under `headers`.
pub(crate) fn checked(fields: &mut Fields<'_>, headers: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Err(errors) = header_rules::check(&headers) {
        for error in errors {
            match error.fault {
                HeaderFault::TooMany | HeaderFault::TooLarge => fields.refuse_at(&["headers"], error.fault.to_string()),
                _ => fields.refuse_at(&["headers", &error.name], error.to_string()),
            }
        }
    }
    headers
}

pub(crate) fn body(fields: &mut Fields<'_>, method: &str) -> Option<Vec<u8>> {
    let raw = fields.raw("body")?;
    check_bodied(fields, method);
    sized(fields, "body", raw)
}

/// The bytes of a value, unless it is too large, which is noted under its name.
pub(crate) fn sized(fields: &mut Fields<'_>, name: &str, raw: &RawValue) -> Option<Vec<u8>> {
    if raw.get().len() > limits::BODY_BYTES_MAX {
        fields.refuse(name, format!("must have at most {} bytes of JSON", limits::BODY_BYTES_MAX));
        return None;
    }
    Some(raw.get().as_bytes().to_vec())
}

/// Notes it under `body` when a push with this method has none.
pub(crate) fn check_bodied(fields: &mut Fields<'_>, method: &str) {
    if matches!(method, "GET" | "HEAD") {
        fields.refuse("body", format!("must be absent with method {method}"));
    }
}

fn when(fields: &mut Fields<'_>) -> (Option<i64>, Option<i64>) {
    let delay_ms = fields.integer("delaySeconds", 0..=limits::DELAY_SECONDS_MAX).map(|seconds| seconds * 1000);
    let text = fields.string("notBefore", 1..=64);
    let not_before_ms = text.and_then(|text| match filter::epoch_ms(&text) {
        Some(ms) => Some(ms),
        None => {
            fields.refuse("notBefore", "must be an RFC 3339 time since 1970 with an offset, such as 2027-01-31T09:00:00Z");
            None
        }
    });
    if delay_ms.is_some() && not_before_ms.is_some() {
        fields.refuse("notBefore", "and delaySeconds exclude each other");
    }
    (delay_ms, not_before_ms)
}

pub(crate) fn backoff(fields: &mut Fields<'_>) -> Backoff {
    let kinds = [("exponential", BackoffKind::Exponential), ("linear", BackoffKind::Linear), ("fixed", BackoffKind::Fixed)];
    let seconds = 0..=limits::BACKOFF_SECONDS_MAX;
    let default = Backoff::default();
    // The ranges keep both products within u64.
    let ms = |seconds: i64| seconds as u64 * 1000;
    let kind = fields.word("type", &kinds).unwrap_or(default.kind);
    let initial_ms = fields.integer("initialSeconds", seconds.clone()).map(ms);
    let factor = fields.number("factor", 1.0..=limits::BACKOFF_FACTOR_MAX).unwrap_or(default.factor);
    let max_ms = fields.integer("maxSeconds", seconds).map(ms);
    let initial_ms = initial_ms.unwrap_or(default.initial_ms.min(max_ms.unwrap_or(u64::MAX)));
    if max_ms.is_some_and(|max_ms| max_ms < initial_ms) {
        fields.refuse("maxSeconds", "must not be below initialSeconds");
    }
    let jitter = fields.boolean("jitter").unwrap_or(default.jitter);
    Backoff { kind, initial_ms, factor, max_ms: max_ms.unwrap_or(default.max_ms.max(initial_ms)), jitter }
}

/// The backoff when none is given.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            kind: BackoffKind::Exponential,
            initial_ms: limits::BACKOFF_INITIAL_SECONDS_DEFAULT as u64 * 1000,
            factor: limits::BACKOFF_FACTOR_DEFAULT,
            max_ms: limits::BACKOFF_MAX_SECONDS_DEFAULT as u64 * 1000,
            jitter: true,
        }
    }
}

/// SHA-256 over target, method, headers and body, each with its length, so that no two payloads share a text.
fn fingerprint(payload: &Payload) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match &payload.target {
        Target::Url(url) => part(url.as_bytes()),
        Target::Fanout(name) => {
            // No URL is empty.
            part(b"");
            part(name.as_bytes());
        }
    }
    part(payload.method.as_bytes());
    // Names are case-insensitive and their order means nothing.
    let mut headers: Vec<(String, &String)> = payload.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    headers.sort_unstable();
    for (name, value) in headers {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(match (&payload.body, payload.raw) {
        (None, _) => b"none",
        (Some(_), false) => b"body",
        (Some(_), true) => b"raw",
    });
    part(payload.body.as_deref().unwrap_or_default());
    hash.finalize().to_vec()
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
