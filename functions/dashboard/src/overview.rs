//! The overview: the first page, and its live part.
//!
//! Out of scope: how it is shown (`overview_view`); where bars stand (`charts`).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::Query;
use crate::overview_view::{Overview, view};
use crate::page::{Page, whole};
use crate::refusal::Refusal;
use crate::visitor::Visitor;

/// Its address.
pub const PATH: &str = "/dashboard";
const LIVE: &str = "/dashboard/live";
/// What an address may ask for, and how many minutes that is.
pub const RANGES: [(&str, i64); 4] = [("15m", 15), ("1h", 60), ("24h", 1_440), ("7d", 10_080)];
const RANGE_DEFAULT: &str = "1h";

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(show)).route(LIVE, get(live))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    live: String,
    overview: Overview,
}

#[derive(Template)]
#[template(path = "parts/overview_body.html")]
struct OverviewLive {
    overview: Overview,
}

/// What the API answers to `/v1/overview`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fared {
    pub bucket_seconds: i64,
    pub buckets: Vec<Bucket>,
    pub sampled: bool,
    pub sample_size: i64,
    pub success_rate: Option<f64>,
    pub latency_ms: Option<Percentiles>,
    pub push_ms: Option<Percentiles>,
    pub oldest_due: Option<OldestDue>,
    pub last_tick_age_seconds: Option<f64>,
    pub destinations: Vec<Destination>,
    pub runs: BTreeMap<String, Count>,
    pub approvals_waiting: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    pub from: String,
    pub published: i64,
    pub delivered: i64,
    pub failed: i64,
    pub failed_attempts: i64,
    pub latency_ms: Option<Percentiles>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Percentiles {
    pub p50: i64,
    pub p99: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldestDue {
    pub id: String,
    pub age_seconds: f64,
    pub waiting_for: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    pub destination: String,
    pub attempts: i64,
    pub failures: i64,
    pub push_ms: Option<Percentiles>,
    pub breaker: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Count {
    pub count: i64,
    pub more: bool,
}

/// All that the page is made of.
#[derive(Debug, Default)]
pub struct Looked {
    pub fared: Fared,
    /// Dead letters.
    pub dead: Count,
    /// Apps that did not say what they serve when they were last asked.
    pub silent_apps: Vec<String>,
    /// Whether nothing was ever published.
    pub is_new: bool,
}

async fn show(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let looked = load(&visitor, range(&query)).await?;
    let template = OverviewPage {
        page: visitor.page("overview"),
        live: visitor.live(LIVE, &query.only(&["range"])),
        overview: view(&visitor, range(&query), &looked),
    };
    whole(StatusCode::OK, &template)
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let looked = load(&visitor, range(&query)).await?;
    visitor.answer(&query, &OverviewLive { overview: view(&visitor, range(&query), &looked) })
}

/// The range that an address asks for; another one is the default.
fn range(query: &Query) -> &'static str {
    RANGES.iter().map(|(name, _)| *name).find(|name| *name == query.get("range")).unwrap_or(RANGE_DEFAULT)
}

async fn load(visitor: &Visitor, range: &str) -> Result<Looked, Refusal> {
    let minutes = RANGES.iter().find(|(name, _)| *name == range).map_or(60, |(_, minutes)| *minutes);
    let fared: Fared = visitor.api.get(&format!("/v1/overview?minutes={minutes}")).await?;
    let dead: Listed = visitor.api.get("/v1/dlq?limit=1").await?;
    let apps: Listed = visitor.api.get("/v1/apps?limit=100").await?;
    let is_quiet = fared.buckets.iter().all(|bucket| bucket.published + bucket.delivered + bucket.failed == 0);
    let is_empty = is_quiet && fared.oldest_due.is_none() && fared.runs.values().all(|count| count.count == 0) && apps.data.is_empty();
    let is_new = is_empty && visitor.api.get::<Listed>("/v1/messages?limit=1&counts=false").await?.data.is_empty();
    let silent = apps.data.into_iter().filter(|app| app.describe_error.is_some());
    let dead = Count {
        count: dead.counts.get("failed").copied().unwrap_or_default(),
        more: dead.counts_more.iter().any(|status| status == "failed"),
    };
    Ok(Looked { fared, dead, silent_apps: silent.map(|app| app.name).collect(), is_new })
}

/// A list of the API, as far as it is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Entry>,
    #[serde(default)]
    counts: BTreeMap<String, i64>,
    #[serde(default)]
    counts_more: Vec<String>,
}

/// A message or an app.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: String,
    describe_error: Option<String>,
}
