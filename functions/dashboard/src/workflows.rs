//! Apps and the workflows that they serve. Out of scope: what is done to apps (`apps`), starting a run (`run_start`).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::{Redirect, Response};
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Page, whole};
use crate::parts::{FieldError, seconds, shell};
use crate::refusal::Refusal;
use crate::visitor::Visitor;
use crate::when::When;

/// Where the page is.
pub const PATH: &str = "/dashboard/workflows";
/// Apps on a page: each is asked for by itself.
const APPS_SHOWN: &str = "20";
/// A first workflow.
const SDK_CODE: &str = r#"import { workflow } from "@tikku/sdk";
import { serve } from "@tikku/sdk/node";
import http from "node:http";

const order = workflow({ name: "order" }, async (step, input: { id: string }) => {
  const paid = await step.run("charge", () => ({ id: input.id, paid: true }));
  await step.sleep("cool-down", "10s");
  const review = await step.waitForSignal("review", { timeout: "3d" });
  return { paid, review };
});
http.createServer(serve({ workflows: [order] })).listen(3000);"#;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list)).route("/dashboard/workflows/{name}", get(runs_of))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Named>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// An app as the API answers it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    name: String,
    url: String,
    timeout_seconds: i64,
    lease_seconds: i64,
    checkpoint: String,
    sdk: Option<String>,
    #[serde(default)]
    workflows: Vec<Served>,
    described_at: Option<String>,
    describe_error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    name: String,
    version: String,
    served: bool,
    current: bool,
    triggers: Option<Value>,
    concurrency: Option<Value>,
    rate_limit: Option<Value>,
    singleton: Option<Value>,
    debounce: Option<Value>,
    priority: Option<i64>,
}

#[derive(Template)]
#[template(path = "workflows.html")]
struct WorkflowsPage {
    page: Page,
    apps: Vec<AppRow>,
    form: AppForm,
    next_href: String,
    curl: String,
    sdk_code: String,
}

struct AppRow {
    name: String,
    url: String,
    sdk: String,
    checkpoint: String,
    timeouts: String,
    synced: When,
    error: String,
    error_detail: String,
    workflows: Vec<WorkflowRow>,
}

struct WorkflowRow {
    name: String,
    versions: String,
    triggers: String,
    policy: String,
    runs_href: String,
    start_href: String,
}

/// The form that registers an app, or moves one.
#[derive(Default)]
pub struct AppForm {
    pub name: String,
    pub url: String,
    pub timeout: String,
    pub lease: String,
    pub open: bool,
    pub detail: String,
    pub errors: Vec<FieldError>,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let form = match query.get("edit") {
        "" => AppForm::default(),
        name => {
            let app = load_app(&visitor, name).await?;
            let (timeout, lease) = (app.timeout_seconds.to_string(), app.lease_seconds.to_string());
            AppForm { name: app.name, url: app.url, timeout, lease, open: true, ..AppForm::default() }
        }
    };
    shown(&visitor, query.get("cursor"), form, StatusCode::OK).await
}

