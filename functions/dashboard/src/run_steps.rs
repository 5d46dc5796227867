//! The steps of a run as rows of its waterfall. Out of scope: their times (`run_times`) and places (`run_waterfall`).

use crate::link::{Query, segment};
use crate::parts::{Pair, number, status_text};
use crate::payload::pretty;
use crate::run_api::{Pending, RunHead, Step, Tried, error_detail, error_line, millis};
use crate::run_step_words::{ai, cut, dom_id, kind_text, note_of, state};
use crate::run_times::{self, Span};
use crate::run_waterfall::{Axis, Mark, lanes, length, percent};
use crate::visitor::Visitor;
use crate::when::When;

/// What a row shows of a value; of each of many, less.
const VALUE_BYTES_MAX: usize = 16 * 1024;
const VALUE_BYTES_OF_MANY: usize = 2 * 1024;
const MANY: usize = 50;

/// A label of the axis; x is a percentage.
pub struct Tick {
    pub x: String,
    pub text: String,
}

/// A part of a row's time; percentages.
pub struct Bar {
    pub x: String,
    pub w: String,
    pub kind: String,
    pub title: String,
}

/// A step.
#[derive(Default)]
pub struct StepRow {
    pub dom_id: String,
    pub key: String,
    pub kind: String,
    pub kind_text: String,
    pub status: String,
    pub status_text: String,
    pub lane: String,
    pub bars: Vec<Bar>,
    pub duration: String,
    pub started: When,
    pub ended: When,
    pub note: String,
    pub tries: String,
    pub attempts: Vec<StepAttempt>,
    pub value: String,
    pub value_kind: String,
    pub value_href: String,
    pub error: String,
    pub error_detail: String,
    pub child_href: String,
    pub child_text: String,
    pub ai: Vec<Pair>,
    pub copied: bool,
    pub fork_href: String,
    pub open: bool,
}

/// An execution of a step.
pub struct StepAttempt {
    pub number: String,
    pub status: String,
    pub status_text: String,
    pub at: When,
    pub duration: String,
    pub error: String,
    pub error_detail: String,
    pub retry: String,
    pub free: bool,
    pub late: bool,
}

/// All of a run's steps.
pub struct Waterfall {
    pub rows: Vec<StepRow>,
    pub ticks: Vec<Tick>,
    pub breaks: Vec<Tick>,
    pub now_x: String,
    pub text: String,
}

/// Draws these steps.
pub fn waterfall(visitor: &Visitor, head: &RunHead, steps: &[Step], pending: &[Pending]) -> Waterfall {
    let (begins_ms, now_ms) = (millis(&head.created_at), visitor.now_s() * 1_000);
    let path = format!("/dashboard/runs/{}", segment(&head.id));
    let shown_max = if steps.len() > MANY { VALUE_BYTES_OF_MANY } else { VALUE_BYTES_MAX };
    let mut rows: Vec<(StepRow, Vec<Span>)> = Vec::new();
    for (step, spans) in steps.iter().zip(run_times::of_finished(steps, begins_ms)) {
        rows.push((finished(visitor, &path, step, &spans, shown_max), spans));
    }
    for pending in pending {
        let spans = run_times::of_pending(pending, begins_ms, now_ms);
        rows.push((planned(visitor, &path, head, pending, &spans), spans));
    }
    // What a fork took over stands first; all else as it began.
    rows.sort_by_key(|(_, spans)| spans.first().map(|span| span.from_ms));
    let (from_ms, to_ms) = extent(head, &rows, begins_ms, now_ms);
    let stretches: Vec<_> = rows.iter().flat_map(|(_, spans)| spans).map(Span::stretch).collect();
    let axis = Axis::new(from_ms, to_ms, &stretches);
    let ends =
        |spans: &[Span]| spans.first().zip(spans.last()).map_or((i64::MIN, i64::MIN + 1), |(first, last)| (first.from_ms, last.to_ms));
    let drawn: Vec<_> = rows.iter().filter(|(_, spans)| !spans.is_empty()).map(|(_, spans)| ends(spans)).collect();
    let copied = rows.len() - drawn.len();
    for ((row, spans), lane) in rows[copied..].iter_mut().zip(lanes(&drawn)) {
        row.lane = lane.to_owned();
        row.bars = spans.iter().map(|span| bar(&axis, span)).collect();
    }
    let text = text(steps, pending, &rows);
    Waterfall {
        ticks: axis.ticks().into_iter().map(tick).collect(),
        breaks: axis.breaks().into_iter().map(tick).collect(),
        now_x: if head.is_over() { String::new() } else { percent(axis.x(to_ms)) },
        rows: rows.into_iter().map(|(row, _)| row).collect(),
        text,
    }
}

