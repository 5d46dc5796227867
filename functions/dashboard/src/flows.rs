//! Flow control: the keys in use with what waits and what is under way, and the circuit breakers; its live part.
//!
//! Out of scope: changing a key (`flow`); one breaker (`breakers`).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::{Redirect, Response};
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::breakers::{self, BreakerRow};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{Chip, number, seconds, shell};
use crate::refusal::Refusal;
use crate::visitor::Visitor;
use crate::when::When;

/// The page.
pub const PATH: &str = "/dashboard/flows";
/// What its address says: the only key, or the page of keys, and the state and page of breakers.
const FILTERS: [&str; 4] = ["key", "cursor", "status", "breakers"];

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route("/dashboard/flows/live", get(live)).route("/dashboard/flows/{key}", get(one))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Flow>,
    next_cursor: Option<String>,
}

/// A flow, as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub key: String,
    pub pinned: bool,
    pub paused: bool,
    pub parallelism: Option<i64>,
    pub rate: Option<i64>,
    pub period_seconds: Option<i64>,
    pub waiting: i64,
    pub waiting_more: bool,
    pub active: i64,
    pub held_until: Option<String>,
    pub revision: i64,
}

#[derive(Template)]
#[template(path = "flows.html")]
struct FlowsPage {
    page: Page,
    live: String,
    flows: FlowList,
}

#[derive(Template)]
#[template(path = "parts/flows_body.html")]
struct FlowsLive {
    page: Page,
    flows: FlowList,
}

struct FlowList {
    rows: Vec<FlowRow>,
    next_href: String,
    breakers: Vec<BreakerRow>,
    breaker_chips: Vec<Chip>,
    breakers_next_href: String,
    curl: String,
}

struct FlowRow {
    key: String,
    path_key: String,
    state: &'static str,
    state_text: &'static str,
    limits: String,
    pinned: bool,
    paused: bool,
    waiting: String,
    active: String,
    held: When,
    share: String,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    shown(&visitor, &Query::of(&uri), None).await
}

/// The page with this key alone.
async fn one(Path(key): Path<String>) -> Redirect {
    Redirect::to(&Query::default().with("key", &key).on(PATH))
}

/// The page, with what was refused.
pub async fn shown(visitor: &Visitor, query: &Query, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let flows = load(visitor, query).await?;
    let mut page = visitor.page("flows");
    page.flashes.extend(refusal.map(Flash::error));
    let live = visitor.live("/dashboard/flows/live", &query.only(&FILTERS));
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &FlowsPage { page, live, flows })
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let flows = load(&visitor, &query).await?;
    visitor.answer(&query, &FlowsLive { page: visitor.page("flows"), flows })
}

async fn load(visitor: &Visitor, query: &Query) -> Result<FlowList, Refusal> {
    let keys = keys(visitor, query).await?;
    let broken = breakers::load(visitor, query.get("status"), query.get("breakers")).await?;
    let here = query.only(&FILTERS);
    let next = |name: &str, cursor: Option<&str>| cursor.map(|cursor| here.with(name, cursor).on(PATH)).unwrap_or_default();
    let body = r#"{"url":"https://example.com/hook","flowControl":{"key":"crm","parallelism":2,"rate":100,"periodSeconds":60}}"#;
    Ok(FlowList {
        // Beside one key there are the others.
        next_href: if query.has("key") { PATH.to_owned() } else { next("cursor", keys.next_cursor.as_deref()) },
        rows: keys.data.into_iter().map(|flow| row(visitor, flow)).collect(),
        breakers_next_href: next("breakers", broken.next_cursor.as_deref()),
        breaker_chips: breakers::chips(&here),
        breakers: broken.data.into_iter().map(|breaker| breakers::row(visitor, breaker)).collect(),
        curl: format!(
            "curl {}/v1/messages -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
            visitor.base,
            visitor.key.hint,
            shell(body)
        ),
    })
}

/// A page of keys, or the one that is asked for.
async fn keys(visitor: &Visitor, query: &Query) -> Result<Listed, Refusal> {
    if !query.has("key") {
        return visitor.api.get(&query.only(&["cursor"]).on("/v1/flows")).await;
    }
    match visitor.api.get(&format!("/v1/flows/{}", segment(query.get("key")))).await {
        Ok(flow) => Ok(Listed { data: vec![flow], next_cursor: None }),
        // A flow is there while something of it waits or an operator has set something.
        Err(refusal) if refusal.status == 404 => Ok(Listed::default()),
        Err(refusal) => Err(refusal),
    }
}

fn row(visitor: &Visitor, flow: Flow) -> FlowRow {
    let held = visitor.when(flow.held_until.as_deref().filter(|_| !flow.paused));
    let (state, state_text) = match (flow.paused, held.iso.is_empty()) {
        (true, _) => ("paused", "Paused"),
        (_, false) => ("waiting", "Held"),
        _ => ("active", "Active"),
    };
    FlowRow {
        path_key: segment(&flow.key),
        state,
        state_text,
        limits: limits(&flow),
        pinned: flow.pinned,
        paused: flow.paused,
        waiting: count(flow.waiting, flow.waiting_more),
        active: number(flow.active),
        share: flow.parallelism.map(|most| (flow.active * 100 / most.max(1)).clamp(0, 100).to_string()).unwrap_or_default(),
        held,
        key: flow.key,
    }
}

/// "1,000+" where counting ended early.
pub fn count(n: i64, is_more: bool) -> String {
    number(n) + if is_more { "+" } else { "" }
}

/// "4 at a time, 100 per min"; "none".
fn limits(flow: &Flow) -> String {
    let at_once = flow.parallelism.map(|n| format!("{} at a time", number(n)));
    let rate = flow.rate.map(|rate| {
        let period = seconds(flow.period_seconds.unwrap_or(1));
        format!("{} per {}", number(rate), period.strip_prefix("1 ").unwrap_or(&period))
    });
    let all: Vec<String> = at_once.into_iter().chain(rate).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_words() {
        let told = |text: &str| {
            let json =
                format!(r#"{{"key":"k","pinned":false,"paused":false,"waiting":0,"waitingMore":false,"active":0,"revision":1{text}}}"#);
            limits(&serde_json::from_str(&json).unwrap())
        };
        assert_eq!(told(""), "none");
        assert_eq!(told(r#","parallelism":4"#), "4 at a time");
        assert_eq!(told(r#","parallelism":1,"rate":1000,"periodSeconds":60"#), "1 at a time, 1,000 per min");
        assert_eq!(told(r#","rate":5,"periodSeconds":1"#), "5 per s");
        assert_eq!(told(r#","rate":5,"periodSeconds":90"#), "5 per 90 s");
        assert_eq!(count(1_000, true), "1,000+");
    }
}
