//! Apps, the endpoints that serve workflows: their names, and what the API accepts of one. Out of scope: what an app says that it serves,
//! which is protocol (`workflow`), and what is shown of it (`app_view`).

use std::fmt;
use std::str::FromStr;

use crate::fields::{FieldError, Fields};
use crate::limits;
use crate::publish::{self, Rules};

/// An app's name: one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppName(pub String);

/// The text is no name for an app.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must have 1 to {} characters, each a letter a-z, A-Z, a digit, a dot, a hyphen or an underscore, and must not be . or ..",
    limits::APP_NAME_CHARS_MAX
)]
pub struct AppNameError;

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        // Clients resolve the two dot segments before they send a path.
        let usable = plain(text) && (1..=limits::APP_NAME_CHARS_MAX).contains(&text.len()) && !matches!(text, "." | "..");
        if usable { Ok(Self(text.to_owned())) } else { Err(AppNameError) }
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A workflow's name: one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowName(pub String);

/// The text is no name for a workflow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must have 1 to {} characters, each a letter a-z, A-Z, a digit, a dot, a hyphen or an underscore, and must not begin with a dot",
    limits::WORKFLOW_NAME_CHARS_MAX
)]
pub struct WorkflowNameError;

impl FromStr for WorkflowName {
    type Err = WorkflowNameError;

    fn from_str(text: &str) -> Result<Self, WorkflowNameError> {
        let usable = plain(text) && (1..=limits::WORKFLOW_NAME_CHARS_MAX).contains(&text.len()) && !text.starts_with('.');
        if usable { Ok(Self(text.to_owned())) } else { Err(WorkflowNameError) }
    }
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What is set of an app, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// Where it is invoked, in WHATWG form.
    pub url: String,
    /// How long one dispatch may take.
    pub timeout_ms: i32,
    /// How long a dispatch that renews its lease may be silent.
    pub lease_ms: i32,
}

/// Reads `{url, timeoutSeconds?, leaseSeconds?}`. Without a timeout it has the default, or the most that this host can keep.
pub fn parse(json: &[u8], rules: &Rules<'_>) -> Result<AppSettings, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    if !fields.has("url") {
        fields.refuse("url", "is required");
    }
    let url = publish::url(&mut fields, "url", rules.policy).unwrap_or_default();
    let default = limits::APP_TIMEOUT_SECONDS_DEFAULT.min(rules.timeout_seconds_max);
    let timeout_s = fields.integer("timeoutSeconds", 1..=rules.timeout_seconds_max).unwrap_or(default);
    let lease_s = fields.integer("leaseSeconds", 1..=limits::LEASE_SECONDS_MAX).unwrap_or(limits::LEASE_SECONDS_DEFAULT);
    fields.finish()?;
    Ok(AppSettings { url, timeout_ms: ms(timeout_s), lease_ms: ms(lease_s) })
}

fn ms(seconds: i64) -> i32 {
    i32::try_from(seconds * 1000).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::UrlPolicy;

    fn read(json: &str) -> Result<AppSettings, Vec<String>> {
        let policy = UrlPolicy::default();
        let rules = Rules { policy: &policy, timeout_seconds_max: 40 };
        parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn names_are_segments_of_paths() {
        for name in ["a", "Shop-1_b.c", &"a".repeat(64)] {
            assert_eq!(name.parse::<AppName>().unwrap().to_string(), name);
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(name.parse::<AppName>(), Err(AppNameError), "{name}");
        }
        for name in ["order-flow", "a..b", "-", &"a".repeat(128)] {
            assert_eq!(name.parse::<WorkflowName>().unwrap().to_string(), name);
        }
        for name in ["", ".", ".a", "a/b", "a#b", &"a".repeat(129)] {
            assert_eq!(name.parse::<WorkflowName>(), Err(WorkflowNameError), "{name}");
        }
    }

    #[test]
    fn what_is_not_set_is_the_default_that_the_host_can_keep() {
        let app = read(r#"{"url": "https://example.com/tikku"}"#).unwrap();
        assert_eq!(app, AppSettings { url: "https://example.com/tikku".to_owned(), timeout_ms: 40_000, lease_ms: 30_000 });
        let app = read(r#"{"url": "https://example.com", "timeoutSeconds": 40, "leaseSeconds": 600}"#).unwrap();
        assert_eq!((app.url.as_str(), app.timeout_ms, app.lease_ms), ("https://example.com/", 40_000, 600_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, pointer) in [
            ("{}", "/url"),
            (r#"{"url": "ftp://example.com"}"#, "/url"),
            (r#"{"url": "http://127.0.0.1:1"}"#, "/url"),
            (r#"{"url": "https://example.com", "timeoutSeconds": 41}"#, "/timeoutSeconds"),
            (r#"{"url": "https://example.com", "timeoutSeconds": 0}"#, "/timeoutSeconds"),
            (r#"{"url": "https://example.com", "leaseSeconds": 601}"#, "/leaseSeconds"),
            (r#"{"url": "https://example.com", "name": "x"}"#, "/name"),
        ] {
            assert_eq!(read(json), Err(vec![pointer.to_owned()]), "{json}");
        }
    }
}
