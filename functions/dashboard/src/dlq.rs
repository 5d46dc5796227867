//! The list of dead letters, filtered by its address, its live part, and the question before something is done to many of them.
//!
//! Out of scope: doing it (`dlq_bulk`); one message (`message`); sending one again with edits, which its own page does.

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::dlq_bulk::{Act, act};
use crate::filter::Range;
use crate::gate::Desk;
use crate::link::Query;
use crate::messages::{self, Message, MessageFilter, MessageRow};
use crate::page::{Flash, Page, whole};
use crate::parts::{Chip, Confirm, ConfirmPage, Pair, number};
use crate::refusal::Refusal;
use crate::visitor::{Form, Visitor};
use crate::when::When;

/// The list.
pub const PATH: &str = "/dashboard/dlq";
/// What an address may filter by, beside the page.
pub const FILTERS: [&str; 7] = ["url", "label", "fanout", "schedule", "range", "from", "to"];
/// Ids that a question names.
const NAMED_MAX: usize = 10;
/// Deleting so many takes a word that must be typed.
const TYPED_FROM: i64 = 100;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route("/dashboard/dlq/live", get(live)).route("/dashboard/dlq/confirm", get(back).post(confirm))
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

impl Listed {
    fn count(&self) -> i64 {
        self.counts.get("failed").copied().unwrap_or_default()
    }

    fn is_more(&self) -> bool {
        self.counts_more.iter().any(|status| status == "failed")
    }
}

/// The page.
#[derive(Template)]
#[template(path = "dlq.html")]
struct DlqPage {
    page: Page,
    filter: MessageFilter,
    list: DlqList,
}

/// The part of it that refreshes itself.
#[derive(Template)]
#[template(path = "parts/dlq_rows.html")]
struct DlqLive {
    page: Page,
    list: DlqList,
}

struct DlqList {
    live: String,
    total: String,
    reasons: Vec<Chip>,
    rows: Vec<MessageRow>,
    next_href: String,
    first_href: String,
    filtered: bool,
    all_href: String,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let mut page = visitor.page("dlq");
    let (status, listed) = match load(&visitor, &query, "").await {
        Ok(listed) => (StatusCode::OK, listed),
        // A filter that cannot be: the form stays, and a line says why.
        Err(refusal) if refusal.status == 400 => {
            page.flashes.push(Flash::error(&refusal));
            (refusal.code(), Listed::default())
        }
        Err(refusal) => return Err(refusal),
    };
    let list = view(&visitor, &query, listed);
    whole(status, &DlqPage { page, filter: messages::filter(&query), list })
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query, "").await?;
    let template = DlqLive { page: visitor.page("dlq"), list: view(&visitor, &query, listed) };
    visitor.answer(&query, &template)
}

/// The list, for an address that only takes forms.
pub async fn back() -> impl IntoResponse {
    Redirect::to(PATH)
}

/// Asks before something is done, with how many it is.
async fn confirm(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let act = act(form.get("act"))?;
    let filters = form.only(&FILTERS);
    let ids: Vec<&str> = form.all("id").collect();
    if !form.has("all") && ids.is_empty() {
        let flash = Flash { kind: "info".to_owned(), text: "Nothing was selected.".to_owned(), ..Flash::default() };
        return Ok(visitor.done(&filters.on(PATH), flash));
    }
    let confirm = if form.has("all") {
        let counted = load(&visitor, &filters, "1").await?;
        of_filter(act, &filters, counted.count(), counted.is_more(), visitor.now_s())
    } else {
        of_ids(act, &filters, &ids)
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("dlq"), confirm })
}

fn of_ids(act: &Act, filters: &Query, ids: &[&str]) -> Confirm {
    let more = ids.len().saturating_sub(NAMED_MAX);
    Confirm {
        items: ids.iter().take(NAMED_MAX).map(|id| (*id).to_owned()).collect(),
        more: if more > 0 { format!("and {more} more") } else { String::new() },
        fields: ids.iter().map(|id| Pair::new("id", *id)).chain([Pair::new("back", filters.on(PATH))]).collect(),
        ..question(act, &dead_letters(ids.len() as i64, false), filters)
    }
}

