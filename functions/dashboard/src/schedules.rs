//! The list of schedules, and its live part.
//!
//! Out of scope: one schedule (`schedule`); making and editing one (`schedule_form`).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Page, whole};
use crate::parts::{seconds, shell, status_text};
use crate::refusal::Refusal;
use crate::visitor::Visitor;
use crate::when::When;

/// The list.
pub const PATH: &str = "/dashboard/schedules";
/// The live part's address; a schedule of this name is reached by its id.
const LIVE: &str = "/dashboard/schedules/live";

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route(LIVE, get(live))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Schedule>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    id: String,
    name: String,
    status: String,
    cron: Option<String>,
    every_seconds: Option<i64>,
    in_words: String,
    url: Option<String>,
    fanout: Option<String>,
    workflow: Option<String>,
    next_run_at: Option<String>,
    last_run_at: Option<String>,
    last_outcome: Option<String>,
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    page: Page,
    list: ScheduleList,
}

#[derive(Template)]
#[template(path = "parts/schedules_rows.html")]
struct SchedulesLive {
    page: Page,
    list: ScheduleList,
}

struct ScheduleList {
    live: String,
    rows: Vec<ScheduleRow>,
    next_href: String,
    first_href: String,
    curl: String,
}

struct ScheduleRow {
    href: String,
    name: String,
    status: String,
    status_text: String,
    words: String,
    expression: String,
    kind: &'static str,
    dest: String,
    next: When,
    last: When,
    last_outcome: &'static str,
    last_outcome_text: &'static str,
    last_outcome_detail: &'static str,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let list = load(&visitor, &query).await?;
    whole(StatusCode::OK, &SchedulesPage { page: visitor.page("schedules"), list })
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let list = load(&visitor, &query).await?;
    visitor.answer(&query, &SchedulesLive { page: visitor.page("schedules"), list })
}

async fn load(visitor: &Visitor, query: &Query) -> Result<ScheduleList, Refusal> {
    let listed: Listed = visitor.api.get(&query.only(&["cursor"]).on("/v1/schedules")).await?;
    let body = r#"{"name":"morning report","cron":"0 9 * * mon-fri","timezone":"Europe/Berlin","url":"https://example.com/report"}"#;
    Ok(ScheduleList {
        // Later pages stand still.
        live: if query.has("cursor") { String::new() } else { visitor.live(LIVE, &Query::default()) },
        next_href: listed.next_cursor.map(|cursor| Query::default().with("cursor", &cursor).on(PATH)).unwrap_or_default(),
        first_href: if query.has("cursor") { PATH.to_owned() } else { String::new() },
        curl: format!(
            "curl {}/v1/schedules -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
            visitor.base,
            visitor.key.hint,
            shell(body)
        ),
        rows: listed.data.into_iter().map(|schedule| row(visitor, schedule)).collect(),
    })
}

fn row(visitor: &Visitor, schedule: Schedule) -> ScheduleRow {
    let (kind, dest) = destination(schedule.url, schedule.fanout, schedule.workflow);
    let (last_outcome, last_outcome_text, last_outcome_detail) = outcome(schedule.last_outcome.as_deref().unwrap_or_default());
    ScheduleRow {
        href: href(&schedule.id),
        name: schedule.name,
        status_text: status_text(&schedule.status),
        status: schedule.status,
        words: capital(&schedule.in_words),
        expression: expression(schedule.cron.as_deref(), schedule.every_seconds),
        kind,
        dest,
        next: visitor.when(schedule.next_run_at.as_deref()),
        last: visitor.when(schedule.last_run_at.as_deref()),
        last_outcome,
        last_outcome_text,
        last_outcome_detail,
    }
}

/// Where its page is.
pub fn href(id: &str) -> String {
    format!("{PATH}/{}", segment(id))
}

/// What kind of destination it has, and which.
pub fn destination(url: Option<String>, fanout: Option<String>, workflow: Option<String>) -> (&'static str, String) {
    match (url, fanout, workflow) {
        (_, _, Some(name)) => ("workflow", name),
        (_, Some(name), _) => ("fanout", name),
        (url, ..) => ("url", url.unwrap_or_default()),
    }
}

/// The expression as it was set, or "every 90 s".
pub fn expression(cron: Option<&str>, every_seconds: Option<i64>) -> String {
    cron.map(ToOwned::to_owned).or_else(|| every_seconds.map(|s| format!("every {}", seconds(s)))).unwrap_or_default()
}

/// What became of a due time: as a colour, in short, and in a sentence.
pub fn outcome(name: &str) -> (&'static str, &'static str, &'static str) {
    match name {
        "" => ("", "", ""),
        "skipped" => ("skipped", "Skipped", "It would have overlapped: the one before was not over."),
        "no_fanout" => ("failed", "No such fanout", "Its fanout did not exist."),
        "too_large" => ("failed", "Too large", "Its body, once for each endpoint, was too large."),
        _ => ("fired", "Fired", "It was published."),
    }
}

/// With a capital at its beginning.
pub fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_told_in_short() {
        assert_eq!(expression(Some("0 9 * * *"), None), "0 9 * * *");
        assert_eq!((expression(None, Some(90)), expression(None, Some(3_600))), ("every 90 s".to_owned(), "every 1 h".to_owned()));
        assert_eq!(destination(None, Some("orders".to_owned()), None), ("fanout", "orders".to_owned()));
        assert_eq!((outcome("no_fanout").0, outcome("fired").1, outcome("").1), ("failed", "Fired", ""));
        assert_eq!(capital("every day"), "Every day");
    }
}
