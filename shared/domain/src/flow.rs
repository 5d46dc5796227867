//! What a publish says of flow control: the key that messages share, and its limits. Out of scope: keeping them (the database).

use crate::fields::Fields;
use crate::limits;

/// The key of a flow, as a path or a cursor names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowKey(pub String);

/// The text is no key of a flow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must have 1 to {} characters, none of them U+0000", limits::FLOW_KEY_CHARS_MAX)]
pub struct FlowKeyError;

impl std::str::FromStr for FlowKey {
    type Err = FlowKeyError;

    fn from_str(text: &str) -> Result<Self, FlowKeyError> {
        let usable = (1..=limits::FLOW_KEY_CHARS_MAX).contains(&text.chars().count()) && !text.contains('\0');
        if usable { Ok(Self(text.to_owned())) } else { Err(FlowKeyError) }
    }
}

/// A flow key with the limits that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which flow.
    pub key: String,
    /// Pushes at once; `None` for no limit.
    pub parallelism: Option<i32>,
    /// Starts in a period; `None` for no limit.
    pub rate: Option<i32>,
    /// Length of the period in milliseconds; set with a rate.
    pub period_ms: Option<i64>,
}

/// Takes the members of `flowControl`: `{key, parallelism?, rate?, periodSeconds?}`. What is wrong stays in `fields`.
pub fn parse(fields: &mut Fields<'_>) -> Flow {
    let key = fields.required_string("key", 1..=limits::FLOW_KEY_CHARS_MAX);
    let (parallelism, rate, period_ms) = bounds(fields);
    Flow { key, parallelism, rate, period_ms }
}

/// Takes `parallelism`, `rate` and `periodSeconds`, the last as milliseconds. What is wrong stays in `fields`.
pub fn bounds(fields: &mut Fields<'_>) -> (Option<i32>, Option<i32>, Option<i64>) {
    // Both ranges are within i32.
    let parallelism = fields.integer("parallelism", 1..=limits::FLOW_PARALLELISM_MAX).map(|n| n as i32);
    let rated = fields.has("rate");
    let rate = fields.integer("rate", 1..=limits::FLOW_RATE_MAX).map(|n| n as i32);
    if fields.has("periodSeconds") && !rated {
        fields.refuse("periodSeconds", "is the period of a rate, and there is no rate");
    }
    let period = fields.integer("periodSeconds", 1..=limits::FLOW_PERIOD_SECONDS_MAX);
    let period_ms = rate.map(|_| period.unwrap_or(limits::FLOW_PERIOD_SECONDS_DEFAULT) * 1000);
    (parallelism, rate, period_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Flow, Vec<String>> {
        let mut fields = Fields::parse(json.as_bytes()).unwrap();
        let flow = parse(&mut fields);
        fields.finish().map(|()| flow).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn a_key_is_enough_and_a_rate_is_per_second() {
        let flow = |parallelism, rate, period_ms| Flow { key: "k".to_owned(), parallelism, rate, period_ms };
        assert_eq!(read(r#"{"key": "k"}"#), Ok(flow(None, None, None)));
        assert_eq!(read(r#"{"key": "k", "rate": 5}"#), Ok(flow(None, Some(5), Some(1000))));
        assert_eq!(read(r#"{"key": "k", "parallelism": 1, "rate": 5, "periodSeconds": 60}"#), Ok(flow(Some(1), Some(5), Some(60_000))));
    }

    #[test]
    fn what_is_wrong_is_said_where() {
        let cases = [
            (r#"{}"#, "/key"),
            (r#"{"key": null}"#, "/key"),
            (r#"{"key": ""}"#, "/key"),
            (r#"{"key": "k", "parallelism": 0}"#, "/parallelism"),
            (r#"{"key": "k", "rate": 0}"#, "/rate"),
            (r#"{"key": "k", "periodSeconds": 1}"#, "/periodSeconds"),
            (r#"{"key": "k", "rate": null, "periodSeconds": 1}"#, "/periodSeconds"),
            (r#"{"key": "k", "burst": 1}"#, "/burst"),
        ];
        for (json, pointer) in cases {
            assert_eq!(read(json), Err(vec![pointer.to_owned()]), "{json}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let cases = [("parallelism", 10_000), ("rate", 1_000_000), ("periodSeconds", 2_592_000)];
        for (field, most) in cases {
            let with = |n: i64| {
                let rate = if field == "rate" { "" } else { r#""rate": 1,"# };
                read(&format!(r#"{{"key": "k", {rate} "{field}": {n}}}"#))
            };
            assert!(with(most).is_ok(), "{field} at its limit");
            assert_eq!(with(most + 1), Err(vec![format!("/{field}")]), "{field} over its limit");
        }
        let key = |n: usize| read(&format!(r#"{{"key": "{}"}}"#, "k".repeat(n)));
        assert!(key(255).is_ok() && key(256).is_err());
    }
}
