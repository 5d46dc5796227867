//! Approvals: what the API accepts as an answer, and who may give it. Out of scope: whether the question is still open, which the database
//! decides under the run's lock, and what a schema means (`json_schema`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fields::{FieldError, Fields};
use crate::ids::KeyId;
use crate::json_schema::{self, SchemaError};
use crate::run_start::value;

/// Characters of the name of who answers.
const BY_CHARS_MAX: usize = 255;

/// An answer, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub approve: bool,
    /// JSON as it was written.
    pub data: Option<Vec<u8>>,
    /// Who answered, for the record: a person behind the key.
    pub by: Option<String>,
}

/// Reads `{approve, data?, by?}`.
pub fn parse(json: &[u8]) -> Result<Answer, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    if !fields.has("approve") {
        fields.raw("approve");
        fields.refuse("approve", "is required: true or false");
    }
    let approve = fields.boolean("approve").unwrap_or(false);
    let data = value(&mut fields, "data");
    let by = fields.string("by", 1..=BY_CHARS_MAX);
    fields.finish()?;
    Ok(Answer { approve, data, by })
}

/// Who may answer; what is empty allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Roles of API keys.
    pub roles: Vec<String>,
    /// API keys: `key_...`.
    pub keys: Vec<String>,
    /// Not the key that started the run.
    pub not_initiator: bool,
}

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The role of the key.
    pub role: &'a str,
    /// The key.
    pub key: KeyId,
    /// The key that started the run, if one did.
    pub initiator: Option<KeyId>,
}

impl Policy {
    /// The policy as it was stored.
    ///
    /// `None` for a text that is none: nobody may answer by it.
    pub fn stored(json: &str) -> Option<Self> {
        match json.trim_ascii() {
            "null" => Some(Self::default()),
            // An array would be read too, as its fields in order.
            object if object.starts_with('{') => serde_json::from_str(object).ok(),
            _ => None,
        }
    }

    /// Whether anybody may answer, the holder of a resume URL too.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Why this person may not answer; `None` for one who may. With roles and keys, either will do.
    pub fn refusal(&self, person: Person<'_>) -> Option<String> {
        if self.not_initiator && person.initiator == Some(person.key) {
            return Some("whoever started the run may not answer this: its policy says notInitiator".to_owned());
        }
        if self.roles.is_empty() && self.keys.is_empty() {
            return None;
        }
        let key = person.key.to_string();
        if self.roles.iter().any(|role| role == person.role) || self.keys.contains(&key) {
            return None;
        }
        let mut allowed = Vec::new();
        if !self.roles.is_empty() {
            allowed.push(format!("a key of role {}", self.roles.join(" or ")));
        }
        if !self.keys.is_empty() {
            allowed.push(format!("one of the keys {}", self.keys.join(", ")));
        }
        Some(format!("this approval needs {}", allowed.join(" or ")))
    }
}

/// Whether the data of an answer fits the schema of its question. A refusal is checked only if it has data.
///
/// # Errors
/// What is wrong with it, each with its pointer into the answer.
pub fn check_data(schema: Option<&str>, answer: &Answer) -> Result<(), Vec<FieldError>> {
    let Some(schema) = schema.filter(|_| answer.approve || answer.data.is_some()) else { return Ok(()) };
    let read = |json: &[u8]| serde_json::from_slice::<&RawValue>(json).and_then(|raw| serde_json::from_str(raw.get()));
    let data = answer.data.as_deref().unwrap_or(b"null");
    let (Ok(schema), Ok(data)) = (read(schema.as_bytes()), read(data)) else {
        return Err(vec![FieldError { pointer: "/data".to_owned(), detail: "data is nested too deeply to be checked".to_owned() }]);
    };
    match json_schema::validate(&schema, &data) {
        Ok(()) => Ok(()),
        Err(SchemaError::Data(errors)) => Err(errors
            .into_iter()
            .map(|error| FieldError {
                pointer: format!("/data{}", error.pointer),
                detail: format!("data{}: {}", error.pointer, error.detail),
            })
            .collect()),
        Err(SchemaError::Schema(detail)) => {
            Err(vec![FieldError { pointer: "/data".to_owned(), detail: format!("the schema of this approval cannot be used: {detail}") }])
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_answer_says_yes_or_no() {
        let answer = parse(br#"{"approve": true, "data": {"a":  1}, "by": "Ada"}"#).unwrap();
        assert_eq!((answer.approve, answer.data.as_deref(), answer.by.as_deref()), (true, Some(&br#"{"a":  1}"#[..]), Some("Ada")));
        assert_eq!(parse(br#"{"approve": false}"#).unwrap(), Answer { approve: false, data: None, by: None });
        for json in ["{}", r#"{"approve": null}"#, r#"{"approve": "yes"}"#] {
            let errors = parse(json.as_bytes()).unwrap_err();
            assert_eq!((errors.len(), errors[0].pointer.as_str()), (1, "/approve"), "{json}");
        }
        assert_eq!(parse(br#"{"approve": true, "note": 1}"#).unwrap_err()[0].pointer, "/note");
    }

    #[test]
    fn a_policy_says_who() {
        let key = |n: u128| KeyId(Uuid::from_u128(n));
        let named = key(1).to_string();
        let asks = |policy: &str, role: &str, n: u128| {
            Policy::stored(policy).unwrap().refusal(Person { role, key: key(n), initiator: Some(key(9)) }).is_none()
        };
        for policy in ["{}", "null", r#"{"roles": [], "keys": []}"#] {
            assert!(asks(policy, "publish", 9) && Policy::stored(policy).unwrap().is_open(), "{policy}");
        }
        assert!(asks(r#"{"roles": ["admin"]}"#, "admin", 9) && !asks(r#"{"roles": ["admin"]}"#, "publish", 1));
        let keys = format!(r#"{{"roles": ["admin"], "keys": ["{named}"]}}"#);
        assert!(asks(&keys, "publish", 1) && asks(&keys, "admin", 2) && !asks(&keys, "publish", 2));
        assert!(asks(r#"{"notInitiator": true}"#, "publish", 1) && !asks(r#"{"notInitiator": true}"#, "admin", 9));
        assert!(!Policy::stored(r#"{"notInitiator": true}"#).unwrap().is_open());
        assert!(Policy::stored("[]").is_none() && Policy::stored("5").is_none() && Policy::stored(r#"{"roles": 1}"#).is_none());
    }

    #[test]
    fn data_must_fit_the_schema() {
        let schema = Some(r#"{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer", "minimum": 1}}}"#);
        let check = |approve: bool, data: Option<&str>| {
            let answer = Answer { approve, data: data.map(|text| text.as_bytes().to_vec()), by: None };
            check_data(schema, &answer).map_err(|errors| errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>())
        };
        assert_eq!(check(true, Some(r#"{"amount": 3}"#)), Ok(()));
        assert_eq!(check(true, Some(r#"{"amount": 0}"#)), Err(vec!["/data/amount".to_owned()]));
        assert_eq!(check(true, None), Err(vec!["/data".to_owned()]));
        assert_eq!(check(false, None), Ok(()));
        assert_eq!(check(false, Some("3")), Err(vec!["/data".to_owned()]));
        assert_eq!(check_data(None, &Answer { approve: true, data: None, by: None }), Ok(()));
    }
}
