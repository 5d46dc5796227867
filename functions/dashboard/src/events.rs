//! Events: those that were published, who waits for one, and a form that publishes one. Out of scope: what events start (`workflows`).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, Link, form_errors, number, shell};
use crate::payload::pretty;
use crate::refusal::Refusal;
use crate::run_actions::json_of;
use crate::run_api::Runs;
use crate::run_step_words::cut;
use crate::typed::Document;
use crate::visitor::{Form, Visitor};
use crate::when::When;

const PATH: &str = "/dashboard/events";
const LIVE: &str = "/dashboard/events/live";
/// What a row shows of an event's data.
const DATA_BYTES_MAX: usize = 4 * 1024;
/// Runs that a row names.
const RUNS_SHOWN: usize = 20;
/// Waiting runs that are looked through, the newest.
const WAITING_MAX: &str = "200";

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list).post(publish)).route(LIVE, get(live)).route("/dashboard/events/{id}", get(one))
}

/// What the API answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Event>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: String,
    name: String,
    /// Absent in lists when it is long.
    data: Option<Box<RawValue>>,
    external_id: Option<String>,
    created_at: String,
    started: Vec<String>,
    woken: i64,
}

/// What a publish came to.
#[derive(Debug, Deserialize)]
struct Published {
    id: String,
    started: Vec<String>,
    woken: Vec<String>,
    #[serde(default)]
    deduplicated: bool,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    page: Page,
    filter_name: String,
    list: EventList,
    form: EventForm,
    waiting: Vec<WaitingRow>,
}

/// Runs that wait for an event of this name.
struct WaitingRow {
    name: String,
    runs: String,
    href: String,
    publish_href: String,
}

#[derive(Template)]
#[template(path = "parts/events_rows.html")]
struct EventsLive {
    list: EventList,
}

struct EventList {
    live: String,
    rows: Vec<EventRow>,
    next_href: String,
    first_href: String,
    filtered: bool,
    curl: String,
}

struct EventRow {
    dom_id: String,
    id: String,
    external_id: String,
    name: String,
    created: When,
    started: Vec<Link>,
    woken: String,
    data: String,
    effect: String,
}

#[derive(Default)]
struct EventForm {
    name: String,
    data: String,
    id: String,
    detail: String,
    errors: Vec<FieldError>,
    open: bool,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    let form =
        EventForm { name: query.get("publish").to_owned(), data: "{}".to_owned(), open: query.has("publish"), ..EventForm::default() };
    shown(&visitor, &query, listed, form, StatusCode::OK).await
}

async fn shown(visitor: &Visitor, query: &Query, listed: Listed, form: EventForm, status: StatusCode) -> Result<Response, Refusal> {
    let list = view(visitor, query, listed);
    // After the view: what follows is no part of what refreshes itself.
    let waiting = waiting(visitor).await?;
    whole(status, &EventsPage { filter_name: query.get("name").to_owned(), list, form, waiting, page: visitor.page("events") })
}

/// Who waits for which event, of the runs that wait and are the newest.
async fn waiting(visitor: &Visitor) -> Result<Vec<WaitingRow>, Refusal> {
    let runs: Runs = visitor.api.get(&Query::default().with("status", "waiting").with("limit", WAITING_MAX).on("/v1/runs")).await?;
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for run in &runs.data {
        for name in run.waiting_for.iter().filter(|wait| wait.kind == "event").filter_map(|wait| wait.name.as_deref()) {
            names.entry(name).or_default().push(&run.id);
        }
    }
    let row = |(name, ids): (&str, Vec<&str>)| WaitingRow {
        name: name.to_owned(),
        runs: if ids.len() == 1 { "1 run waits".to_owned() } else { format!("{} runs wait", ids.len()) },
        href: if ids.len() == 1 { format!("/dashboard/runs/{}", segment(ids[0])) } else { "/dashboard/runs?status=waiting".to_owned() },
        publish_href: Query::default().with("publish", name).on(PATH) + "#publish",
    };
    Ok(names.into_iter().map(row).collect())
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    visitor.answer(&query, &EventsLive { list: view(&visitor, &query, listed) })
}

