//! Forks a run: from a step on, with another input or other results. Out of scope: what a fork copies (the API).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde_json::value::RawValue;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, form_errors, status_text};
use crate::payload::pretty;
use crate::refusal::Refusal;
use crate::run::path;
use crate::run_actions::json_of;
use crate::run_api::{self, Run, RunHead};
use crate::run_step_words::{dom_id, state};
use crate::typed::Document;
use crate::visitor::{Form, Visitor};

/// A longer result or input is not edited in a form.
const EDITED_BYTES_MAX: usize = 64 * 1024;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/runs/{id}/fork", get(show).post(fork))
}

#[derive(Template)]
#[template(path = "run_fork.html")]
struct ForkPage {
    page: Page,
    fork: Fork,
}

struct Fork {
    run_id: String,
    workflow: String,
    steps: Vec<ForkStep>,
    from_step: String,
    input: String,
    detail: String,
    errors: Vec<FieldError>,
}

struct ForkStep {
    key: String,
    kind: String,
    dom_id: String,
    state: String,
    state_text: String,
    value: String,
    editable: bool,
    edited: String,
}

async fn show(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let run = run_api::load(&visitor, &id).await?;
    let query = Query::of(&uri);
    let chosen = if query.has("step") { query.get("step").to_owned() } else { first(&run) };
    shown(&visitor, &run, &Query::default().with("fromStep", &chosen), None)
}

/// Where one most likely wants to begin: at what failed, or else at the beginning.
fn first(run: &Run) -> String {
    let failed = run.steps.iter().find(|step| step.state == "error");
    failed.or(run.steps.first()).map(|step| step.key.clone()).or_else(|| run.pending.first().map(|p| p.key.clone())).unwrap_or_default()
}

fn shown(visitor: &Visitor, run: &Run, typed: &Query, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let (detail, errors) = refusal.map(form_errors).unwrap_or_default();
    let finished = run.steps.iter().map(|step| {
        let value = step.value.as_deref().map(editable).unwrap_or_default();
        let edited = typed.get(&format!("result_{}", step.key)).to_owned();
        let (state, text) = state(step);
        ForkStep {
            key: step.key.clone(),
            kind: step.kind.clone(),
            dom_id: dom_id(&step.key),
            state,
            state_text: text,
            editable: !["sleep", "publish"].contains(&step.kind.as_str()) && !step.truncated && (step.value.is_none() || !value.is_empty()),
            edited: if same(&edited, &value) { String::new() } else { edited },
            value,
        }
    });
    let planned = run.pending.iter().map(|pending| ForkStep {
        key: pending.key.clone(),
        kind: pending.kind.clone(),
        dom_id: dom_id(&pending.key),
        state: "pending".to_owned(),
        state_text: status_text("not_finished"),
        value: String::new(),
        editable: false,
        edited: String::new(),
    });
    let input = if typed.has("input") { typed.get("input").to_owned() } else { run.input.as_deref().map(editable).unwrap_or_default() };
    let fork = Fork {
        run_id: run.head.id.clone(),
        workflow: run.head.workflow.clone(),
        steps: finished.chain(planned).collect(),
        from_step: typed.get("fromStep").to_owned(),
        input,
        detail,
        errors,
    };
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &ForkPage { page: visitor.page("runs"), fork })
}

/// JSON as a form shows it; "" when it is too long for one.
fn editable(json: &RawValue) -> String {
    if json.get().len() > EDITED_BYTES_MAX { String::new() } else { pretty(json.get()) }
}

/// Whether a text is what the form had shown: browsers end lines in their own way.
fn same(typed: &str, shown: &str) -> bool {
    typed.lines().map(str::trim_end).eq(shown.lines().map(str::trim_end))
}

async fn fork(visitor: Visitor, Path(id): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let run = run_api::load(&visitor, &id).await?;
    let forked = match body(&run, &form) {
        Ok(body) => visitor.api.post(&format!("/v1/runs/{}/fork", segment(&id)), &body).await,
        Err(refusal) => Err(refusal),
    };
    match forked {
        Ok(answer) => {
            let new: RunHead = answer.read()?;
            let compare = Query::default().with("a", &id).with("b", &new.id).on("/dashboard/runs/diff");
            Ok(visitor.done(&path(&new.id), Flash::ok("This is the fork.").linked(compare, "Compare it with the first one")))
        }
        Err(refusal) if [400, 403, 404, 409, 413, 422].contains(&refusal.status) => shown(&visitor, &run, &form, Some(&refusal)),
        Err(refusal) => Err(refusal),
    }
}

/// What was edited, and nothing that was left as it was.
fn body(run: &Run, form: &Query) -> Result<Document, Refusal> {
    let mut body = Document::default().text("fromStep", form.get("fromStep"));
    let shown = run.input.as_deref().map(editable).unwrap_or_default();
    if !same(form.get("input"), &shown) {
        let input = json_of(form.get("input"), "/input", "the input")?;
        body = body.raw("input", input.as_deref());
    }
    let mut results = serde_json::Map::new();
    for step in &run.steps {
        let typed = form.get(&format!("result_{}", step.key));
        let shown = step.value.as_deref().map(editable).unwrap_or_default();
        if typed.is_empty() || same(typed, &shown) {
            continue;
        }
        let pointer = format!("/results/{}", step.key.replace('~', "~0").replace('/', "~1"));
        if let Some(json) = json_of(typed, &pointer, &format!("the result of {}", step.key))? {
            results.insert(step.key.clone(), serde_json::from_str(json.get()).unwrap_or_default());
        }
    }
    Ok(if results.is_empty() { body } else { body.value("results", &results) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_edited_is_sent() {
        let json = r#"{"id":"run_1","workflow":"w","version":"1","status":"failed","createdAt":"2027-01-31T09:00:00Z","attempt":1,"labels":[],
            "startedHow":"api","pauseRequested":false,"inputTruncated":false,"input":{"b":1.10,"a":1},"pending":[],"signals":[],
            "ai":{"inputTokens":0,"outputTokens":0,"costUsd":0},"steps":[
            {"seq":1,"key":"a#0","kind":"run","state":"ok","value":{"x":1},"truncated":false,"attempt":1,"recordedAt":"2027-01-31T09:00:00Z","copied":false,"attempts":[]},
            {"seq":2,"key":"b#0","kind":"run","state":"ok","value":7,"truncated":false,"attempt":1,"recordedAt":"2027-01-31T09:00:00Z","copied":false,"attempts":[]}]}"#;
        let run: Run = serde_json::from_str(json).unwrap();
        let sent = |form: &Query| body(&run, form).map(|body| serde_json::to_string(&body).unwrap());
        let form = Query::default()
            .with("fromStep", "b#0")
            .with("input", "{\r\n  \"b\": 1.10,\r\n  \"a\": 1\r\n}")
            .with("result_a#0", "{\r\n  \"x\": 1\r\n}");
        assert_eq!(sent(&form).unwrap(), r#"{"fromStep":"b#0"}"#);
        let form = form.with("input", "{\"b\": 2.50}").with("result_a#0", "{\"x\": 2}");
        assert_eq!(sent(&form).unwrap(), r#"{"fromStep":"b#0","input":{"b": 2.50},"results":{"a#0":{"x":2}}}"#);
        assert_eq!(sent(&form.with("result_a#0", "{")).unwrap_err().errors[0].pointer, "/results/a#0");
    }
}
