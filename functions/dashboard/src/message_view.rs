//! One message as its page shows it. Out of scope: reading it and acting on it (`message`).

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::link::{Query, segment};
use crate::message_curl;
use crate::parts::{Link, Pair, duration, number, seconds, size, status_text};
use crate::payload::Payload;
use crate::visitor::Visitor;
use crate::when::When;

/// Attempts on a page, the newest first.
const ATTEMPTS_SHOWN: usize = 50;

/// What the API answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub id: String,
    pub status: String,
    pub url: Option<String>,
    pub workflow: Option<String>,
    pub method: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Box<RawValue>>,
    pub body_base64: Option<String>,
    pub body_bytes: Option<i64>,
    pub delay_seconds: Option<i64>,
    pub not_before: Option<String>,
    pub max_attempts: i32,
    pub backoff: Backoff,
    pub timeout_seconds: i64,
    pub idempotency_key: Option<String>,
    pub labels: Vec<String>,
    pub flow_control: Option<Flow>,
    pub callback_url: Option<String>,
    pub failure_callback_url: Option<String>,
    pub callback_workflow: Option<String>,
    pub failure_callback_workflow: Option<String>,
    pub callback_of: Option<String>,
    pub fanout: Option<String>,
    pub publish_id: Option<String>,
    pub schedule: Option<String>,
    pub run: Option<String>,
    pub waiting_for: Option<String>,
    pub created_at: String,
    pub due_at: String,
    pub finished_at: Option<String>,
    pub attempt_count: i32,
    pub cancel_requested: bool,
    pub resent_from: Option<String>,
    attempts: Vec<Tried>,
}

impl Message {
    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    #[serde(rename = "type")]
    pub kind: String,
    pub initial_seconds: i64,
    pub factor: f64,
    pub max_seconds: i64,
    pub jitter: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub key: String,
    pub parallelism: Option<i32>,
    pub rate: Option<i32>,
    pub period_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    number: i32,
    started_at: String,
    duration_ms: i64,
    response_status: Option<u16>,
    response_headers: BTreeMap<String, String>,
    response_body: Option<String>,
    error: Option<String>,
    retry_after_ms: Option<i64>,
    worker: String,
}

/// A message, as `templates/message.html` shows it.
pub struct MessageDetail {
    pub id: String,
    pub status: String,
    pub status_text: String,
    pub kind: String,
    pub method: String,
    pub dest: String,
    pub dest_href: String,
    pub created: When,
    pub finished: When,
    pub attempts_text: String,
    pub next: When,
    pub next_text: String,
    pub waiting_for: String,
    pub can_cancel: bool,
    pub can_retry: bool,
    pub can_resend: bool,
    pub cancel_requested: bool,
    pub attempts: Vec<Attempt>,
    pub more_attempts: String,
    pub body: String,
    pub body_kind: String,
    pub body_size: String,
    pub body_href: String,
    pub headers: Vec<Pair>,
    pub policy: Vec<Pair>,
    pub links: Vec<Link>,
    pub labels: Vec<LabelLink>,
    pub curl: String,
}

/// A push.
pub struct Attempt {
    pub number: String,
    pub status: String,
    pub status_text: String,
    pub code: String,
    pub started: When,
    pub duration: String,
    pub error: String,
    pub worker: String,
    pub retry_after: String,
    pub response_headers: Vec<Pair>,
    pub response_body: String,
    pub response_kind: String,
    pub open: bool,
}

/// A label, and the messages that have it.
pub struct LabelLink {
    pub text: String,
    pub href: String,
}

impl MessageDetail {
    /// Of what the API answers.
    pub fn new(visitor: &Visitor, message: Message) -> Self {
        let payload = Payload::of(message.body.as_deref(), message.body_base64.as_deref());
        let is_waiting = ["scheduled", "queued", "retrying"].contains(&message.status.as_str());
        let status = message.status.as_str();
        let href = format!("/dashboard/messages/{}", segment(&message.id));
        let hidden = message.attempts.len().saturating_sub(ATTEMPTS_SHOWN);
        Self {
            status_text: status_text(status),
            kind: if message.workflow.is_some() { "workflow" } else { "url" }.to_owned(),
            dest: message.workflow.as_ref().or(message.url.as_ref()).cloned().unwrap_or_default(),
            dest_href: message.workflow.as_deref().map(|name| format!("/dashboard/workflows/{}", segment(name))).unwrap_or_default(),
            created: visitor.when(Some(&message.created_at)),
            finished: visitor.when(message.finished_at.as_deref()),
            attempts_text: format!("{} of {}", message.attempt_count, message.max_attempts),
            next: if is_waiting { visitor.when(Some(&message.due_at)) } else { When::default() },
            next_text: next_text(&message),
            waiting_for: waiting_for(&message),
            can_cancel: !message.is_over() && !message.cancel_requested,
            can_retry: ["failed", "cancelled", "retrying"].contains(&status),
            can_resend: true,
            cancel_requested: message.cancel_requested,
            attempts: message
                .attempts
                .iter()
                .rev()
                .take(ATTEMPTS_SHOWN)
                .enumerate()
                .map(|(at, tried)| attempt(visitor, tried, at))
                .collect(),
            more_attempts: if hidden > 0 { format!("{} earlier attempts are not shown.", number(hidden as i64)) } else { String::new() },
            body: payload.text,
            body_kind: payload.kind.to_owned(),
            body_size: message.body_bytes.map(size).unwrap_or_default(),
            body_href: if payload.is_cut { format!("{href}/body") } else { String::new() },
            headers: pairs(&message.headers),
            policy: policy(&message),
            links: links(&message),
            labels: message.labels.iter().map(|label| label_link(label)).collect(),
            curl: message_curl::publish(visitor, &message),
            method: message.method,
            status: message.status,
            id: message.id,
        }
    }
}

