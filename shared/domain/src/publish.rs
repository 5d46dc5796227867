//! What `POST /v1/messages` accepts: every field checked, every error with its pointer. Out of scope: who may publish, and
//! what needs a clock (`notBefore` beyond ten years is refused by the database).

use sha2::{Digest, Sha256};

use crate::destination::{self, UrlPolicy};
use crate::fields::{FieldError, Fields};
use crate::header_rules::HeaderFault;
use crate::retry::{Backoff, BackoffKind};
use crate::{filter, header_rules, limits};

/// The methods a push can have.
pub const METHODS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"];

/// A message as published, checked.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Destination in WHATWG form, without a fragment.
    pub url: String,
    /// One of [`METHODS`].
    pub method: String,
    /// The publisher's headers in order.
    pub headers: Vec<(String, String)>,
    /// The body as it was written; `None` for an empty body without content-type.
    pub body: Option<Vec<u8>>,
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
    /// The publisher's key, with the hash of what it stands for.
    pub idempotency: Option<(String, Vec<u8>)>,
    /// For filters.
    pub labels: Vec<String>,
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
    let url = url(&mut fields, rules.policy);
    let words = METHODS.map(|method| (method, method));
    let method = fields.word("method", &words).unwrap_or("POST").to_owned();
    let headers = headers(&mut fields);
    let body = body(&mut fields, &method);
    let (delay_ms, not_before_ms) = when(&mut fields);
    let max_attempts = fields.integer("maxAttempts", 1..=limits::ATTEMPTS_MAX).unwrap_or(limits::ATTEMPTS_DEFAULT);
    let backoff = fields.object("backoff", backoff).unwrap_or_default();
    let timeout_seconds = fields
        .integer("timeoutSeconds", 1..=rules.timeout_seconds_max)
        .unwrap_or(limits::TIMEOUT_SECONDS_DEFAULT.min(rules.timeout_seconds_max));
    let key = fields.string("idempotencyKey", 1..=limits::IDEMPOTENCY_KEY_CHARS_MAX);
    let labels = fields.strings("labels", limits::LABELS_MAX, 1..=limits::LABEL_CHARS_MAX);
    fields.finish()?;
    let idempotency = key.map(|key| (key, fingerprint(&url, &method, &headers, body.as_deref())));
    Ok(NewMessage {
        url,
        method,
        headers,
        body,
        delay_ms,
        not_before_ms,
        // Both are within their ranges, which fit.
        max_attempts: max_attempts as i32,
        backoff,
        timeout_ms: (timeout_seconds * 1000) as i32,
        idempotency,
        labels,
    })
}

fn url(fields: &mut Fields<'_>, policy: &UrlPolicy) -> String {
    let Some(raw) = fields.raw("url") else {
        fields.refuse("url", "is required");
        return String::new();
    };
    let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
        fields.refuse("url", "must be a string");
        return String::new();
    };
    match destination::parse(policy, &text) {
        Ok(url) => url.to_string(),
        Err(error) => {
            fields.refuse_at(&["url"], error.to_string());
            String::new()
        }
    }
}

