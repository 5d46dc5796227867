//! Resume URLs (docs/protocol.md): whoever has one sends one signal, or answers one approval, of one run. The token in the URL is the whole
//! authority: it is compared in constant time, and nothing here logs it. GET changes nothing, because mail scanners open links.
//!
//! Out of scope: how tokens are made (`domain::workflow_resume`), what the pages look like (`resume_page`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tikku_domain::approval::{self, Answer};
use tikku_domain::ids::RunId;
use tikku_domain::limits::SIGNAL_BYTES_MAX;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_verbs;
use tikku_domain::workflow_resume::verify_resume_token;
use tikku_platform::Ctx;
use tikku_store::{Approval, ApprovalAnswer, NewSignal, ResumeOf};

use crate::reply::{ApiError, json as answered};
use crate::request::{self, IdPair};
use crate::resume_page::Data;
use crate::run_shapes::SignalAnswer;
use crate::{approvals, resume_page, runs};

/// What a token opens.
struct Opened {
    id: RunId,
    name: String,
    of: ResumeOf,
    /// The question, if the name is the key of one.
    approval: Option<Approval>,
}

/// Shows a page with a button that sends the signal, or two that answer the approval. It changes nothing.
#[utoipa::path(get, path = "/v1/runs/{id}/resume/{name}", operation_id = "resumePage", security(("resume" = [])), tag = "protocol", params(
    ("id" = String, Path, description = "run_..."),
    ("name" = String, Path, description = "The signal's name, or the approval's key, percent-encoded"),
), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 403, description = "No or a wrong token, or an approval whose policy asks for a key", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The run is over, or the approval is", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: try again", body = Problem, content_type = "application/problem+json"),
))]
pub async fn page(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdPair(id, name): IdPair, uri: Uri) -> Response {
    match shown(&ctx, &id, name, &uri).await {
        Ok(page) => page,
        Err(error) => refused(&headers, error),
    }
}

async fn shown(ctx: &Ctx, id: &str, name: String, uri: &Uri) -> Result<Response, ApiError> {
    let Opened { id, name, of, approval } = open(ctx, id, name, uri).await?;
    if approval.is_none() {
        return Ok(resume_page::signal(&name));
    }
    let view = ctx.store.approval_view(of.account, id, &name).await?.ok_or_else(|| Problem::not_found("approval"))?;
    let data = if view.schema.is_some() { Data::Asked } else { Data::None };
    Ok(resume_page::question(view.title.as_deref(), view.detail.as_deref().map(RawValue::get), data))
}

/// Sends the signal with the JSON body, an empty one being null; a form's fields are an object. Or answers the approval.
#[utoipa::path(post, path = "/v1/runs/{id}/resume/{name}", operation_id = "resumeByUrl", security(("resume" = [])), tag = "protocol", params(
    ("id" = String, Path, description = "run_..."),
    ("name" = String, Path, description = "The signal's name, or the approval's key, percent-encoded"),
), request_body(content = Option<serde_json::Value>, description = "Any JSON value, at most 1 MiB; for an approval `{\"approve\": true, \"data\": ...}`"), responses(
    (status = 202, description = "Accepted", body = SignalAnswer),
    (status = 400, description = "The body is no JSON, or no answer to an approval", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "No or a wrong token, or an approval whose policy asks for a key", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The run is over, or the approval is", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The data does not fit the schema; the approval still waits", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: try again", body = Problem, content_type = "application/problem+json"),
))]
pub async fn post(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdPair(id, name): IdPair, uri: Uri, body: Body) -> Response {
    let form = is_form(&headers);
    match take(&ctx, &headers, &id, name, &uri, body).await {
        Ok(_) if form => resume_page::done(),
        Ok(answer) => answered(StatusCode::ACCEPTED, &answer),
        Err(error) if form => refused(&headers, error),
        Err(error) => error.into_response(),
    }
}

async fn take(ctx: &Ctx, headers: &HeaderMap, id: &str, name: String, uri: &Uri, body: Body) -> Result<SignalAnswer, ApiError> {
    let bytes = request::bytes_within(headers, body, SIGNAL_BYTES_MAX).await?;
    let opened = open(ctx, id, name, uri).await?;
    let Opened { id, name, of, approval } = &opened;
    match approval {
        Some(asked) => {
            let answer = if is_form(headers) { answer_of_form(&bytes)? } else { approval::parse(&bytes)? };
            let (data, by_name) = (answer.data.as_deref(), answer.by.as_deref());
            let given = ApprovalAnswer { approve: answer.approve, data, by: None, by_name };
            approvals::give(ctx, of.account, *id, name, asked, &answer, &given).await?;
        }
        None => {
            let form = is_form(headers).then(|| run_verbs::form(pairs(&bytes)).to_string());
            let value = match &form {
                Some(json) => json.as_bytes(),
                None => run_verbs::signal(&bytes).map_err(|error| vec![error])?,
            };
            let signal = NewSignal { name, value, idempotency_key: None, sent_by: None };
            runs::sent(ctx, ctx.store.run_signal(of.account, *id, &signal).await?).await?;
        }
    }
    Ok(SignalAnswer { run_id: id.to_string(), name: name.clone() })
}

/// What the URL's token opens, if it is the right one. A run that does not exist and a wrong token are the same to a stranger.
async fn open(ctx: &Ctx, id: &str, name: String, uri: &Uri) -> Result<Opened, ApiError> {
    let wrong = || Problem::new(Kind::Forbidden, "the token of this URL is missing or wrong");
    let token = request::query(uri).into_iter().find(|(name, _)| name == "token").map(|(_, token)| token).ok_or_else(wrong)?;
    let id: RunId = id.parse().map_err(|_| wrong())?;
    let of = ctx.store.run_resume_key(id).await?.ok_or_else(wrong)?;
    if !verify_resume_token(&of.key, &name, &token) {
        return Err(wrong().into());
    }
    let approval = ctx.store.approval_get(of.account, id, &name).await?;
    if let Some(asked) = &approval {
        if !approvals::policy(asked).is_open() {
            return Err(Problem::new(Kind::Forbidden, "the policy of this approval asks for an API key: answer it through the API").into());
        }
        if asked.state != "open" {
            return Err(approvals::over(&asked.state).into());
        }
    }
    if ["completed", "failed", "cancelled"].contains(&of.state.as_str()) {
        return Err(Problem::new(Kind::Conflict, format!("the run is {}", of.state)).into());
    }
    Ok(Opened { id, name, of, approval })
}

/// A browser gets a page, all others a problem.
fn refused(headers: &HeaderMap, error: ApiError) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") || is_form(headers) { resume_page::refused(error.problem()) } else { error.into_response() }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_ascii().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

fn pairs(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// The fields of the page's form: `approve`, `by`, and `data` as JSON. Nobody types quotes around a word: what is no JSON is a string.
fn answer_of_form(form: &[u8]) -> Result<Answer, ApiError> {
    let mut request = serde_json::Map::new();
    for (name, text) in pairs(form).filter(|(_, text)| !text.is_empty()) {
        let value = match (name.as_str(), text.as_str()) {
            ("approve", "true") => json!(true),
            ("approve", "false") => json!(false),
            ("data", text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            _ => Value::String(text),
        };
        request.insert(name, value);
    }
    Ok(approval::parse(Value::Object(request).to_string().as_bytes())?)
}