/// From when to when the axis goes.
fn extent(head: &RunHead, rows: &[(StepRow, Vec<Span>)], begins_ms: i64, now_ms: i64) -> (i64, i64) {
    let last_ms = rows.iter().flat_map(|(_, spans)| spans).map(|span| span.to_ms).max().unwrap_or(begins_ms);
    let end_ms = head.finished_at.as_deref().map_or(now_ms, millis);
    (begins_ms, end_ms.max(last_ms))
}

fn tick(mark: Mark) -> Tick {
    Tick { x: percent(mark.x), text: mark.text }
}

fn bar(axis: &Axis, span: &Span) -> Bar {
    let (x, width) = axis.bar(span.from_ms, span.to_ms);
    Bar { x: percent(x), w: percent(width), kind: span.kind.to_owned(), title: span.title.clone() }
}

fn text(steps: &[Step], pending: &[Pending], rows: &[(StepRow, Vec<Span>)]) -> String {
    let retries: usize = steps.iter().map(|step| &step.attempts).chain(pending.iter().map(|p| &p.attempts)).map(Vec::len).sum();
    let worked_ms: i64 =
        rows.iter().flat_map(|(_, spans)| spans).filter(|span| ["run", "error"].contains(&span.kind)).map(|s| s.to_ms - s.from_ms).sum();
    let count = |n: usize, one: &str, many: &str| format!("{} {}", number(n as i64), if n == 1 { one } else { many });
    let mut parts = vec![count(rows.len(), "step", "steps")];
    if retries > 0 {
        parts.push(count(retries, "retry", "retries"));
    }
    if worked_ms > 0 {
        parts.push(format!("{} of work", length(worked_ms)));
    }
    parts.join(", ")
}

fn finished(visitor: &Visitor, path: &str, step: &Step, spans: &[Span], shown_max: usize) -> StepRow {
    let (status, text) = state(step);
    let (value, is_cut) = step.value.as_ref().map(|value| cut(pretty(value.get()), shown_max)).unwrap_or_default();
    let took_ms = spans.first().zip(spans.last()).map(|(first, last)| last.to_ms - first.from_ms).or(step.duration_ms);
    let error = step.error.as_ref();
    let is_timed = step.planned_at.is_some() || ["run", "ai"].contains(&step.kind.as_str());
    let mut attempts: Vec<_> = step.attempts.iter().map(|tried| attempt(visitor, tried)).collect();
    if !attempts.is_empty() {
        attempts.push(last_attempt(visitor, step, &status, &text));
    }
    StepRow {
        value_kind: if step.value.is_some() || step.truncated { "json" } else { "none" }.to_owned(),
        value: if step.truncated { "(too long to show here)".to_owned() } else { value },
        value_href: if is_cut || step.truncated { format!("{path}/values/{}", step.seq) } else { String::new() },
        error: error.map(error_line).unwrap_or_default(),
        error_detail: error.map(error_detail).unwrap_or_default(),
        open: step.state == "error",
        tries: tries(attempts.len()),
        attempts,
        status,
        status_text: text,
        duration: took_ms.map(length).unwrap_or_default(),
        // When other waits began is not known to the second.
        started: spans.first().filter(|_| is_timed).map(|span| at(visitor, span.from_ms)).unwrap_or_default(),
        ended: visitor.when(Some(&step.recorded_at)),
        ai: step.ai.as_ref().map(ai).unwrap_or_default(),
        note: note_of(step),
        copied: step.copied,
        ..row(path, &step.key, &step.kind, step.run_id.as_deref())
    }
}

