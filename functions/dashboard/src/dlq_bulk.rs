//! Retries and deletes dead letters in chunks: each request does one, and its answer has the form of the next, which posts itself where
//! scripts run. So no request takes long, and whoever goes away has stopped it.
//!
//! Out of scope: asking first (`dlq`); what a chunk is and does (STAGE 1, `/v1/dlq`).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::dlq::{PATH, back, dead_letters};
use crate::gate::Desk;
use crate::link::Query;
use crate::page::{Flash, Page, whole};
use crate::parts::{Pair, number};
use crate::refusal::Refusal;
use crate::visitor::{Form, Visitor};

/// Where the API stops counting what is left.
const COUNTED_MAX: i64 = 1_000_000;

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/dlq/retry", get(back).post(retry)).route("/dashboard/dlq/delete", get(back).post(delete))
}

/// What is done to dead letters.
#[derive(Debug)]
pub struct Act {
    /// As the API names it.
    pub name: &'static str,
    /// What a button says.
    pub verb: &'static str,
    /// What it means.
    pub text: &'static str,
    /// Whether something is lost.
    pub is_danger: bool,
    /// "2,500 dead letters were ..."
    done: &'static str,
}

const RETRY: Act = Act {
    name: "retry",
    verb: "Retry",
    text: "Each becomes due now, with a fresh budget of attempts and the same id.",
    is_danger: false,
    done: "retried",
};
const DELETE: Act = Act {
    name: "delete",
    verb: "Delete",
    text: "They are removed with their attempts and cannot be brought back. One that is retried meanwhile stays.",
    is_danger: true,
    done: "deleted",
};

/// The act of this name.
pub fn act(name: &str) -> Result<&'static Act, Refusal> {
    [&RETRY, &DELETE].into_iter().find(|act| act.name == name).ok_or_else(|| Refusal::not_found("page"))
}

/// What the API is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Selector<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<&'a str>,
}

#[derive(Serialize)]
struct Selector<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    fanout: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    schedule: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    from: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    to: &'a str,
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

async fn retry(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    chunk(&visitor, &form, &RETRY).await
}

async fn delete(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    chunk(&visitor, &form, &DELETE).await
}

async fn chunk(visitor: &Visitor, form: &Query, act: &Act) -> Result<Response, Refusal> {
    let back_href = back_of(form);
    let before: i64 = form.get("done").parse().unwrap_or_default();
    let answer = match visitor.api.post(&format!("/v1/dlq/{}", act.name), &asked(form)).await {
        Ok(answer) => answer,
        // In the middle: what is done is done, and nothing goes on by itself.
        Err(refusal) if before > 0 => {
            let progress = stopped(form, act, before, &back_href);
            let mut page = visitor.page("dlq");
            page.flashes.push(Flash::error(&refusal));
            return whole(refusal.code(), &ProgressPage { page, progress });
        }
        Err(refusal) => return Err(refusal),
    };
    let chunk: Chunk = answer.read()?;
    let done = before + chunk.count;
    // A chunk that has found nothing to do is the last one, whatever was counted.
    let is_over = chunk.remaining == 0 || chunk.count == 0;
    if is_over && before == 0 {
        return Ok(visitor.done(&back_href, Flash::ok(said(act, done))));
    }
    let progress = progress(form, act, &chunk, done, is_over, &back_href);
    whole(StatusCode::OK, &ProgressPage { page: visitor.page("dlq"), progress })
}

fn asked(form: &Query) -> Asked<'_> {
    let ids: Vec<&str> = form.all("id").collect();
    let is_all = form.has("all");
    let selector = Selector {
        url: form.get("url"),
        label: form.get("label"),
        fanout: form.get("fanout"),
        schedule: form.get("schedule"),
        from: form.get("from"),
        to: form.get("to"),
    };
    Asked {
        ids: (!is_all).then_some(ids),
        filter: is_all.then_some(selector),
        as_of: Some(form.get("asOf")).filter(|as_of| !as_of.is_empty()),
    }
}

