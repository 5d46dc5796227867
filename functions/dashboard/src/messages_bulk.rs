//! Cancels messages of the list in chunks, as `dlq_bulk` does with dead letters: those that were picked, or all that match its filters.
//!
//! The API's own filter has no status. So where the list has one, a chunk is a page of the list, named by ids.
//! Out of scope: what cancelling is (STAGE 1, `/v1/messages/cancel`).

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::filter::Range;
use crate::gate::Desk;
use crate::link::Query;
use crate::messages::{FILTERS, PATH};
use crate::page::{Flash, whole};
use crate::parts::{Confirm, ConfirmPage, Pair, Progress, ProgressPage, number, status_text};
use crate::refusal::Refusal;
use crate::visitor::{Form, Visitor};

/// Where the chunks are posted.
const CANCEL: &str = "/dashboard/messages/cancel";
/// Ids that a question names.
const NAMED: usize = 10;
/// What can be cancelled.
const OPEN: [&str; 4] = ["scheduled", "queued", "delivering", "retrying"];

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/messages/confirm", get(back).post(confirm)).route(CANCEL, get(back).post(cancel))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    count: i64,
    remaining: i64,
    as_of: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ids {
    data: Vec<Id>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// Somebody reloads a question or a chunk: the list is where it came from.
async fn back(visitor: Visitor) -> Response {
    visitor.done(PATH, Flash { kind: "info".to_owned(), text: "Nothing was asked for.".to_owned(), ..Flash::default() })
}

async fn confirm(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let filters = form.only(&FILTERS);
    let ids: Vec<&str> = form.all("id").collect();
    let back_href = filters.on(PATH);
    if ids.is_empty() && !form.has("all") {
        return Ok(
            visitor.done(&back_href, Flash { kind: "info".to_owned(), text: "Select messages first.".to_owned(), ..Flash::default() })
        );
    }
    let is_all = form.has("all");
    let (title, items) = if is_all {
        (all_title(&filters), Vec::new())
    } else {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        (format!("Cancel {}?", messages(count)), ids.iter().take(NAMED).map(|id| (*id).to_owned()).collect())
    };
    // A range that ends now is fixed when the question is asked.
    let range = Range::of(&filters).put(Query::default(), visitor.now_s());
    let kept = form.only(&["status", "url", "label", "fanout", "schedule"]).with("from", range.get("from")).with("to", range.get("to"));
    let kept = kept.with("all", if is_all { "1" } else { "" }).with("back", &back_href);
    let picked = if is_all { &[][..] } else { &ids };
    let confirm = Confirm {
        title,
        text: "Those that are not over will not be pushed any more. A push that is under way may still end delivered.".to_owned(),
        items,
        more: ids.len().checked_sub(NAMED + 1).map(|more| format!("and {} more", more + 1)).filter(|_| !is_all).unwrap_or_default(),
        action: CANCEL.to_owned(),
        button: "Cancel them".to_owned(),
        danger: true,
        fields: fields(&kept, picked),
        back_href,
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("messages"), confirm })
}

async fn cancel(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let back_href = Some(form.get("back")).filter(|back| back.starts_with("/dashboard/messages?")).unwrap_or(PATH);
    let before: i64 = form.get("done").parse().unwrap_or_default();
    let (asked, cursor) = asked(&visitor, &form).await?;
    let chunk = match &asked.ids {
        Some(ids) if ids.is_empty() => Chunk { count: 0, remaining: 0, as_of: String::new() },
        _ => visitor.api.post("/v1/messages/cancel", &asked).await?.read()?,
    };
    let done = before + chunk.count;
    let is_over = if form.has("status") && form.has("all") { cursor.is_none() } else { chunk.remaining == 0 || chunk.count == 0 };
    // The progress page swaps the answers of later chunks into itself, so they are progress, too.
    if is_over && !form.has("done") {
        let flash = if done == 0 { "None of them could be cancelled: they were over.".to_owned() } else { said(done) };
        return Ok(visitor.done(back_href, Flash::ok(flash)));
    }
    let next = form.only(&["status", "url", "label", "fanout", "schedule", "from", "to", "all", "back"]);
    let next = next.with("done", &done.to_string()).with("asOf", &chunk.as_of).with("cursor", &cursor.unwrap_or_default());
    let ids: Vec<&str> = form.all("id").collect();
    let total = if is_over { done } else { done + chunk.remaining };
    let text = if form.has("status") && !is_over { said(done) } else { format!("{} of {} cancelled", number(done), number(total)) };
    let progress = Progress {
        title: if is_over { said(done) } else { "Cancelling".to_owned() },
        percent: (done * 100 / total.max(1)).clamp(0, 100).to_string(),
        text,
        over: is_over,
        action: CANCEL.to_owned(),
        fields: fields(&next, &ids),
        back_href: back_href.to_owned(),
        back_text: "Back to messages".to_owned(),
    };
    whole(StatusCode::OK, &ProgressPage { page: visitor.page("messages"), progress })
}

/// What the API is asked for one chunk, and the cursor of the one after it where chunks are pages.
async fn asked(visitor: &Visitor, form: &Query) -> Result<(Asked, Option<String>), Refusal> {
    let as_of = Some(form.get("asOf").to_owned()).filter(|as_of| !as_of.is_empty());
    if !form.has("all") {
        let ids = form.all("id").map(ToOwned::to_owned).collect();
        return Ok((Asked { ids: Some(ids), filter: None, as_of }, None));
    }
    let filters = form.only(&["url", "label", "fanout", "schedule", "from", "to"]);
    if form.has("status") {
        let page = filters.with("status", form.get("status")).with("cursor", form.get("cursor"));
        let page: Ids = visitor.api.get(&page.with("limit", "200").with("counts", "false").on("/v1/messages")).await?;
        let ids = page.data.into_iter().map(|message| message.id).collect();
        return Ok((Asked { ids: Some(ids), filter: None, as_of: None }, page.next_cursor));
    }
    let filter = filters.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Ok((Asked { ids: None, filter: Some(filter), as_of }, None))
}

fn all_title(filters: &Query) -> String {
    let status = filters.get("status");
    let which = if status.is_empty() { "that are not over".to_owned() } else { format!("that are {}", status_text(status).to_lowercase()) };
    let matching = if filters.without("status").is_empty() { "" } else { " and match the other filters" };
    if status.is_empty() || OPEN.contains(&status) {
        format!("Cancel all messages {which}{matching}?")
    } else {
        format!("Cancel all messages {which}? They are over: nothing will change.")
    }
}

fn messages(count: i64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{} messages", number(count)) }
}

fn said(done: i64) -> String {
    format!("{} {} cancelled.", messages(done), if done == 1 { "is" } else { "are" })
}

fn fields(query: &Query, ids: &[&str]) -> Vec<Pair> {
    let named = query.pairs().map(|(name, value)| Pair::new(name, value));
    named.chain(ids.iter().map(|id| Pair::new("id", *id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_all_says_which() {
        for (filters, expected) in [
            ("", "Cancel all messages that are not over?"),
            ("status=retrying&label=a", "Cancel all messages that are retrying and match the other filters?"),
            ("status=delivered", "Cancel all messages that are delivered? They are over: nothing will change."),
        ] {
            assert_eq!(all_title(&Query::parse(filters.as_bytes())), expected);
        }
        assert_eq!((said(1), said(1_000)), ("1 message is cancelled.".to_owned(), "1,000 messages are cancelled.".to_owned()));
    }
}
