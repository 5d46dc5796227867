//! One run as its page shows it. Out of scope: its steps (`run_steps`) and what it waits for (`run_waits`).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::link::{Query, segment};
use crate::message_view::LabelLink;
use crate::parts::{Link, Pair, number, status_text};
use crate::payload::Payload;
use crate::run_api::{Run, RunHead, Steps, error_detail, error_line, millis};
use crate::run_row::{RunRow, pause_text};
use crate::run_step_words::{dollars, kind_text};
use crate::run_steps::{self, StepRow, Tick};
use crate::run_waits::{self, Approval, Wait};
use crate::run_waterfall::length;
use crate::visitor::Visitor;
use crate::when::When;

/// A run, as `templates/run.html` shows it.
pub struct RunDetail {
    pub id: String,
    pub workflow: String,
    pub workflow_href: String,
    pub version: String,
    pub external_id: String,
    pub status: String,
    pub status_text: String,
    pub sentence: String,
    pub next: When,
    pub next_text: String,
    pub finished: When,
    pub labels: Vec<LabelLink>,
    pub links: Vec<Link>,
    pub facts: Vec<Pair>,
    pub can_cancel: bool,
    pub can_pause: bool,
    pub can_resume: bool,
    pub can_retry: bool,
    pub can_wake: bool,
    pub can_fork: bool,
    pub pause_requested: bool,
    pub pause_title: String,
    pub pause_text: String,
    pub diff: Vec<DiffLine>,
    pub can_accept: bool,
    pub error: String,
    pub error_detail: String,
    pub waits: Vec<Wait>,
    pub steps_text: String,
    pub ticks: Vec<Tick>,
    pub breaks: Vec<Tick>,
    pub now_x: String,
    pub rows: Vec<StepRow>,
    pub more_href: String,
    pub input: String,
    pub input_kind: String,
    pub output: String,
    pub output_kind: String,
    pub ai: Vec<Pair>,
    pub children: Vec<RunRow>,
    pub signals: Vec<Pair>,
}

/// A step in which code and journal differ.
pub struct DiffLine {
    pub mark: String,
    pub key: String,
    pub kind: String,
    pub text: String,
}

/// What belongs to a run and was asked for separately.
#[derive(Default)]
pub struct Around {
    /// Its approvals.
    pub approvals: Vec<Approval>,
    /// Its children, the newest first.
    pub children: Vec<RunHead>,
    /// A later page of its steps, instead of the first.
    pub later: Option<Steps>,
}

impl RunDetail {
    /// Of what the API answers; what was typed into a wait's form and refused stays there.
    pub fn new(visitor: &Visitor, mut run: Run, around: Around, typed: Option<(&str, &str)>) -> Self {
        let waits = run_waits::waits(visitor, &run, &around.approvals, typed);
        let is_first = around.later.is_none();
        if let Some(later) = around.later {
            (run.steps, run.steps_cursor) = (later.data, later.next_cursor);
        }
        // What is not finished stands after the last step.
        let pending = if run.steps_cursor.is_none() { run.pending.as_slice() } else { &[] };
        let drawn = run_steps::waterfall(visitor, &run.head, &run.steps, pending);
        let (input, output) = (payload(run.input.as_deref(), run.input_truncated), payload(run.output.as_deref(), false));
        let (error, error_detail) = error(&run);
        let path = format!("/dashboard/runs/{}", segment(&run.head.id));
        let (sentence, next_text, next) = sentence(visitor, &run);
        let (ai, signals) = (ai(&run), run.signals.iter().map(|s| Pair::new(&s.name, number(s.count))).collect());
        let has_timer = run.pending.iter().any(|p| p.due_at.is_some() && ["sleep", "run", "ai"].contains(&p.kind.as_str()));
        let can_fork = !run.steps.is_empty() || !run.pending.is_empty();
        let head = run.head;
        let status = head.status.as_str();
        Self {
            workflow_href: format!("/dashboard/workflows/{}", segment(&head.workflow)),
            external_id: head.external_id.clone().unwrap_or_default(),
            status_text: status_text(status),
            sentence,
            next,
            next_text,
            finished: visitor.when(head.finished_at.as_deref()),
            labels: head.labels.iter().map(|label| label_link(label)).collect(),
            links: links(&head),
            facts: facts(visitor, &head),
            can_cancel: !head.is_over(),
            can_pause: !head.is_over() && status != "paused" && !head.pause_requested,
            can_resume: status == "paused",
            can_retry: ["failed", "cancelled"].contains(&status),
            can_wake: (has_timer && ["sleeping", "waiting", "retrying"].contains(&status)) || is_delayed(visitor, &head),
            can_fork,
            pause_requested: head.pause_requested && status != "paused",
            pause_title: if status == "paused" { pause_text(head.pause_reason.as_deref()) } else { String::new() },
            pause_text: pause_advice(&head),
            diff: diff(&head),
            can_accept: head.pause_reason.as_deref() == Some("nonDeterminism"),
            error,
            error_detail,
            waits: if is_first { waits } else { Vec::new() },
            steps_text: drawn.text,
            ticks: drawn.ticks,
            breaks: drawn.breaks,
            now_x: drawn.now_x,
            rows: drawn.rows,
            more_href: run.steps_cursor.map(|cursor| Query::default().with("steps", &cursor).on(&path)).unwrap_or_default(),
            input: input.0,
            input_kind: input.1,
            output: output.0,
            output_kind: output.1,
            ai,
            children: around.children.into_iter().map(|child| RunRow::new(visitor, child)).collect(),
            signals,
            status: head.status,
            version: head.version,
            workflow: head.workflow,
            id: head.id,
        }
    }
}

