//! Starts a run. Out of scope: what a start means (the API).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, form_errors, shell};
use crate::refusal::Refusal;
use crate::run_actions::json_of;
use crate::typed::Document;
use crate::visitor::{Form, Visitor};

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/workflows/{name}/start", get(show).post(start))
}

#[derive(Debug, Deserialize)]
struct Workflow {
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    served: bool,
}

/// What a start came to.
#[derive(Debug, Deserialize)]
struct Started {
    id: String,
    #[serde(default)]
    deduplicated: bool,
    #[serde(default)]
    skipped: bool,
    #[serde(default)]
    debounced: bool,
}

#[derive(Template)]
#[template(path = "run_start.html")]
struct StartPage {
    page: Page,
    form: StartForm,
}

struct StartForm {
    workflow: String,
    input: String,
    external_id: String,
    idempotency_key: String,
    version: String,
    versions: Vec<String>,
    delay: String,
    labels: String,
    curl: String,
    sdk: String,
    detail: String,
    errors: Vec<FieldError>,
}

async fn show(visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let typed = if query.has("input") { query } else { query.with("input", "{}") };
    shown(&visitor, &name, &typed, None).await
}

async fn shown(visitor: &Visitor, name: &str, typed: &Query, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let workflow: Workflow = visitor.api.get(&format!("/v1/workflows/{}", segment(name))).await?;
    let (detail, errors) = refusal.map(form_errors).unwrap_or_default();
    let text = |field: &str| typed.get(field).to_owned();
    let url = shell(&format!("{}/v1/workflows/{}/runs", visitor.base, segment(name)));
    let form = StartForm {
        workflow: name.to_owned(),
        input: text("input"),
        external_id: text("id"),
        idempotency_key: text("idempotencyKey"),
        version: text("version"),
        versions: workflow.versions.into_iter().filter(|version| version.served).map(|version| version.version).collect(),
        delay: text("delaySeconds"),
        labels: text("labels"),
        curl: format!("curl -X POST {url} \\\n  -H 'authorization: Bearer {}…' \\\n  -d {}", visitor.key.hint, shell(r#"{"input": {}}"#)),
        sdk: format!("import {{ Tikku }} from \"@tikku/sdk\";\n\nconst run = await new Tikku().start({}, {{}});", quoted(name)),
        detail,
        errors,
    };
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &StartPage { page: visitor.page("workflows"), form })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

async fn start(visitor: Visitor, Path(name): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let started = match json_of(form.get("input"), "/input", "input") {
        Ok(input) => {
            let labels: Vec<&str> = form.get("labels").split([',', '\n']).map(str::trim).filter(|label| !label.is_empty()).collect();
            let body = Document::default().raw("input", input.as_deref()).text("id", form.get("id")).text("version", form.get("version"));
            let body = body.text("idempotencyKey", form.get("idempotencyKey")).number("delaySeconds", form.get("delaySeconds"));
            let body = if labels.is_empty() { body } else { body.value("labels", &labels) };
            visitor.api.post(&format!("/v1/workflows/{}/runs", segment(&name)), &body).await
        }
        Err(refusal) => Err(refusal),
    };
    match started {
        Ok(answer) => {
            let started: Started = answer.read()?;
            let text = match (started.deduplicated, started.skipped, started.debounced) {
                (true, ..) => "This run was there already: nothing was started.",
                (_, true, _) => "The workflow is a singleton, and this is its run: nothing was started.",
                (.., true) => "A start before was moved: this is its run, with the new input.",
                _ => "Started.",
            };
            Ok(visitor.done(&format!("/dashboard/runs/{}", segment(&started.id)), Flash::ok(text)))
        }
        Err(refusal) if [400, 403, 409, 413, 422].contains(&refusal.status) || (refusal.status == 404 && form.has("version")) => {
            shown(&visitor, &name, &form, Some(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}