/// One event, as a list of one.
async fn one(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let event: Event = visitor.api.get(&format!("/v1/events/{}", segment(&id))).await?;
    let query = Query::default().with("name", &event.name);
    let template = EventsPage {
        filter_name: event.name.clone(),
        list: EventList {
            live: String::new(),
            first_href: query.on(PATH),
            ..view(&visitor, &query, Listed { data: vec![event], next_cursor: None })
        },
        form: EventForm { data: "{}".to_owned(), ..EventForm::default() },
        waiting: Vec::new(),
        page: visitor.page("events"),
    };
    whole(StatusCode::OK, &template)
}

async fn publish(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let published = match json_of(form.get("data"), "/data", "data") {
        Ok(data) => {
            let body = Document::default().text("name", form.get("name")).text("id", form.get("id")).raw("data", data.as_deref());
            visitor.api.post("/v1/events", &body).await
        }
        Err(refusal) => Err(refusal),
    };
    match published {
        Ok(answer) => {
            let published: Published = answer.read()?;
            let effect = effect(published.started.len(), published.woken.len() as i64);
            let text = if published.deduplicated { "This event was there already" } else { "Published" };
            let flash = Flash { kind: "ok".to_owned(), text: format!("{text}: {effect}."), ..Flash::default() };
            let flash = match published.started.first().or(published.woken.first()) {
                Some(run) => flash.linked(format!("/dashboard/runs/{}", segment(run)), "See the run"),
                None => flash.linked(format!("{PATH}/{}", segment(&published.id)), "See the event"),
            };
            Ok(visitor.done(PATH, flash))
        }
        Err(refusal) if [400, 403, 409, 413, 422].contains(&refusal.status) => {
            let (detail, errors) = form_errors(&refusal);
            let text = |name: &str| form.get(name).to_owned();
            let typed = EventForm { name: text("name"), data: text("data"), id: text("id"), detail, errors, open: true };
            let listed = load(&visitor, &Query::default()).await?;
            shown(&visitor, &Query::default(), listed, typed, refusal.code()).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn load(visitor: &Visitor, query: &Query) -> Result<Listed, Refusal> {
    visitor.api.get(&query.only(&["name", "cursor"]).on("/v1/events")).await
}

fn view(visitor: &Visitor, query: &Query, listed: Listed) -> EventList {
    let filters = query.only(&["name"]);
    let page = |cursor: &str| filters.with("cursor", cursor).on(PATH);
    let body = r#"{"name": "order.placed", "data": {"id": 7}}"#;
    EventList {
        live: if query.has("cursor") { String::new() } else { visitor.live(LIVE, &filters) },
        next_href: listed.next_cursor.as_deref().map(page).unwrap_or_default(),
        first_href: if query.has("cursor") { page("") } else { String::new() },
        filtered: query.has("name"),
        curl: format!("curl {}/v1/events -H 'authorization: Bearer {}…' -d {}", visitor.base, visitor.key.hint, shell(body)),
        rows: listed.data.into_iter().map(|event| row(visitor, event)).collect(),
    }
}

fn row(visitor: &Visitor, event: Event) -> EventRow {
    let run = |id: &String| Link::new("", id, format!("/dashboard/runs/{}", segment(id)));
    EventRow {
        dom_id: format!("event-{}", event.id),
        name: event.name,
        created: visitor.when(Some(&event.created_at)),
        effect: effect(event.started.len(), event.woken),
        started: event.started.iter().take(RUNS_SHOWN).map(run).collect(),
        woken: number(event.woken),
        data: event
            .data
            .map_or_else(|| "(longer than 4 KiB: open the event by itself)".to_owned(), |data| cut(pretty(data.get()), DATA_BYTES_MAX).0),
        external_id: event.external_id.unwrap_or_default(),
        id: event.id,
    }
}

/// What came of an event, in words.
fn effect(started: usize, woken: i64) -> String {
    let runs = |n: i64| if n == 1 { "1 run".to_owned() } else { format!("{} runs", number(n)) };
    match (started as i64, woken) {
        (0, 0) => "nobody waited for it".to_owned(),
        (0, woken) => format!("woke {}", runs(woken)),
        (started, 0) => format!("started {}", runs(started)),
        (started, woken) => format!("started {}, woke {}", runs(started), runs(woken)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_came_of_it() {
        assert_eq!([effect(0, 0), effect(1, 0), effect(0, 2)], ["nobody waited for it", "started 1 run", "woke 2 runs"]);
        assert_eq!(effect(2, 1_000), "started 2 runs, woke 1,000 runs");
    }
}
