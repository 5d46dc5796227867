//! JSON that people read: indented, members in the order in which they were written, numbers as they were written.
//!
//! And JSON that a command line gives: a literal, `@file`, or `-` for standard input. Out of scope: what it means.

use std::io::Read;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::exit::{Exit, Fault};

/// Indents JSON text. Control characters that JSON leaves alone (U+007F to U+009F) are written as escapes.
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped, mut opened) = (0_usize, false, false, false);
    for c in json.chars() {
        if quoted {
            push(&mut out, c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_whitespace() {
            continue;
        }
        if opened && !matches!(c, '}' | ']') {
            indent(&mut out, depth);
        }
        let closes_full = !opened && matches!(c, '}' | ']');
        opened = false;
        match c {
            '{' | '[' => {
                out.push(c);
                depth += 1;
                opened = true;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if closes_full {
                    indent(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                indent(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                out.push(c);
                quoted = true;
            }
            c => out.push(c),
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        out.push(c);
    }
}

fn indent(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Reads JSON that an argument gives: the JSON itself, `@file`, or `-` for standard input.
pub fn given(argument: &str, name: &str) -> Result<Box<RawValue>> {
    let text = given_text(argument, name)?;
    // serde_json says where, and repeats nothing of the text.
    serde_json::from_str(&text)
        .map_err(|error| Fault::error(Exit::Usage, format!("{name} is not JSON: {error}; a string has quotes: '\"text\"'")))
}

fn given_text(argument: &str, name: &str) -> Result<String> {
    if argument == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("could not read standard input")?;
        return Ok(text);
    }
    match argument.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| Fault::error(Exit::Usage, format!("could not read {name} from {path}: {error}")))
        }
        None => Ok(argument.to_owned()),
    }
}

/// A JSON object that is written member by member, in that order; values that are JSON already stay byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Adds a member; None is left out.
    pub fn set<T: Serialize>(&mut self, name: &str, value: Option<T>) -> Result<()> {
        if let Some(value) = value {
            self.0.push((name.to_owned(), to_raw_value(&value)?));
        }
        Ok(())
    }

    /// Adds a member that is JSON already.
    pub fn raw(&mut self, name: &str, value: Option<Box<RawValue>>) {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Adds an object, unless it is empty.
    pub fn object(&mut self, name: &str, value: &Object) -> Result<()> {
        if !value.is_empty() {
            self.raw(name, Some(RawValue::from_string(value.text()?)?));
        }
        Ok(())
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text.
    pub fn text(&self) -> Result<String> {
        let members: Result<Vec<String>> =
            self.0.iter().map(|(name, value)| Ok(format!("{}:{}", serde_json::to_string(name)?, value.get()))).collect();
        Ok(format!("{{{}}}", members?.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_keeps_order_numbers_and_strings() {
        let json = r#"{"b":[1e400,0.10,{}],"a":{"x":"q\"}{,","y":[]},"c":null}"#;
        let expected = "{\n  \"b\": [\n    1e400,\n    0.10,\n    {}\n  ],\n  \"a\": {\n    \"x\": \"q\\\"}{,\",\n    \"y\": []\n  },\n  \"c\": null\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(" [ 1 , 2 ] "), "[\n  1,\n  2\n]");
        assert_eq!(pretty("\"a\u{9b}\u{202e}\\\\\""), "\"a\\u009b\\u202e\\\\\"");
    }

    #[test]
    fn an_object_keeps_the_bytes_of_what_is_json() {
        let mut object = Object::default();
        object.set("url", Some("https://a\"")).unwrap();
        object.raw("body", Some(given("{\"b\": 1.0, \"a\":1e400}", "--body").unwrap()));
        object.set("maxAttempts", Some(3)).unwrap();
        object.set("labels", None::<Vec<String>>).unwrap();
        object.object("flowControl", &Object::default()).unwrap();
        assert_eq!(object.text().unwrap(), r#"{"url":"https://a\"","body":{"b": 1.0, "a":1e400},"maxAttempts":3}"#);
    }

    #[test]
    fn what_is_no_json_is_wrong_usage_and_is_not_repeated() {
        let error = given("secret words", "--body").unwrap_err();
        assert_eq!(crate::exit::code(&error), Exit::Usage);
        assert!(!error.to_string().contains("secret") && error.to_string().contains("--body"), "{error}");
        assert_eq!(crate::exit::code(&given("@/no/such/file", "--body").unwrap_err()), Exit::Usage);
    }
}