fn progress(form: &Query, act: &Act, chunk: &Chunk, done: i64, is_over: bool, back_href: &str) -> Progress {
    let total = if is_over { done } else { done + chunk.remaining };
    let more = if chunk.remaining >= COUNTED_MAX { "+" } else { "" };
    let next = form.with("asOf", &chunk.as_of).with("done", &done.to_string()).with("total", &total.to_string());
    Progress {
        title: if is_over { said(act, done) } else { format!("{} {}", act.verb, dead_letters(total, !more.is_empty())) },
        percent: percent(done, total),
        text: format!("{} of {}{more} {}", number(done), number(total), act.done),
        over: is_over,
        action: format!("{PATH}/{}", act.name),
        fields: fields(&next),
        back_href: back_href.to_owned(),
        back_text: "Back to dead letters".to_owned(),
    }
}

fn stopped(form: &Query, act: &Act, done: i64, back_href: &str) -> Progress {
    let total: i64 = form.get("total").parse().unwrap_or(done).max(done);
    Progress {
        title: "It has stopped".to_owned(),
        percent: percent(done, total),
        text: format!("{} of {} {}; the others are as they were", number(done), number(total), act.done),
        over: true,
        action: String::new(),
        fields: Vec::new(),
        back_href: back_href.to_owned(),
        back_text: "Back to dead letters".to_owned(),
    }
}

/// Everything of the form but its token, which the page puts into every form.
fn fields(form: &Query) -> Vec<Pair> {
    const KEPT: [&str; 11] = ["url", "label", "fanout", "schedule", "from", "to", "all", "asOf", "done", "total", "back"];
    let of = |name: &'static str| form.all(name).map(move |value| Pair::new(name, value));
    KEPT.into_iter().chain(["id"]).flat_map(of).collect()
}

/// The list that the question was asked from; nothing else, whoever wrote the form.
fn back_of(form: &Query) -> String {
    let back = form.get("back");
    if back.starts_with("/dashboard/dlq?") { back.to_owned() } else { PATH.to_owned() }
}

fn percent(done: i64, total: i64) -> String {
    (done * 100 / total.max(1)).clamp(0, 100).to_string()
}

fn said(act: &Act, done: i64) -> String {
    match done {
        0 => format!("Nothing was {}: none of them is a dead letter any more.", act.done),
        1 => format!("1 dead letter was {}.", act.done),
        _ => format!("{} were {}.", dead_letters(done, false), act.done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(form: &str) -> String {
        serde_json::to_string(&asked(&Query::parse(form.as_bytes()))).unwrap()
    }

    #[test]
    fn a_form_names_ids_or_a_filter() {
        assert_eq!(json("id=msg_1&id=msg_2&back=x"), r#"{"ids":["msg_1","msg_2"]}"#);
        assert_eq!(json("all=1&label=a&asOf=2027-01-31T09:00:00Z"), r#"{"filter":{"label":"a"},"asOf":"2027-01-31T09:00:00Z"}"#);
        assert_eq!(json("all=1&id=msg_1"), r#"{"filter":{}}"#);
    }

    #[test]
    fn each_chunk_brings_the_next_one_along() {
        let form = Query::parse(b"all=1&label=a&back=/dashboard/dlq?label=a&csrf=x&done=1000&total=2500&asOf=old");
        let chunk = Chunk { count: 1_000, remaining: 500, as_of: "2027-01-31T09:00:00.000001Z".to_owned() };
        let shown = progress(&form, &RETRY, &chunk, 2_000, false, &back_of(&form));
        assert_eq!((shown.text.as_str(), shown.percent.as_str()), ("2,000 of 2,500 retried", "80"));
        let fields: Vec<_> = shown.fields.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
        let expected = [
            ("label", "a"),
            ("all", "1"),
            ("asOf", "2027-01-31T09:00:00.000001Z"),
            ("done", "2000"),
            ("total", "2500"),
            ("back", "/dashboard/dlq?label=a"),
        ];
        assert_eq!(fields, expected);
        let last = progress(&form, &DELETE, &Chunk { count: 500, remaining: 0, as_of: String::new() }, 2_500, true, PATH);
        assert_eq!(
            (last.title.as_str(), last.text.as_str(), last.percent.as_str()),
            ("2,500 dead letters were deleted.", "2,500 of 2,500 deleted", "100")
        );
    }

    #[test]
    fn one_goes_back_to_the_list_and_nowhere_else() {
        for (back, expected) in [("/dashboard/dlq?label=a", "/dashboard/dlq?label=a"), ("//evil.example", PATH), ("/dashboard/keys", PATH)]
        {
            assert_eq!(back_of(&Query::default().with("back", back)), expected);
        }
    }
}