fn headers(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    let headers = fields.string_map("headers");
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

fn body(fields: &mut Fields<'_>, method: &str) -> Option<Vec<u8>> {
    let raw = fields.raw("body")?;
    if matches!(method, "GET" | "HEAD") {
        fields.refuse("body", format!("must be absent with method {method}"));
    }
    if raw.get().len() > limits::BODY_BYTES_MAX {
        fields.refuse("body", format!("must have at most {} bytes of JSON", limits::BODY_BYTES_MAX));
        return None;
    }
    Some(raw.get().as_bytes().to_vec())
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

fn backoff(fields: &mut Fields<'_>) -> Backoff {
    let kinds = [("exponential", BackoffKind::Exponential), ("linear", BackoffKind::Linear), ("fixed", BackoffKind::Fixed)];
    let seconds = 0..=limits::BACKOFF_SECONDS_MAX;
    let default = Backoff::default();
    // The ranges keep both products within u64.
    let ms = |seconds: i64| seconds as u64 * 1000;
    let kind = fields.word("type", &kinds).unwrap_or(default.kind);
    let initial_ms = fields.integer("initialSeconds", seconds.clone()).map_or(default.initial_ms, ms);
    let factor = fields.number("factor", 1.0..=limits::BACKOFF_FACTOR_MAX).unwrap_or(default.factor);
    let max_ms = fields.integer("maxSeconds", seconds).map(ms);
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

/// SHA-256 over url, method, headers and body, each with its length, so that no two payloads share a text.
fn fingerprint(url: &str, method: &str, headers: &[(String, String)], body: Option<&[u8]>) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(url.as_bytes());
    part(method.as_bytes());
    for (name, value) in headers {
        part(name.to_ascii_lowercase().as_bytes());
        part(value.as_bytes());
    }
    part(if body.is_some() { b"body" } else { b"none" });
    part(body.unwrap_or_default());
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<NewMessage, Vec<String>> {
        let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
        let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
        parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn a_url_is_enough() {
        let message = read(r#"{"url": "https://example.com/hook"}"#).unwrap();
        assert_eq!((message.url.as_str(), message.method.as_str()), ("https://example.com/hook", "POST"));
        assert_eq!((message.body, message.max_attempts, message.timeout_ms), (None, 5, 30_000));
    }

    #[test]
    fn a_body_is_kept_as_written() {
        for body in ["null", "0", "false", "\"\"", r#"{"b": 1,  "b": 2, "a": "\u0000"}"#, "12345678901234567890.10", "\"\u{1F600}\""] {
            let message = read(&format!(r#"{{"url": "https://example.com", "body": {body}}}"#)).unwrap();
            assert_eq!(message.body.as_deref(), Some(body.as_bytes()));
        }
    }

    #[test]
    fn what_is_wrong_is_said_where() {
        let cases = [
            (r#"{}"#, "/url"),
            (r#"{"url": 5}"#, "/url"),
            (r#"{"url": "https://10.0.0.1"}"#, "/url"),
            (r#"{"url": "https://e.com", "method": "TRACE"}"#, "/method"),
            (r#"{"url": "https://e.com", "method": "GET", "body": 1}"#, "/body"),
            (r#"{"url": "https://e.com", "headers": {"host": "x"}}"#, "/headers/host"),
            (r#"{"url": "https://e.com", "headers": {"a": 1}}"#, "/headers/a"),
            (r#"{"url": "https://e.com", "delaySeconds": -1}"#, "/delaySeconds"),
            (r#"{"url": "https://e.com", "delaySeconds": 315360001}"#, "/delaySeconds"),
            (r#"{"url": "https://e.com", "notBefore": "tomorrow"}"#, "/notBefore"),
            (r#"{"url": "https://e.com", "notBefore": "-005000-01-01T00:00:00Z"}"#, "/notBefore"),
            (r#"{"url": "https://e.com", "notBefore": "2030-01-01T00:00:00Z", "delaySeconds": 1}"#, "/notBefore"),
            (r#"{"url": "https://e.com", "maxAttempts": 0}"#, "/maxAttempts"),
            (r#"{"url": "https://e.com", "maxAttempts": 101}"#, "/maxAttempts"),
            (r#"{"url": "https://e.com", "timeoutSeconds": 841}"#, "/timeoutSeconds"),
            (r#"{"url": "https://e.com", "backoff": {"type": "cubic"}}"#, "/backoff/type"),
            (r#"{"url": "https://e.com", "backoff": {"initialSeconds": 9, "maxSeconds": 8}}"#, "/backoff/maxSeconds"),
            (r#"{"url": "https://e.com", "backoff": {"factor": 0.5}}"#, "/backoff/factor"),
            (r#"{"url": "https://e.com", "idempotencyKey": ""}"#, "/idempotencyKey"),
            (r#"{"url": "https://e.com", "labels": ["", "x"]}"#, "/labels/0"),
            (r#"{"url": "https://e.com", "nope": 1}"#, "/nope"),
        ];
        for (json, pointer) in cases {
            assert_eq!(read(json).unwrap_err(), [pointer], "{json}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let with = |field: &str, value: &str| read(&format!(r#"{{"url": "https://e.com", "{field}": {value}}}"#));
        let text = |n: usize| format!("\"{}\"", "x".repeat(n));
        let labels = |n: usize| format!("[{}]", vec!["\"l\""; n].join(","));
        let cases = [
            ("body", text(limits::BODY_BYTES_MAX - 2), text(limits::BODY_BYTES_MAX - 1)),
            ("idempotencyKey", text(255), text(256)),
            ("labels", labels(10), labels(11)),
            ("labels", format!("[{}]", text(64)), format!("[{}]", text(65))),
            ("maxAttempts", "100".into(), "101".into()),
            ("timeoutSeconds", "840".into(), "841".into()),
            ("delaySeconds", "315360000".into(), "315360001".into()),
        ];
        for (field, most, more) in cases {
            assert!(with(field, &most).is_ok(), "{field} at its limit");
            assert!(with(field, &more).is_err(), "{field} over its limit");
        }
    }

    #[test]
    fn the_fingerprint_tells_payloads_apart() {
        let hash = |json: &str| read(json).unwrap().idempotency.unwrap().1;
        let base = hash(r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1}"#);
        assert_eq!(base, hash(r#"{"body": 1, "url": "https://e.com", "idempotencyKey": "k", "maxAttempts": 9}"#));
        for other in [
            r#"{"url": "https://e.com/", "idempotencyKey": "k", "body": 2}"#,
            r#"{"url": "https://e.com", "idempotencyKey": "k"}"#,
            r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1, "method": "PUT"}"#,
            r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1, "headers": {"a": "b"}}"#,
        ] {
            assert_ne!(base, hash(other), "{other}");
        }
    }
}
