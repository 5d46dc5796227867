//! Query parameters of lists: filters, page size and cursor. Out of scope: what is listed.

use std::str::FromStr;

use crate::fields::FieldError;
use crate::ids::{BreakerId, MessageId, ScheduleId};
use crate::limits;

/// The states of a message, as filters name them.
pub const STATES: [&str; 7] = ["scheduled", "queued", "delivering", "retrying", "delivered", "failed", "cancelled"];

/// What `GET /v1/messages` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageFilter {
    /// One of [`STATES`].
    pub status: Option<String>,
    /// A substring of the destination.
    pub url: Option<String>,
    /// A label.
    pub label: Option<String>,
    /// The fanout they were published to.
    pub fanout: Option<String>,
    /// The schedule that fired them.
    pub schedule: Option<ScheduleId>,
    /// Created at or after, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Created before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Whether a list comes with counts.
    pub counts: bool,
    /// Which page.
    pub page: Page<MessageId>,
}

impl MessageFilter {
    /// Whether it asks for anything but a status.
    pub fn is_narrow(&self) -> bool {
        self.fanout.is_some() || self.schedule.is_some() || self.is_searched()
    }

    /// Whether each message must be looked at to know whether it fits.
    pub fn is_searched(&self) -> bool {
        self.url.is_some() || self.label.is_some() || self.from_ms.is_some() || self.to_ms.is_some()
    }
}

/// Page size and cursor of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<Id> {
    /// Rows in the page.
    pub limit: i64,
    /// The last id of the page before.
    pub cursor: Option<Id>,
}

impl<Id: FromStr> Page<Id> {
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "limit" => match value.parse::<i64>() {
                Ok(limit) if (1..=limits::PAGE_MAX).contains(&limit) => self.limit = limit,
                _ => return Err(format!("must be an integer from 1 to {}", limits::PAGE_MAX)),
            },
            "cursor" => self.cursor = Some(value.parse().map_err(|_| "must be the nextCursor of an earlier page".to_owned())?),
            _ => return Err("is not a parameter of this list".to_owned()),
        }
        Ok(())
    }
}

/// Reads the parameters of a list that has no filters.
pub fn page<Id: FromStr>(query: &[(String, String)]) -> Result<Page<Id>, Vec<FieldError>> {
    let mut page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    each(query, |name, value| page.take(name, value))?;
    Ok(page)
}

/// Reads the filter of the message list from decoded query parameters.
pub fn messages(query: &[(String, String)]) -> Result<MessageFilter, Vec<FieldError>> {
    let page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    let mut filter = MessageFilter {
        status: None,
        url: None,
        label: None,
        fanout: None,
        schedule: None,
        from_ms: None,
        to_ms: None,
        counts: true,
        page,
    };
    each(query, |name, value| take(&mut filter, name, value))?;
    Ok(filter)
}

/// Reads the filter of the counts of messages, which have no pages.
pub fn message_counts(query: &[(String, String)]) -> Result<MessageFilter, Vec<FieldError>> {
    let filter = messages(query)?;
    not_paged(query)?;
    Ok(filter)
}

/// Refuses what only lists have.
pub fn not_paged(query: &[(String, String)]) -> Result<(), Vec<FieldError>> {
    let paging = |name: &str| ["limit", "cursor", "counts"].contains(&name);
    each(query, |name, _| if paging(name) { Err("is not a parameter of counts".to_owned()) } else { Ok(()) })
}

/// The states of a circuit breaker, as filters name them.
pub const BREAKER_STATES: [&str; 3] = ["open", "half_open", "closed"];

/// Reads the state, if one is asked for, and the page of the breaker list.
pub fn breakers(query: &[(String, String)]) -> Result<(Option<String>, Page<BreakerId>), Vec<FieldError>> {
    let mut page = Page { limit: limits::PAGE_DEFAULT, cursor: None };
    let mut status = None;
    each(query, |name, value| match name {
        "status" if BREAKER_STATES.contains(&value) => {
            status = Some(value.to_owned());
            Ok(())
        }
        "status" => Err(format!("must be one of {}", BREAKER_STATES.join(", "))),
        _ => page.take(name, value),
    })?;
    Ok((status, page))
}

pub(crate) fn each<'q>(
    query: &'q [(String, String)],
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), Vec<FieldError>> {
    let mut seen = Vec::new();
    let wrong = |(name, value): &'q (String, String)| {
        let twice = seen.contains(&name.as_str());
        seen.push(name.as_str());
        let detail = if twice { "is given more than once".to_owned() } else { take(name, value).err()? };
        Some(FieldError { pointer: name.clone(), detail: format!("{name} {detail}") })
    };
    let errors: Vec<FieldError> = query.iter().filter_map(wrong).take(limits::ERRORS_MAX).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn take(filter: &mut MessageFilter, name: &str, value: &str) -> Result<(), String> {
    match name {
        "status" if STATES.contains(&value) => filter.status = Some(value.to_owned()),
        "status" => return Err(format!("must be one of {}", STATES.join(", "))),
        "url" => filter.url = Some(text(value)?),
        "label" => filter.label = Some(text(value)?),
        "fanout" => filter.fanout = Some(text(value)?),
        "schedule" => filter.schedule = Some(value.parse().map_err(|_| "must be the id of a schedule, sch_ and 32 hex digits".to_owned())?),
        "from" => filter.from_ms = Some(time(value)?),
        "to" => filter.to_ms = Some(time(value)?),
        "counts" => filter.counts = value.parse().map_err(|_| "must be true or false".to_owned())?,
        _ => filter.page.take(name, value)?,
    }
    Ok(())
}

pub(crate) fn text(value: &str) -> Result<String, String> {
    if value.is_empty() || value.chars().count() > limits::FILTER_CHARS_MAX || value.contains('\0') {
        return Err(format!("must have 1 to {} characters, none of them U+0000", limits::FILTER_CHARS_MAX));
    }
    Ok(value.to_owned())
}

/// What is said of a text that is no such time.
pub(crate) const TIME: &str = "must be an RFC 3339 time since 1970, such as 2027-01-31T09:00:00Z";

/// Milliseconds since 1970 of an RFC 3339 time that is not before it.
pub fn epoch_ms(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()).filter(|ms| *ms >= 0)
}

fn time(value: &str) -> Result<i64, String> {
    epoch_ms(value).ok_or_else(|| TIME.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<MessageFilter, Vec<String>> {
        let owned: Vec<(String, String)> = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        messages(&owned).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn everything_at_once() {
        let filter =
            read(&[("status", "failed"), ("url", "hook"), ("label", "a"), ("from", "2027-01-31T09:00:00Z"), ("limit", "200")]).unwrap();
        assert_eq!((filter.status.as_deref(), filter.page.limit, filter.from_ms), (Some("failed"), 200, Some(1_801_386_000_000)));
    }

    #[test]
    fn a_parameter_is_given_once() {
        assert_eq!(read(&[("limit", "1"), ("limit", "2")]), Err(vec!["limit".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("status", "done"),
            ("limit", "0"),
            ("limit", "201"),
            ("cursor", "x"),
            ("from", "now"),
            ("to", "1969-12-31T23:59:59Z"),
            ("nope", "1"),
            ("url", ""),
            ("fanout", ""),
            ("schedule", "x"),
            ("counts", "no"),
            ("schedule", "msg_0192f3ab000070008000000000000001"),
        ] {
            assert_eq!(read(&[(name, value)]), Err(vec![name.to_owned()]));
        }
    }
}