/// The text and kind of an input or output.
fn payload(json: Option<&RawValue>, is_truncated: bool) -> (String, String) {
    if is_truncated {
        return ("It has more than 256 KiB and is not shown here.".to_owned(), "text".to_owned());
    }
    let payload = Payload::of(json, None);
    (payload.text, payload.kind.to_owned())
}

/// What a failed run failed with; of one that is tried again, what its endpoint answered last.
fn error(run: &Run) -> (String, String) {
    let of = |error: Option<&Value>| error.map(|error| (error_line(error), error_detail(error))).unwrap_or_default();
    match run.head.status.as_str() {
        "failed" | "cancelled" => of(run.error.as_ref()),
        "retrying" | "paused" if !is_step_retried(run) => {
            let (line, detail) = of(run.head.last_error.as_ref());
            (if line.is_empty() { line } else { format!("The last dispatch came to nothing: {line}") }, detail)
        }
        _ => Default::default(),
    }
}

fn is_step_retried(run: &Run) -> bool {
    run.pending.iter().any(|pending| !pending.attempts.is_empty())
}

/// What the run does now; what comes next, and when.
fn sentence(visitor: &Visitor, run: &Run) -> (String, String, When) {
    let head = &run.head;
    let took = length(head.took_ms(visitor.now_s()));
    let wakes = || visitor.when(head.wakes_at.as_deref());
    let (text, next_text, next) = match head.status.as_str() {
        "queued" if is_delayed(visitor, head) => ("It has not begun.".to_owned(), "Begins", wakes()),
        "queued" => ("It is about to be dispatched.".to_owned(), "", When::default()),
        "running" => ("Its endpoint works on it.".to_owned(), "", When::default()),
        "sleeping" => ("It sleeps, which costs nothing.".to_owned(), "Goes on", wakes()),
        "waiting" => (waits_for(run), "Goes on without it", wakes()),
        "retrying" if is_step_retried(run) => ("A step failed and is tried again.".to_owned(), "Goes on", wakes()),
        "retrying" => ("Its endpoint is tried again, as often as need be.".to_owned(), "Goes on", wakes()),
        "paused" => ("It stands still until a person decides.".to_owned(), "", When::default()),
        "failed" => (format!("It failed{}.", failed_at(run)), "Over", visitor.when(head.finished_at.as_deref())),
        _ => (format!("It took {took}."), "Over", visitor.when(head.finished_at.as_deref())),
    };
    (text, next_text.to_owned(), next)
}

fn is_delayed(visitor: &Visitor, head: &RunHead) -> bool {
    head.status == "queued" && head.started_at.is_none() && head.wakes_at.as_deref().is_some_and(|at| millis(at) > visitor.now_s() * 1_000)
}

