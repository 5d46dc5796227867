//! One key of flow control: its limits pinned and unpinned, paused and resumed.
//!
//! Out of scope: the list (`flows`).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use tikku_domain::problem::Kind;

use crate::flows::{self, Flow, PATH};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, form_errors};
use crate::refusal::Refusal;
use crate::typed::{self, shown};
use crate::visitor::{Form, Visitor};

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route(PATH, post(pin))
        .route("/dashboard/flows/new", get(new))
        .route("/dashboard/flows/{key}/pin", get(edit))
        .route("/dashboard/flows/{key}/pause", post(pause))
        .route("/dashboard/flows/{key}/resume", post(resume))
        .route("/dashboard/flows/{key}/unpin", post(unpin))
}

#[derive(Template)]
#[template(path = "flow_form.html")]
struct FlowPage {
    page: Page,
    form: FlowForm,
}

#[derive(Default)]
struct FlowForm {
    key: String,
    fixed: bool,
    revision: String,
    parallelism: String,
    rate: String,
    period: String,
    detail: String,
    errors: Vec<FieldError>,
}

async fn new(visitor: Visitor) -> Result<Response, Refusal> {
    whole(StatusCode::OK, &FlowPage { page: visitor.page("flows"), form: FlowForm::default() })
}

async fn edit(visitor: Visitor, Path(key): Path<String>) -> Result<Response, Refusal> {
    let flow = load(&visitor, &key).await?;
    let form = FlowForm {
        fixed: true,
        revision: flow.revision.to_string(),
        parallelism: shown(flow.parallelism),
        rate: shown(flow.rate),
        period: shown(flow.period_seconds),
        key: flow.key,
        ..FlowForm::default()
    };
    whole(StatusCode::OK, &FlowPage { page: visitor.page("flows"), form })
}

async fn pin(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let (key, revision) = (form.get("key"), form.get("revision"));
    let tag = format!("\"{revision}\"");
    let headers: &[(&'static str, &str)] = if revision.is_empty() { &[] } else { &[("if-match", &tag)] };
    let body = serde_json::to_vec(&typed::flow(&form, "")).unwrap_or_default();
    // Without a key the path would be another one's.
    let asked = if key.is_empty() { Err(missing()) } else { visitor.api.send(Method::PUT, &path(key), headers, Some(body)).await };
    match asked {
        Ok(_) => Ok(visitor.done(PATH, Flash::ok(format!("The limits of {key} are pinned.")))),
        Err(refusal) if [400, 403, 412].contains(&refusal.status) => refused(&visitor, &form, &refusal).await,
        Err(refusal) => Err(refusal),
    }
}

/// The form as it was typed, with what was refused. Where somebody else was faster, it goes on from how it is now.
async fn refused(visitor: &Visitor, form: &Query, refusal: &Refusal) -> Result<Response, Refusal> {
    let text = |name: &str| form.get(name).to_owned();
    let (mut detail, errors) = form_errors(refusal);
    let mut revision = text("revision");
    if refusal.is(Kind::PreconditionFailed) {
        revision = load(visitor, form.get("key")).await?.revision.to_string();
        detail = "Somebody else has changed this key meanwhile, and nothing was changed by you. Pin again to put these limits in the place of theirs.".to_owned();
    }
    let form = FlowForm {
        key: text("key"),
        fixed: !revision.is_empty(),
        revision,
        parallelism: text("parallelism"),
        rate: text("rate"),
        period: text("periodSeconds"),
        detail,
        errors,
    };
    whole(refusal.code(), &FlowPage { page: visitor.page("flows"), form })
}

async fn pause(visitor: Visitor, Path(key): Path<String>) -> Result<Response, Refusal> {
    let said = format!("{key} is paused: nothing of it starts until it is resumed.");
    act(&visitor, Method::POST, &format!("{}/pause", path(&key)), said).await
}

async fn resume(visitor: Visitor, Path(key): Path<String>) -> Result<Response, Refusal> {
    let said = format!("{key} goes on: what waited starts, within its limits.");
    act(&visitor, Method::POST, &format!("{}/resume", path(&key)), said).await
}

async fn unpin(visitor: Visitor, Path(key): Path<String>) -> Result<Response, Refusal> {
    let said = format!("The limits of {key} are those of its messages again.");
    act(&visitor, Method::DELETE, &path(&key), said).await
}

async fn act(visitor: &Visitor, method: Method, path: &str, said: String) -> Result<Response, Refusal> {
    match visitor.api.send(method, path, &[], None).await {
        Ok(_) => Ok(visitor.done(PATH, Flash::ok(said))),
        Err(refusal) if refusal.is(Kind::Forbidden) || refusal.is(Kind::Conflict) => {
            flows::shown(visitor, &Query::default(), Some(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn load(visitor: &Visitor, key: &str) -> Result<Flow, Refusal> {
    visitor.api.get(&path(key)).await
}

fn path(key: &str) -> String {
    format!("/v1/flows/{}", segment(key))
}

fn missing() -> Refusal {
    Refusal::new(Kind::InvalidRequest, "a key is required")
}
