//! The form of an endpoint, and the endpoint that it asks for. What the form does not have stays as it was.
//!
//! Out of scope: asking for it (`endpoint`); judging it (the API).

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use crate::fanout::{Endpoint, Fanout, href};
use crate::link::{Query, segment};
use crate::page::{Page, whole};
use crate::parts::FieldError;
use crate::refusal::Refusal;
use crate::typed::{self, Document, header_lines, shown};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "endpoint_form.html")]
struct EndpointPage {
    page: Page,
    form: EndpointForm,
}

#[derive(Default)]
struct EndpointForm {
    action: String,
    title: String,
    button: String,
    back_href: String,
    fanout: String,
    revision: String,
    target: String,
    url: String,
    workflow: String,
    workflows: Vec<String>,
    method: String,
    headers: String,
    max_attempts: String,
    timeout: String,
    flow_key: String,
    parallelism: String,
    rate: String,
    period: String,
    paused: bool,
    detail: String,
    errors: Vec<FieldError>,
}

/// The form of a new endpoint.
pub async fn empty(visitor: &Visitor, fanout: &Fanout) -> Result<Response, Refusal> {
    let form = EndpointForm { target: "url".to_owned(), ..blank(visitor, fanout, None).await };
    whole(StatusCode::OK, &EndpointPage { page: visitor.page("fanouts"), form })
}

/// The form of an endpoint as it is.
pub async fn of(visitor: &Visitor, fanout: &Fanout, endpoint: &Endpoint) -> Result<Response, Refusal> {
    let form = filled(blank(visitor, fanout, Some(&endpoint.id)).await, endpoint);
    whole(StatusCode::OK, &EndpointPage { page: visitor.page("fanouts"), form })
}

/// What was typed, as the API takes it; what the form does not have stays as it was.
pub fn document(form: &Query, old: Option<&Endpoint>) -> Result<Document, FieldError> {
    let mut document = Document::default();
    if form.get("target") == "workflow" {
        document = document.text("workflow", form.get("workflow").trim());
    } else {
        document = document.text("url", form.get("url").trim()).text("method", form.get("method"));
        let headers = typed::headers(form.get("headers"))?;
        if !headers.is_empty() {
            document = document.value("headers", &headers);
        }
    }
    document = document.number("maxAttempts", form.get("maxAttempts")).number("timeoutSeconds", form.get("timeoutSeconds"));
    document = document.raw("backoff", old.and_then(|old| old.backoff.as_deref())).inner("flowControl", &typed::flow(form, "flowKey"));
    Ok(document.value("paused", &form.has("paused")))
}

/// An endpoint as it is, but for being paused.
pub fn same(endpoint: &Endpoint, paused: bool) -> Document {
    let mut document = Document::default();
    document = match &endpoint.workflow {
        Some(workflow) => document.text("workflow", workflow),
        None => document.text("url", endpoint.destination()).text("method", endpoint.method.as_deref().unwrap_or_default()),
    };
    if endpoint.workflow.is_none() && !endpoint.headers.is_empty() {
        document = document.value("headers", &endpoint.headers);
    }
    let count = |n: Option<i64>| shown(n);
    document = document.number("maxAttempts", &count(endpoint.max_attempts)).number("timeoutSeconds", &count(endpoint.timeout_seconds));
    document = document.raw("backoff", endpoint.backoff.as_deref());
    if let Some(flow) = &endpoint.flow_control {
        let limits = Document::default().text("key", &flow.key).number("parallelism", &count(flow.parallelism));
        let limits = limits.number("rate", &count(flow.rate)).number("periodSeconds", &count(flow.period_seconds));
        document = document.inner("flowControl", &limits);
    }
    document.value("paused", &paused)
}

/// The form as it was typed, with what is wrong, at the fanout's revision of now.
pub async fn again(
    visitor: &Visitor,
    fanout: &Fanout,
    id: Option<&str>,
    typed: &Query,
    status: StatusCode,
    (detail, errors): (String, Vec<FieldError>),
) -> Result<Response, Refusal> {
    let text = |name: &str| typed.get(name).to_owned();
    let form = EndpointForm {
        target: if typed.get("target") == "workflow" { "workflow" } else { "url" }.to_owned(),
        url: text("url"),
        workflow: text("workflow"),
        method: text("method"),
        headers: text("headers"),
        max_attempts: text("maxAttempts"),
        timeout: text("timeoutSeconds"),
        flow_key: text("flowKey"),
        parallelism: text("parallelism"),
        rate: text("rate"),
        period: text("periodSeconds"),
        paused: typed.has("paused"),
        detail,
        errors,
        ..blank(visitor, fanout, id).await
    };
    whole(status, &EndpointPage { page: visitor.page("fanouts"), form })
}