/// "It waits for the signal review and an approval."
fn waits_for(run: &Run) -> String {
    let words = |pending: &crate::run_api::Pending| match (pending.kind.as_str(), pending.name.as_deref()) {
        ("signal", Some(name)) => format!("the signal {name}"),
        ("event", Some(name)) => format!("the event {name}"),
        ("approval", _) => "a person".to_owned(),
        ("child", _) => "a child".to_owned(),
        ("fetch", _) => "a call".to_owned(),
        ("sleep", _) => "a timer".to_owned(),
        _ => pending.key.clone(),
    };
    let mut what: Vec<String> = run.pending.iter().map(words).collect();
    what.dedup();
    match what.len() {
        0 => "It waits.".to_owned(),
        1..=3 => format!("It waits for {}.", what.join(" and ")),
        n => format!("It waits for {} and {} more.", what[..2].join(", "), n - 2),
    }
}

fn failed_at(run: &Run) -> String {
    let step = run.steps.iter().rev().find(|step| step.state == "error");
    step.map(|step| format!(" at {}", step.key)).unwrap_or_default()
}

fn facts(visitor: &Visitor, head: &RunHead) -> Vec<Pair> {
    let at = |name: &str, time: Option<&str>| time.map(|time| Pair::new(name, visitor.when(Some(time)).abs));
    let by = head.started_by.as_ref().map(|key| Pair::new("By the key", key));
    let rows = [
        Some(Pair::new("Started by", head.started_how.as_str())),
        by,
        at("Accepted", Some(&head.created_at)),
        at("First dispatch", head.started_at.as_deref()),
        at("Over", head.finished_at.as_deref()),
        Some(Pair::new(if head.is_over() { "Took" } else { "So far" }, length(head.took_ms(visitor.now_s())))),
        (head.attempt > 1).then(|| Pair::new("Attempt", format!("{}, after being retried by a person", head.attempt))),
        head.fork_key.as_ref().map(|key| Pair::new("Forked at", key)),
    ];
    rows.into_iter().flatten().collect()
}

fn links(head: &RunHead) -> Vec<Link> {
    let run = |name: &str, id: &Option<String>| id.as_ref().map(|id| Link::new(name, id, format!("/dashboard/runs/{}", segment(id))));
    let parent = head.parent.as_ref().map(|parent| {
        let key = parent.key.as_ref().map(|key| format!(", step {key}")).unwrap_or_default();
        Link::new("Parent", format!("{}{key}", parent.id), format!("/dashboard/runs/{}", segment(&parent.id)))
    });
    let source = head.source.as_ref().and_then(|id| match head.started_how.as_str() {
        "schedule" => Some(Link::new("Schedule", id, format!("/dashboard/schedules/{}", segment(id)))),
        "message" => Some(Link::new("Message", id, format!("/dashboard/messages/{}", segment(id)))),
        "event" => Some(Link::new("Event", id, format!("/dashboard/events/{}", segment(id)))),
        _ => None,
    });
    let forked = run("Forked from", &head.forked_from);
    let compare = head.forked_from.as_ref().map(|of| {
        Link::new("Compare", "with what it was forked from", Query::default().with("a", of).with("b", &head.id).on("/dashboard/runs/diff"))
    });
    let rows = [parent, source, forked, compare, run("Goes on for", &head.continued_from), run("Continued by", &head.continued_by)];
    rows.into_iter().flatten().collect()
}

fn ai(run: &Run) -> Vec<Pair> {
    let calls = run.steps.iter().filter(|step| step.ai.is_some() && !step.copied).count();
    if calls == 0 && run.ai.input_tokens == 0 && run.ai.output_tokens == 0 {
        return Vec::new();
    }
    let mut pairs = vec![
        Pair::new("Model calls", number(calls as i64)),
        Pair::new("Tokens in", number(run.ai.input_tokens)),
        Pair::new("Tokens out", number(run.ai.output_tokens)),
    ];
    if run.ai.cost_usd > 0.0 {
        pairs.push(Pair::new("Cost", dollars(run.ai.cost_usd)));
    }
    pairs
}

