//! The form that sends a message, and the message that it asks for.
//!
//! Out of scope: sending it (`send`); the same in other tongues (`send_code`).

use crate::link::Query;
use crate::message_view::{Backoff, Message};
use crate::parts::FieldError;
use crate::payload;
use crate::typed::{self, Document, header_lines, shown};

/// Fields of the part that is folded.
const MORE: [&str; 10] = [
    "headers",
    "backoff",
    "initialSeconds",
    "timeoutSeconds",
    "flowKey",
    "parallelism",
    "rate",
    "callbackUrl",
    "failureCallbackUrl",
    "labels",
];

/// The form, as `templates/send.html` shows it.
#[derive(Default)]
pub struct SendForm {
    pub title: &'static str,
    pub lead: String,
    pub resent_from: String,
    pub target: String,
    pub url: String,
    pub fanout: String,
    pub workflow: String,
    pub fanouts: Vec<String>,
    pub workflows: Vec<String>,
    pub method: String,
    pub body: String,
    pub body_binary: bool,
    pub headers: String,
    pub delay: String,
    pub max_attempts: String,
    pub timeout: String,
    pub backoff: String,
    pub initial: String,
    pub idempotency_key: String,
    pub flow_key: String,
    pub parallelism: String,
    pub rate: String,
    pub period: String,
    pub callback: String,
    pub failure_callback: String,
    pub labels: String,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub open: bool,
}

/// The form as it is filled in, maybe from a message.
pub fn view(form: &Query, old: Option<&Message>) -> SendForm {
    let text = |name: &str| form.get(name).to_owned();
    let lead = match old {
        Some(old) if old.body_base64.is_some() => format!("Filled from {}. Its body is bytes: they are sent as they are.", old.id),
        Some(old) => format!("Filled from {}. It becomes a message of its own; that one stays as it is.", old.id),
        None => String::new(),
    };
    SendForm {
        title: if old.is_some() { "Resend a message" } else { "Send a message" },
        lead,
        resent_from: text("resentFrom"),
        target: target(form).to_owned(),
        url: text("url"),
        fanout: text("fanout"),
        workflow: text("workflow"),
        method: if form.has("method") { text("method") } else { "POST".to_owned() },
        body: text("body"),
        body_binary: old.is_some_and(|old| old.body_base64.is_some()),
        headers: text("headers"),
        delay: text("delaySeconds"),
        max_attempts: text("maxAttempts"),
        timeout: text("timeoutSeconds"),
        backoff: text("backoff"),
        initial: text("initialSeconds"),
        idempotency_key: text("idempotencyKey"),
        flow_key: text("flowKey"),
        parallelism: text("parallelism"),
        rate: text("rate"),
        period: text("periodSeconds"),
        callback: text("callbackUrl"),
        failure_callback: text("failureCallbackUrl"),
        labels: text("labels"),
        open: MORE.iter().any(|name| form.has(name)),
        ..SendForm::default()
    }
}

/// The form's fields for a message that there is. A copy has no idempotency key: with that it would be the same message.
pub fn filled(message: &Message) -> Query {
    let flow = message.flow_control.as_ref();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let count = |n: Option<i32>| shown(n.map(i64::from));
    Query::default()
        .with("resentFrom", &message.id)
        .with("target", if message.workflow.is_some() { "workflow" } else { "url" })
        .with("url", &text(&message.url))
        .with("workflow", &text(&message.workflow))
        .with("method", &message.method)
        .with("body", &body(message))
        .with("headers", &header_lines(&message.headers))
        .with("maxAttempts", &message.max_attempts.to_string())
        .with("backoff", &message.backoff.kind)
        .with("initialSeconds", &message.backoff.initial_seconds.to_string())
        .with("timeoutSeconds", &message.timeout_seconds.to_string())
        .with("flowKey", flow.map(|flow| flow.key.as_str()).unwrap_or_default())
        .with("parallelism", &count(flow.and_then(|flow| flow.parallelism)))
        .with("rate", &count(flow.and_then(|flow| flow.rate)))
        .with("periodSeconds", &shown(flow.and_then(|flow| flow.period_seconds)))
        .with("callbackUrl", &text(&message.callback_url))
        .with("failureCallbackUrl", &text(&message.failure_callback_url))
        .with("labels", &message.labels.join(", "))
}

