//! JSON Schema (2020-12), as far as approvals need it: does a value fit?
//!
//! In scope: the core, applicator and validation vocabularies but for the keywords below; references within the schema. Formats are
//! annotations, as the standard has it by default. Out of scope, and refused rather than overlooked: `unevaluatedItems`,
//! `unevaluatedProperties`, `$dynamicRef`, `$anchor` and references to other documents.
//! The crates that do all of it are larger than the rest of the Worker, mostly by their tables of Unicode.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::fields::FieldError;
use crate::pattern::Pattern;

/// Schemas within schemas, and references one after the other.
const DEPTH_MAX: usize = 64;
/// Schemas applied to values, all in all: what a hostile schema may cost.
const STEPS_MAX: usize = 200_000;
/// Errors that are told.
const ERRORS_MAX: usize = 10;

/// Why a value was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// It does not fit; pointers begin at the value.
    Data(Vec<FieldError>),
    /// The schema is none, or has what is out of scope.
    Schema(String),
}

/// Whether the value fits the schema.
///
/// # Errors
/// What does not fit, or why the schema cannot be used.
pub fn validate(schema: &Value, value: &Value) -> Result<(), SchemaError> {
    let mut check = Check { root: schema, steps: 0, errors: Vec::new() };
    check.apply(schema, value, &Place(None), 0).map_err(SchemaError::Schema)?;
    if check.errors.is_empty() { Ok(()) } else { Err(SchemaError::Data(check.errors)) }
}

/// Where in the value: a list from the innermost name outwards.
struct Place<'a>(Option<(&'a Place<'a>, &'a str)>);

