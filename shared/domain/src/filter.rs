//! Query parameters of lists: filters, page size and cursor. Out of scope: what is listed.

use crate::fields::FieldError;
use crate::ids::MessageId;
use crate::limits;

/// The states of a message, as filters name them.
pub const STATES: [&str; 7] = ["scheduled", "queued", "delivering", "retrying", "delivered", "failed", "cancelled"];

/// What `GET /v1/messages` shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageFilter {
    /// One of [`STATES`].
    pub status: Option<String>,
    /// A substring of the destination.
    pub url: Option<String>,
    /// A label.
    pub label: Option<String>,
    /// Created at or after, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Created before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Rows in the page.
    pub limit: i64,
    /// The last id of the page before.
    pub cursor: Option<MessageId>,
}

/// Reads the filter from decoded query parameters.
pub fn messages(query: &[(String, String)]) -> Result<MessageFilter, Vec<FieldError>> {
    let mut filter = MessageFilter { limit: limits::PAGE_DEFAULT, ..MessageFilter::default() };
    let mut errors = Vec::new();
    for (name, value) in query {
        if let Err(detail) = take(&mut filter, name, value) {
            errors.push(FieldError { pointer: name.clone(), detail: format!("{name} {detail}") });
        }
    }
    if errors.is_empty() { Ok(filter) } else { Err(errors) }
}

fn take(filter: &mut MessageFilter, name: &str, value: &str) -> Result<(), String> {
    match name {
        "status" if STATES.contains(&value) => filter.status = Some(value.to_owned()),
        "status" => return Err(format!("must be one of {}", STATES.join(", "))),
        "url" => filter.url = Some(text(value)?),
        "label" => filter.label = Some(text(value)?),
        "from" => filter.from_ms = Some(time(value)?),
        "to" => filter.to_ms = Some(time(value)?),
        "limit" => match value.parse::<i64>() {
            Ok(limit) if (1..=limits::PAGE_MAX).contains(&limit) => filter.limit = limit,
            _ => return Err(format!("must be an integer from 1 to {}", limits::PAGE_MAX)),
        },
        "cursor" => filter.cursor = Some(value.parse().map_err(|_| "must be the nextCursor of an earlier page".to_owned())?),
        _ => return Err("is not a parameter of this list".to_owned()),
    }
    Ok(())
}

fn text(value: &str) -> Result<String, String> {
    if value.is_empty() || value.chars().count() > limits::FILTER_CHARS_MAX || value.contains('\0') {
        return Err(format!("must have 1 to {} characters, none of them U+0000", limits::FILTER_CHARS_MAX));
    }
    Ok(value.to_owned())
}

fn time(value: &str) -> Result<i64, String> {
    value
        .parse::<jiff::Timestamp>()
        .map(|t| t.as_millisecond())
        .map_err(|_| "must be an RFC 3339 time, such as 2027-01-31T09:00:00Z".to_owned())
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
        assert_eq!((filter.status.as_deref(), filter.limit, filter.from_ms), (Some("failed"), 200, Some(1_801_386_000_000)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in
            [("status", "done"), ("limit", "0"), ("limit", "201"), ("cursor", "x"), ("from", "now"), ("nope", "1"), ("url", "")]
        {
            assert_eq!(read(&[(name, value)]), Err(vec![name.to_owned()]));
        }
    }
}
