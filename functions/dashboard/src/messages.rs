//! The list of messages, filtered by its address, and its live part.
//!
//! Out of scope: one message (`message`).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::filter::{Range, status_chips};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{Chip, shell, status_text};
use crate::refusal::Refusal;
use crate::visitor::Visitor;
use crate::when::When;

/// Its address.
pub const PATH: &str = "/dashboard/messages";
/// The live part's address; `live` is no id of a message.
const LIVE: &str = "/dashboard/messages/live";
/// What an address may filter by, beside the page.
pub const FILTERS: [&str; 8] = ["status", "url", "label", "fanout", "schedule", "range", "from", "to"];
const STATES: [&str; 7] = ["scheduled", "queued", "delivering", "retrying", "delivered", "failed", "cancelled"];

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route(LIVE, get(live))
}

/// What the API answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Message>,
    next_cursor: Option<String>,
    #[serde(default)]
    counts: BTreeMap<String, i64>,
    /// The statuses of which there may be more than counted.
    #[serde(default)]
    counts_more: Vec<String>,
}

/// A message as lists of the API have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub id: String,
    pub status: String,
    pub url: Option<String>,
    pub workflow: Option<String>,
    pub method: String,
    pub max_attempts: i32,
    pub labels: Vec<String>,
    pub fanout: Option<String>,
    pub schedule: Option<String>,
    pub run: Option<String>,
    pub waiting_for: Option<String>,
    pub created_at: String,
    pub due_at: String,
    pub finished_at: Option<String>,
    pub attempt_count: i32,
    /// Of the newest attempt, where the API says it.
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
}

/// The page.
#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    page: Page,
    filter: MessageFilter,
    list: MessageList,
}

/// The part of it that refreshes itself.
#[derive(Template)]
#[template(path = "parts/messages_rows.html")]
struct MessagesLive {
    list: MessageList,
}

/// What the form over a list says.
pub struct MessageFilter {
    pub status: String,
    pub url: String,
    pub label: String,
    pub fanout: String,
    pub schedule: String,
    pub range: String,
    pub from: String,
    pub to: String,
    pub any: bool,
}

struct MessageList {
    live: String,
    chips: Vec<Chip>,
    rows: Vec<MessageRow>,
    next_href: String,
    first_href: String,
    filtered: bool,
    curl: String,
    all_href: String,
}

/// A message as lists show it.
pub struct MessageRow {
    pub id: String,
    pub href: String,
    pub status: String,
    pub status_text: String,
    pub method: String,
    pub kind: String,
    pub dest: String,
    pub dest_host: String,
    pub dest_path: String,
    pub from: String,
    pub labels: Vec<String>,
    pub attempts: String,
    pub note: String,
    pub due: When,
    pub created: When,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let mut page = visitor.page("messages");
    let (status, listed) = match load(&visitor, &query).await {
        Ok(listed) => (StatusCode::OK, listed),
        // A filter that cannot be: the form stays, and a line says why.
        Err(refusal) if refusal.status == 400 => {
            page.flashes.push(Flash::error(&refusal));
            (refusal.code(), Listed::default())
        }
        Err(refusal) => return Err(refusal),
    };
    let (filter, list) = (filter(&query), view(&visitor, &query, listed));
    whole(status, &MessagesPage { page, filter, list })
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    let template = MessagesLive { list: view(&visitor, &query, listed) };
    visitor.answer(&query, &template)
}

async fn load(visitor: &Visitor, query: &Query) -> Result<Listed, Refusal> {
    let asked = query.only(&["status", "url", "label", "fanout", "schedule", "cursor"]);
    visitor.api.get(&Range::of(query).put(asked, visitor.now_s()).on("/v1/messages")).await
}

/// The form over a list, as its address has filled it in.
pub fn filter(query: &Query) -> MessageFilter {
    let (text, range) = (|name: &str| query.get(name).to_owned(), Range::of(query));
    MessageFilter {
        status: text("status"),
        url: text("url"),
        label: text("label"),
        fanout: text("fanout"),
        schedule: text("schedule"),
        any: FILTERS.iter().any(|name| *name != "status" && query.has(name)),
        range: range.name,
        from: range.from,
        to: range.to,
    }
}

fn view(visitor: &Visitor, query: &Query, listed: Listed) -> MessageList {
    let filters = query.only(&FILTERS);
    let page = |cursor: &str| filters.with("cursor", cursor).on(PATH);
    let body = r#"{"url":"https://example.com/hook","body":{"hello":"world"}}"#;
    MessageList {
        // Later pages stand still.
        live: if query.has("cursor") { String::new() } else { visitor.live(LIVE, &filters) },
        chips: status_chips(&filters, PATH, &STATES, &listed.counts, &listed.counts_more),
        next_href: listed.next_cursor.as_deref().map(page).unwrap_or_default(),
        first_href: if query.has("cursor") { page("") } else { String::new() },
        filtered: FILTERS.iter().any(|name| query.has(name)),
        curl: format!(
            "curl {}/v1/messages -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
            visitor.base,
            visitor.key.hint,
            shell(body)
        ),
        all_href: PATH.to_owned(),
        rows: listed.data.into_iter().map(|message| row(visitor, message)).collect(),
    }
}

/// A message as lists show it.
pub fn row(visitor: &Visitor, message: Message) -> MessageRow {
    let kind = if message.workflow.is_some() { "workflow" } else { "url" };
    let dest = message.workflow.or(message.url).unwrap_or_default();
    let (dest_host, dest_path) = split(&dest);
    let from = [("fanout", message.fanout), ("schedule", message.schedule), ("run", message.run)];
    let from = from.into_iter().find_map(|(what, name)| name.map(|name| format!("{what} {name}")));
    let note = match message.waiting_for.as_deref() {
        Some("flow") => "waits for its flow".to_owned(),
        Some("breaker") => "circuit breaker open".to_owned(),
        _ => message.last_status.map(|status| status.to_string()).or(message.last_error).unwrap_or_default(),
    };
    let is_over = message.finished_at.is_some();
    MessageRow {
        href: format!("{PATH}/{}", segment(&message.id)),
        id: message.id,
        status_text: status_text(&message.status),
        status: message.status,
        method: message.method,
        kind: kind.to_owned(),
        dest_host: dest_host.to_owned(),
        dest_path: dest_path.to_owned(),
        dest,
        from: from.unwrap_or_default(),
        labels: message.labels,
        attempts: format!("{} / {}", message.attempt_count, message.max_attempts),
        note,
        due: if is_over { When::default() } else { visitor.when(Some(&message.due_at)) },
        created: visitor.when(Some(&message.created_at)),
    }
}

/// Host, and path with query, of a URL; a workflow's name has no path.
pub fn split(dest: &str) -> (&str, &str) {
    let rest = dest.split_once("://").map_or(dest, |(_, rest)| rest);
    rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_host_and_path() {
        for (dest, expected) in [
            ("https://a.example/hook?x=1", ("a.example", "/hook?x=1")),
            ("https://a.example:8080?x", ("a.example:8080", "?x")),
            ("https://a.example", ("a.example", "")),
            ("order-flow", ("order-flow", "")),
        ] {
            assert_eq!(split(dest), expected);
        }
    }
}
