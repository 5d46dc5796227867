//! What publishes an event: the request, every field checked. Out of scope: whom it starts and wakes.

use sha2::{Digest, Sha256};

use crate::fields::{FieldError, Fields};
use crate::limits::EVENT_NAME_CHARS_MAX;
use crate::run_start::{external_id, value};

/// An event as published, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name.
    pub name: String,
    /// JSON as it was written; `null` when there is none.
    pub data: Vec<u8>,
    /// The publisher's own id, unique within the account.
    pub external_id: Option<String>,
}

/// Reads `{name, data?, id?}`.
pub fn parse(json: &[u8]) -> Result<NewEvent, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let name = fields.required_string("name", 1..=EVENT_NAME_CHARS_MAX);
    if name.chars().any(char::is_control) {
        fields.refuse("name", "must not contain control characters");
    }
    let data = value(&mut fields, "data").unwrap_or_else(|| b"null".to_vec());
    let external_id = external_id(&mut fields);
    fields.finish()?;
    Ok(NewEvent { name, data, external_id })
}

/// What tells events of one id apart: SHA-256 of name and data.
pub fn data_hash(name: &str, data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((name.len() as u64).to_be_bytes());
    hash.update(name.as_bytes());
    hash.update(data);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name() {
        let event = parse(br#"{"name": "order.placed", "data": {"a":  1}, "id": "e-1"}"#).unwrap();
        assert_eq!(
            (event.name.as_str(), event.data.as_slice(), event.external_id.as_deref()),
            ("order.placed", &br#"{"a":  1}"#[..], Some("e-1"))
        );
        assert_eq!(parse(br#"{"name": "x"}"#).unwrap().data, b"null");
        let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(129));
        for json in ["{}", r#"{"name": ""}"#, r#"{"name": 1}"#, r#"{"name": "a\tb"}"#, &long] {
            let errors = parse(json.as_bytes()).unwrap_err();
            assert_eq!(errors[0].pointer, "/name", "{json}");
        }
    }

    #[test]
    fn name_and_data_are_told_apart() {
        assert_ne!(data_hash("a", b"1"), data_hash("a1", b""));
        assert_eq!(data_hash("a", b"1"), data_hash("a", b"1"));
    }
}