/// What failed after the question was asked is not among what was counted: the moment goes along, and only what had failed by then is meant.
fn of_filter(act: &Act, filters: &Query, count: i64, is_more: bool, now_s: i64) -> Confirm {
    let meant = Range::of(filters).put(filters.only(&["url", "label", "fanout", "schedule"]), now_s);
    let which = if filters.only(&FILTERS) == Query::default() { "all there are" } else { "all that match the filter" };
    let question = question(act, &dead_letters(count, is_more), filters);
    Confirm {
        text: format!("These are {which}. {}", question.text),
        fields: ["url", "label", "fanout", "schedule", "from", "to"]
            .into_iter()
            .filter(|name| meant.has(name))
            .map(|name| Pair::new(name, meant.get(name)))
            .chain([Pair::new("all", "1"), Pair::new("asOf", When::at(now_s, now_s).iso), Pair::new("back", filters.on(PATH))])
            .collect(),
        type_to_confirm: if act.is_danger && (count >= TYPED_FROM || is_more) { "delete".to_owned() } else { String::new() },
        ..question
    }
}

fn question(act: &Act, what: &str, filters: &Query) -> Confirm {
    Confirm {
        title: format!("{} {what}?", act.verb),
        text: act.text.to_owned(),
        action: format!("{PATH}/{}", act.name),
        button: act.verb.to_owned(),
        danger: act.is_danger,
        back_href: filters.on(PATH),
        ..Confirm::default()
    }
}

/// "1 dead letter", "2,500 dead letters", "10,000+ dead letters".
pub fn dead_letters(count: i64, is_more: bool) -> String {
    let more = if is_more { "+" } else { "" };
    format!("{}{more} dead letter{}", number(count), if count == 1 && !is_more { "" } else { "s" })
}

async fn load(visitor: &Visitor, query: &Query, limit: &str) -> Result<Listed, Refusal> {
    let asked = query.only(&["url", "label", "fanout", "schedule", "cursor"]).with("limit", limit);
    visitor.api.get(&Range::of(query).put(asked, visitor.now_s()).on("/v1/dlq")).await
}

fn view(visitor: &Visitor, query: &Query, listed: Listed) -> DlqList {
    let filters = query.only(&FILTERS);
    let page = |cursor: &str| filters.with("cursor", cursor).on(PATH);
    DlqList {
        // Later pages stand still.
        live: if query.has("cursor") { String::new() } else { visitor.live("/dashboard/dlq/live", &filters) },
        total: number(listed.count()) + if listed.is_more() { "+" } else { "" },
        reasons: Vec::new(),
        next_href: listed.next_cursor.as_deref().map(page).unwrap_or_default(),
        first_href: if query.has("cursor") { page("") } else { String::new() },
        filtered: filters != Query::default(),
        all_href: PATH.to_owned(),
        rows: listed.data.into_iter().map(|message| row(visitor, message)).collect(),
    }
}

/// Here a message's time is when it failed.
fn row(visitor: &Visitor, message: Message) -> MessageRow {
    let failed = visitor.when(message.finished_at.as_deref());
    let row = messages::row(visitor, message);
    let note = if row.note.is_empty() { row.status_text.clone() } else { row.note };
    MessageRow { due: failed, note, ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(confirm: &Confirm) -> Vec<(&str, &str)> {
        confirm.fields.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect()
    }

    #[test]
    fn a_question_about_a_filter_means_what_had_failed_when_it_was_asked() {
        let filters = Query::parse(b"label=a&range=1h");
        let confirm = of_filter(act("delete").unwrap(), &filters, 2_500, false, 1_801_386_000);
        assert_eq!(confirm.title, "Delete 2,500 dead letters?");
        assert_eq!((confirm.type_to_confirm.as_str(), confirm.danger), ("delete", true));
        let expected = [
            ("label", "a"),
            ("from", "2027-01-31T08:00:00Z"),
            ("all", "1"),
            ("asOf", "2027-01-31T09:00:00Z"),
            ("back", "/dashboard/dlq?label=a&range=1h"),
        ];
        assert_eq!(fields(&confirm), expected);
    }

    #[test]
    fn a_question_about_ids_names_ten_of_them() {
        let ids: Vec<String> = (0..12).map(|n| format!("msg_{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let confirm = of_ids(act("retry").unwrap(), &Query::default(), &ids);
        assert_eq!((confirm.title.as_str(), confirm.items.len(), confirm.more.as_str()), ("Retry 12 dead letters?", 10, "and 2 more"));
        assert_eq!((confirm.type_to_confirm.as_str(), fields(&confirm).len()), ("", 13));
    }

    #[test]
    fn one_is_not_many() {
        let texts = [(1, false), (0, false), (10_000, true), (1, true)].map(|(count, is_more)| dead_letters(count, is_more));
        assert_eq!(texts, ["1 dead letter", "0 dead letters", "10,000+ dead letters", "1+ dead letters"]);
    }
}
