//! Reads what endpoints send: JSON objects whose unknown members are ignored and whose user values stay as they were written.
//! The first fault ends the reading, with its JSON pointer. Out of scope: what the members mean.

use std::fmt::Write;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fields::{shown, whole};
use crate::limits::MEMBERS_MAX;
use crate::workflow::ProtocolError;

/// Where in a request something stands; spelled out only for an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'p> {
    /// The whole.
    Root,
    /// A member of an object.
    Name(&'p Path<'p>, &'p str),
    /// An entry of an array.
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Name(parent, name) => format!("{}/{}", parent.pointer(), shown(name).replace('~', "~0").replace('/', "~1")),
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }

    /// A broken rule at this place.
    pub(crate) fn broken(&self, detail: impl Into<String>) -> ProtocolError {
        ProtocolError { too_large: false, pointer: self.pointer(), detail: detail.into() }
    }

    /// Something beyond a size at this place.
    pub(crate) fn too_large(&self, detail: impl Into<String>) -> ProtocolError {
        ProtocolError { too_large: true, ..self.broken(detail) }
    }
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Object<'a, 'p> {
    pub(crate) path: Path<'p>,
    members: Vec<(String, &'a RawValue)>,
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(serde::de::Error::custom(format_args!("it has more than {MEMBERS_MAX} members")));
                    }
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a, 'p> Object<'a, 'p> {
    /// Reads an object.
    pub(crate) fn parse(json: &'a [u8], path: Path<'p>) -> Result<Self, ProtocolError> {
        match serde_json::from_slice::<Members<'a>>(json) {
            Ok(Members(members)) => Ok(Self { path, members }),
            Err(error) => Err(path.broken(format!("expected a JSON object: {error}"))),
        }
    }

    /// Reads an object that stands within another.
    pub(crate) fn of(raw: &'a RawValue, path: Path<'p>) -> Result<Self, ProtocolError> {
        Self::parse(raw.get().as_bytes(), path)
    }

    /// A member as it is written; the last of several of one name, as JavaScript reads them. `null` counts as absent.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|(n, _)| n == name).map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// All members in order.
    pub(crate) fn members(&self) -> &[(String, &'a RawValue)] {
        &self.members
    }

    /// A broken rule at a member; `detail` continues the sentence that its name begins.
    pub(crate) fn broken(&self, name: &str, detail: impl AsRef<str>) -> ProtocolError {
        Path::Name(&self.path, name).broken(format!("{name} {}", detail.as_ref()))
    }

    /// A string without U+0000 of so many characters.
    pub(crate) fn string(&self, name: &str, min: usize, max: usize) -> Result<Option<String>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
            return Err(self.broken(name, "must be a string of Unicode text"));
        };
        if !(min..=max).contains(&text.chars().count()) || text.contains('\0') {
            return Err(self.broken(name, format!("must have {min} to {max} characters, none of them U+0000")));
        }
        Ok(Some(text))
    }

    /// A string that must be there.
    pub(crate) fn required(&self, name: &str, min: usize, max: usize) -> Result<String, ProtocolError> {
        self.string(name, min, max)?.ok_or_else(|| self.broken(name, "is required"))
    }

    /// A string that must be there and for which `check` knows no fault.
    pub(crate) fn checked(&self, name: &str, check: fn(&str) -> Result<(), &'static str>) -> Result<String, ProtocolError> {
        self.checked_if_any(name, check)?.ok_or_else(|| self.broken(name, "is required"))
    }

    /// A string for which `check` knows no fault.
    pub(crate) fn checked_if_any(&self, name: &str, check: fn(&str) -> Result<(), &'static str>) -> Result<Option<String>, ProtocolError> {
        let Some(text) = self.string(name, 0, usize::MAX)? else { return Ok(None) };
        check(&text).map_err(|fault| self.broken(name, fault))?;
        Ok(Some(text))
    }

    /// An integer within a range; `1.0` and `1e3` are integers, as in JSON Schema.
    pub(crate) fn integer(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match whole(raw.get()) {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(self.broken(name, format!("must be an integer from {min} to {max}"))),
        }
    }

    /// A number from 0, cut to a whole one that is at most `most`: for what is only shown.
    pub(crate) fn about(&self, name: &str, most: i64) -> Result<Option<i64>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match serde_json::from_str::<f64>(raw.get()) {
            // A float cast saturates.
            Ok(number) if number >= 0.0 => Ok(Some((number.round() as i64).min(most))),
            _ => Err(self.broken(name, "must be a number from 0")),
        }
    }

    /// True or false.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str::<bool>(raw.get()).map(Some).map_err(|_| self.broken(name, "must be true or false"))
    }

    /// An array of at most so many entries, each as it is written.
    pub(crate) fn array(&self, name: &str, most: usize) -> Result<Vec<&'a RawValue>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(Vec::new()) };
        match serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) {
            Ok(list) if list.len() <= most => Ok(list),
            _ => Err(self.broken(name, format!("must be an array of at most {most} entries"))),
        }
    }

    /// The same, which must be there.
    pub(crate) fn required_array(&self, name: &str, most: usize) -> Result<Vec<&'a RawValue>, ProtocolError> {
        if self.raw(name).is_none() {
            return Err(self.broken(name, "is required"));
        }
        self.array(name, most)
    }

    /// JSON of at most so many bytes and [`crate::limits::ERROR_LEVELS_MAX`] levels, as it is written.
    pub(crate) fn shallow(&self, name: &str, bytes_max: usize) -> Result<Option<&'a str>, ProtocolError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        check_shallow(raw.get(), bytes_max).map_err(|fault| self.broken(name, fault))?;
        Ok(Some(raw.get()))
    }
}

