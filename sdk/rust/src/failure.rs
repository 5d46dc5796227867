//! Errors: what a journal keeps of one ([`Failure`]), and what a step body may end with ([`StepError`]).
//!
//! Out of scope: when a step is tried again (`retry`).

use std::error::Error as StdError;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most bytes of an error in JSON, with its causes (protocol, "An error").
pub const FAILURE_BYTES_MAX: usize = 64 * 1024;
type BoxError = Box<dyn StdError + Send + Sync>;

/// Deepest nesting that the engine keeps.
const LEVELS_MAX: usize = 128;
/// Most causes that are kept below an error.
const CAUSES_MAX: usize = 16;

/// An error as the journal keeps it: name, message, code, data and causes survive a replay.
///
/// Every error turns into one with `?`, `anyhow::Error` and texts, too; the name is then the name of its type. Like `anyhow::Error` it is no
/// `std::error::Error` itself.
///
/// ```
/// use tikku::Failure;
///
/// let failure = Failure::new("PaymentDeclined", "the card has expired").with_code("card_expired");
/// assert_eq!(failure.to_string(), "PaymentDeclined: the card has expired");
///
/// let parsed: Result<u32, Failure> = "x".parse::<u32>().map_err(Failure::from);
/// assert_eq!(parsed.unwrap_err().name, "ParseIntError");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(Box<FailureParts>);

/// What a [`Failure`] consists of; the failure derefs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureParts {
    /// What kind of error it is: `TypeError`, `ChildFailed`.
    #[serde(default = "unnamed")]
    pub name: String,
    /// What was wrong, for a person.
    #[serde(default)]
    pub message: String,
    /// Where it came from, if the program that failed knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What a program can branch on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "code")]
    pub code: Option<String>,
    /// More, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Failure>,
    /// The child run that failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// A code is text here; programs in other languages have numbers, too.
fn code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(code) => Some(code),
        other => Some(other.to_string()),
    })
}

/// Text without U+0000, which the engine does not keep.
pub(crate) fn fit(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// How deep arrays and objects go in a value.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fn unnamed() -> String {
    "Error".to_owned()
}

impl Failure {
    /// An error with this name and message.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        let (name, message) = (name.into(), message.into());
        Self(Box::new(FailureParts { name, message, stack: None, code: None, data: None, cause: None, run_id: None }))
    }

    /// Sets [`code`](Self::code).
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets [`data`](Self::data).
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets [`cause`](Self::cause).
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Self>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    fn of(error: &(dyn StdError + 'static), name: String) -> Self {
        let mut failure = Self::new(name, error.to_string());
        let mut causes: Vec<Self> = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next.filter(|_| causes.len() < CAUSES_MAX) {
            causes.push(Self::new(unnamed(), cause.to_string()));
            next = cause.source();
        }
        failure.cause = causes.into_iter().rev().fold(None, |below, mut cause| {
            cause.cause = below;
            Some(cause)
        });
        failure
    }

    /// How deep its JSON goes.
    fn levels(&self) -> usize {
        1 + self.data.as_ref().map_or(0, levels).max(self.cause.as_ref().map_or(0, Self::levels))
    }

    /// Shortens it to what the protocol allows: stacks first, then data and long texts, then causes.
    pub(crate) fn fitted(mut self) -> Self {
        let mut next = Some(&mut self);
        while let Some(one) = next {
            for text in [&mut one.0.name, &mut one.0.message] {
                *text = fit(text);
            }
            next = one.0.cause.as_mut();
        }
        let cuts: [fn(&mut Failure); 4] = [
            |one| one.stack.iter_mut().for_each(|stack| shorten(stack, 2048)),
            |one| one.stack = None,
            |one| {
                one.data = None;
                shorten(&mut one.message, 2048);
                shorten(&mut one.name, 256);
                one.code.iter_mut().for_each(|code| shorten(code, 256));
            },
            |one| one.cause = None,
        ];
        for cut in cuts {
            if self.levels() <= LEVELS_MAX && serde_json::to_vec(&self).is_ok_and(|json| json.len() <= FAILURE_BYTES_MAX) {
                break;
            }
            let mut next = Some(&mut self);
            while let Some(one) = next {
                cut(one);
                next = one.cause.as_mut();
            }
        }
        self
    }
}