fn next_text(message: &Message) -> String {
    match message.attempt_count {
        0 => "First attempt".to_owned(),
        n => format!("Attempt {} of {}", n + 1, message.max_attempts.max(n + 1)),
    }
}

fn waiting_for(message: &Message) -> String {
    let flow = message.flow_control.as_ref().map_or("", |flow| &flow.key);
    match message.waiting_for.as_deref() {
        Some("flow") => format!("It waits for room in its flow {flow}."),
        Some("breaker") => "The circuit breaker of this destination is open; it probes again by itself.".to_owned(),
        _ => String::new(),
    }
}

fn attempt(visitor: &Visitor, tried: &Tried, at: usize) -> Attempt {
    let status = if tried.error.is_none() { "delivered" } else { "failed" };
    let code = tried.response_status.map(|code| {
        let reason = StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default();
        format!("{code} {reason}").trim().to_owned()
    });
    let payload = Payload::of_text(tried.response_body.as_deref().unwrap_or_default());
    Attempt {
        number: tried.number.to_string(),
        status: status.to_owned(),
        status_text: if status == "delivered" { "Delivered" } else { "No answer" }.to_owned(),
        code: code.unwrap_or_default(),
        started: visitor.when(Some(&tried.started_at)),
        duration: duration(tried.duration_ms),
        error: tried.error.clone().unwrap_or_default(),
        worker: tried.worker.clone(),
        retry_after: tried.retry_after_ms.map(|ms| format!("Retry-After: {}", duration(ms))).unwrap_or_default(),
        response_headers: pairs(&tried.response_headers),
        response_body: payload.text,
        response_kind: payload.kind.to_owned(),
        open: at == 0,
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<Pair> {
    map.iter().map(|(name, value)| Pair::new(name, value)).collect()
}

fn policy(message: &Message) -> Vec<Pair> {
    let of = |name: &str, value: Option<String>| value.map(|value| Pair::new(name, value));
    let rows = [
        of("Attempts", Some(format!("at most {}", message.max_attempts))),
        of("Backoff", Some(backoff(&message.backoff))),
        of("Timeout", Some(seconds(message.timeout_seconds))),
        of("Delay", message.delay_seconds.map(seconds)),
        of("Not before", message.not_before.clone()),
        of("Idempotency key", message.idempotency_key.clone()),
        of("Flow control", message.flow_control.as_ref().map(flow)),
        of("Callback", message.callback_url.clone()),
        of("Failure callback", message.failure_callback_url.clone()),
    ];
    rows.into_iter().flatten().collect()
}

/// A backoff in words.
pub fn backoff(backoff: &Backoff) -> String {
    let factor = if backoff.kind == "exponential" { format!(" × {}", backoff.factor) } else { String::new() };
    let jitter = if backoff.jitter { ", jitter" } else { "" };
    format!("{}, {}{factor}, at most {}{jitter}", backoff.kind, seconds(backoff.initial_seconds), seconds(backoff.max_seconds))
}

/// A flow with its limits in words.
pub fn flow(flow: &Flow) -> String {
    let at_once = flow.parallelism.map(|n| format!(", {n} at once"));
    let rate = flow.rate.map(|n| format!(", {n} per {}", seconds(flow.period_seconds.unwrap_or(1))));
    format!("{}{}{}", flow.key, at_once.unwrap_or_default(), rate.unwrap_or_default())
}

fn links(message: &Message) -> Vec<Link> {
    let flow = message.flow_control.as_ref().map(|flow| flow.key.clone());
    let of = |name: &'static str, text: &Option<String>, folder: &str| {
        text.as_deref().map(|text| Link::new(name, text, format!("/dashboard/{folder}/{}", segment(text))))
    };
    let rows = [
        of("Fanout", &message.fanout, "fanouts"),
        of("First of its publish", &message.publish_id.clone().filter(|id| *id != message.id), "messages"),
        of("Schedule", &message.schedule, "schedules"),
        of("Run", &message.run, "runs"),
        of("Flow", &flow, "flows"),
        of("Resent from", &message.resent_from, "messages"),
        of("Callback of", &message.callback_of, "messages"),
        of("Callback workflow", &message.callback_workflow, "workflows"),
        of("Failure callback workflow", &message.failure_callback_workflow, "workflows"),
    ];
    rows.into_iter().flatten().collect()
}

fn label_link(label: &str) -> LabelLink {
    LabelLink { text: label.to_owned(), href: Query::default().with("label", label).on("/dashboard/messages") }
}
