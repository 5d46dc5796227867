//! Query parameters of the lists of runs, events and approvals; the filter of a bulk operation on runs. Out of scope: what is listed.

use crate::approval_view::ApprovalCursor;
use crate::fields::{FieldError, Fields};
use crate::filter::{self, Page, TIME};
use crate::ids::{EventId, RunId};
use crate::limits;
use crate::run_filter::{RUN_STATES, RunFilter};

type Query = [(String, String)];

/// The filter that every run fits.
pub fn all() -> RunFilter {
    let page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    RunFilter {
        status: None,
        workflow: None,
        version: None,
        label: None,
        parent: None,
        external_id: None,
        from_ms: None,
        to_ms: None,
        page,
    }
}

/// Reads the filter of the list of runs from decoded query parameters.
pub fn runs(query: &Query) -> Result<RunFilter, Vec<FieldError>> {
    let mut filter = all();
    filter::each(query, |name, value| take(&mut filter, name, value))?;
    Ok(filter)
}

fn take(filter: &mut RunFilter, name: &str, value: &str) -> Result<(), String> {
    match name {
        "status" if RUN_STATES.contains(&value) => filter.status = Some(value.to_owned()),
        "status" => return Err(format!("must be one of {}", RUN_STATES.join(", "))),
        "workflow" => filter.workflow = Some(filter::text(value)?),
        "version" => filter.version = Some(filter::text(value)?),
        "label" => filter.label = Some(filter::text(value)?),
        "externalId" => filter.external_id = Some(filter::text(value)?),
        "parent" => filter.parent = Some(value.parse().map_err(|_| PARENT.to_owned())?),
        "from" => filter.from_ms = Some(filter::epoch_ms(value).ok_or(TIME)?),
        "to" => filter.to_ms = Some(filter::epoch_ms(value).ok_or(TIME)?),
        _ => filter.page.take(name, value)?,
    }
    Ok(())
}

const PARENT: &str = "must be the id of a run, run_ and 32 hex digits";

/// Reads the name, if one is asked for, and the page of the list of events.
pub fn events(query: &Query) -> Result<(Option<String>, Page<EventId>), Vec<FieldError>> {
    let mut page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    let mut event = None;
    filter::each(query, |name, value| match name {
        "name" => {
            event = Some(filter::text(value)?);
            Ok(())
        }
        _ => page.take(name, value),
    })?;
    Ok((event, page))
}

/// Reads whether only open ones are asked for, and the page of the list of approvals.
pub fn approvals(query: &Query) -> Result<(bool, Page<ApprovalCursor>), Vec<FieldError>> {
    let mut page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    let mut open_only = true;
    filter::each(query, |name, value| match (name, value) {
        ("status", "open" | "all") => {
            open_only = value == "open";
            Ok(())
        }
        ("status", _) => Err("must be open or all".to_owned()),
        _ => page.take(name, value),
    })?;
    Ok((open_only, page))
}

/// Which runs a bulk operation is about.
#[derive(Clone, Debug, PartialEq)]
pub struct RunBulk {
    /// These, or all that match.
    pub pick: RunPick,
    /// Only those that were not over then, in microseconds since 1970; `None` for now.
    pub as_of_us: Option<i64>,
}

/// Named one by one, or by what they have in common.
#[derive(Clone, Debug, PartialEq)]
pub enum RunPick {
    /// At most [`limits::RUN_IDS_MAX`] of them.
    Ids(Vec<RunId>),
    /// All that match.
    Filter(Box<RunFilter>),
}

/// Reads `{ids: [...]}` or `{filter: {...}}`, and `asOf`.
pub fn bulk(json: &[u8]) -> Result<RunBulk, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let as_of_us = fields.string("asOf", 1..=limits::FILTER_CHARS_MAX).and_then(|text| {
        let us = text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond()).filter(|us| *us >= 0);
        if us.is_none() {
            fields.refuse("asOf", TIME);
        }
        us
    });
    let pick = match (fields.has("ids"), fields.has("filter")) {
        (true, false) => RunPick::Ids(ids(&mut fields)),
        (false, true) => RunPick::Filter(Box::new(fields.object("filter", selector).unwrap_or_else(all))),
        (both, _) => {
            let detail =
                if both { "cannot be given together with filter" } else { "is required, or filter; an empty filter matches everything" };
            fields.refuse("ids", detail);
            RunPick::Ids(Vec::new())
        }
    };
    // What is null, or not wanted, has been spoken of.
    fields.raw("ids");
    fields.raw("filter");
    fields.finish()?;
    Ok(RunBulk { pick, as_of_us })
}

