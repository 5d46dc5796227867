//! Lists: as many pages as `--limit` asks for, as one document or one table.
//!
//! Out of scope: what the rows are.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use serde_json::value::RawValue;
use tikku_domain::limits::PAGE_MAX;

use crate::api::{Api, with_query};
use crate::print::Printer;
use crate::screen;
use crate::table::{self, Cell, Column};

/// The most rows that one command prints.
const ROWS_MAX: i64 = 100_000;

/// Which part of a list.
#[derive(Args, Clone)]
pub struct Paging {
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=ROWS_MAX))]
    pub limit: i64,
    /// Go on where an earlier list ended
    #[arg(long)]
    pub cursor: Option<String>,
}

/// Rows of a list.
pub struct Listing {
    /// Each row as it came.
    rows: Vec<Box<RawValue>>,
    /// What else the first page has, such as counts.
    rest: BTreeMap<String, Box<RawValue>>,
    next: Option<String>,
}

/// Query parameters; those without a value are left out.
pub type Parameters = Vec<(&'static str, Option<String>)>;

/// Reads a list, page after page.
pub async fn read(api: &Api, path: &str, parameters: &Parameters, paging: &Paging) -> Result<Listing> {
    let mut listing = Listing { rows: Vec::new(), rest: BTreeMap::new(), next: paging.cursor.clone() };
    loop {
        let left = paging.limit - i64::try_from(listing.rows.len()).unwrap_or(i64::MAX);
        let mut query = parameters.clone();
        query.push(("limit", Some(left.min(PAGE_MAX).to_string())));
        query.push(("cursor", listing.next.take()));
        let page = api.get(&with_query(path, &query)).await?;
        let first = listing.rows.is_empty();
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(page.raw.get()).context("a page is an object")?;
        let data = members.remove("data").context("a page has data")?;
        listing.rows.extend(serde_json::from_str::<Vec<Box<RawValue>>>(data.get())?);
        listing.next = page.value["nextCursor"].as_str().map(str::to_owned);
        members.remove("nextCursor");
        if first {
            listing.rest = members;
        }
        if listing.next.is_none() || listing.rows.len() as i64 >= paging.limit {
            return Ok(listing);
        }
    }
}

impl Listing {
    /// The rows, parsed.
    pub fn values(&self) -> Vec<Value> {
        self.rows.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).collect()
    }

    /// Another member of the first page.
    pub fn member(&self, name: &str) -> Value {
        self.rest.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
    }

    /// Prints one document, or a table.
    pub fn print(&self, out: &Printer, columns: &[Column], empty: &str, row: impl Fn(&Value) -> Vec<Cell>) -> Result<()> {
        if out.json {
            screen::say(&self.json()?);
            return Ok(());
        }
        let rows: Vec<Vec<Cell>> = self.values().iter().map(row).collect();
        table::print(out, columns, &rows, empty);
        if let Some(next) = &self.next {
            screen::complain(&format!("there are more: a larger --limit, or --cursor {next}"));
        }
        Ok(())
    }

    fn json(&self) -> Result<String> {
        let rows: Vec<&str> = self.rows.iter().map(|row| row.get()).collect();
        let mut text = format!("{{\"data\":[{}]", rows.join(","));
        for (name, value) in &self.rest {
            text.push_str(&format!(",{}:{}", serde_json::to_string(name)?, value.get()));
        }
        if let Some(next) = &self.next {
            text.push_str(&format!(",\"nextCursor\":{}", serde_json::to_string(next)?));
        }
        text.push('}');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_one_document_byte_for_byte() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let listing = Listing {
            rows: vec![raw(r#"{"b":1e400}"#), raw(r#"{"a":1}"#)],
            rest: BTreeMap::from([("counts".to_owned(), raw(r#"{"failed":2}"#))]),
            next: Some("msg_1".to_owned()),
        };
        let json = r#"{"data":[{"b":1e400},{"a":1}],"counts":{"failed":2},"nextCursor":"msg_1"}"#;
        assert_eq!(listing.json().unwrap(), json);
        assert_eq!(listing.member("counts")["failed"], 2);
        assert_eq!(Listing { rows: vec![], rest: BTreeMap::new(), next: None }.json().unwrap(), r#"{"data":[]}"#);
    }
}