impl Place<'_> {
    fn pointer(&self) -> String {
        match &self.0 {
            None => String::new(),
            Some((outer, name)) => format!("{}/{}", outer.pointer(), name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

struct Check<'a> {
    root: &'a Value,
    steps: usize,
    errors: Vec<FieldError>,
}

/// `Err` is a schema that cannot be used; what does not fit is in `errors`.
type Checked = Result<(), String>;

impl<'a> Check<'a> {
    fn refuse(&mut self, place: &Place<'_>, detail: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError { pointer: place.pointer(), detail: detail.into() });
        }
    }

    /// Whether the value fits a schema, without a word about why not.
    fn fits(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Result<bool, String> {
        let said = std::mem::take(&mut self.errors);
        let checked = self.apply(schema, value, &Place(None), depth + 1);
        let own = std::mem::replace(&mut self.errors, said);
        checked.map(|()| own.is_empty())
    }

    fn apply(&mut self, schema: &'a Value, value: &Value, place: &Place<'_>, depth: usize) -> Checked {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX {
            return Err("it is nested too deeply, or costs too much".to_owned());
        }
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => {
                self.refuse(place, "must be absent");
                return Ok(());
            }
            Value::Object(schema) => schema,
            _ => return Err("a schema is an object, true or false".to_owned()),
        };
        if let Some(keyword) = UNKNOWN.iter().find(|keyword| schema.contains_key(**keyword)) {
            return Err(format!("the keyword {keyword} is not supported"));
        }
        if let Some(reference) = schema.get("$ref") {
            let target = self.target(reference)?;
            self.apply(target, value, place, depth + 1)?;
        }
        self.kind(schema, value, place)?;
        match value {
            Value::Number(_) => self.number(schema, value, place)?,
            Value::String(text) => self.string(schema, text, place)?,
            Value::Array(items) => self.array(schema, items, place, depth)?,
            Value::Object(members) => self.object(schema, members, place, depth)?,
            _ => {}
        }
        self.combined(schema, value, place, depth)
    }

    /// What a reference within the document names.
    fn target(&self, reference: &Value) -> Result<&'a Value, String> {
        let text = reference.as_str().ok_or("$ref must be a string")?;
        let pointer = text.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let pointer = pointer.ok_or_else(|| format!("only references within the schema, such as #/$defs/a, are supported, not {text}"))?;
        let pointer = percent_decoded(pointer).ok_or_else(|| format!("{text} is no JSON pointer"))?;
        self.root.pointer(&pointer).ok_or_else(|| format!("{text} leads to nothing"))
    }

    /// `type`, `enum`, `const`.
    fn kind(&mut self, schema: &'a Map<String, Value>, value: &Value, place: &Place<'_>) -> Checked {
        if let Some(types) = schema.get("type") {
            let names: Vec<&str> = match types {
                Value::String(name) => vec![name],
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                _ => return Err("type must be a string or an array of strings".to_owned()),
            };
            if let Some(name) = names.iter().find(|name| !TYPES.contains(name)) {
                return Err(format!("{name} is no type"));
            }
            if !names.iter().any(|name| is_a(value, name)) {
                self.refuse(place, format!("must be of type {}", names.join(" or ")));
            }
        }
        if let Some(allowed) = schema.get("enum") {
            let allowed = allowed.as_array().ok_or("enum must be an array")?;
            if !allowed.iter().any(|one| same(one, value)) {
                self.refuse(place, format!("must be one of {}", shown(&Value::Array(allowed.clone()))));
            }
        }
        if let Some(only) = schema.get("const").filter(|only| !same(only, value)) {
            self.refuse(place, format!("must be {}", shown(only)));
        }
        Ok(())
    }

    fn number(&mut self, schema: &'a Map<String, Value>, value: &Value, place: &Place<'_>) -> Checked {
        let number = value.as_f64().unwrap_or(f64::NAN);
        for (keyword, words, fits) in BOUNDS {
            if let Some(limit) = schema.get(keyword) {
                let bound = limit.as_f64().ok_or_else(|| format!("{keyword} must be a number"))?;
                // Whole numbers are compared as such: a float has 53 bits.
                let order = match (value.as_i64(), limit.as_i64()) {
                    (Some(a), Some(b)) => Some(a.cmp(&b)),
                    _ => number.partial_cmp(&bound),
                };
                if !order.is_some_and(fits) {
                    self.refuse(place, format!("must be {words} {limit}"));
                }
            }
        }
        if let Some(step) = schema.get("multipleOf") {
            let size = step.as_f64().filter(|size| *size > 0.0).ok_or("multipleOf must be a number above 0")?;
            let whole = match (value.as_i64(), step.as_i64()) {
                (Some(a), Some(b)) => a % b == 0,
                _ => is_multiple(number, size),
            };
            if !whole {
                self.refuse(place, format!("must be a multiple of {step}"));
            }
        }
        Ok(())
    }

    fn string(&mut self, schema: &'a Map<String, Value>, text: &str, place: &Place<'_>) -> Checked {
        self.count(schema, ("minLength", "maxLength"), text.chars().count(), "characters", place)?;
        if let Some(pattern) = schema.get("pattern")
            && !matches(pattern.as_str().ok_or("pattern must be a string")?, text)?
        {
            self.refuse(place, format!("must match the pattern {pattern}"));
        }
        Ok(())
    }

    /// A pair of keywords that bound how many there are of something.
    fn count(&mut self, schema: &Map<String, Value>, (least, most): (&str, &str), n: usize, what: &str, place: &Place<'_>) -> Checked {
        if let Some(least) = natural(schema, least)?.filter(|least| (n as u64) < *least) {
            self.refuse(place, format!("must have at least {least} {what}"));
        }
        if let Some(most) = natural(schema, most)?.filter(|most| (n as u64) > *most) {
            self.refuse(place, format!("must have at most {most} {what}"));
        }
        Ok(())
    }

    fn array(&mut self, schema: &'a Map<String, Value>, items: &[Value], place: &Place<'_>, depth: usize) -> Checked {
        self.count(schema, ("minItems", "maxItems"), items.len(), "entries", place)?;
        let first: &'a [Value] = match schema.get("prefixItems") {
            None => &[],
            Some(list) => list.as_array().ok_or("prefixItems must be an array")?,
        };
        for (index, item) in items.iter().enumerate() {
            if let Some(own) = first.get(index).or_else(|| schema.get("items")) {
                self.apply(own, item, &Place(Some((place, &index.to_string()))), depth + 1)?;
            }
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(canonical(item))) {
                self.refuse(place, "must not have an entry twice");
            }
        }
        if let Some(contained) = schema.get("contains") {
            let mut n = 0;
            for item in items {
                n += u64::from(self.fits(contained, item, depth)?);
            }
            let (least, most) = (natural(schema, "minContains")?.unwrap_or(1), natural(schema, "maxContains")?.unwrap_or(u64::MAX));
            if n < least || n > most {
                self.refuse(place, format!("has {n} entries of the kind that it must have"));
            }
        }
        Ok(())
    }

    fn object(&mut self, schema: &'a Map<String, Value>, members: &Map<String, Value>, place: &Place<'_>, depth: usize) -> Checked {
        self.count(schema, ("minProperties", "maxProperties"), members.len(), "members", place)?;
        for name in strings(schema.get("required"), "required")? {
            if !members.contains_key(name) {
                self.refuse(place, format!("must have {name}"));
            }
        }
        let properties = submap(schema, "properties")?;
        let patterns = submap(schema, "patternProperties")?;
        for (name, value) in members {
            let inner = Place(Some((place, name)));
            let mut known = false;
            if let Some(own) = properties.and_then(|all| all.get(name)) {
                known = true;
                self.apply(own, value, &inner, depth + 1)?;
            }
            for (pattern, own) in patterns.into_iter().flatten() {
                if matches(pattern, name)? {
                    known = true;
                    self.apply(own, value, &inner, depth + 1)?;
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !known => self.refuse(&inner, "is not a member that it may have"),
                Some(other) if !known => self.apply(other, value, &inner, depth + 1)?,
                _ => {}
            }
            if let Some(names) = schema.get("propertyNames")
                && !self.fits(names, &Value::String(name.clone()), depth)?
            {
                self.refuse(&inner, "has a name that is not allowed");
            }
        }
        for (name, needed) in submap(schema, "dependentRequired")?.into_iter().flatten().filter(|(name, _)| members.contains_key(*name)) {
            for other in strings(Some(needed), "dependentRequired")?.into_iter().filter(|other| !members.contains_key(*other)) {
                self.refuse(place, format!("must have {other}, because it has {name}"));
            }
        }
        for (name, own) in submap(schema, "dependentSchemas")?.into_iter().flatten() {
            if members.contains_key(name) {
                self.apply(own, &Value::Object(members.clone()), place, depth + 1)?;
            }
        }
        Ok(())
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`, `if`.
    fn combined(&mut self, schema: &'a Map<String, Value>, value: &Value, place: &Place<'_>, depth: usize) -> Checked {
        for own in list(schema, "allOf")? {
            self.apply(own, value, place, depth + 1)?;
        }
        for (keyword, words) in
            [("anyOf", "must fit at least one of several schemas"), ("oneOf", "must fit exactly one of several schemas")]
        {
            let all = list(schema, keyword)?;
            let mut n = 0;
            for own in all {
                n += usize::from(self.fits(own, value, depth)?);
            }
            if !all.is_empty() && (n == 0 || n > 1 && keyword == "oneOf") {
                self.refuse(place, words);
            }
        }
        if let Some(own) = schema.get("not")
            && self.fits(own, value, depth)?
        {
            self.refuse(place, "must not fit the schema that it fits");
        }
        if let Some(condition) = schema.get("if") {
            let branch = if self.fits(condition, value, depth)? { "then" } else { "else" };
            if let Some(own) = schema.get(branch) {
                self.apply(own, value, place, depth + 1)?;
            }
        }
        Ok(())
    }
}

const UNKNOWN: [&str; 5] = ["unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "$anchor"];
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

type Bound = (&'static str, &'static str, fn(std::cmp::Ordering) -> bool);
const BOUNDS: [Bound; 4] = [
    ("minimum", "at least", std::cmp::Ordering::is_ge),
    ("maximum", "at most", std::cmp::Ordering::is_le),
    ("exclusiveMinimum", "above", std::cmp::Ordering::is_gt),
    ("exclusiveMaximum", "below", std::cmp::Ordering::is_lt),
];

fn is_a(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
        // 1.0 is an integer.
        Value::Number(number) => {
            name == "number" || name == "integer" && (!number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0))
        }
    }
}

/// Equal as JSON Schema has it: 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || canonical(a) == canonical(b)
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() < 1e15 => format!("{}", n as i64),
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut pairs: Vec<String> =
                members.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value))).collect();
            pairs.sort_unstable();
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    }
}

/// Whether one is a whole number of times the other, although 0.3 / 0.1 is not quite 3.
fn is_multiple(number: f64, size: f64) -> bool {
    let times = number / size;
    times.is_finite() && (times - times.round()).abs() <= f64::EPSILON * times.abs().max(1.0)
}

fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let read = Pattern::parse(pattern).map_err(|error| format!("the pattern {pattern}: {error}"))?;
    read.is_found_in(text).map_err(|error| format!("the pattern {pattern}: {error}"))
}

fn natural(schema: &Map<String, Value>, keyword: &str) -> Result<Option<u64>, String> {
    let Some(value) = schema.get(keyword) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64));
    whole.map(Some).ok_or_else(|| format!("{keyword} must be a whole number"))
}

fn strings<'v>(value: Option<&'v Value>, keyword: &str) -> Result<Vec<&'v str>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    list.flatten().ok_or_else(|| format!("{keyword} must be an array of strings"))
}

fn submap<'v>(schema: &'v Map<String, Value>, keyword: &str) -> Result<Option<&'v Map<String, Value>>, String> {
    let Some(value) = schema.get(keyword) else { return Ok(None) };
    value.as_object().map(Some).ok_or_else(|| format!("{keyword} must be an object"))
}

fn list<'v>(schema: &'v Map<String, Value>, keyword: &str) -> Result<&'v [Value], String> {
    let Some(value) = schema.get(keyword) else { return Ok(&[]) };
    value.as_array().map(Vec::as_slice).filter(|list| !list.is_empty()).ok_or_else(|| format!("{keyword} must be an array of schemas"))
}

/// A value as an error shows it.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 200 { text } else { text.chars().take(200).chain(['…']).collect() }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "json_schema_tests.rs"]
mod tests;