/// Says what is wrong with JSON that the database has to read as such.
pub(crate) fn check_shallow(json: &str, bytes_max: usize) -> Result<(), String> {
    use crate::limits::ERROR_LEVELS_MAX;
    if json.len() > bytes_max {
        return Err(format!("must have at most {bytes_max} bytes"));
    }
    if levels(json) > ERROR_LEVELS_MAX {
        return Err(format!("must have at most {ERROR_LEVELS_MAX} levels of arrays and objects"));
    }
    Ok(())
}

/// Whether the database can read this JSON as such: text of its jsonb has no NUL, and no half of a surrogate pair.
pub(crate) fn is_fit(json: &str) -> bool {
    fn has_nul(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => text.contains('\0'),
            serde_json::Value::Array(items) => items.iter().any(has_nul),
            serde_json::Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
            _ => false,
        }
    }
    // What is valid JSON and yet no text of ours has half a pair.
    serde_json::from_str(json).is_ok_and(|value| !has_nul(&value))
}

/// How deep arrays and objects go in JSON that is known to be valid.
fn levels(json: &str) -> usize {
    let (mut depth, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                most = most.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Writes JSON around values that are JSON already.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Text as it is: punctuation, and JSON that is known to be some.
    pub(crate) fn raw(&mut self, json: impl AsRef<[u8]>) -> &mut Self {
        self.0.extend_from_slice(json.as_ref());
        self
    }

    /// A string, quoted.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        // invariant: a string always is JSON, and a Vec takes every write.
        let _written = serde_json::to_writer(&mut self.0, text);
        self
    }

    /// A number.
    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        let mut text = String::new();
        let _written = write!(text, "{number}");
        self.raw(text)
    }

    /// `,"name":`, the comma only where a member stands before.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        if self.0.last() != Some(&b'{') {
            self.raw(",");
        }
        self.string(name).raw(":")
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn into_string(self) -> String {
        // invariant: only text was written where this is called.
        String::from_utf8(self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_outside_strings() {
        for (json, expected) in [("1", 0), ("[]", 1), (r#"{"a":[{"b":1}],"c":[]}"#, 3), (r#"["[[[\"[["]"#, 1), (r#"["\\",[1]]"#, 2)] {
            assert_eq!(levels(json), expected, "{json}");
        }
    }

    #[test]
    fn a_fault_names_its_place() {
        let root = Path::Root;
        let ops = Path::Name(&root, "ops");
        let op = Object::parse(br#"{"ms": -1, "a/b": 1, "x": 1, "x": "last"}"#, Path::Index(&ops, 3)).unwrap();
        assert_eq!(op.about("ms", 9).unwrap_err().pointer, "/ops/3/ms");
        assert_eq!(op.string("a/b", 0, 1).unwrap_err().pointer, "/ops/3/a~1b");
        assert_eq!(op.required("x", 1, 9).unwrap(), "last");
    }
}