/// The body as the form shows it.
fn body(message: &Message) -> String {
    match &message.body_base64 {
        Some(bytes) => bytes.clone(),
        None => message.body.as_deref().map(|json| payload::pretty(json.get())).unwrap_or_default(),
    }
}

/// Whether the form is as it was filled from this message.
pub fn is_same(form: &Query, message: &Message) -> bool {
    let filled = filled(message);
    let is_of_target = |name: &str| match name {
        "url" | "method" | "headers" => target(form) == "url",
        "workflow" => target(form) == "workflow",
        _ => true,
    };
    let kept = filled.pairs().filter(|(name, _)| is_of_target(name)).all(|(name, value)| lines(form.get(name)) == value);
    // What it was not filled with, such as a delay, may not be there either; what is hidden is not asked for.
    let added = form.pairs().any(|(name, _)| !["csrf", "fanout"].contains(&name) && is_of_target(name) && !filled.has(name));
    kept && !added && target(form) == target(&filled)
}

/// What was typed, as the API takes it. Of a message that it was filled from it keeps what the form does not have.
pub fn document(form: &Query, old: Option<&Message>) -> Result<Document, FieldError> {
    let target = target(form);
    let mut document = Document::default().text(target, form.get(target).trim());
    if target == "url" && form.get("method") != "POST" {
        document = document.text("method", form.get("method"));
    }
    document = sent(document, form, old)?;
    if target != "workflow" {
        // Of a workflow they have no meaning.
        let headers = typed::headers(form.get("headers"))?;
        if !headers.is_empty() {
            document = document.value("headers", &headers);
        }
    }
    document = document.number("delaySeconds", form.get("delaySeconds")).number("maxAttempts", form.get("maxAttempts"));
    document = document.inner("backoff", &backoff(form, old)).number("timeoutSeconds", form.get("timeoutSeconds"));
    document = document.text("idempotencyKey", form.get("idempotencyKey").trim()).inner("flowControl", &typed::flow(form, "flowKey"));
    for (name, workflow, kept) in [
        ("callbackUrl", "callbackWorkflow", old.and_then(|old| old.callback_workflow.as_deref())),
        ("failureCallbackUrl", "failureCallbackWorkflow", old.and_then(|old| old.failure_callback_workflow.as_deref())),
    ] {
        let typed = form.get(name).trim();
        document = document.text(name, typed).text(workflow, kept.filter(|_| typed.is_empty()).unwrap_or_default());
    }
    let labels = typed::list(form.get("labels"));
    Ok(if labels.is_empty() { document } else { document.value("labels", &labels) })
}

/// What is sent: byte for byte as it was, if it is shown as it was.
fn sent(document: Document, form: &Query, old: Option<&Message>) -> Result<Document, FieldError> {
    let typed = lines(form.get("body"));
    if old.is_some_and(|old| old.body_base64.is_some()) {
        let text =
            "The body is bytes, which this form sends only as they were, with everything else as it was: use /v1/publish for the rest.";
        return Err(FieldError { field: String::new(), text: text.to_owned() });
    }
    let same = old.filter(|old| !typed.is_empty() && body(old) == typed).and_then(|old| old.body.as_deref());
    Ok(match same {
        Some(json) => document.raw("body", Some(json)),
        None => document.raw("body", typed::json("body", &typed)?.as_deref()),
    })
}

/// What was typed of it; the rest of it stays while that does.
fn backoff(form: &Query, old: Option<&Message>) -> Document {
    let kept = |old: &&Backoff| form.get("backoff") == old.kind && form.get("initialSeconds") == old.initial_seconds.to_string();
    let document = Document::default().text("type", form.get("backoff")).number("initialSeconds", form.get("initialSeconds"));
    match old.map(|old| &old.backoff).filter(kept) {
        Some(old) => document.value("factor", &old.factor).value("maxSeconds", &old.max_seconds).value("jitter", &old.jitter),
        None => document,
    }
}

fn target(form: &Query) -> &'static str {
    match form.get("target") {
        "fanout" => "fanout",
        "workflow" => "workflow",
        _ => "url",
    }
}

/// Browsers end lines their own way.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

#[cfg(test)]
#[path = "send_form_tests.rs"]
mod tests;
