//! What lists are filtered by: chips with counts, and ranges of time. Out of scope: reading lists.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::link::Query;
use crate::parts::{Chip, number, status_text};

/// Chips for these states in this order, the first one for all of them; each keeps the list's other filters and begins at its first page.
///
/// Of the states in `more` there may be more than was counted.
pub fn status_chips(filters: &Query, path: &str, states: &[&str], counts: &BTreeMap<String, i64>, more: &[String]) -> Vec<Chip> {
    let current = filters.get("status");
    let chip = |label: String, status: &str, count: Option<i64>| Chip {
        label,
        status: status.to_owned(),
        count: count.map(|n| number(n) + if more.iter().any(|m| status.is_empty() || m == status) { "+" } else { "" }).unwrap_or_default(),
        href: filters.without("cursor").with("status", status).on(path),
        current: current == status,
    };
    let all = (!counts.is_empty()).then(|| counts.values().sum());
    let each = states.iter().map(|status| chip(status_text(status), status, counts.get(*status).copied()));
    std::iter::once(chip("All".to_owned(), "", all)).chain(each).collect()
}

/// A range of creation times: one that ends now, or one from a time to a time in UTC as `datetime-local` writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// "", 15m, 1h, 24h, 7d or custom.
    pub name: String,
    /// "2026-11-21T18:00", or "".
    pub from: String,
    /// "2026-11-21T19:00", or "".
    pub to: String,
}

impl Range {
    /// What an address asks for; `from` or `to` alone make a range too.
    pub fn of(query: &Query) -> Self {
        let given = query.get("range");
        let name = match given {
            "15m" | "1h" | "24h" | "7d" => given,
            "" if !query.has("from") && !query.has("to") => "",
            _ => "custom",
        };
        let time = |name: &str| query.get(name).to_owned();
        let (from, to) = if name == "custom" { (time("from"), time("to")) } else { Default::default() };
        Self { name: name.to_owned(), from, to }
    }

    /// The API's `from` and `to` for it.
    pub fn put(&self, query: Query, now_s: i64) -> Query {
        let ago_s = match self.name.as_str() {
            "15m" => 900,
            "1h" => 3_600,
            "24h" => 86_400,
            "7d" => 604_800,
            _ => return query.with("from", &instant(&self.from)).with("to", &instant(&self.to)),
        };
        let from = Timestamp::from_second(now_s - ago_s).map(|at| at.to_string()).unwrap_or_default();
        query.with("from", &from)
    }
}

/// RFC 3339 of a time without a zone, which is UTC; any other text as it is, for the API to judge.
fn instant(text: &str) -> String {
    match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_now_or_is_given() {
        let now_s = "2027-01-31T09:00:00Z".parse::<Timestamp>().unwrap().as_second();
        for (query, name, asked) in [
            ("", "", "/m"),
            ("range=1h&from=x", "1h", "/m?from=2027-01-31T08%3A00%3A00Z"),
            ("from=2027-01-31T08:00", "custom", "/m?from=2027-01-31T08%3A00%3A00Z"),
            ("range=custom&from=2027-01-31T08:00:05Z&to=x", "custom", "/m?from=2027-01-31T08%3A00%3A05Z&to=x"),
        ] {
            let range = Range::of(&Query::parse(query.as_bytes()));
            assert_eq!((range.name.as_str(), range.put(Query::default(), now_s).on("/m").as_str()), (name, asked), "{query}");
        }
    }

    #[test]
    fn a_chip_keeps_the_other_filters() {
        let counts = BTreeMap::from([("failed".to_owned(), 1_200), ("queued".to_owned(), 3)]);
        let filters = Query::parse(b"label=a&status=failed&cursor=x");
        let chips = status_chips(&filters, "/m", &["queued", "failed", "delivered"], &counts, &["failed".to_owned()]);
        let shown: Vec<_> = chips.iter().map(|c| (c.label.as_str(), c.count.as_str(), c.href.as_str(), c.current)).collect();
        let expected = [
            ("All", "1,203+", "/m?label=a", false),
            ("Queued", "3", "/m?label=a&status=queued", false),
            ("Failed", "1,200+", "/m?label=a&status=failed", true),
            ("Delivered", "", "/m?label=a&status=delivered", false),
        ];
        assert_eq!(shown, expected);
    }
}