fn label_link(label: &str) -> LabelLink {
    LabelLink { text: label.to_owned(), href: Query::default().with("label", label).on("/dashboard/runs") }
}

/// What to do about a pause, after what the engine said of it.
fn pause_advice(head: &RunHead) -> String {
    let detail = head.pause_detail.as_ref();
    let said = detail.and_then(|detail| detail.get("message")).and_then(Value::as_str).unwrap_or_default();
    let place = detail.and_then(|detail| detail.get("pointer")).and_then(Value::as_str).filter(|at| !at.is_empty());
    let said = match (said, place) {
        ("", _) => String::new(),
        (said, Some(place)) => format!("{} (at {place}). ", capital(said)),
        (said, None) => format!("{}. ", capital(said).trim_end_matches('.')),
    };
    let advice = match head.pause_reason.as_deref() {
        Some("requested") => "Resume lets it go on where it was. Timers went on meanwhile.",
        Some("unserved") => "Deploy this version and sync its app: these runs go on by themselves. Or fork it, or cancel it.",
        Some("nonDeterminism") => {
            "No new step has begun. Deploy the old code again and sync its app, or give the new code another version; or go on with the new code, which leaves alone what it does not ask for."
        }
        Some("protocolError") => "Mend or update the SDK of the endpoint, then resume.",
        Some("noProgress") => "Look at the logs of the endpoint, mend it, then resume.",
        Some("lost") => "It crashes, or takes longer than its app's timeout: mend it or raise the timeout, then resume.",
        _ => "",
    };
    format!("{said}{advice}")
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// What was recorded and what the code asks for now, step by step; what both have is not marked.
fn diff(head: &RunHead) -> Vec<DiffLine> {
    let side = |name: &str| -> Vec<(String, String)> {
        let list =
            head.pause_detail.as_ref().and_then(|detail| detail.get("diff")).and_then(|diff| diff.get(name)).and_then(Value::as_array);
        let text = |step: &Value, name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        list.map(|list| list.iter().take(100).map(|step| (text(step, "key"), text(step, "kind"))).collect()).unwrap_or_default()
    };
    let (expected, asked) = (side("expected"), side("asked"));
    let line = |mark: &str, step: &(String, String), text: &str| DiffLine {
        mark: mark.to_owned(),
        key: step.0.clone(),
        kind: kind_text(&step.1).to_owned(),
        text: text.to_owned(),
    };
    let recorded = expected.iter().map(|step| if asked.contains(step) { line("", step, "") } else { line("-", step, "was recorded") });
    let new = asked.iter().filter(|step| !expected.contains(step)).map(|step| line("+", step, "is asked for now"));
    recorded.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(more: Value) -> RunHead {
        let mut json = json!({ "id": "run_1", "workflow": "w", "version": "1", "status": "paused", "createdAt": "2027-01-31T09:00:00Z", "attempt": 1,
            "labels": [], "startedHow": "api", "pauseRequested": false });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_pause_says_what_happened_and_what_to_do() {
        let detail = json!({ "message": "ops/0/key is missing", "pointer": "/ops/0" });
        let text = pause_advice(&head(json!({ "pauseReason": "protocolError", "pauseDetail": detail })));
        assert_eq!(text, "Ops/0/key is missing (at /ops/0). Mend or update the SDK of the endpoint, then resume.");
        assert!(pause_advice(&head(json!({ "pauseReason": "requested" }))).starts_with("Resume lets it go on"));
    }

    #[test]
    fn code_and_journal_are_told_apart() {
        let diff_of = json!({ "expected": [{ "key": "a#0", "kind": "run" }, { "key": "b#0", "kind": "run" }], "asked": [{ "key": "a#0", "kind": "run" }, { "key": "c#0", "kind": "ai" }] });
        let lines = diff(&head(json!({ "pauseReason": "nonDeterminism", "pauseDetail": { "diff": diff_of } })));
        let shown: Vec<_> = lines.iter().map(|line| (line.mark.as_str(), line.key.as_str(), line.kind.as_str())).collect();
        assert_eq!(shown, [("", "a#0", "Step"), ("-", "b#0", "Step"), ("+", "c#0", "AI step")]);
        assert!(diff(&head(json!({}))).is_empty());
    }
}
