//! One run: its steps as they come, what it waits for, what it was given. Out of scope: acting on it (`run_actions`).

use std::collections::BTreeSet;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, Uri, header};

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::refusal::Refusal;
use crate::run_api::{self, Run, Runs, Steps};
use crate::run_view::{Around, RunDetail};
use crate::run_waits;
use crate::visitor::Visitor;

/// Children on a page, the newest.
const CHILDREN_SHOWN: usize = 50;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/runs/{id}", get(show))
        .route("/dashboard/runs/{id}/live", get(live))
        .route("/dashboard/runs/{id}/values/{seq}", get(value))
}

/// The page.
#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    page: Page,
    live: String,
    run: RunDetail,
}

/// The part of it that refreshes itself.
#[derive(Template)]
#[template(path = "parts/run_body.html")]
struct RunLive {
    page: Page,
    run: RunDetail,
}

async fn show(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    shown(&visitor, &id, &Query::of(&uri), None).await
}

/// What was posted to a run and refused.
pub struct Refused<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// The form that it was: the key of a wait or the name of a signal, and what was typed.
    pub typed: Option<(&'a str, &'a str)>,
}

/// The page, with what was refused.
pub async fn shown(visitor: &Visitor, id: &str, query: &Query, refused: Option<Refused<'_>>) -> Result<Response, Refusal> {
    let (run, around) = load(visitor, id, query).await?;
    let mut page = visitor.page("runs");
    page.flashes.extend(refused.as_ref().map(|refused| Flash::error(refused.refusal)));
    let typed = refused.as_ref().and_then(|refused| refused.typed);
    // What was typed and refused stays until it is sent.
    let stands_still = run.head.is_over() || query.has("steps") || typed.is_some();
    let live = if stands_still { String::new() } else { visitor.live(&format!("{}/live", path(id)), &Query::default()) };
    let template = RunPage { page, live, run: RunDetail::new(visitor, run, around, typed) };
    whole(refused.map_or(StatusCode::OK, |refused| refused.refusal.code()), &template)
}

async fn live(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let (run, around) = load(&visitor, &id, &Query::default()).await?;
    let mut page = visitor.page("runs");
    // Forms of the part lead back to the page.
    page.path = path(&id);
    let template = RunLive { page, run: RunDetail::new(&visitor, run, around, None) };
    visitor.answer(&Query::of(&uri), &template)
}

/// A run, and what belongs to it.
async fn load(visitor: &Visitor, id: &str, query: &Query) -> Result<(Run, Around), Refusal> {
    let run = run_api::load(visitor, id).await?;
    let approvals = run_waits::approvals(visitor, &run).await?;
    let kinds: BTreeSet<&str> = run.steps.iter().map(|s| s.kind.as_str()).chain(run.pending.iter().map(|p| p.kind.as_str())).collect();
    let mut around = Around { approvals, ..Around::default() };
    if kinds.contains("child") {
        let children = Query::default().with("parent", &run.head.id).with("limit", &CHILDREN_SHOWN.to_string());
        around.children = visitor.api.get::<Runs>(&children.on("/v1/runs")).await?.data;
    }
    if query.has("steps") {
        let page = Query::default().with("cursor", query.get("steps")).with("limit", "200");
        let steps: Steps = visitor.api.get(&page.on(&format!("/v1/runs/{}/steps", segment(id)))).await?;
        around.later = Some(steps);
    }
    Ok((run, around))
}

/// The whole value of a step, as a file.
async fn value(visitor: Visitor, Path((id, seq)): Path<(String, i32)>) -> Result<Response, Refusal> {
    // A page of steps has values whole; this one has the one step after the one before.
    let page = Query::default().with("cursor", &(seq - 1).to_string()).with("limit", "1");
    let steps: Steps = visitor.api.get(&page.on(&format!("/v1/runs/{}/steps", segment(&id)))).await?;
    let step = steps.data.into_iter().find(|step| step.seq == seq).ok_or_else(|| Refusal::not_found("step"))?;
    let value = step.value.ok_or_else(|| Refusal::not_found("value: this step has none"))?;
    let name = format!("attachment; filename=\"step-{seq}.json\"");
    Ok(([(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_DISPOSITION, name)], Body::from(value.get().to_owned()))
        .into_response())
}

/// Where the page of a run is.
pub fn path(id: &str) -> String {
    format!("/dashboard/runs/{}", segment(id))
}
