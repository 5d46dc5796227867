//! Reads the members of a JSON object one by one and collects everything that is wrong with them, each with its JSON pointer
//! (RFC 6901). Out of scope: what the members mean.

use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::{ERRORS_MAX, MEMBERS_MAX, NAME_CHARS_SHOWN};

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer; for a query parameter its name.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub detail: String,
}

/// The members of an object that have not been read yet, and the errors so far.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    members: Vec<(String, &'a RawValue)>,
    errors: Vec<FieldError>,
}

/// A name as errors show it: a hostile one is cut.
pub(crate) fn shown(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_SHOWN).map_or(name, |(end, _)| &name[..end])
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
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(A::Error::custom(format_args!("it has more than {MEMBERS_MAX} members")));
                    }
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A number without a fraction, however it is written.
pub(crate) fn whole(text: &str) -> Option<i64> {
    // Every integer up to this is a float of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let float = || serde_json::from_str::<f64>(text).ok().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT_MAX).map(|n| n as i64);
    serde_json::from_str(text).ok().or_else(float)
}

struct Strings(Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Strings;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strings, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = seq.next_element()? {
                    if list.len() == MEMBERS_MAX {
                        return Err(A::Error::custom("too many entries"));
                    }
                    list.push(text);
                }
                Ok(Strings(list))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

struct Entries<'a, const MOST: usize>(Vec<&'a RawValue>);

impl<'de, const MOST: usize> Deserialize<'de> for Entries<'de, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for Collect<MOST> {
            type Value = Entries<'de, MOST>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries<'de, MOST>, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = seq.next_element::<&'de RawValue>()? {
                    if list.len() == MOST {
                        return Err(A::Error::custom("too many entries"));
                    }
                    list.push(entry);
                }
                Ok(Entries(list))
            }
        }
        deserializer.deserialize_seq(Collect::<MOST>)
    }
}

impl<'a> Fields<'a> {
    /// Reads an object. An error says where the text stops being one.
    pub fn parse(json: &'a [u8]) -> Result<Self, FieldError> {
        Self::at(String::new(), json)
    }

