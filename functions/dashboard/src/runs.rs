//! The list of runs, filtered by its address, and its live part. Out of scope: one run (`run`), cancelling many (`runs_bulk`).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::filter::{Range, status_chips};
use crate::gate::Desk;
use crate::link::Query;
use crate::page::{Flash, Page, whole};
use crate::parts::{Chip, shell};
use crate::refusal::Refusal;
use crate::run_api::{Count, Runs};
use crate::run_row::RunRow;
use crate::visitor::Visitor;

/// Where the list is.
pub const PATH: &str = "/dashboard/runs";
/// The live part's address; `live` is no id of a run.
const LIVE: &str = "/dashboard/runs/live";
/// What an address may filter by, beside the page.
pub const FILTERS: [&str; 9] = ["status", "workflow", "version", "externalId", "label", "parent", "range", "from", "to"];
const STATES: [&str; 9] = ["queued", "running", "sleeping", "waiting", "retrying", "paused", "completed", "failed", "cancelled"];

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route(LIVE, get(live))
}

/// The page.
#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    page: Page,
    filter: RunFilter,
    list: RunList,
}

/// The part of it that refreshes itself.
#[derive(Template)]
#[template(path = "parts/runs_rows.html")]
struct RunsLive {
    list: RunList,
}

struct RunFilter {
    status: String,
    workflow: String,
    version: String,
    external_id: String,
    label: String,
    parent: String,
    range: String,
    from: String,
    to: String,
    any: bool,
    workflows: Vec<String>,
}

struct RunList {
    live: String,
    chips: Vec<Chip>,
    rows: Vec<RunRow>,
    next_href: String,
    first_href: String,
    filtered: bool,
    all_href: String,
    has_apps: bool,
    curl: String,
}

/// What the live part is made of.
#[derive(Default)]
struct Listed {
    runs: Runs,
    counts: BTreeMap<String, Count>,
    /// A workflow that the account has, when there is no run.
    workflow: Option<String>,
}

/// Workflows, for the choice.
#[derive(Debug, Default, Deserialize)]
struct Workflows {
    data: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let mut page = visitor.page("runs");
    let (status, listed) = match load(&visitor, &query).await {
        Ok(listed) => (StatusCode::OK, listed),
        // A filter that cannot be: the form stays, and a line says why.
        Err(refusal) if refusal.status == 400 => {
            page.flashes.push(Flash::error(&refusal));
            (refusal.code(), Listed::default())
        }
        Err(refusal) => return Err(refusal),
    };
    let list = view(&visitor, &query, listed);
    // After the view: what follows is no part of what refreshes itself.
    let mut workflows = names(&visitor).await?;
    let chosen = query.get("workflow");
    if !chosen.is_empty() && !workflows.iter().any(|name| name == chosen) {
        workflows.push(chosen.to_owned());
    }
    whole(status, &RunsPage { page, filter: filter(&query, workflows), list })
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    let template = RunsLive { list: view(&visitor, &query, listed) };
    visitor.answer(&query, &template)
}

async fn load(visitor: &Visitor, query: &Query) -> Result<Listed, Refusal> {
    let asked = query.only(&["status", "workflow", "version", "externalId", "label", "parent", "cursor"]);
    let asked = Range::of(query).put(asked, visitor.now_s());
    let runs: Runs = visitor.api.get(&asked.on("/v1/runs")).await?;
    let counts = visitor.api.get(&asked.without("status").without("cursor").on("/v1/runs/counts")).await?;
    let workflow = if runs.data.is_empty() { first_workflow(visitor).await? } else { None };
    Ok(Listed { runs, counts, workflow })
}

async fn first_workflow(visitor: &Visitor) -> Result<Option<String>, Refusal> {
    let listed: Workflows = visitor.api.get("/v1/workflows?limit=1").await?;
    Ok(listed.data.into_iter().next().map(|workflow| workflow.name))
}

/// The names of workflows, for choices.
pub async fn names(visitor: &Visitor) -> Result<Vec<String>, Refusal> {
    let listed: Workflows = visitor.api.get("/v1/workflows?limit=200").await?;
    Ok(listed.data.into_iter().map(|workflow| workflow.name).collect())
}

fn filter(query: &Query, workflows: Vec<String>) -> RunFilter {
    let (text, range) = (|name: &str| query.get(name).to_owned(), Range::of(query));
    RunFilter {
        status: text("status"),
        workflow: text("workflow"),
        version: text("version"),
        external_id: text("externalId"),
        label: text("label"),
        parent: text("parent"),
        any: FILTERS.iter().any(|name| *name != "status" && query.has(name)),
        range: range.name,
        from: range.from,
        to: range.to,
        workflows,
    }
}

fn view(visitor: &Visitor, query: &Query, listed: Listed) -> RunList {
    let filters = query.only(&FILTERS);
    let page = |cursor: &str| filters.with("cursor", cursor).on(PATH);
    let more: Vec<String> = listed.counts.iter().filter(|(_, count)| count.more).map(|(status, _)| status.clone()).collect();
    let counts: BTreeMap<String, i64> = listed.counts.into_iter().map(|(status, count)| (status, count.count)).collect();
    RunList {
        // Later pages stand still.
        live: if query.has("cursor") { String::new() } else { visitor.live(LIVE, &filters) },
        chips: status_chips(&filters, PATH, &STATES, &counts, &more),
        next_href: listed.runs.next_cursor.as_deref().map(page).unwrap_or_default(),
        first_href: if query.has("cursor") { page("") } else { String::new() },
        filtered: FILTERS.iter().any(|name| query.has(name)),
        all_href: PATH.to_owned(),
        has_apps: listed.workflow.is_some(),
        curl: curl(visitor, listed.workflow.as_deref()),
        rows: listed.runs.data.into_iter().map(|run| RunRow::new(visitor, run)).collect(),
    }
}

/// A line that starts a run, or registers an app first.
fn curl(visitor: &Visitor, workflow: Option<&str>) -> String {
    let auth = format!("-H 'authorization: Bearer {}…'", visitor.key.hint);
    match workflow {
        Some(name) => {
            let url = format!("{}/v1/workflows/{}/runs", visitor.base, crate::link::segment(name));
            format!("curl -X POST {} {auth} -d {}", shell(&url), shell(r#"{"input": {}}"#))
        }
        None => {
            let body = r#"{"url": "http://127.0.0.1:3000/api/tikku"}"#;
            format!("curl -X PUT {} {auth} -d {}", shell(&format!("{}/v1/apps/shop", visitor.base)), shell(body))
        }
    }
}
