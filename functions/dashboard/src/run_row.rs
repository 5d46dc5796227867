//! A run as a row of a list. Out of scope: reading lists (`runs`).

use crate::link::segment;
use crate::parts::status_text;
use crate::run_api::{RunHead, error_line};
use crate::run_waterfall::length;
use crate::visitor::Visitor;
use crate::when::When;

/// A row.
pub struct RunRow {
    pub id: String,
    pub href: String,
    pub status: String,
    pub status_text: String,
    pub workflow: String,
    pub version: String,
    pub external_id: String,
    pub from: String,
    pub labels: Vec<String>,
    pub note: String,
    pub next: When,
    pub created: When,
    pub duration: String,
}

impl RunRow {
    /// Of what the API answers.
    pub fn new(visitor: &Visitor, run: RunHead) -> Self {
        Self {
            href: format!("/dashboard/runs/{}", segment(&run.id)),
            status_text: status_text(&run.status),
            from: from(&run),
            note: note(&run),
            next: visitor.when(run.wakes_at.as_deref()),
            created: visitor.when(Some(&run.created_at)),
            duration: if run.started_at.is_some() || run.is_over() { short(run.took_ms(visitor.now_s())) } else { String::new() },
            id: run.id,
            status: run.status,
            workflow: run.workflow,
            version: run.version,
            external_id: run.external_id.unwrap_or_default(),
            labels: run.labels,
        }
    }
}

/// A length of time in its largest unit alone, from a minute on: rows are narrow.
fn short(ms: i64) -> String {
    let text = length(ms);
    if ms < 60_000 { text } else { text.split(' ').take(2).collect::<Vec<_>>().join(" ") }
}

/// What made it.
fn from(run: &RunHead) -> String {
    if let Some(of) = &run.forked_from {
        return format!("fork of {of}");
    }
    match (run.started_how.as_str(), &run.parent, &run.source) {
        (_, Some(parent), _) => format!("child of {}", parent.id),
        ("continue", ..) => run.continued_from.as_ref().map(|of| format!("goes on for {of}")).unwrap_or_default(),
        ("schedule" | "message" | "event", _, Some(id)) => format!("{} {id}", run.started_how),
        ("sql", ..) => "from SQL".to_owned(),
        _ => String::new(),
    }
}

/// What it waits for, why it is paused, or what was wrong last.
fn note(run: &RunHead) -> String {
    match run.status.as_str() {
        "paused" => pause_text(run.pause_reason.as_deref()),
        "queued" | "running" | "completed" | "cancelled" => String::new(),
        "retrying" if run.waiting_for.is_empty() => run.last_error.as_ref().map(error_line).unwrap_or_default(),
        "failed" => run.failure.clone().unwrap_or_default(),
        _ => {
            let words = run.waiting_for.iter().map(|wait| match (wait.kind.as_str(), &wait.name) {
                ("signal" | "event", Some(name)) => format!("{} {name}", wait.kind),
                ("run" | "ai" | "sleep", _) => wait.key.trim_end_matches("#0").to_owned(),
                (kind, _) => format!("{kind} {}", wait.key.trim_end_matches("#0")),
            });
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Why a run is paused.
pub fn pause_text(reason: Option<&str>) -> String {
    let text = match reason {
        Some("requested") => "Paused by a person",
        Some("unserved") => "No app serves this version",
        Some("nonDeterminism") => "The code does not fit the journal",
        Some("protocolError") => "The endpoint's reply breaks the protocol",
        Some("noProgress") => "Dispatch after dispatch led to nothing",
        Some("lost") => "Dispatch after dispatch was lost",
        Some(reason) => reason,
        None => "Paused",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_long_it_took_in_one_unit() {
        assert_eq!([999, 12_400, 61_000, 9_000_000, 200_000_000].map(short), ["999 ms", "12.4 s", "1 min", "2 h", "2 d"]);
    }
}
