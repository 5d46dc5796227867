//! Approvals: what runs wait for a person to decide, and what was decided. Out of scope: taking the answer (`run_actions`).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Page, whole};
use crate::parts::{Chip, status_text};
use crate::payload::pretty;
use crate::refusal::Refusal;
use crate::run_step_words::cut;
use crate::run_waits::{Approval, Approvals, Wait, detail, of_approval};
use crate::visitor::Visitor;
use crate::when::When;

const PATH: &str = "/dashboard/approvals";
const LIVE: &str = "/dashboard/approvals/live";
/// What a row shows of an answer.
const DATA_BYTES_MAX: usize = 4 * 1024;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route(LIVE, get(live))
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    page: Page,
    list: ApprovalList,
}

#[derive(Template)]
#[template(path = "parts/approvals_rows.html")]
struct ApprovalsLive {
    page: Page,
    list: ApprovalList,
}

struct ApprovalList {
    live: String,
    chips: Vec<Chip>,
    rows: Vec<ApprovalRow>,
    next_href: String,
    first_href: String,
    status: String,
}

struct ApprovalRow {
    run_id: String,
    run_href: String,
    workflow: String,
    key: String,
    status: String,
    status_text: String,
    title: String,
    detail: String,
    created: When,
    expires: When,
    decided: When,
    by: String,
    data: String,
    wait: Vec<Wait>,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    let template = ApprovalsPage { list: view(&visitor, &query, listed), page: visitor.page("approvals") };
    whole(StatusCode::OK, &template)
}

async fn live(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed = load(&visitor, &query).await?;
    let mut page = visitor.page("approvals");
    // Forms of the part lead back to the page.
    page.path = PATH.to_owned();
    let template = ApprovalsLive { list: view(&visitor, &query, listed), page };
    visitor.answer(&query, &template)
}

async fn load(visitor: &Visitor, query: &Query) -> Result<Approvals, Refusal> {
    visitor.api.get(&query.only(&["status", "cursor"]).on("/v1/approvals")).await
}

fn view(visitor: &Visitor, query: &Query, listed: Approvals) -> ApprovalList {
    let filters = query.only(&["status"]);
    let page = |cursor: &str| filters.with("cursor", cursor).on(PATH);
    let status = if query.has("status") { query.get("status") } else { "open" };
    let chip = |label: &str, name: &str, href: String| Chip {
        label: label.to_owned(),
        status: if name == "open" { "pending" } else { "" }.to_owned(),
        count: String::new(),
        href,
        current: status == name,
    };
    let all = Query::default().with("status", "all").on(PATH);
    ApprovalList {
        live: if query.has("cursor") { String::new() } else { visitor.live(LIVE, &filters) },
        chips: vec![chip("Open", "open", PATH.to_owned()), chip("All", "all", all)],
        next_href: listed.next_cursor.as_deref().map(page).unwrap_or_default(),
        first_href: if query.has("cursor") { page("") } else { String::new() },
        status: status.to_owned(),
        rows: listed.data.into_iter().map(|approval| row(visitor, approval)).collect(),
    }
}

fn row(visitor: &Visitor, approval: Approval) -> ApprovalRow {
    let wait = if approval.status == "open" { vec![of_approval(visitor, &approval, None)] } else { Vec::new() };
    let (status, text) = match approval.status.as_str() {
        "open" => ("pending", "Open".to_owned()),
        "closed" => ("cancelled", "Closed".to_owned()),
        status => (status, status_text(status)),
    };
    ApprovalRow {
        run_href: format!("/dashboard/runs/{}", segment(&approval.run_id)),
        status: status.to_owned(),
        status_text: text,
        title: approval.title.clone().unwrap_or_default(),
        detail: approval.detail.as_ref().map(detail).unwrap_or_default(),
        created: visitor.when(Some(&approval.created_at)),
        expires: visitor.when(approval.expires_at.as_deref().filter(|_| approval.status == "open")),
        decided: visitor.when(approval.decided_at.as_deref()),
        by: approval.decided_name.or(approval.decided_by).unwrap_or_default(),
        data: approval.data.map(|data| cut(pretty(data.get()), DATA_BYTES_MAX).0).unwrap_or_default(),
        wait,
        run_id: approval.run_id,
        workflow: approval.workflow,
        key: approval.key,
    }
}