/// The page, with a form.
pub async fn shown(visitor: &Visitor, cursor: &str, form: AppForm, status: StatusCode) -> Result<Response, Refusal> {
    let listed: Listed = visitor.api.get(&Query::default().with("limit", APPS_SHOWN).with("cursor", cursor).on("/v1/apps")).await?;
    let mut apps = Vec::with_capacity(listed.data.len());
    for named in listed.data {
        match load_app(visitor, &named.name).await {
            Ok(app) => apps.push(row(visitor, app)),
            // Deleted a moment ago.
            Err(refusal) if refusal.status == 404 => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let url = shell(&format!("{}/v1/apps/shop", visitor.base));
    let body = shell(r#"{"url": "http://127.0.0.1:3000/"}"#);
    let template = WorkflowsPage {
        form: AppForm { open: form.open || apps.is_empty(), ..form },
        apps,
        next_href: listed.next_cursor.map(|cursor| Query::default().with("cursor", &cursor).on(PATH)).unwrap_or_default(),
        curl: format!("curl -X PUT {url} -H 'authorization: Bearer {}…' -d {body}", visitor.key.hint),
        sdk_code: SDK_CODE.to_owned(),
        page: visitor.page("workflows"),
    };
    whole(status, &template)
}

/// One app with its workflows.
pub async fn load_app(visitor: &Visitor, name: &str) -> Result<App, Refusal> {
    visitor.api.get(&format!("/v1/apps/{}", segment(name))).await
}

/// A workflow's page is the list of its runs.
async fn runs_of(Path(name): Path<String>) -> Redirect {
    Redirect::to(&Query::default().with("workflow", &name).on("/dashboard/runs"))
}

fn row(visitor: &Visitor, app: App) -> AppRow {
    let error = app.describe_error.unwrap_or_default();
    AppRow {
        timeouts: format!("dispatch {}, lease {}", seconds(app.timeout_seconds), seconds(app.lease_seconds)),
        synced: visitor.when(app.described_at.as_deref()),
        error_detail: advice(&error).to_owned(),
        error: sentence(&error),
        workflows: workflows(app.workflows),
        sdk: app.sdk.unwrap_or_default(),
        checkpoint: if app.described_at.is_some() { app.checkpoint } else { "not known yet".to_owned() },
        name: app.name,
        url: app.url,
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    if first.is_empty() { String::new() } else { format!("{first}{}.", characters.as_str().trim_end_matches('.')) }
}

/// What to do about an app that did not say what it serves.
fn advice(error: &str) -> &'static str {
    match error {
        "" => "",
        error if error.contains("401") => "It does not accept the signature: does its environment have this account's signing secret?",
        error if error.contains("404") || error.contains("405") => "Is this the path that serves workflows, by POST?",
        error if error.contains("redirect") => "Redirects are not followed: register the final address.",
        error if ["connect", "refused", "timed out", "timeout", "resolve", "dns"].iter().any(|word| error.contains(word)) => {
            "Is it running, and can it be reached from here? Its runs wait meanwhile; none of them fails for this."
        }
        _ => "Look at the logs of the endpoint, then sync again.",
    }
}

/// One row for each name: the version of new runs first.
fn workflows(mut served: Vec<Served>) -> Vec<WorkflowRow> {
    served.sort_by(|a, b| a.name.cmp(&b.name).then(b.current.cmp(&a.current)).then(b.served.cmp(&a.served)));
    let groups = served.chunk_by(|a, b| a.name == b.name);
    let row = |group: &[Served]| {
        let version = |w: &Served| if w.served { w.version.clone() } else { format!("{} (no longer served)", w.version) };
        let name = &group[0].name;
        WorkflowRow {
            versions: group.iter().map(version).collect::<Vec<_>>().join(", "),
            triggers: triggers(&group[0]),
            policy: policy(&group[0]),
            runs_href: Query::default().with("workflow", name).on("/dashboard/runs"),
            start_href: format!("{PATH}/{}/start", segment(name)),
            name: name.clone(),
        }
    };
    groups.map(row).collect()
}

fn triggers(workflow: &Served) -> String {
    let list = workflow.triggers.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let words = |trigger: &Value| {
        let event = trigger.get("event").and_then(Value::as_str).unwrap_or_default();
        let pairs = trigger.get("match").and_then(Value::as_object).into_iter().flatten();
        let matching: Vec<String> = pairs.map(|(path, value)| format!("{path} = {value}")).collect();
        let matching = if matching.is_empty() { String::new() } else { format!(" if {}", matching.join(" and ")) };
        format!("event {event}{matching}")
    };
    list.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// Limits and policies in words.
fn policy(workflow: &Served) -> String {
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_i64).unwrap_or_default();
    let per = |of: &Value| of.get("key").and_then(Value::as_str).map(|key| format!(" per {key}")).unwrap_or_default();
    let mut words = Vec::new();
    if let Some(of) = &workflow.concurrency {
        words.push(format!("{} at a time{}", number(of, "limit"), per(of)));
    }
    if let Some(of) = &workflow.rate_limit {
        words.push(format!("{} in {}{}", number(of, "limit"), seconds(number(of, "periodSeconds")), per(of)));
    }
    if let Some(of) = &workflow.singleton {
        let mode = if of.get("mode").and_then(Value::as_str) == Some("cancel") { "a new one cancels it" } else { "others are skipped" };
        words.push(format!("one{}, {mode}", per(of)));
    }
    if let Some(of) = &workflow.debounce {
        words.push(format!("debounced by {}{}", seconds(number(of, "seconds")), per(of)));
    }
    if let Some(priority) = workflow.priority.filter(|priority| *priority != 0) {
        words.push(format!("priority {priority}"));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served(name: &str, version: &str, more: Value) -> Served {
        let mut json = json!({ "name": name, "version": version, "served": true, "current": false });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_workflow_is_one_row_with_its_versions_and_limits() {
        let policy = json!({ "current": true, "triggers": [{ "event": "a", "match": { "data.c": "DE" } }, { "event": "b" }],
            "concurrency": { "limit": 10, "key": "input.customer" }, "rateLimit": { "limit": 5, "periodSeconds": 60 }, "singleton": { "mode": "skip" }, "priority": 3 });
        let rows = workflows(vec![served("b", "1", json!({})), served("a", "1", json!({ "served": false })), served("a", "2", policy)]);
        let shown: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.versions.as_str())).collect();
        assert_eq!(shown, [("a", "2, 1 (no longer served)"), ("b", "1")]);
        assert_eq!(rows[0].triggers, r#"event a if data.c = "DE", event b"#);
        assert_eq!(rows[0].policy, "10 at a time per input.customer; 5 in 1 min; one, others are skipped; priority 3");
    }

    #[test]
    fn an_app_that_does_not_answer_says_what_to_do() {
        assert!(advice("the endpoint answered 401").contains("signing secret") && advice("").is_empty());
        assert_eq!((sentence("no connection"), sentence("")), ("No connection.".to_owned(), String::new()));
    }
}
