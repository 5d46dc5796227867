//! What people can ask of a run: the requests of `resume` and `fork`, keys of steps and names of signals in paths, forms as JSON.
//! Out of scope: doing it.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::fields::{FieldError, Fields};
use crate::limits;
use crate::run_start::value;

/// A fork, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFork {
    /// The key of the first step that runs again.
    pub from_step: String,
    /// Another input, as it was written.
    pub input: Option<Vec<u8>>,
    /// Other results of steps before it: key and JSON as it was written.
    pub results: Vec<(String, Vec<u8>)>,
}

/// Reads `{fromStep, input?, results?}`.
pub fn fork(json: &[u8]) -> Result<NewFork, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let text = fields.required_string("fromStep", 1..=limits::STEP_KEY_CHARS_MAX);
    let from_step = step_key(&text).unwrap_or_default();
    if from_step.is_empty() && !text.is_empty() {
        fields.refuse("fromStep", KEY);
    }
    let input = value(&mut fields, "input");
    let mut results: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, raw) in fields.raw_map("results") {
        match result(&name, raw) {
            Ok((key, _)) if results.iter().any(|(other, _)| *other == key) => {
                fields.refuse_at(&["results", &name], "the result of a step is given once".to_owned());
            }
            Ok((key, _)) if key == from_step => {
                fields.refuse_at(&["results", &name], "fromStep runs again: it has no result to replace".to_owned());
            }
            Ok(pair) => results.push(pair),
            Err(detail) => fields.refuse_at(&["results", &name], detail),
        }
    }
    fields.finish()?;
    Ok(NewFork { from_step, input, results })
}

const KEY: &str = "must be a step's key, such as charge#0, or its name";

fn result(name: &str, raw: &RawValue) -> Result<(String, Vec<u8>), String> {
    let key = step_key(name).ok_or_else(|| format!("each name {KEY}"))?;
    if raw.get().len() > limits::BODY_BYTES_MAX {
        return Err(format!("a result must have at most {} bytes of JSON", limits::BODY_BYTES_MAX));
    }
    Ok((key, raw.get().as_bytes().to_vec()))
}

/// The key that a text stands for: `charge#2` is one, `charge` is the first step of the name, `charge#0`.
pub fn step_key(text: &str) -> Option<String> {
    let occurrence = |digits: &str| !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
    let (name, key) = match text.rsplit_once('#') {
        Some((name, digits)) if occurrence(digits) => (name, text.to_owned()),
        _ => (text, format!("{text}#0")),
    };
    let usable = (1..=limits::STEP_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    usable.then_some(key)
}

/// Reads `{accept?}`; nothing at all is an empty object.
pub fn resume(json: &[u8]) -> Result<bool, Vec<FieldError>> {
    if json.is_empty() {
        return Ok(false);
    }
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let accept = fields.boolean("accept").unwrap_or(false);
    fields.finish()?;
    Ok(accept)
}

/// The JSON of a signal: the body as it was written, an empty one is null.
pub fn signal(body: &[u8]) -> Result<&[u8], FieldError> {
    let text = body.trim_ascii();
    if text.is_empty() {
        return Ok(b"null");
    }
    if text.len() > limits::SIGNAL_BYTES_MAX {
        let detail = format!("a signal must have at most {} bytes of JSON", limits::SIGNAL_BYTES_MAX);
        return Err(FieldError { pointer: String::new(), detail });
    }
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(FieldError { pointer: String::new(), detail: format!("the body must be JSON or empty: {error}") }),
    }
}

/// Whether a text can be the name of a signal.
pub fn is_signal_name(text: &str) -> bool {
    (1..=limits::SIGNAL_NAME_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A form's fields as a JSON object; of a name that came several times, an array. No field at all is null.
pub fn form(pairs: impl Iterator<Item = (String, String)>) -> Value {
    let mut object = Map::new();
    for (name, text) in pairs {
        let value = Value::String(text);
        match object.get_mut(&name) {
            None => drop(object.insert(name, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    if object.is_empty() { Value::Null } else { Value::Object(object) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_first_step() {
        for (text, key) in
            [("charge", "charge#0"), ("charge#2", "charge#2"), ("a#b", "a#b#0"), ("a#", "a##0"), ("ship it#10", "ship it#10")]
        {
            assert_eq!(step_key(text).as_deref(), Some(key));
        }
        for text in ["", "#0", "a\nb", &"x".repeat(201), &format!("{}#0", "x".repeat(201))] {
            assert_eq!(step_key(text), None, "{text}");
        }
    }

    #[test]
    fn a_fork_says_where_it_begins() {
        let all = fork(br#"{"fromStep": "ship", "input": {"a":  1}, "results": {"charge": {"ok": true}, "mail#1": null}}"#).unwrap();
        assert_eq!(all.from_step, "ship#0");
        assert_eq!(all.input.as_deref(), Some(&br#"{"a":  1}"#[..]));
        assert_eq!(all.results, [("charge#0".to_owned(), br#"{"ok": true}"#.to_vec()), ("mail#1".to_owned(), b"null".to_vec())]);
        for (json, pointer) in [
            ("{}", "/fromStep"),
            (r##"{"fromStep": "#1"}"##, "/fromStep"),
            (r#"{"fromStep": "a", "results": []}"#, "/results"),
            (r##"{"fromStep": "a", "results": {"b": 1, "b#0": 2}}"##, "/results/b#0"),
            (r#"{"fromStep": "a", "results": {"a": 1}}"#, "/results/a"),
            (r#"{"fromStep": "a", "nope": 1}"#, "/nope"),
        ] {
            assert_eq!(fork(json.as_bytes()).unwrap_err()[0].pointer, pointer, "{json}");
        }
    }

    #[test]
    fn a_signal_is_any_json() {
        for (body, value) in
            [("", "null"), (" \n", "null"), ("null", "null"), ("0", "0"), (" {\"a\": 1} ", "{\"a\": 1}"), ("false", "false")]
        {
            assert_eq!(signal(body.as_bytes()), Ok(value.as_bytes()), "{body}");
        }
        assert!(signal(b"{").is_err() && signal(b"a=b").is_err() && signal(b"\xff").is_err());
        assert!(signal(&vec![b'1'; limits::SIGNAL_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_form_is_an_object() {
        let pairs =
            |list: &[(&str, &str)]| form(list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter());
        assert_eq!(pairs(&[]), Value::Null);
        assert_eq!(pairs(&[("a", "1"), ("b", ""), ("a", "2"), ("a", "3")]).to_string(), r#"{"a":["1","2","3"],"b":""}"#);
    }
}
