//! When the steps of a run worked and waited.
//!
//! The journal says when each step was recorded, and how long its last execution took by the clock of its endpoint. When a finished wait began
//! it says of children and approvals; of others, what had been recorded before it is taken. Steps that were recorded together ran at the same time, unless together they took just as long as there was time: then one came after the other, in one
//! batch.
//!
//! Out of scope: places on an axis (`run_waterfall`).

use crate::run_api::{Pending, Step, Tried, error_line, millis};
use crate::run_waterfall::{Stretch, length};

/// What is called by the engine, or is another run, works for as long as this; beyond it one waits for it.
const CALL_MS_MAX: i64 = 60_000;

/// A part of a step's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// From when, in milliseconds since 1970.
    pub from_ms: i64,
    /// Until when.
    pub to_ms: i64,
    /// run, wait, retry, error, child or live.
    pub kind: &'static str,
    /// What it says.
    pub title: String,
}

impl Span {
    fn new(from_ms: i64, to_ms: i64, kind: &'static str, title: impl Into<String>) -> Self {
        Self { from_ms: from_ms.min(to_ms), to_ms, kind, title: title.into() }
    }

    /// The same for the axis.
    pub fn stretch(&self) -> Stretch {
        let is_work = match self.kind {
            "run" | "error" | "live" => true,
            "child" => self.to_ms - self.from_ms <= CALL_MS_MAX,
            _ => false,
        };
        Stretch { from_ms: self.from_ms, to_ms: self.to_ms, is_work }
    }
}

/// The parts of each finished step, in their order; none for what a fork has copied.
pub fn of_finished(steps: &[Step], begins_ms: i64) -> Vec<Vec<Span>> {
    let mut spans = vec![Vec::new(); steps.len()];
    let (mut at, mut before_ms) = (0, begins_ms);
    while at < steps.len() {
        let recorded_ms = millis(&steps[at].recorded_at);
        let count =
            steps[at..].iter().take_while(|step| step.copied == steps[at].copied && millis(&step.recorded_at) == recorded_ms).count();
        if !steps[at].copied {
            let ends = ends(&steps[at..at + count], before_ms, recorded_ms);
            for (nth, end_ms) in ends.into_iter().enumerate() {
                let step = &steps[at + nth];
                let planned_ms = step.planned_at.as_deref().map_or(before_ms, millis);
                spans[at + nth] = finished(step, end_ms, planned_ms, begins_ms);
            }
            before_ms = recorded_ms;
        }
        at += count;
    }
    spans
}

/// When each of the steps that were recorded together was done.
fn ends(together: &[Step], before_ms: i64, recorded_ms: i64) -> Vec<i64> {
    let took = |step: &Step| step.duration_ms.unwrap_or(0).max(0);
    let (sum, window) = (together.iter().map(took).sum::<i64>(), recorded_ms - before_ms);
    let is_batch = together.len() > 1 && sum <= window && sum * 10 >= window * 6 && together.iter().all(|step| step.attempts.is_empty());
    let mut left = if is_batch { sum } else { 0 };
    let end = |step: &Step| {
        left -= if is_batch { took(step) } else { 0 };
        recorded_ms - left
    };
    together.iter().map(end).collect()
}

fn finished(step: &Step, end_ms: i64, wait_ms: i64, begins_ms: i64) -> Vec<Span> {
    let took_ms = step.duration_ms.unwrap_or(0).max(0);
    let is_body = ["run", "ai"].contains(&step.kind.as_str());
    if !is_body {
        let kind = match (step.kind.as_str(), step.state.as_str()) {
            ("child" | "fetch", "error") => "error",
            ("child", _) => "child",
            ("publish", _) => "run",
            ("fetch", _) if end_ms - wait_ms <= CALL_MS_MAX => "run",
            _ => "wait",
        };
        let from_ms = if step.kind == "publish" { end_ms } else { wait_ms.min(end_ms) };
        return vec![Span::new(from_ms, end_ms, kind, length(end_ms - from_ms))];
    }
    let from_ms = (end_ms - took_ms).max(begins_ms.min(end_ms));
    let mut spans = tried(&step.attempts, begins_ms, from_ms);
    let from_ms = spans.last().map_or(from_ms, |last| from_ms.max(last.from_ms));
    if let Some(wait) = spans.last_mut().filter(|last| last.kind == "retry") {
        wait.to_ms = from_ms;
        wait.title = format!("waits {}", length(wait.to_ms - wait.from_ms));
    }
    let kind = if step.state == "ok" { "run" } else { "error" };
    spans.push(Span::new(from_ms, end_ms, kind, format!("attempt {}, {}", step.attempt, length(took_ms))));
    spans
}

/// Failed executions and the waits after them, the last one until `until_ms`.
fn tried(attempts: &[Tried], begins_ms: i64, until_ms: i64) -> Vec<Span> {
    let counted: Vec<&Tried> = attempts.iter().filter(|tried| !tried.late).collect();
    let mut spans = Vec::new();
    for (nth, tried) in counted.iter().enumerate() {
        let end_ms = millis(&tried.recorded_at);
        let why = tried.error.as_ref().map(error_line).unwrap_or_default();
        let from_ms = (end_ms - tried.duration_ms.unwrap_or(0).max(0)).max(begins_ms.min(end_ms));
        spans.push(Span::new(from_ms, end_ms, "error", format!("attempt {}: {why}", tried.number)));
        let next_ms = counted.get(nth + 1).map_or(until_ms, |next| millis(&next.recorded_at) - next.duration_ms.unwrap_or(0).max(0));
        if next_ms > end_ms {
            spans.push(Span::new(end_ms, next_ms, "retry", format!("waits {}", length(next_ms - end_ms))));
        }
    }
    spans
}

/// The parts of a step that is not finished, until now.
pub fn of_pending(pending: &Pending, begins_ms: i64, now_ms: i64) -> Vec<Span> {
    let from_ms = millis(&pending.planned_at);
    let now_ms = now_ms.max(from_ms);
    match pending.kind.as_str() {
        "run" | "ai" if pending.attempts.is_empty() => vec![Span::new(from_ms, now_ms, "live", "is executed again")],
        "run" | "ai" => tried(&pending.attempts, begins_ms, now_ms),
        "child" => vec![Span::new(from_ms, now_ms, "child", format!("{} so far", length(now_ms - from_ms)))],
        "fetch" => vec![Span::new(from_ms, now_ms, if now_ms - from_ms <= CALL_MS_MAX { "live" } else { "wait" }, "is called")],
        _ => vec![Span::new(from_ms, now_ms, "wait", format!("{} so far", length(now_ms - from_ms)))],
    }
}

#[cfg(test)]
#[path = "run_times_tests.rs"]
mod tests;
