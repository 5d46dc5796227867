//! What the configuration of a fanout accepts: its name and its endpoints. Out of scope: publishing to it (`publish`), and what only
//! the rows can tell: how many endpoints there are, and whether a URL is there already.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::destination;
use crate::fields::{FieldError, Fields};
use crate::flow::{self, Flow};
use crate::limits;
use crate::publish::{self, METHODS, Rules};
use crate::retry::Backoff;

/// A fanout's name. It cannot be taken for a URL, and it is one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutName(pub String);

/// The text is no name for a fanout.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must have 1 to {} characters, each a letter a-z, A-Z, a digit, a dot, a hyphen or an underscore, and must not be . or ..",
    limits::FANOUT_NAME_CHARS_MAX
)]
pub struct FanoutNameError;

impl FromStr for FanoutName {
    type Err = FanoutNameError;

    fn from_str(text: &str) -> Result<Self, FanoutNameError> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        // Clients resolve the two dot segments before they send a path.
        let usable = plain && (1..=limits::FANOUT_NAME_CHARS_MAX).contains(&text.len()) && !matches!(text, "." | "..");
        if usable { Ok(Self(text.to_owned())) } else { Err(FanoutNameError) }
    }
}

impl fmt::Display for FanoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a fanout delivers. What is `None` is as the publish says.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Destination: a URL in WHATWG form, without a fragment, or a workflow behind [`crate::destination::WORKFLOW`].
    pub url: String,
    /// One of [`METHODS`].
    pub method: Option<String>,
    /// In order; they replace those of the publish that have the same names.
    pub headers: Vec<(String, String)>,
    /// Retry budget.
    pub max_attempts: Option<i32>,
    /// Longest push.
    pub timeout_ms: Option<i32>,
    /// Wait between attempts.
    pub backoff: Option<Backoff>,
    /// Whose limits its messages share.
    pub flow: Option<Flow>,
    /// Whether publishes pass it by.
    pub paused: bool,
}

/// Reads `{endpoints: [..]}`. Two with the same URL or workflow are an error.
pub fn parse(json: &[u8], rules: &Rules<'_>) -> Result<Vec<Endpoint>, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut endpoints = Vec::new();
    let mut seen = HashSet::new();
    for (index, item) in fields.array::<{ limits::ENDPOINTS_MAX }>("endpoints").into_iter().enumerate() {
        match endpoint(item.get().as_bytes(), rules) {
            Ok(endpoint) if !seen.insert(endpoint.url.clone()) => {
                let name = if destination::workflow(&endpoint.url).is_some() { "workflow" } else { "url" };
                fields.refuse_at(&["endpoints", &index.to_string(), name], format!("{name} is there twice: a fanout has a {name} once"));
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| below(index, error))),
        }
    }
    errors.extend(fields.finish().err().unwrap_or_default());
    errors.truncate(limits::ERRORS_MAX);
    if errors.is_empty() { Ok(endpoints) } else { Err(errors) }
}

fn below(index: usize, error: FieldError) -> FieldError {
    FieldError { pointer: format!("/endpoints/{index}{}", error.pointer), ..error }
}

/// Reads one endpoint.
pub fn endpoint(json: &[u8], rules: &Rules<'_>) -> Result<Endpoint, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let url = place(&mut fields, rules);
    let method = fields.word("method", &METHODS.map(|method| (method, method))).map(str::to_owned);
    let headers = publish::headers(&mut fields);
    if destination::workflow(&url).is_some() {
        publish::check_unpushed(&mut fields, method.as_deref(), &headers);
    }
    let endpoint = Endpoint {
        url,
        method,
        headers,
        // Both are within their ranges, which fit.
        max_attempts: fields.integer("maxAttempts", 1..=limits::ATTEMPTS_MAX).map(|n| n as i32),
        timeout_ms: fields.integer("timeoutSeconds", 1..=rules.timeout_seconds_max).map(|seconds| (seconds * 1000) as i32),
        backoff: fields.object("backoff", publish::backoff),
        flow: fields.object("flowControl", flow::parse),
        paused: fields.boolean("paused").unwrap_or(false),
    };
    fields.finish()?;
    Ok(endpoint)
}

