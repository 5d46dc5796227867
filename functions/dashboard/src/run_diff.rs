//! Two runs beside each other, such as a run and its fork. Out of scope: comparing texts (`run_diff_lines`).

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde_json::value::RawValue;
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Page, whole};
use crate::parts::status_text;
use crate::payload::pretty;
use crate::refusal::Refusal;
use crate::run_api::{self, Run, Step, Steps, error_line};
use crate::run_diff_lines::{DiffText, diff};
use crate::run_step_words::{dom_id, state};
use crate::run_waterfall::length;
use crate::visitor::Visitor;
use crate::when::When;

/// Pages of steps that are read of each run, 200 steps each.
const PAGES_MAX: usize = 5;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/runs/diff", get(show))
}

#[derive(Template)]
#[template(path = "run_diff.html")]
struct DiffPage {
    page: Page,
    diff: RunDiff,
}

struct RunDiff {
    a: DiffRun,
    b: DiffRun,
    rows: Vec<DiffStep>,
    same: String,
    input_lines: Vec<DiffText>,
    output_lines: Vec<DiffText>,
}

struct DiffRun {
    id: String,
    href: String,
    workflow: String,
    version: String,
    external_id: String,
    status: String,
    status_text: String,
    created: When,
    duration: String,
}

struct DiffStep {
    key: String,
    kind: String,
    mark: String,
    mark_text: String,
    dom_id: String,
    a_state: String,
    a_text: String,
    a_duration: String,
    b_state: String,
    b_text: String,
    b_duration: String,
    lines: Vec<DiffText>,
    open: bool,
}

async fn show(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    // From a list two are selected by the same name; the older one is the first.
    let mut ids: Vec<&str> = query.all("id").collect();
    ids.sort_unstable();
    let [a, b] = match ids[..] {
        [a, b] => [a, b],
        _ => [query.get("a"), query.get("b")],
    };
    if a.is_empty() || b.is_empty() {
        return Err(Refusal::new(Kind::InvalidRequest, "select two runs to compare them"));
    }
    let (a, b) = (load(&visitor, a).await?, load(&visitor, b).await?);
    let diff = compare(&visitor, &a, &b);
    whole(StatusCode::OK, &DiffPage { page: visitor.page("runs"), diff })
}

/// A run with all of its steps that are read.
async fn load(visitor: &Visitor, id: &str) -> Result<Run, Refusal> {
    let mut run = run_api::load(visitor, id).await?;
    for _ in 1..PAGES_MAX {
        let Some(cursor) = run.steps_cursor.take() else { break };
        let page = Query::default().with("cursor", &cursor).with("limit", "200");
        let steps: Steps = visitor.api.get(&page.on(&format!("/v1/runs/{}/steps", segment(id)))).await?;
        run.steps.extend(steps.data);
        run.steps_cursor = steps.next_cursor;
    }
    Ok(run)
}

fn compare(visitor: &Visitor, a: &Run, b: &Run) -> RunDiff {
    let text = |json: &Option<Box<RawValue>>| json.as_ref().map(|json| pretty(json.get())).unwrap_or_default();
    let rows = rows(&a.steps, &b.steps);
    let same = rows.iter().filter(|row| row.mark == "same").count();
    let (input_lines, output_lines) = (diff(&text(&a.input), &text(&b.input)), diff(&text(&a.output), &text(&b.output)));
    let of = |lines: &[DiffText], what: &str| format!("the {what} {}", if lines.is_empty() { "is the same" } else { "differs" });
    RunDiff {
        same: format!("{same} of {} steps are the same, {}, {}.", rows.len(), of(&input_lines, "input"), of(&output_lines, "output")),
        a: run(visitor, a),
        b: run(visitor, b),
        rows,
        input_lines,
        output_lines,
    }
}

fn run(visitor: &Visitor, run: &Run) -> DiffRun {
    let head = &run.head;
    DiffRun {
        id: head.id.clone(),
        href: run_path(&head.id),
        workflow: head.workflow.clone(),
        version: head.version.clone(),
        external_id: head.external_id.clone().unwrap_or_default(),
        status: head.status.clone(),
        status_text: status_text(&head.status),
        created: visitor.when(Some(&head.created_at)),
        duration: length(head.took_ms(visitor.now_s())),
    }
}

