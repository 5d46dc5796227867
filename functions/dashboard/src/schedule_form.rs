//! The form that makes and edits a schedule. An edit names the revision that was seen, and keeps what the form does not have.
//!
//! Out of scope: what comes of it (`schedule`); the words of a rhythm (`schedule_words`); what the fields become (`schedule_typed`).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode, Uri};
use serde::Deserialize;

use crate::endpoint_form::{names, workflows};
use crate::gate::Desk;
use crate::link::Query;
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, form_errors};
use crate::refusal::Refusal;
use crate::schedule::{load, path};
use crate::schedule_typed::{self, document};
use crate::schedule_view::Schedule;
use crate::schedule_words::{Explain, explained};
use crate::schedules::{PATH, href};
use crate::visitor::{Form, Visitor};

/// Zones that the field suggests; any other of the IANA database may be typed.
const ZONES: [&str; 40] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Argentina/Buenos_Aires",
    "America/Bogota",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/New_York",
    "America/Phoenix",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Toronto",
    "Asia/Dhaka",
    "Asia/Dubai",
    "Asia/Hong_Kong",
    "Asia/Jakarta",
    "Asia/Jerusalem",
    "Asia/Karachi",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Manila",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Perth",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Helsinki",
    "Europe/Istanbul",
    "Europe/London",
    "Europe/Moscow",
    "Europe/Paris",
    "Pacific/Auckland",
];

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route(PATH, post(create))
        .route("/dashboard/schedules/new", get(new))
        .route("/dashboard/schedules/{id}/edit", get(edit))
        .route("/dashboard/schedules/{id}", post(replace))
}

#[derive(Template)]
#[template(path = "schedule_form.html")]
struct FormPage {
    page: Page,
    form: ScheduleForm,
    explain: Explain,
}

struct ScheduleForm {
    action: String,
    title: String,
    button: String,
    back_href: String,
    revision: String,
    name: String,
    rhythm: String,
    cron: String,
    every: String,
    timezone: String,
    zones: Vec<&'static str>,
    target: String,
    url: String,
    fanout: String,
    workflow: String,
    fanouts: Vec<String>,
    workflows: Vec<String>,
    method: String,
    body: String,
    headers: String,
    overlap: String,
    catch_up: String,
    max_attempts: String,
    timeout: String,
    labels: String,
    flow_key: String,
    paused: bool,
    errors: Vec<FieldError>,
    detail: String,
}

/// A new one may come filled in by its address.
async fn new(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    shown(&visitor, None, &Query::of(&uri), StatusCode::OK, Default::default()).await
}

async fn edit(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let schedule = load(&visitor, &id).await?;
    let typed = schedule_typed::filled(&schedule);
    shown(&visitor, Some(&schedule), &typed, StatusCode::OK, Default::default()).await
}

async fn create(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    write(&visitor, None, &form).await
}

async fn replace(visitor: Visitor, Path(id): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let schedule = load(&visitor, &id).await?;
    write(&visitor, Some(&schedule), &form).await
}

async fn write(visitor: &Visitor, old: Option<&Schedule>, form: &Query) -> Result<Response, Refusal> {
    let document = match document(form, old) {
        Ok(document) => document,
        Err(error) => return shown(visitor, old, form, StatusCode::BAD_REQUEST, ("This was not accepted.".to_owned(), vec![error])).await,
    };
    let body = serde_json::to_vec(&document).ok();
    let asked = match old {
        Some(old) => {
            let tag = if form.has("revision") { format!("\"{}\"", form.get("revision")) } else { "*".to_owned() };
            visitor.api.send(Method::PUT, &path(&old.id), &[("if-match", &tag)], body).await
        }
        None => visitor.api.send(Method::POST, "/v1/schedules", &[], body).await,
    };
    match asked {
        Ok(answer) => {
            #[derive(Deserialize)]
            struct Written {
                id: String,
                name: String,
            }
            let written: Written = answer.read()?;
            let text = if old.is_some() { "is changed: due times are counted by what is new" } else { "is made" };
            Ok(visitor.done(&href(&written.id), Flash::ok(format!("The schedule {} {text}.", written.name))))
        }
        Err(refusal) if refusal.status == 412 => {
            let detail = "Somebody else has changed this schedule meanwhile, and nothing was changed by you. Press the button again to put what stands here in the place of theirs.";
            shown(visitor, old, form, refusal.code(), (detail.to_owned(), Vec::new())).await
        }
        Err(refusal) if [400, 403, 409, 413].contains(&refusal.status) => {
            shown(visitor, old, form, refusal.code(), form_errors(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// The form as it was typed, with what is wrong, at the schedule's revision of now.
async fn shown(
    visitor: &Visitor,
    old: Option<&Schedule>,
    typed: &Query,
    status: StatusCode,
    (detail, errors): (String, Vec<FieldError>),
) -> Result<Response, Refusal> {
    let text = |name: &str| typed.get(name).to_owned();
    let one_of = |name: &str, words: &[&str]| words.iter().find(|word| **word == typed.get(name)).unwrap_or(&words[0]).to_string();
    let rhythm = one_of("rhythm", &["cron", "every"]);
    let explain = explained(visitor, typed).await?;
    let (title, button) = match old {
        Some(old) => (format!("Edit {}", old.name), "Save it"),
        None => ("New schedule".to_owned(), "Make the schedule"),
    };
    let form = ScheduleForm {
        action: old.map_or_else(|| PATH.to_owned(), |old| href(&old.id)),
        title,
        button: button.to_owned(),
        back_href: old.map_or_else(|| PATH.to_owned(), |old| href(&old.id)),
        revision: old.map(|old| old.revision.to_string()).unwrap_or_default(),
        name: text("name"),
        rhythm,
        cron: text("cron"),
        every: text("every"),
        timezone: text("timezone"),
        zones: ZONES.to_vec(),
        target: one_of("target", &["url", "fanout", "workflow"]),
        url: text("url"),
        fanout: text("fanout"),
        workflow: text("workflow"),
        fanouts: names(visitor, "/v1/fanouts?limit=200").await,
        workflows: workflows(visitor).await,
        method: one_of("method", &["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"]),
        body: text("body"),
        headers: text("headers"),
        overlap: one_of("overlap", &["allow", "skip"]),
        catch_up: one_of("catchUp", &["latest", "skip", "all"]),
        max_attempts: text("maxAttempts"),
        timeout: text("timeoutSeconds"),
        labels: text("labels"),
        flow_key: text("flowKey"),
        paused: typed.has("paused"),
        errors,
        detail,
    };
    whole(status, &FormPage { page: visitor.page("schedules"), form, explain })
}