/// Takes the URL or the workflow; an empty text stands for one that is wrong.
fn place(fields: &mut Fields<'_>, rules: &Rules<'_>) -> String {
    if !fields.has("workflow") {
        fields.raw("workflow");
        if !fields.has("url") {
            fields.refuse("url", "is required, or a workflow");
        }
        return publish::url(fields, "url", rules.policy).unwrap_or_default();
    }
    if fields.raw("url").is_some_and(|raw| raw.get() != "null") {
        fields.refuse("workflow", "and url exclude each other");
    }
    publish::workflow(fields, "workflow").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::UrlPolicy;

    fn read(json: &str) -> Result<Vec<Endpoint>, Vec<String>> {
        let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
        let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
        parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
    }

    fn one(fields: &str) -> Result<Vec<Endpoint>, Vec<String>> {
        read(&format!(r#"{{"endpoints": [{{"url": "https://e.com/a"{fields}}}]}}"#))
    }

    #[test]
    fn what_is_not_given_is_left_to_the_publish() {
        let endpoint = one("").unwrap().remove(0);
        assert_eq!((endpoint.url.as_str(), endpoint.method, endpoint.headers.len()), ("https://e.com/a", None, 0));
        assert_eq!((endpoint.max_attempts, endpoint.timeout_ms, endpoint.backoff, endpoint.flow), (None, None, None, None));
        assert!(!endpoint.paused);
        let nulls =
            r#", "method": null, "maxAttempts": null, "timeoutSeconds": null, "backoff": null, "flowControl": null, "paused": null"#;
        assert_eq!(one(nulls), one(""));
    }

    #[test]
    fn every_field_is_read() {
        let all = r#", "method": "PUT", "headers": {"x-a": "b"}, "maxAttempts": 7, "timeoutSeconds": 9, "backoff": {"type": "fixed"},
            "flowControl": {"key": "k", "parallelism": 2}, "paused": true"#;
        let endpoint = one(all).unwrap().remove(0);
        assert_eq!((endpoint.method.as_deref(), endpoint.max_attempts, endpoint.timeout_ms), (Some("PUT"), Some(7), Some(9000)));
        assert_eq!(
            (endpoint.headers, endpoint.flow.unwrap().parallelism, endpoint.paused),
            (vec![("x-a".into(), "b".into())], Some(2), true)
        );
        assert_eq!(endpoint.backoff.unwrap().kind, crate::retry::BackoffKind::Fixed);
    }

    #[test]
    fn a_workflow_is_an_endpoint() {
        let endpoints = read(r#"{"endpoints": [{"workflow": "order-flow", "maxAttempts": 3}, {"workflow": "Order-flow"}]}"#).unwrap();
        assert_eq!((endpoints[0].url.as_str(), endpoints[0].max_attempts), ("workflow:order-flow", Some(3)));
        assert_eq!(endpoints[1].url, "workflow:Order-flow");
    }

    #[test]
    fn what_is_wrong_is_said_where() {
        let cases = [
            ("{}", "/endpoints"),
            (r#"{"endpoints": null}"#, "/endpoints"),
            (r#"{"endpoints": {}}"#, "/endpoints"),
            (r#"{"endpoints": [], "name": "x"}"#, "/name"),
            (r#"{"endpoints": [5]}"#, "/endpoints/0"),
            (r#"{"endpoints": [{}]}"#, "/endpoints/0/url"),
            (r#"{"endpoints": [{"url": null}]}"#, "/endpoints/0/url"),
            (r#"{"endpoints": [{"url": "https://10.0.0.1"}]}"#, "/endpoints/0/url"),
            (r#"{"endpoints": [{"url": "https://e.com"}, {"url": "https://E.com/#x"}]}"#, "/endpoints/1/url"),
            (r#"{"endpoints": [{"url": "https://e.com", "headers": {"host": "x"}}]}"#, "/endpoints/0/headers/host"),
            (r#"{"endpoints": [{"url": "https://e.com", "flowControl": {}}]}"#, "/endpoints/0/flowControl/key"),
            (r#"{"endpoints": [{"url": "https://e.com", "id": "ep_1"}]}"#, "/endpoints/0/id"),
            (r#"{"endpoints": [{"url": "https://e.com", "maxAttempts": 101}]}"#, "/endpoints/0/maxAttempts"),
            (r#"{"endpoints": [{"url": "https://e.com", "workflow": "w"}]}"#, "/endpoints/0/workflow"),
            (r#"{"endpoints": [{"workflow": ".w"}]}"#, "/endpoints/0/workflow"),
            (r#"{"endpoints": [{"workflow": "w", "method": "PUT"}]}"#, "/endpoints/0/method"),
            (r#"{"endpoints": [{"workflow": "w", "headers": {"a": "b"}}]}"#, "/endpoints/0/headers"),
            (r#"{"endpoints": [{"workflow": "w"}, {"workflow": "w", "url": null}]}"#, "/endpoints/1/workflow"),
            (r#"{"endpoints": [{"url": "workflow:w"}]}"#, "/endpoints/0/url"),
        ];
        for (json, pointer) in cases {
            assert_eq!(read(json), Err(vec![pointer.to_owned()]), "{json}");
        }
    }

    #[test]
    fn the_number_of_endpoints_holds_at_its_edge() {
        let list = |n: usize| {
            let items: Vec<String> = (0..n).map(|i| format!(r#"{{"url": "https://e.com/{i}"}}"#)).collect();
            read(&format!(r#"{{"endpoints": [{}]}}"#, items.join(",")))
        };
        assert_eq!(list(0).unwrap().len(), 0);
        assert_eq!(list(limits::ENDPOINTS_MAX).unwrap().len(), limits::ENDPOINTS_MAX);
        assert_eq!(list(limits::ENDPOINTS_MAX + 1), Err(vec!["/endpoints".to_owned()]));
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        for name in ["a", "A-b_c.9", "...", ".a", "example.com", &"n".repeat(64)] {
            assert_eq!(name.parse(), Ok(FanoutName(name.to_owned())), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "https://e.com", "a:b", "é", "a\0", "%41", &"n".repeat(65)] {
            assert_eq!(name.parse::<FanoutName>(), Err(FanoutNameError), "{name}");
        }
    }
}
