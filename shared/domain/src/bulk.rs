//! Bulk operations on messages: which ones a request names, and what its answer says. Out of scope: doing it, which the database does in
//! chunks.

use serde::Serialize;
use utoipa::ToSchema;

use crate::fields::{FieldError, Fields};
use crate::filter::{self, TIME};
use crate::ids::{MessageId, ScheduleId};
use crate::limits::{BULK_MAX, FANOUT_NAME_CHARS_MAX, FILTER_CHARS_MAX};

/// What one call works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Which messages.
    pub pick: Pick,
    /// Only those that were in the state in question then, in microseconds since 1970; `None` for now.
    pub as_of_us: Option<i64>,
}

/// Named one by one, or by what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// At most [`BULK_MAX`] of them.
    Ids(Vec<MessageId>),
    /// All that match.
    Filter(BulkFilter),
}

/// A filter of messages; `None` everywhere matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkFilter {
    /// A substring of the destination.
    pub url: Option<String>,
    /// A label.
    pub label: Option<String>,
    /// The fanout it was published to.
    pub fanout: Option<String>,
    /// The schedule that fired it.
    pub schedule: Option<ScheduleId>,
    /// Created at or after, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Created before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

/// What one call has done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkView {
    /// Messages that this call changed; 1,000 at most.
    #[schema(minimum = 0, maximum = 1000)]
    pub count: i64,
    /// Messages that matched and are left for further calls; counted up to 1,000,000.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub remaining: i64,
    /// The moment whose state counts, RFC 3339: give it back with the next call, and what changes meanwhile is left alone.
    #[schema(format = DateTime)]
    pub as_of: String,
}

/// Reads `{ids: [...]}` or `{filter: {...}}`, and `asOf`.
pub fn parse(json: &[u8]) -> Result<Bulk, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let as_of_us = as_of(&mut fields);
    let pick = match (fields.has("ids"), fields.has("filter")) {
        (true, false) => Pick::Ids(ids(&mut fields)),
        (false, true) => Pick::Filter(fields.object("filter", filter_of).unwrap_or_default()),
        (both, _) => {
            let detail =
                if both { "cannot be given together with filter" } else { "is required, or filter; an empty filter matches everything" };
            fields.refuse("ids", detail);
            Pick::Ids(Vec::new())
        }
    };
    // What is null, or not wanted, has been spoken of.
    fields.raw("ids");
    fields.raw("filter");
    fields.finish()?;
    Ok(Bulk { pick, as_of_us })
}

fn ids(fields: &mut Fields<'_>) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for (index, entry) in fields.entries::<BULK_MAX>("ids").into_iter().enumerate() {
        match serde_json::from_str::<String>(entry.get()).ok().and_then(|text| text.parse().ok()) {
            Some(id) => ids.push(id),
            None => fields.refuse_at(&["ids", &index.to_string()], "ids must be message ids, msg_ and 32 hex digits".to_owned()),
        }
    }
    ids
}

fn filter_of(fields: &mut Fields<'_>) -> BulkFilter {
    BulkFilter {
        url: fields.string("url", 1..=FILTER_CHARS_MAX),
        label: fields.string("label", 1..=FILTER_CHARS_MAX),
        fanout: fields.string("fanout", 1..=FANOUT_NAME_CHARS_MAX),
        schedule: parsed(fields, "schedule", "must be a schedule's id, sch_ and 32 hex digits", |text| text.parse().ok()),
        from_ms: parsed(fields, "from", TIME, filter::epoch_ms),
        to_ms: parsed(fields, "to", TIME, filter::epoch_ms),
    }
}

fn as_of(fields: &mut Fields<'_>) -> Option<i64> {
    let us = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond()).filter(|us| *us >= 0);
    parsed(fields, "asOf", TIME, us)
}

/// Takes a string that means something else.
fn parsed<T>(fields: &mut Fields<'_>, name: &str, wrong: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let text = fields.string(name, 1..=FILTER_CHARS_MAX)?;
    let value = read(&text);
    if value.is_none() {
        fields.refuse(name, wrong);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        parse(json.as_bytes()).unwrap_err().into_iter().map(|e| e.pointer).collect()
    }

    #[test]
    fn a_filter_may_be_empty_and_as_of_keeps_its_microseconds() {
        let read = |json: &str| parse(json.as_bytes()).unwrap();
        assert_eq!(read(r#"{"filter": {}}"#), Bulk { pick: Pick::Filter(BulkFilter::default()), as_of_us: None });
        assert_eq!(read(r#"{"filter": {}, "asOf": "1970-01-01T00:00:01.000002Z"}"#).as_of_us, Some(1_000_002));
        let Pick::Filter(filter) = read(r#"{"filter": {"url": "a", "fanout": "f", "from": "1970-01-01T00:00:01Z"}, "ids": null}"#).pick
        else {
            panic!()
        };
        assert_eq!(
            (filter.url.as_deref(), filter.fanout.as_deref(), filter.from_ms, filter.to_ms),
            (Some("a"), Some("f"), Some(1000), None)
        );
    }

    #[test]
    fn a_thousand_ids_are_accepted() {
        let list = |n: usize| format!(r#"{{"ids": [{}]}}"#, vec![r#""msg_0192f3ab000070008000000000000001""#; n].join(","));
        assert!(matches!(parse(list(BULK_MAX).as_bytes()).unwrap().pick, Pick::Ids(ids) if ids.len() == BULK_MAX));
        assert_eq!(pointers(&list(BULK_MAX + 1)), ["/ids"]);
        assert_eq!(pointers(&list(0)), ["/ids"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, wrong) in [
            ("{}", &["/ids"][..]),
            (r#"{"filter": null}"#, &["/ids"]),
            (r#"{"ids": ["msg_0192f3ab000070008000000000000001"], "filter": {}}"#, &["/ids"]),
            (r#"{"ids": ["msg_x", 1]}"#, &["/ids/0", "/ids/1"]),
            (
                r#"{"filter": {"status": "failed", "schedule": "x", "to": "now"}, "asOf": 5}"#,
                &["/asOf", "/filter/schedule", "/filter/to", "/filter/status"],
            ),
            (r#"{"filter": []}"#, &["/filter"]),
            (r#"{"filter": {}, "most": 5}"#, &["/most"]),
        ] {
            assert_eq!(pointers(json), wrong, "{json}");
        }
    }
}
