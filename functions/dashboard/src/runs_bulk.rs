//! Cancels many runs, in chunks: each request does one, and its answer has the form of the next, which posts itself where scripts run.
//!
//! Out of scope: what a chunk is (STAGE 1, `/v1/runs/cancel`).

use askama::Template;
use axum::Router;
use axum::response::{Redirect, Response};
use axum::routing::get;
use http::StatusCode;
use serde::Deserialize;
use tikku_domain::problem::Kind;

use crate::filter::Range;
use crate::gate::Desk;
use crate::link::Query;
use crate::page::{Flash, Page, whole};
use crate::parts::{Confirm, ConfirmPage, Pair, number};
use crate::refusal::Refusal;
use crate::runs::{FILTERS, PATH};
use crate::typed::Document;
use crate::visitor::{Form, Visitor};

/// Where the API stops counting what is left.
const COUNTED_MAX: i64 = 1_000_000;
/// Ids that a question names.
const IDS_SHOWN: usize = 10;

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/runs/confirm", get(back).post(confirm)).route("/dashboard/runs/cancel", get(back).post(cancel))
}

/// What the API answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    count: i64,
    remaining: i64,
    as_of: String,
}

#[derive(Template)]
#[template(path = "progress.html")]
struct ProgressPage {
    page: Page,
    progress: Progress,
}

struct Progress {
    title: String,
    percent: String,
    text: String,
    over: bool,
    action: String,
    fields: Vec<Pair>,
    back_href: String,
    back_text: String,
}

/// These are forms' addresses; who comes by hand sees the list.
async fn back() -> Redirect {
    Redirect::to(PATH)
}

/// Asks first.
async fn confirm(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let ids: Vec<&str> = form.all("id").collect();
    let is_all = form.has("all");
    if ids.is_empty() && !is_all {
        return Err(Refusal::new(Kind::InvalidRequest, "select the runs first"));
    }
    let title = match (is_all, ids.len()) {
        (true, _) => "Cancel every run that matches?".to_owned(),
        (_, 1) => "Cancel this run?".to_owned(),
        (_, n) => format!("Cancel {n} runs?"),
    };
    let confirm = Confirm {
        title,
        text: "Those that are not over are over then, and so are their children. A step that is under way ends, and nothing comes of it."
            .to_owned(),
        items: if is_all { Vec::new() } else { ids.iter().take(IDS_SHOWN).map(ToString::to_string).collect() },
        more: if is_all || ids.len() <= IDS_SHOWN { String::new() } else { format!("and {} more", ids.len() - IDS_SHOWN) },
        action: "/dashboard/runs/cancel".to_owned(),
        button: "Cancel them".to_owned(),
        danger: true,
        fields: fields(&form),
        back_href: back_of(&form),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("runs"), confirm })
}

async fn cancel(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let before: i64 = form.get("done").parse().unwrap_or_default();
    let mut page = visitor.page("runs");
    let chunk = match visitor.api.post("/v1/runs/cancel", &asked(&form, visitor.now_s())).await {
        Ok(answer) => answer.read::<Chunk>()?,
        // In the middle: what is done is done, and nothing goes on by itself.
        Err(refusal) if before > 0 => {
            page.flashes.push(Flash::error(&refusal));
            return whole(refusal.code(), &ProgressPage { page, progress: progress(&form, before, before, None) });
        }
        Err(refusal) => return Err(refusal),
    };
    let done = before + chunk.count;
    // A chunk that has found nothing to do is the last one, whatever was counted.
    let is_over = chunk.remaining == 0 || chunk.count == 0;
    if is_over && before == 0 {
        return Ok(visitor.done(&back_of(&form), Flash::ok(said(done))));
    }
    let total = if is_over { done } else { done + chunk.remaining };
    let next = form.with("asOf", &chunk.as_of).with("done", &done.to_string());
    whole(StatusCode::OK, &ProgressPage { page, progress: progress(&form, done, total, (!is_over).then_some(&next)) })
}

/// How far it is; `next` is the form of the next chunk, if there is one.
fn progress(form: &Query, done: i64, total: i64, next: Option<&Query>) -> Progress {
    let more = if total - done >= COUNTED_MAX { "+" } else { "" };
    Progress {
        title: if next.is_none() { said(done) } else { "Cancelling runs".to_owned() },
        percent: (done * 100 / total.max(1)).clamp(0, 100).to_string(),
        text: format!("{} of {}{more} cancelled", number(done), number(total)),
        over: next.is_none(),
        action: "/dashboard/runs/cancel".to_owned(),
        fields: next.map(fields).unwrap_or_default(),
        back_href: back_of(form),
        back_text: "Back to the runs".to_owned(),
    }
}

fn said(done: i64) -> String {
    match done {
        0 => "Nothing was cancelled: all of them are over.".to_owned(),
        1 => "1 run was cancelled.".to_owned(),
        n => format!("{} runs were cancelled.", number(n)),
    }
}

/// `{ids}` or `{filter}`, and `asOf`.
fn asked(form: &Query, now_s: i64) -> Document {
    let body = if form.has("all") {
        let asked = form.only(&["status", "workflow", "version", "externalId", "label", "parent"]);
        let asked = Range::of(form).put(asked, now_s);
        let names = ["status", "workflow", "version", "externalId", "label", "parent", "from", "to"];
        let filter = names.iter().fold(Document::default(), |filter, name| filter.text(name, asked.get(name)));
        Document::default().value("filter", &filter)
    } else {
        Document::default().value("ids", &form.all("id").collect::<Vec<_>>())
    };
    body.text("asOf", form.get("asOf"))
}

/// What the next form brings along.
fn fields(form: &Query) -> Vec<Pair> {
    let of = |name: &'static str| form.all(name).map(move |value| Pair::new(name, value));
    FILTERS.into_iter().chain(["all", "asOf", "done", "id"]).flat_map(of).collect()
}

/// The list with the form's filters.
fn back_of(form: &Query) -> String {
    form.only(&FILTERS).on(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_ids_or_a_filter() {
        let json = |form: &str| serde_json::to_string(&asked(&Query::parse(form.as_bytes()), 0)).unwrap();
        assert_eq!(json("id=run_1&id=run_2&status=failed"), r#"{"ids":["run_1","run_2"]}"#);
        assert_eq!(json("all=1&id=run_1&status=failed&asOf=x"), r#"{"filter":{"status":"failed"},"asOf":"x"}"#);
        assert_eq!(json("all=1&range=1h"), r#"{"filter":{"from":"1969-12-31T23:00:00Z"}}"#);
    }
}
