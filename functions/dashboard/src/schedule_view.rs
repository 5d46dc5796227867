//! One schedule as its page shows it. Out of scope: reading it and acting on it (`schedule`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::link::{Query, segment};
use crate::message_view::{Backoff, Flow, backoff, flow};
use crate::parts::{Pair, number, seconds, shell, status_text};
use crate::payload::Payload;
use crate::schedule_words::{Coming, coming};
use crate::schedules::{capital, destination, expression, href, outcome};
use crate::typed::{Document, shown};
use crate::visitor::Visitor;
use crate::when::When;

/// Messages that a firing shows one by one.
const MESSAGES_SHOWN: usize = 4;

/// What the API answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    pub id: String,
    pub name: String,
    pub status: String,
    pub cron: Option<String>,
    pub timezone: Option<String>,
    pub every_seconds: Option<i64>,
    pub overlap: String,
    pub catch_up: String,
    pub url: Option<String>,
    pub fanout: Option<String>,
    pub workflow: Option<String>,
    pub method: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Box<RawValue>>,
    pub input: Option<Box<RawValue>>,
    pub max_attempts: i64,
    pub backoff: Box<RawValue>,
    pub timeout_seconds: i64,
    pub labels: Vec<String>,
    pub flow_control: Option<Flow>,
    pub callback_url: Option<String>,
    pub failure_callback_url: Option<String>,
    pub callback_workflow: Option<String>,
    pub failure_callback_workflow: Option<String>,
    pub in_words: String,
    pub clock_change: Option<String>,
    #[serde(default)]
    pub next_runs_at: Vec<String>,
    pub next_run_at: Option<String>,
    pub revision: i64,
    pub created_at: String,
    pub updated_at: String,
}

impl Schedule {
    /// What it sends, if it sends something.
    pub fn sent(&self) -> Option<&RawValue> {
        self.input.as_deref().or(self.body.as_deref())
    }
}

/// A page of what became of its due times.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FiringPage {
    data: Vec<Fired>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fired {
    due_at: String,
    outcome: String,
    asked: bool,
    message_count: i64,
    messages: Vec<FiredMessage>,
}

#[derive(Debug, Deserialize)]
struct FiredMessage {
    id: String,
    status: Option<String>,
    run: Option<String>,
}

/// A schedule, as `templates/schedule.html` shows it.
pub struct ScheduleDetail {
    pub id: String,
    pub name: String,
    pub status: String,
    pub status_text: String,
    pub words: String,
    pub note: String,
    pub expression: String,
    pub next: When,
    pub coming: Vec<Coming>,
    pub kind: &'static str,
    pub dest: String,
    pub dest_href: String,
    pub facts: Vec<Pair>,
    pub headers: Vec<Pair>,
    pub body: String,
    pub body_kind: &'static str,
    pub firings: Vec<Firing>,
    pub firings_href: String,
    pub older_href: String,
    pub newest_href: String,
    pub curl: String,
}

/// A due time and what became of it.
pub struct Firing {
    pub due: When,
    pub outcome: &'static str,
    pub outcome_text: &'static str,
    pub outcome_detail: &'static str,
    pub asked: bool,
    pub messages: Vec<FiringMessage>,
    pub more: String,
}

/// A message that came of it, with the run that it has started.
pub struct FiringMessage {
    pub id: String,
    pub href: String,
    pub status: String,
    pub status_text: String,
    pub run: String,
    pub run_href: String,
}

impl ScheduleDetail {
    /// Of what the API has answered.
    pub fn new(visitor: &Visitor, schedule: Schedule, fired: FiringPage, query: &Query) -> Self {
        let curl = curl(visitor, &schedule);
        let body = Payload::of(schedule.sent(), None);
        let facts = facts(visitor, &schedule);
        let at = href(&schedule.id);
        let (kind, dest) = destination(schedule.url, schedule.fanout, schedule.workflow);
        let folder = match kind {
            "workflow" => "workflows",
            _ => "fanouts",
        };
        Self {
            status_text: status_text(&schedule.status),
            words: capital(&schedule.in_words),
            note: schedule.clock_change.unwrap_or_default(),
            expression: expression(schedule.cron.as_deref(), schedule.every_seconds),
            next: visitor.when(schedule.next_run_at.as_deref()),
            coming: coming(visitor, &schedule.next_runs_at, schedule.timezone.as_deref().unwrap_or_default()),
            dest_href: if kind == "url" { String::new() } else { format!("/dashboard/{folder}/{}", segment(&dest)) },
            kind,
            dest,
            facts,
            headers: schedule.headers.iter().map(|(name, value)| Pair::new(name, value)).collect(),
            body: body.text,
            body_kind: body.kind,
            firings: fired.data.into_iter().map(|fired| firing(visitor, fired)).collect(),
            firings_href: Query::default().with("schedule", &schedule.id).on("/dashboard/messages"),
            older_href: fired.next_cursor.map(|cursor| Query::default().with("cursor", &cursor).on(&at)).unwrap_or_default(),
            newest_href: if query.has("cursor") { at } else { String::new() },
            curl,
            name: schedule.name,
            status: schedule.status,
            id: schedule.id,
        }
    }
}