fn shorten(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

impl Deref for Failure {
    type Target = FailureParts;

    fn deref(&self) -> &FailureParts {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut FailureParts {
        &mut self.0
    }
}

/// The last part of a type's path: `ParseIntError`; with the crate's name if it is a plain `Error`: `reqwest::Error`.
fn type_name<E>() -> String {
    let path = std::any::type_name::<E>();
    let path = path.split('<').next().unwrap_or(path);
    match (path.split("::").next(), path.rsplit("::").next()) {
        (Some(krate), Some("Error")) if krate != "Error" => format!("{krate}::Error"),
        (_, Some("&str" | "String") | None) => unnamed(),
        (_, Some(last)) => last.to_owned(),
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let name = type_name::<E>();
        Self::of(error.into().as_ref(), name)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// How a step body fails. `?` makes [`StepError::Retriable`] of every error.
#[derive(Clone, Debug, PartialEq)]
pub enum StepError {
    /// The step is tried again, as long as it has attempts left.
    Retriable(Failure),
    /// The step has failed for good.
    NonRetriable(Failure),
    /// The step is tried again after this time.
    RetryAfter {
        /// What is recorded if it was the last attempt.
        failure: Failure,
        /// The wait; rounded up to milliseconds, at most 365 days.
        after: Duration,
        /// Does not spend an attempt: the other side was busy.
        free: bool,
    },
}

impl StepError {
    /// A failure that no further attempt would heal.
    ///
    /// ```
    /// # use tikku::StepError;
    /// let error = StepError::non_retriable("the account is closed");
    /// # assert!(matches!(error, StepError::NonRetriable(_)));
    /// ```
    pub fn non_retriable(error: impl Into<StepError>) -> Self {
        Self::NonRetriable(error.into().into_failure())
    }

    /// A failure that is tried again after `after`, which spends an attempt.
    pub fn retry_after(after: Duration, error: impl Into<StepError>) -> Self {
        Self::RetryAfter { failure: error.into().into_failure(), after, free: false }
    }

    /// The other side asks to wait, for instance by 429: tried again after `after`, without spending an attempt.
    pub fn throttled(after: Duration, error: impl Into<StepError>) -> Self {
        Self::RetryAfter { failure: error.into().into_failure(), after, free: true }
    }

    /// The error alone.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Retriable(failure) | Self::NonRetriable(failure) | Self::RetryAfter { failure, .. } => failure,
        }
    }
}

impl<E: Into<BoxError>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Retriable(Failure::from(error))
    }
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Retriable(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn an_error_keeps_its_type_and_its_causes() {
        let failure = Failure::from(Outer(std::fmt::Error));
        assert_eq!((failure.name.as_str(), failure.message.as_str()), ("Outer", "outer"));
        assert_eq!(failure.cause.as_ref().unwrap().message, std::fmt::Error.to_string());
        assert_eq!(Failure::from(std::fmt::Error).name, "core::Error");
        assert_eq!(Failure::from(anyhow::anyhow!("a").context("b")).cause.as_ref().unwrap().message, "a");
    }

    #[test]
    fn an_error_survives_json_with_code_data_and_causes() {
        let failure = Failure::new("A", "a").with_code("E_A").with_data(serde_json::json!({"k": 1})).with_cause(Failure::new("B", "b"));
        let json = serde_json::to_string(&failure).unwrap();
        assert_eq!(json, r#"{"name":"A","message":"a","code":"E_A","data":{"k":1},"cause":{"name":"B","message":"b"}}"#);
        assert_eq!(serde_json::from_str::<Failure>(&json).unwrap(), failure);
    }

    #[test]
    fn a_long_error_loses_its_stacks_before_its_causes() {
        let mut failure = Failure::new("A", "a").with_cause(Failure::new("B", "b"));
        failure.stack = Some("s".repeat(FAILURE_BYTES_MAX));
        let fitted = failure.clone().fitted();
        assert_eq!(fitted.stack.as_ref().unwrap().len(), 2048);
        assert_eq!(fitted.cause, failure.cause);
        failure.message = "m".repeat(FAILURE_BYTES_MAX);
        let fitted = failure.clone().fitted();
        assert!(serde_json::to_vec(&fitted).unwrap().len() <= FAILURE_BYTES_MAX);
        assert_eq!(fitted.cause, failure.cause);
    }
}