fn ids(fields: &mut Fields<'_>) -> Vec<RunId> {
    let mut ids = Vec::new();
    for (index, entry) in fields.entries::<{ limits::RUN_IDS_MAX }>("ids").into_iter().enumerate() {
        match serde_json::from_str::<String>(entry.get()).ok().and_then(|text| text.parse().ok()) {
            Some(id) => ids.push(id),
            None => fields.refuse_at(&["ids", &index.to_string()], "ids must be ids of runs, run_ and 32 hex digits".to_owned()),
        }
    }
    ids
}

/// The same names as in the query, without paging.
fn selector(fields: &mut Fields<'_>) -> RunFilter {
    let mut filter = all();
    for name in ["status", "workflow", "version", "label", "externalId", "parent", "from", "to"] {
        let Some(value) = fields.string(name, 1..=limits::FILTER_CHARS_MAX) else { continue };
        if let Err(detail) = take(&mut filter, name, &value) {
            fields.refuse(name, detail);
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn pointers<T>(read: Result<T, Vec<FieldError>>) -> Vec<String> {
        read.err().unwrap_or_default().into_iter().map(|error| error.pointer).collect()
    }

    const RUN: &str = "run_0192f3ab000070008000000000000001";

    #[test]
    fn everything_at_once() {
        let filter =
            runs(&pairs(&[("status", "sleeping"), ("workflow", "order"), ("externalId", "o-1"), ("parent", RUN), ("limit", "7")])).unwrap();
        assert_eq!((filter.status.as_deref(), filter.workflow.as_deref(), filter.page.limit), (Some("sleeping"), Some("order"), 7));
        assert_eq!((filter.external_id.as_deref(), filter.parent.map(|id| id.to_string()).as_deref()), (Some("o-1"), Some(RUN)));
        assert_eq!(events(&pairs(&[("name", "a")])).unwrap().0.as_deref(), Some("a"));
        assert!(approvals(&[]).unwrap().0 && !approvals(&pairs(&[("status", "all")])).unwrap().0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("status", "done"),
            ("workflow", ""),
            ("parent", "msg_0192f3ab000070008000000000000001"),
            ("from", "now"),
            ("cursor", "x"),
            ("limit", "201"),
            ("nope", "1"),
        ] {
            assert_eq!(pointers(runs(&pairs(&[(name, value)]))), [name]);
        }
        assert_eq!(pointers(events(&pairs(&[("status", "x")]))), ["status"]);
        assert_eq!(pointers(approvals(&pairs(&[("status", "closed"), ("name", "x")]))), ["status", "name"]);
    }

    #[test]
    fn a_bulk_is_ids_or_a_filter() {
        let json = format!(r#"{{"ids": ["{RUN}"]}}"#);
        assert_eq!(bulk(json.as_bytes()).unwrap().pick, RunPick::Ids(vec![RUN.parse().unwrap()]));
        let RunBulk { pick: RunPick::Filter(filter), as_of_us } =
            bulk(br#"{"filter": {"workflow": "order", "status": "paused"}, "asOf": "2027-01-31T09:00:00.000001Z"}"#).unwrap()
        else {
            panic!("a filter")
        };
        assert_eq!((filter.workflow.as_deref(), filter.status.as_deref()), (Some("order"), Some("paused")));
        assert_eq!(as_of_us, Some(1_801_386_000_000_001));
        assert!(bulk(br#"{"filter": {}}"#).is_ok());
        for (json, pointer) in [
            ("{}", "/ids"),
            (r#"{"ids": [], "filter": {}}"#, "/ids"),
            (r#"{"ids": []}"#, "/ids"),
            (r#"{"ids": ["x"]}"#, "/ids/0"),
            (r#"{"filter": {"status": "over"}}"#, "/filter/status"),
            (r#"{"filter": {"limit": 1}}"#, "/filter/limit"),
            (r#"{"filter": {}, "asOf": "now"}"#, "/asOf"),
        ] {
            assert_eq!(pointers(bulk(json.as_bytes())), [pointer], "{json}");
        }
        let many = |n: usize| format!("{{\"ids\": [{}]}}", vec![format!("\"{RUN}\""); n].join(","));
        assert!(bulk(many(limits::RUN_IDS_MAX).as_bytes()).is_ok());
        assert_eq!(pointers(bulk(many(limits::RUN_IDS_MAX + 1).as_bytes())), ["/ids"]);
    }
}