/// The form without what is typed.
async fn blank(visitor: &Visitor, fanout: &Fanout, id: Option<&str>) -> EndpointForm {
    let home = format!("{}/endpoints", href(&fanout.name));
    let (action, title, button) = match id {
        Some(id) => (format!("{home}/{}/edit", segment(id)), "Edit an endpoint", "Save it"),
        None => (home, "Add an endpoint", "Add it"),
    };
    EndpointForm {
        action,
        title: title.to_owned(),
        button: button.to_owned(),
        back_href: href(&fanout.name),
        fanout: fanout.name.clone(),
        revision: fanout.revision.to_string(),
        workflows: workflows(visitor).await,
        ..EndpointForm::default()
    }
}

fn filled(blank: EndpointForm, endpoint: &Endpoint) -> EndpointForm {
    let flow = endpoint.flow_control.as_ref();
    EndpointForm {
        target: if endpoint.workflow.is_some() { "workflow" } else { "url" }.to_owned(),
        url: endpoint.url.clone().unwrap_or_default(),
        workflow: endpoint.workflow.clone().unwrap_or_default(),
        method: endpoint.method.clone().unwrap_or_default(),
        headers: header_lines(&endpoint.headers),
        max_attempts: shown(endpoint.max_attempts),
        timeout: shown(endpoint.timeout_seconds),
        flow_key: flow.map(|flow| flow.key.clone()).unwrap_or_default(),
        parallelism: shown(flow.and_then(|flow| flow.parallelism)),
        rate: shown(flow.and_then(|flow| flow.rate)),
        period: shown(flow.and_then(|flow| flow.period_seconds)),
        paused: endpoint.paused,
        ..blank
    }
}

/// Names for the field's list of suggestions; none when they cannot be had, since any name may be typed.
pub async fn workflows(visitor: &Visitor) -> Vec<String> {
    names(visitor, "/v1/workflows?limit=200").await
}

/// The names of what a list of the API has.
pub async fn names(visitor: &Visitor, path: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Listed {
        data: Vec<Named>,
    }
    let listed: Result<Listed, Refusal> = visitor.api.get(path).await;
    listed.map(|listed| listed.data.into_iter().map(|named| named.name).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &Document) -> String {
        serde_json::to_string(document).unwrap()
    }

    #[test]
    fn an_edit_keeps_what_the_form_does_not_have() {
        let json = r#"{"id":"ep_1","url":"https://a.example/","headers":{},"maxAttempts":3,"backoff":{"type":"fixed","initialSeconds":5},"timeoutSeconds":null,"flowControl":null,"paused":false}"#;
        let old: Endpoint = serde_json::from_str(json).unwrap();
        let form = Query::parse(b"target=url&url=https://b.example/&headers=x-a:+1&maxAttempts=4&flowKey=k&paused=1");
        let expected = r#"{"url":"https://b.example/","headers":{"x-a":"1"},"maxAttempts":4,"backoff":{"type":"fixed","initialSeconds":5},"flowControl":{"key":"k"},"paused":true}"#;
        assert_eq!(text(&document(&form, Some(&old)).unwrap()), expected);
        let form = Query::parse(b"target=workflow&workflow=w&url=https://b.example/&method=PUT");
        assert_eq!(text(&document(&form, None).unwrap()), r#"{"workflow":"w","paused":false}"#);
    }

    #[test]
    fn pausing_changes_nothing_else() {
        let json = r#"{"id":"ep_1","url":"https://a.example/","method":"PUT","headers":{"x-a":"1"},"maxAttempts":3,"backoff":null,"timeoutSeconds":9,"flowControl":{"key":"k","parallelism":2,"rate":5,"periodSeconds":60},"paused":false}"#;
        let expected = r#"{"url":"https://a.example/","method":"PUT","headers":{"x-a":"1"},"maxAttempts":3,"timeoutSeconds":9,"flowControl":{"key":"k","parallelism":2,"rate":5,"periodSeconds":60},"paused":true}"#;
        assert_eq!(text(&same(&serde_json::from_str(json).unwrap(), true)), expected);
    }
}