fn run_path(id: &str) -> String {
    crate::run::path(id)
}

/// The steps of both in one order: that of the first, with what only the second has where it has it.
fn rows(a: &[Step], b: &[Step]) -> Vec<DiffStep> {
    let of_b: BTreeMap<&str, (usize, &Step)> = b.iter().enumerate().map(|(at, step)| (step.key.as_str(), (at, step))).collect();
    let in_a: BTreeSet<&str> = a.iter().map(|step| step.key.as_str()).collect();
    let (mut rows, mut next) = (Vec::new(), 0);
    for step in a {
        let other = of_b.get(step.key.as_str());
        if let Some((at, _)) = other {
            rows.extend(b.iter().take(*at).skip(next).filter(|step| !in_a.contains(step.key.as_str())).map(|step| row(None, Some(step))));
            next = next.max(at + 1);
        }
        rows.push(row(Some(step), other.map(|(_, step)| *step)));
    }
    rows.extend(b[next..].iter().filter(|step| !in_a.contains(step.key.as_str())).map(|step| row(None, Some(step))));
    rows
}

fn row(a: Option<&Step>, b: Option<&Step>) -> DiffStep {
    let (mark, mark_text, lines) = match (a, b) {
        (Some(a), Some(b)) => {
            let lines = diff(&result(a), &result(b));
            if lines.is_empty() && a.state == b.state { ("same", "the same", lines) } else { ("changed", "another result", lines) }
        }
        (Some(a), None) => ("removed", "only in A", diff(&result(a), "")),
        (None, b) => ("added", "only in B", diff("", &b.map(result).unwrap_or_default())),
    };
    let side = |step: Option<&Step>| {
        let (state, text) = step.map(state).unwrap_or_default();
        (state, text, step.and_then(|step| step.duration_ms).map(length).unwrap_or_default())
    };
    let ((a_state, a_text, a_duration), (b_state, b_text, b_duration)) = (side(a), side(b));
    let step = a.or(b);
    let key = step.map(|step| step.key.clone()).unwrap_or_default();
    DiffStep {
        kind: step.map(|step| step.kind.clone()).unwrap_or_default(),
        dom_id: dom_id(&key),
        mark: mark.to_owned(),
        mark_text: mark_text.to_owned(),
        open: mark == "changed",
        key,
        a_state,
        a_text,
        a_duration,
        b_state,
        b_text,
        b_duration,
        lines,
    }
}

/// What a step came to, as text.
fn result(step: &Step) -> String {
    match (&step.error, &step.value) {
        (Some(error), _) => error_line(error),
        (None, Some(value)) => pretty(value.get()),
        (None, None) if step.truncated => "(too long to compare)".to_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(key: &str, value: i32) -> Step {
        serde_json::from_value(json!({ "seq": 1, "key": key, "kind": "run", "state": "ok", "truncated": false, "attempt": 1,
            "recordedAt": "2027-01-31T09:00:00Z", "copied": false, "attempts": [] }))
        .map(|step: Step| Step { value: Some(RawValue::from_string(value.to_string()).unwrap()), ..step })
        .unwrap()
    }

    #[test]
    fn steps_stand_beside_each_other() {
        let (a, b) =
            (vec![step("a#0", 1), step("b#0", 2), step("d#0", 4)], vec![step("a#0", 1), step("b#0", 3), step("c#0", 0), step("e#0", 5)]);
        let rows = rows(&a, &b);
        let shown: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.mark.as_str(), row.lines.len())).collect();
        assert_eq!(shown, [("a#0", "same", 0), ("b#0", "changed", 2), ("d#0", "removed", 1), ("c#0", "added", 1), ("e#0", "added", 1)]);
    }

    #[test]
    fn what_only_the_second_has_stands_where_it_has_it() {
        let rows = rows(&[step("a#0", 1), step("b#0", 2)], &[step("a#0", 1), step("x#0", 9), step("b#0", 2)]);
        assert_eq!(rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["a#0", "x#0", "b#0"]);
    }
}