    fn at(path: String, json: &'a [u8]) -> Result<Self, FieldError> {
        let members = match serde_json::from_slice::<Members<'a>>(json) {
            Ok(Members(members)) => members,
            Err(error) => {
                let detail = format!("expected a JSON object: {error}");
                return Err(FieldError { pointer: path, detail });
            }
        };
        let mut fields = Self { path, members, errors: Vec::new() };
        let mut names: Vec<&str> = fields.members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice: Vec<String> = names.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0].to_owned()).collect();
        for name in twice {
            fields.refuse(&name, "is given more than once");
            // What is said of the first stands for all.
            let mut first = true;
            fields.members.retain(|(other, _)| *other != name || std::mem::take(&mut first));
        }
        Ok(fields)
    }

    /// Notes that a member is wrong; `detail` continues the sentence that its name begins.
    pub fn refuse(&mut self, name: &str, detail: impl AsRef<str>) {
        self.refuse_at(&[name], format!("{} {}", shown(name), detail.as_ref()));
    }

    /// Notes that what lies at a path below this object is wrong; `detail` is the whole sentence.
    pub fn refuse_at(&mut self, path: &[&str], detail: String) {
        let mut pointer = self.path.clone();
        for name in path {
            pointer.push('/');
            pointer.push_str(&shown(name).replace('~', "~0").replace('/', "~1"));
        }
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError { pointer, detail });
        }
    }

    /// Takes a member as it is written, `null` included.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.members.iter().position(|(n, _)| n == name)?;
        Some(self.members.swap_remove(index).1)
    }

    /// Whether a member is there and not taken yet; `null` counts as absent.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(n, raw)| n == name && raw.get() != "null")
    }

    /// Takes a member; `null` counts as absent.
    fn value(&mut self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|raw| raw.get() != "null")
    }

    /// Takes a string of so many characters.
    pub fn string(&mut self, name: &str, chars: RangeInclusive<usize>) -> Option<String> {
        let raw = self.value(name)?;
        let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
            self.refuse(name, "must be a string of Unicode text");
            return None;
        };
        if !chars.contains(&text.chars().count()) {
            self.refuse(name, format!("must have {} to {} characters", chars.start(), chars.end()));
            return None;
        }
        if text.contains('\0') {
            self.refuse(name, "must not contain the character U+0000");
            return None;
        }
        Some(text)
    }

    /// Takes a string that must be there; an empty one stands for one that is wrong.
    pub fn required_string(&mut self, name: &str, chars: RangeInclusive<usize>) -> String {
        if !self.has(name) {
            self.raw(name);
            self.refuse(name, "is required");
        }
        self.string(name, chars).unwrap_or_default()
    }

    /// Takes an integer within a range; `1.0` and `1e3` are integers, as in JSON Schema.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let raw = self.value(name)?;
        match whole(raw.get()) {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                self.refuse(name, format!("must be an integer from {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    /// Takes a number within a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let raw = self.value(name)?;
        match serde_json::from_str::<f64>(raw.get()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                self.refuse(name, format!("must be a number from {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    /// Takes true or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let raw = self.value(name)?;
        let value = serde_json::from_str::<bool>(raw.get()).ok();
        if value.is_none() {
            self.refuse(name, "must be true or false");
        }
        value
    }

    /// Takes one of a few words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let raw = self.value(name)?;
        let text = serde_json::from_str::<String>(raw.get()).unwrap_or_default();
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, format!("must be one of {}", allowed.join(", ")));
        }
        found
    }

    /// Takes an array of at most so many strings of so many characters.
    pub fn strings(&mut self, name: &str, most: usize, chars: RangeInclusive<usize>) -> Vec<String> {
        let Some(raw) = self.value(name) else { return Vec::new() };
        let Ok(Strings(list)) = serde_json::from_str::<Strings>(raw.get()) else {
            self.refuse(name, format!("must be an array of at most {most} strings"));
            return Vec::new();
        };
        if list.len() > most {
            self.refuse(name, format!("must have at most {most} entries"));
        }
        for (index, text) in list.iter().enumerate() {
            if !chars.contains(&text.chars().count()) || text.contains('\0') {
                let detail = format!("must have {} to {} characters, none of them U+0000", chars.start(), chars.end());
                self.refuse_at(&[name, &index.to_string()], detail);
            }
        }
        list
    }

    /// Takes an array that must be there, of 1 to `MOST` entries, each as it is written.
    pub fn entries<const MOST: usize>(&mut self, name: &str) -> Vec<&'a RawValue> {
        let Some(raw) = self.value(name) else {
            self.refuse(name, "is required");
            return Vec::new();
        };
        match serde_json::from_str::<Entries<'a, MOST>>(raw.get()) {
            Ok(Entries(list)) if !list.is_empty() => list,
            _ => {
                self.refuse(name, format!("must be an array of 1 to {MOST} entries"));
                Vec::new()
            }
        }
    }

    /// Takes an array that must be there, of at most `MOST` entries, each as it is written.
    pub fn array<const MOST: usize>(&mut self, name: &str) -> Vec<&'a RawValue> {
        let Some(raw) = self.value(name) else {
            self.refuse(name, "is required");
            return Vec::new();
        };
        match serde_json::from_str::<Entries<'a, MOST>>(raw.get()) {
            Ok(Entries(list)) => list,
            Err(_) => {
                self.refuse(name, format!("must be an array of at most {MOST} entries"));
                Vec::new()
            }
        }
    }

    /// Takes a member that is an object and hands its own members to `read`; their errors become this object's.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'a>) -> T) -> Option<T> {
        let raw = self.value(name)?;
        match Fields::at(format!("{}/{name}", self.path), raw.get().as_bytes()) {
            Ok(mut inner) => {
                let value = read(&mut inner);
                self.errors.extend(inner.finish().err().unwrap_or_default());
                Some(value)
            }
            Err(_) => {
                self.refuse(name, "must be an object");
                None
            }
        }
    }

    /// Takes a member that is an object of strings, in the order written.
    pub fn string_map(&mut self, name: &str) -> Vec<(String, String)> {
        let Some(raw) = self.value(name) else { return Vec::new() };
        let Ok(Members(members)) = serde_json::from_str::<Members<'a>>(raw.get()) else {
            self.refuse(name, format!("must be an object of at most {MEMBERS_MAX} strings"));
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(members.len());
        for (key, value) in members {
            match serde_json::from_str::<String>(value.get()) {
                Ok(text) => pairs.push((key, text)),
                Err(_) => self.refuse_at(&[name, &key], format!("{} must be a string", shown(&key))),
            }
        }
        pairs
    }

    /// Takes a member that is an object of any values, each as it is written, in the order written.
    pub fn raw_map(&mut self, name: &str) -> Vec<(String, &'a RawValue)> {
        let Some(raw) = self.value(name) else { return Vec::new() };
        match serde_json::from_str::<Members<'a>>(raw.get()) {
            Ok(Members(members)) => members,
            Err(_) => {
                self.refuse(name, format!("must be an object of at most {MEMBERS_MAX} members"));
                Vec::new()
            }
        }
    }

    /// Ends the reading: members that nobody took are errors.
    pub fn finish(mut self) -> Result<(), Vec<FieldError>> {
        let mut unknown: Vec<String> = std::mem::take(&mut self.members).into_iter().map(|(name, _)| name).collect();
        unknown.dedup();
        for name in unknown {
            self.refuse(&name, "is not a field of this request");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_comes_with_its_pointer() {
        let json = br#"{"a": 5, "b": "x", "c": {"d": true, "e/f": 1}, "g": [1], "a": 6}"#;
        let mut fields = Fields::parse(json).unwrap();
        fields.integer("a", 0..=4);
        fields.string("b", 2..=3);
        fields.object("c", |c| c.integer("d", 0..=1));
        fields.strings("g", 1, 1..=1);
        let errors = fields.finish().unwrap_err();
        let mut pointers: Vec<&str> = errors.iter().map(|e| e.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/a", "/a", "/b", "/c/d", "/c/e~1f", "/g"]);
    }

    #[test]
    fn a_hostile_object_costs_little() {
        let members = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"m{i}\": 0")).collect::<Vec<_>>().join(","));
        assert!(Fields::parse(members(MEMBERS_MAX + 1).as_bytes()).unwrap_err().detail.contains("more than 100 members"));
        let errors = Fields::parse(members(MEMBERS_MAX).as_bytes()).unwrap().finish().unwrap_err();
        assert_eq!(errors.len(), ERRORS_MAX);
        let many = format!("{{\"a\": [{}\"\"]}}", "\"\",".repeat(MEMBERS_MAX));
        let mut fields = Fields::parse(many.as_bytes()).unwrap();
        assert_eq!(fields.strings("a", 10, 0..=1), Vec::<String>::new());
    }

    #[test]
    fn null_is_absent_except_when_taken_raw() {
        let mut fields = Fields::parse(br#"{"a": null, "b": null}"#).unwrap();
        assert_eq!(fields.integer("a", 0..=1), None);
        assert_eq!(fields.raw("b").unwrap().get(), "null");
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn only_objects_are_read() {
        for json in [&b""[..], b"[]", b"null", b"{", b"{} x", b"\xff"] {
            assert!(Fields::parse(json).is_err());
        }
    }

    #[test]
    fn integers_are_integers() {
        for (json, number) in [(r#"{"a": 1.0}"#, 1), (r#"{"a": 1e2}"#, 100), (r#"{"a": -0.0}"#, 0)] {
            assert_eq!(Fields::parse(json.as_bytes()).unwrap().integer("a", i64::MIN..=i64::MAX), Some(number));
        }
        for json in [r#"{"a": 1.5}"#, r#"{"a": "1"}"#, r#"{"a": 1e30}"#, r#"{"a": 99999999999999999999}"#, r#"{"a": true}"#] {
            let mut fields = Fields::parse(json.as_bytes()).unwrap();
            assert_eq!(fields.integer("a", i64::MIN..=i64::MAX), None, "{json}");
            assert!(fields.finish().is_err());
        }
    }
}