fn firing(visitor: &Visitor, fired: Fired) -> Firing {
    let due = visitor.when(Some(&fired.due_at));
    // Messages are made up to 90 s ahead and wait for their time.
    let is_ahead = fired.outcome == "fired" && due.rel.starts_with("in ");
    let (outcome, outcome_text, outcome_detail) =
        if is_ahead { ("scheduled", "Made ahead", "Its messages are made and wait for their time.") } else { outcome(&fired.outcome) };
    let left = fired.message_count - fired.messages.len().min(MESSAGES_SHOWN) as i64;
    let message = |message: FiredMessage| {
        let run = message.run.unwrap_or_default();
        FiringMessage {
            href: format!("/dashboard/messages/{}", segment(&message.id)),
            id: message.id,
            status_text: message.status.as_deref().map_or_else(|| "Deleted".to_owned(), status_text),
            status: message.status.unwrap_or_default(),
            run_href: if run.is_empty() { String::new() } else { format!("/dashboard/runs/{}", segment(&run)) },
            run,
        }
    };
    Firing {
        due,
        outcome,
        outcome_text,
        outcome_detail,
        asked: fired.asked,
        messages: fired.messages.into_iter().take(MESSAGES_SHOWN).map(message).collect(),
        more: if left > 0 { format!("and {} more", number(left)) } else { String::new() },
    }
}

fn facts(visitor: &Visitor, schedule: &Schedule) -> Vec<Pair> {
    let of = |name: &str, value: Option<String>| value.map(|value| Pair::new(name, value));
    let is_url = schedule.url.is_some();
    let overlap = if schedule.overlap == "skip" { "skip while the one before is not over" } else { "fire anyway" };
    let catch_up = match schedule.catch_up.as_str() {
        "skip" => "fire none of the missed ones",
        "all" => "fire all the missed ones",
        _ => "fire the newest missed one",
    };
    let growth: Option<Backoff> = serde_json::from_str(schedule.backoff.get()).ok();
    let labels = (!schedule.labels.is_empty()).then(|| schedule.labels.join(", "));
    let workflow = |name: &Option<String>| name.as_ref().map(|name| format!("workflow {name}"));
    let rows = [
        of("Time zone", schedule.timezone.clone()),
        of("Overlap", Some(overlap.to_owned())),
        of("After an outage", Some(catch_up.to_owned())),
        of("Method", is_url.then(|| schedule.method.clone())),
        of("Attempts", Some(format!("at most {}", schedule.max_attempts))),
        of("Backoff", growth.as_ref().map(backoff)),
        of("Timeout", Some(seconds(schedule.timeout_seconds))),
        of("Flow control", schedule.flow_control.as_ref().map(flow)),
        of("Labels", labels),
        of("Callback", schedule.callback_url.clone().or_else(|| workflow(&schedule.callback_workflow))),
        of("Failure callback", schedule.failure_callback_url.clone().or_else(|| workflow(&schedule.failure_callback_workflow))),
        of("Made", Some(visitor.when(Some(&schedule.created_at)).abs)),
        of("Changed", Some(visitor.when(Some(&schedule.updated_at)).abs).filter(|_| schedule.updated_at != schedule.created_at)),
    ];
    rows.into_iter().flatten().collect()
}

/// The flow as it was set.
pub fn flow_document(flow: &Flow) -> Document {
    let number = |n: Option<i32>| shown(n.map(i64::from));
    let limits = Document::default().text("key", &flow.key).number("parallelism", &number(flow.parallelism));
    limits.number("rate", &number(flow.rate)).number("periodSeconds", &shown(flow.period_seconds))
}

/// A line that makes one of the same kind.
fn curl(visitor: &Visitor, schedule: &Schedule) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut document = Document::default().text("name", &schedule.name).text("cron", &text(&schedule.cron));
    document = document.text("timezone", &text(&schedule.timezone)).number("everySeconds", &shown(schedule.every_seconds));
    document =
        document.text("url", &text(&schedule.url)).text("fanout", &text(&schedule.fanout)).text("workflow", &text(&schedule.workflow));
    if schedule.method != "POST" {
        document = document.text("method", &schedule.method);
    }
    if !schedule.headers.is_empty() {
        document = document.value("headers", &schedule.headers);
    }
    document = document.raw("body", schedule.body.as_deref()).raw("input", schedule.input.as_deref());
    if schedule.overlap != "allow" {
        document = document.text("overlap", &schedule.overlap);
    }
    if schedule.catch_up != "latest" {
        document = document.text("catchUp", &schedule.catch_up);
    }
    if let Some(flow) = &schedule.flow_control {
        document = document.inner("flowControl", &flow_document(flow));
    }
    document = document
        .number("maxAttempts", &shown(Some(schedule.max_attempts)))
        .number("timeoutSeconds", &shown(Some(schedule.timeout_seconds)));
    format!(
        "curl {}/v1/schedules -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
        visitor.base,
        visitor.key.hint,
        shell(&serde_json::to_string(&document).unwrap_or_default())
    )
}
