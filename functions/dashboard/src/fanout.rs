//! One fanout with its endpoints, and deleting it.
//!
//! Out of scope: the list (`fanouts`); one endpoint (`endpoint`).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fanouts::{PATH, endpoints};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::messages::split;
use crate::page::{Flash, Page, whole};
use crate::parts::{Confirm, ConfirmPage, Pair, seconds, shell};
use crate::refusal::Refusal;
use crate::visitor::{Form, Visitor};
use crate::when::When;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/fanouts/{name}", get(show)).route("/dashboard/fanouts/{name}/delete", get(ask).post(delete))
}

/// A fanout, as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fanout {
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub revision: i64,
    pub updated_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    pub id: String,
    pub url: Option<String>,
    pub workflow: Option<String>,
    pub method: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub max_attempts: Option<i64>,
    pub backoff: Option<Box<RawValue>>,
    pub timeout_seconds: Option<i64>,
    pub flow_control: Option<Flow>,
    pub paused: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub key: String,
    pub parallelism: Option<i64>,
    pub rate: Option<i64>,
    pub period_seconds: Option<i64>,
}

impl Fanout {
    /// Its endpoint of this id.
    pub fn endpoint(&self, id: &str) -> Result<&Endpoint, Refusal> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id).ok_or_else(|| Refusal::not_found("endpoint of this fanout"))
    }
}

impl Endpoint {
    /// Where it delivers.
    pub fn destination(&self) -> &str {
        self.workflow.as_deref().or(self.url.as_deref()).unwrap_or_default()
    }

    /// What it says that a publish does not.
    fn facts(&self) -> String {
        let growing = self.backoff.as_ref().map(|_| "a backoff of its own".to_owned());
        let flow = self.flow_control.as_ref().map(|flow| format!("flow {}", flow.key));
        let headers = match self.headers.len() {
            0 => None,
            1 => Some("1 header".to_owned()),
            n => Some(format!("{n} headers")),
        };
        let attempts = self.max_attempts.map(|n| format!("at most {n} attempt{}", if n == 1 { "" } else { "s" }));
        let timeout = self.timeout_seconds.map(|s| format!("{} to answer", seconds(s)));
        let all: Vec<String> = [attempts, growing, timeout, flow, headers].into_iter().flatten().collect();
        all.join(", ")
    }
}

#[derive(Template)]
#[template(path = "fanout.html")]
struct FanoutPage {
    page: Page,
    fanout: FanoutDetail,
}

struct FanoutDetail {
    name: String,
    revision: String,
    updated: When,
    endpoints: Vec<EndpointRow>,
    messages_href: String,
    curl: String,
}

struct EndpointRow {
    id: String,
    kind: &'static str,
    method: String,
    dest: String,
    dest_host: String,
    dest_path: String,
    dest_href: String,
    paused: bool,
    facts: String,
}

async fn show(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    shown(&visitor, &name, None).await
}

/// The page, with what was refused.
pub async fn shown(visitor: &Visitor, name: &str, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let fanout = load(visitor, name).await?;
    let mut page = visitor.page("fanouts");
    page.flashes.extend(refusal.map(|refusal| if refusal.status == 412 { overtaken() } else { Flash::error(refusal) }));
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &FanoutPage { page, fanout: detail(visitor, fanout) })
}

/// Somebody else was faster.
fn overtaken() -> Flash {
    Flash {
        kind: "error".to_owned(),
        text: "Somebody else has changed this fanout meanwhile.".to_owned(),
        detail: "You see it as it is now; nothing was changed by you.".to_owned(),
        ..Flash::default()
    }
}

/// A fanout as it is now.
pub async fn load(visitor: &Visitor, name: &str) -> Result<Fanout, Refusal> {
    visitor.api.get(&format!("/v1/fanouts/{}", segment(name))).await
}

/// Where its page is.
pub fn href(name: &str) -> String {
    format!("{PATH}/{}", segment(name))
}

fn detail(visitor: &Visitor, fanout: Fanout) -> FanoutDetail {
    let body = format!(r#"{{"fanout":"{}","body":{{"hello":"world"}}}}"#, fanout.name);
    FanoutDetail {
        revision: fanout.revision.to_string(),
        updated: visitor.when(Some(&fanout.updated_at)),
        messages_href: Query::default().with("fanout", &fanout.name).on("/dashboard/messages"),
        curl: format!(
            "curl {}/v1/messages -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
            visitor.base,
            visitor.key.hint,
            shell(&body)
        ),
        endpoints: fanout.endpoints.iter().map(row).collect(),
        name: fanout.name,
    }
}

fn row(endpoint: &Endpoint) -> EndpointRow {
    let (dest_host, dest_path) = split(endpoint.destination());
    EndpointRow {
        id: endpoint.id.clone(),
        kind: if endpoint.workflow.is_some() { "workflow" } else { "url" },
        method: endpoint.method.clone().unwrap_or_default(),
        dest: endpoint.destination().to_owned(),
        dest_host: dest_host.to_owned(),
        dest_path: dest_path.to_owned(),
        dest_href: endpoint.workflow.as_deref().map(|name| format!("/dashboard/workflows/{}", segment(name))).unwrap_or_default(),
        paused: endpoint.paused,
        facts: endpoint.facts(),
    }
}

/// Asks with the revision that is seen: what is added meanwhile is not deleted unseen.
async fn ask(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    let fanout = load(&visitor, &name).await?;
    let confirm = Confirm {
        title: format!("Delete the fanout {}?", fanout.name),
        text: format!(
            "It has {}. Messages that were made for them stay; publishes to this name are refused from now on.",
            endpoints(fanout.endpoints.len() as i64)
        ),
        action: format!("{}/delete", href(&fanout.name)),
        button: "Delete it".to_owned(),
        danger: true,
        fields: vec![Pair::new("revision", fanout.revision.to_string())],
        back_href: href(&fanout.name),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("fanouts"), confirm })
}

async fn delete(visitor: Visitor, Path(name): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let tag = format!("\"{}\"", form.get("revision"));
    let headers: &[(&'static str, &str)] = if form.has("revision") { &[("if-match", &tag)] } else { &[] };
    match visitor.api.send(Method::DELETE, &format!("/v1/fanouts/{}", segment(&name)), headers, None).await {
        Ok(_) => Ok(visitor.done(PATH, Flash::ok(format!("The fanout {name} is deleted.")))),
        Err(refusal) if refusal.status == 412 || refusal.status == 403 => shown(&visitor, &name, Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_what_a_publish_does_not() {
        let facts = |json: &str| serde_json::from_str::<Endpoint>(json).unwrap().facts();
        assert_eq!(facts(r#"{"id":"ep_1","url":"https://a.example","headers":{},"paused":false}"#), "");
        let all = r#"{"id":"ep_1","url":"https://a.example","headers":{"x-a":"b"},"maxAttempts":20,"backoff":{"type":"fixed"},"timeoutSeconds":90,"flowControl":{"key":"stock"},"paused":true}"#;
        assert_eq!(facts(all), "at most 20 attempts, a backoff of its own, 90 s to answer, flow stock, 1 header");
    }
}
