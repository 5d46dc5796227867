//! What people type into forms, as JSON for the API to judge: nothing where nothing was typed, a number where a number was, and otherwise the
//! text as it is, so that the API says what is wrong with it.
//!
//! Out of scope: limits, which the API knows.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::link::Query;
use crate::parts::FieldError;

/// An object of JSON, in the order in which it was put together.
#[derive(Clone, Debug, Default)]
pub struct Document(Vec<(&'static str, Box<RawValue>)>);

impl Document {
    /// With a text, unless it is empty.
    pub fn text(self, name: &'static str, text: &str) -> Self {
        if text.is_empty() { self } else { self.value(name, &text) }
    }

    /// With a number, unless nothing was typed.
    pub fn number(self, name: &'static str, text: &str) -> Self {
        match text.trim().parse::<i64>() {
            Ok(number) => self.value(name, &number),
            Err(_) => self.text(name, text.trim()),
        }
    }

    /// With whatever it is.
    pub fn value(mut self, name: &'static str, value: &impl Serialize) -> Self {
        self.0.extend(to_raw_value(value).ok().map(|raw| (name, raw)));
        self
    }

    /// With what there is, byte for byte.
    pub fn raw(mut self, name: &'static str, value: Option<&RawValue>) -> Self {
        self.0.extend(value.map(|raw| (name, raw.to_owned())));
        self
    }

    /// What it has, in order.
    pub fn members(&self) -> impl Iterator<Item = (&'static str, &RawValue)> {
        self.0.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// With an object that has something in it.
    pub fn inner(self, name: &'static str, inner: &Self) -> Self {
        if inner.0.is_empty() { self } else { self.value(name, inner) }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (*name, value)))
    }
}

/// `{key, parallelism, rate, periodSeconds}` of the form's fields; the first is called `key_field` there.
pub fn flow(form: &Query, key_field: &str) -> Document {
    let limits = Document::default().text("key", form.get(key_field)).number("parallelism", form.get("parallelism"));
    limits.number("rate", form.get("rate")).number("periodSeconds", form.get("periodSeconds"))
}

/// What stands in each line that is not empty.
pub fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// What stands between commas.
pub fn list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Headers, a line each; one that comes twice has both values.
pub fn headers(text: &str) -> Result<BTreeMap<String, String>, FieldError> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines(text) {
        let Some((name, value)) = line.split_once(':') else {
            return Err(FieldError { field: "headers".to_owned(), text: format!("“{line}” is no header: write “name: value”") });
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        headers.entry(name).and_modify(|first| *first = format!("{first}, {value}")).or_insert_with(|| value.to_owned());
    }
    Ok(headers)
}

/// Headers as they are typed.
pub fn header_lines(headers: &BTreeMap<String, String>) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}

/// JSON, or nothing where nothing was typed.
pub fn json(field: &str, text: &str) -> Result<Option<Box<RawValue>>, FieldError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| FieldError { field: field.to_owned(), text: format!("This is no JSON: {error}") };
    serde_json::from_str(text).map(Some).map_err(wrong)
}

/// A number in a field of a form; "" for none.
pub fn shown(number: Option<i64>) -> String {
    number.map(|n| n.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &Document) -> String {
        serde_json::to_string(document).unwrap()
    }

    #[test]
    fn what_was_not_typed_is_not_there_and_the_rest_is_as_it_was_typed() {
        let raw: Box<RawValue> = serde_json::from_str("1.50").unwrap();
        let document = Document::default().text("a", "").text("b", "x").number("c", " 7 ").number("d", "many").number("e", "");
        let document = document.raw("f", Some(&raw)).raw("g", None).inner("h", &Document::default());
        assert_eq!(text(&document), r#"{"b":"x","c":7,"d":"many","f":1.50}"#);
        let form = Query::parse(b"flowKey=stock&rate=10");
        assert_eq!(
            text(&Document::default().inner("flowControl", &flow(&form, "flowKey"))),
            r#"{"flowControl":{"key":"stock","rate":10}}"#
        );
    }

    #[test]
    fn headers_are_lines() {
        let read = headers("X-Team: billing\r\n\r\nx-url: https://a.example\nx-team: eu\n").unwrap();
        assert_eq!(header_lines(&read), "x-team: billing, eu\nx-url: https://a.example");
        assert_eq!(headers("nonsense").unwrap_err().text, "“nonsense” is no header: write “name: value”");
        assert_eq!((lines(" a \n\nb"), list("a, ,b,")), (vec!["a", "b"], vec!["a", "b"]));
    }

    #[test]
    fn json_is_kept_as_it_was_typed_or_refused() {
        assert_eq!(json("body", " {\"b\": 1.0, \"a\": 2} ").unwrap().unwrap().get(), "{\"b\": 1.0, \"a\": 2}");
        assert!(json("body", " \n").unwrap().is_none());
        let wrong = json("body", "{").unwrap_err();
        assert!(wrong.field == "body" && wrong.text.starts_with("This is no JSON: EOF"), "{wrong:?}");
    }
}