fn planned(visitor: &Visitor, path: &str, head: &RunHead, pending: &Pending, spans: &[Span]) -> StepRow {
    let due = visitor.when(pending.due_at.as_deref());
    let is_due = pending.due_at.as_deref().is_none_or(|due| millis(due) <= visitor.now_s() * 1_000);
    let status = match pending.kind.as_str() {
        "run" | "ai" if head.status == "running" && is_due => "running",
        "run" | "ai" => "retrying",
        "sleep" => "sleeping",
        "child" | "fetch" => "running",
        _ => "waiting",
    };
    let name = pending.name.as_deref().unwrap_or_default();
    let until = if due.iso.is_empty() { String::new() } else { format!(", until {}", due.abs) };
    let note = match pending.kind.as_str() {
        "run" | "ai" if status == "running" => format!("Attempt {} is under way.", pending.attempt),
        "run" | "ai" => format!("Attempt {} at {}.", pending.attempt, due.abs),
        "sleep" => format!("Sleeps until {}.", due.abs),
        "signal" => format!("Waits for the signal {name}{until}."),
        "event" => format!("Waits for the event {name}{until}."),
        "approval" => format!("Waits for a person{until}."),
        _ => String::new(),
    };
    let attempts: Vec<_> = pending.attempts.iter().map(|tried| attempt(visitor, tried)).collect();
    let mut base = row(path, &pending.key, &pending.kind, pending.run_id.as_deref());
    if let Some(message) = &pending.message_id {
        base.child_href = format!("/dashboard/messages/{}", segment(message));
        base.child_text = format!("The call is {message}");
    }
    StepRow {
        status: status.to_owned(),
        status_text: status_text(status),
        duration: spans
            .first()
            .map(|span| length(visitor.now_s() * 1_000 - span.from_ms))
            .filter(|text| !text.starts_with('-'))
            .unwrap_or_default(),
        started: spans.first().map(|span| at(visitor, span.from_ms)).unwrap_or_default(),
        value_kind: "none".to_owned(),
        tries: tries(attempts.len()),
        attempts,
        note,
        ..base
    }
}

/// What every row has.
fn row(path: &str, key: &str, kind: &str, child: Option<&str>) -> StepRow {
    StepRow {
        dom_id: dom_id(key),
        key: key.to_owned(),
        kind: kind.to_owned(),
        kind_text: kind_text(kind).to_owned(),
        child_href: child.map(|id| format!("/dashboard/runs/{}", segment(id))).unwrap_or_default(),
        child_text: child.unwrap_or_default().to_owned(),
        fork_href: Query::default().with("step", key).on(&format!("{path}/fork")),
        ..StepRow::default()
    }
}

fn tries(count: usize) -> String {
    if count > 1 { format!("{count} attempts") } else { String::new() }
}

fn attempt(visitor: &Visitor, tried: &Tried) -> StepAttempt {
    let has_failed = tried.error.is_some();
    StepAttempt {
        number: tried.number.to_string(),
        status: if has_failed { "error" } else { "ok" }.to_owned(),
        status_text: if has_failed { "Failed" } else { "Done" }.to_owned(),
        at: visitor.when(Some(&tried.recorded_at)),
        duration: tried.duration_ms.map(length).unwrap_or_default(),
        error: tried.error.as_ref().map(error_line).unwrap_or_default(),
        error_detail: tried.error.as_ref().map(error_detail).unwrap_or_default(),
        retry: tried.retry_ms.map(|ms| format!("again after {}", length(ms))).unwrap_or_default(),
        free: tried.free,
        late: tried.late,
    }
}

/// The execution that counts, as the last of several.
fn last_attempt(visitor: &Visitor, step: &Step, status: &str, text: &str) -> StepAttempt {
    StepAttempt {
        number: step.attempt.to_string(),
        status: status.to_owned(),
        status_text: text.to_owned(),
        at: visitor.when(Some(&step.recorded_at)),
        duration: step.duration_ms.map(length).unwrap_or_default(),
        error: step.error.as_ref().map(error_line).unwrap_or_default(),
        error_detail: String::new(),
        retry: String::new(),
        free: false,
        late: false,
    }
}

fn at(visitor: &Visitor, ms: i64) -> When {
    let time = jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default();
    visitor.when(Some(&time))
}
