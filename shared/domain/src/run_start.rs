//! What starts a run: the request, every field checked. Out of scope: which workflows there are, and what their policies make of a start,
//! which the database decides under its locks.

use sha2::{Digest, Sha256};

use crate::fields::{FieldError, Fields};
use crate::limits;

/// A start, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// The version to start; `None` for the current one.
    pub version: Option<String>,
    /// The starter's own id, unique per workflow.
    pub external_id: Option<String>,
    /// The starter's key, unique within the account.
    pub idempotency_key: Option<String>,
    /// JSON as it was written; `null` when there is none.
    pub input: Vec<u8>,
    /// Delay from now.
    pub delay_ms: Option<i64>,
    /// For filters.
    pub labels: Vec<String>,
}

/// Reads `{input?, id?, version?, idempotencyKey?, delaySeconds?, labels?}`; nothing at all is an empty object.
pub fn parse(json: &[u8]) -> Result<NewRun, Vec<FieldError>> {
    let json = if json.is_empty() { b"{}" } else { json };
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let run = NewRun {
        version: fields.string("version", 1..=limits::VERSION_CHARS_MAX),
        external_id: external_id(&mut fields),
        idempotency_key: fields.string("idempotencyKey", 1..=limits::IDEMPOTENCY_KEY_CHARS_MAX),
        input: value(&mut fields, "input").unwrap_or_else(|| b"null".to_vec()),
        delay_ms: fields.integer("delaySeconds", 0..=limits::DELAY_SECONDS_MAX).map(|seconds| seconds * 1000),
        labels: fields.strings("labels", limits::LABELS_MAX, 1..=limits::LABEL_CHARS_MAX),
    };
    fields.finish()?;
    Ok(run)
}

/// What tells inputs apart: SHA-256 of the JSON as it was written.
pub fn input_hash(input: &[u8]) -> [u8; 32] {
    Sha256::digest(input).into()
}

/// Takes `id`, a name of the caller's for what he makes.
pub(crate) fn external_id(fields: &mut Fields<'_>) -> Option<String> {
    let id = fields.string("id", 1..=limits::EXTERNAL_ID_CHARS_MAX)?;
    if id.chars().any(char::is_control) {
        fields.refuse("id", "must not contain control characters");
    }
    Some(id)
}

/// Takes a JSON value as it was written, within the size of a body.
pub(crate) fn value(fields: &mut Fields<'_>, name: &str) -> Option<Vec<u8>> {
    let raw = fields.raw(name)?;
    if raw.get().len() > limits::BODY_BYTES_MAX {
        fields.refuse(name, format!("must have at most {} bytes of JSON", limits::BODY_BYTES_MAX));
        return None;
    }
    Some(raw.get().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<NewRun, Vec<String>> {
        parse(json.as_bytes()).map_err(|errors| errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn the_input_is_kept_as_it_was_written() {
        for input in ["null", "0", "false", "\"\"", r#"{"b": 1,  "b": 2}"#, "12345678901234567890.10"] {
            assert_eq!(read(&format!("{{\"input\": {input}}}")).unwrap().input, input.as_bytes());
        }
        assert_eq!(read("{}").unwrap().input, b"null");
        assert_eq!(read("").unwrap(), read("{}").unwrap());
    }

    #[test]
    fn every_field_is_read() {
        let run =
            read(r#"{"input": 1, "id": "order-1", "version": "3", "idempotencyKey": "k", "delaySeconds": 90, "labels": ["a"]}"#).unwrap();
        assert_eq!((run.external_id.as_deref(), run.version.as_deref(), run.delay_ms), (Some("order-1"), Some("3"), Some(90_000)));
        assert_eq!((run.idempotency_key.as_deref(), run.labels.len()), (Some("k"), 1));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = |chars: usize| "x".repeat(chars);
        for (json, pointer) in [
            ("[]".to_owned(), ""),
            (r#"{"id": "a\nb"}"#.to_owned(), "/id"),
            (format!(r#"{{"id": "{}"}}"#, long(256)), "/id"),
            (r#"{"id": ""}"#.to_owned(), "/id"),
            (format!(r#"{{"version": "{}"}}"#, long(65)), "/version"),
            (r#"{"delaySeconds": 315360001}"#.to_owned(), "/delaySeconds"),
            (r#"{"delaySeconds": -1}"#.to_owned(), "/delaySeconds"),
            (format!(r#"{{"idempotencyKey": "{}"}}"#, long(256)), "/idempotencyKey"),
            (format!(r#"{{"input": "{}"}}"#, long(limits::BODY_BYTES_MAX - 1)), "/input"),
            (r#"{"workflow": "x"}"#.to_owned(), "/workflow"),
        ] {
            assert_eq!(read(&json), Err(vec![pointer.to_owned()]), "{:.60}", json);
        }
        assert!(read(&format!(r#"{{"id": "{}", "version": "{}"}}"#, long(255), long(64))).is_ok());
        assert!(read(&format!(r#"{{"input": "{}"}}"#, long(limits::BODY_BYTES_MAX - 2))).is_ok());
    }
}
