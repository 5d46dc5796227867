//! One run in words: its state, and the tree of its steps: attempts under their step, children under the step that invoked them.

use std::pin::Pin;

use anyhow::Result;
use serde_json::Value;
use tikku_domain::limits::PAGE_MAX;

use super::super::messages::{block, raw_member};
use super::ending::why;
use super::path;
use crate::api::{Api, Doc, with_query};
use crate::clock::{self, distance, local, span};
use crate::json_text::pretty;
use crate::print::{Printer, Tone, text, text_or_dash};
use crate::screen;
use crate::table::cut;

/// Steps that are shown of a run; `GET /v1/runs/{id}/steps` has them all.
const STEPS_MAX: usize = 1_000;
/// Generations of children that are shown.
const DEPTH_MAX: u32 = 4;
/// Columns of a value that is shown beside its step.
const VALUE_COLUMNS: usize = 60;

/// Whether children are shown with their steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// With their steps.
    Whole,
    /// By their id.
    Named,
}

impl From<bool> for Children {
    fn from(whole: bool) -> Self {
        if whole { Self::Whole } else { Self::Named }
    }
}

/// A line of the tree and what hangs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Branch {
    text: String,
    branches: Vec<Branch>,
}

/// Prints a run.
pub async fn print(api: &Api, out: &Printer, doc: &Doc, children: Children) -> Result<()> {
    let run = &doc.value;
    facts(out, run);
    for (name, title) in [("input", "Input"), ("output", "Output")] {
        if let Some(value) = raw_member(&doc.raw, name).filter(|value| value.get() != "null") {
            out.say(&format!("\n{}", out.paint(title, Some(Tone::Bold))));
            block(out, &pretty(value.get()));
        }
    }
    let depth = if children == Children::Whole { DEPTH_MAX } else { 0 };
    let branches = grow(api, out, run, depth).await?;
    out.say(&format!("\n{}", out.paint("Steps", Some(Tone::Bold))));
    if branches.is_empty() {
        out.say("It has none yet.");
    }
    for line in draw(&branches) {
        screen::say(&line);
    }
    Ok(())
}

fn facts(out: &Printer, run: &Value) {
    let reason = text(&run["pauseReason"]).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let signals: Vec<String> = run["signals"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|signal| format!("{} of {}", text_or_dash(&signal["count"]), text_or_dash(&signal["name"])))
        .collect();
    let ai = &run["ai"];
    let tokens = [&ai["inputTokens"], &ai["outputTokens"]].map(|tokens| tokens.as_u64().unwrap_or(0));
    let wakes = &run["wakesAt"];
    out.facts(&[
        ("Run", text(&run["id"])),
        ("Workflow", Some(format!("{} v{}", text_or_dash(&run["workflow"]), text_or_dash(&run["version"])))),
        ("Status", Some(format!("{}{reason}", out.status(&text_or_dash(&run["status"]))))),
        ("Your id", text(&run["externalId"])),
        ("Attempt", run["attempt"].as_u64().filter(|attempt| *attempt > 1).map(|attempt| attempt.to_string())),
        ("Started by", text(&run["startedHow"])),
        ("Created", local(&run["createdAt"])),
        ("Began", local(&run["startedAt"])),
        ("Over", local(&run["finishedAt"])),
        ("Wakes", local(wakes).map(|time| format!("{time} ({})", distance(wakes).unwrap_or_default()))),
        ("Parent", text(&run["parent"]["id"])),
        ("Forked from", text(&run["forkedFrom"])),
        ("Continues", text(&run["continuedFrom"])),
        ("Continued by", text(&run["continuedBy"])),
        ("Unread", Some(signals.join(", ")).filter(|signals| !signals.is_empty())),
        ("AI", (tokens != [0, 0]).then(|| format!("{} tokens in, {} out, ${}", tokens[0], tokens[1], text_or_dash(&ai["costUsd"])))),
        ("Error", Some(&run["error"]).filter(|error| !error.is_null()).map(|error| out.paint(&why(error), Some(Tone::Bad)))),
        ("Last error", Some(&run["lastError"]).filter(|error| !error.is_null()).map(why)),
        ("Needs", text(&run["pauseDetail"])),
    ]);
}

/// The branches of a run. It calls itself for children, hence the box.
fn grow<'a>(api: &'a Api, out: &'a Printer, run: &'a Value, depth: u32) -> Pin<Box<dyn Future<Output = Result<Vec<Branch>>> + 'a>> {
    Box::pin(async move {
        let mut branches = Vec::new();
        let (steps, more) = steps(api, run).await?;
        for step in &steps {
            let mut branch = Branch { text: step_line(out, step), branches: attempts(out, step) };
            hang_child(api, out, &mut branch, step, depth).await?;
            branches.push(branch);
        }
        for step in run["pending"].as_array().into_iter().flatten() {
            let mut branch = Branch { text: pending_line(out, step), branches: attempts(out, step) };
            hang_child(api, out, &mut branch, step, depth).await?;
            branches.push(branch);
        }
        if more {
            branches.push(Branch { text: format!("… there are more than {STEPS_MAX}"), branches: Vec::new() });
        }
        Ok(branches)
    })
}

async fn hang_child(api: &Api, out: &Printer, branch: &mut Branch, step: &Value, depth: u32) -> Result<()> {
    let Some(id) = step["runId"].as_str() else { return Ok(()) };
    if depth == 0 {
        branch.branches.push(Branch { text: text_or_dash(&step["runId"]), branches: Vec::new() });
        return Ok(());
    }
    let child = api.get(&path(id)).await?.value;
    let name = format!("{} v{}", text_or_dash(&child["workflow"]), text_or_dash(&child["version"]));
    let text = format!("{}  {name}  {}", text_or_dash(&child["id"]), out.status(&text_or_dash(&child["status"])));
    branch.branches.push(Branch { text, branches: grow(api, out, &child, depth - 1).await? });
    Ok(())
}

/// The recorded steps, page after page, and whether some are left out.
async fn steps(api: &Api, run: &Value) -> Result<(Vec<Value>, bool)> {
    let mut steps: Vec<Value> = run["steps"].as_array().cloned().unwrap_or_default();
    let mut cursor = run["stepsCursor"].as_str().map(str::to_owned);
    let all = format!("{}/steps", path(run["id"].as_str().unwrap_or_default()));
    while cursor.is_some() && steps.len() < STEPS_MAX {
        let page = api.get(&with_query(&all, &[("limit", Some(PAGE_MAX.to_string())), ("cursor", cursor)])).await?.value;
        steps.extend(page["data"].as_array().cloned().unwrap_or_default());
        cursor = page["nextCursor"].as_str().map(str::to_owned);
    }
    Ok((steps, cursor.is_some()))
}

fn step_line(out: &Printer, step: &Value) -> String {
    let state = step["state"].as_str().unwrap_or_default();
    let (sign, result) = match state {
        "ok" => ("✓", value(step)),
        "timeout" => ("◷", "timed out".to_owned()),
        _ => ("✗", why(&step["error"])),
    };
    let copied = if step["copied"] == true { "  copied" } else { "" };
    let took = step["durationMs"].as_u64().map(|ms| format!("  {}", span(ms))).unwrap_or_default();
    let notes = out.paint(&format!("{}{took}{copied}", text_or_dash(&step["kind"])), Some(Tone::Dim));
    format!("{} {}  {notes}  {result}", out.paint(sign, Tone::of_status(state)), text_or_dash(&step["key"]))
}

fn value(step: &Value) -> String {
    if step["truncated"] == true {
        return "(a large value)".to_owned();
    }
    match &step["value"] {
        Value::Null => String::new(),
        value => cut(&crate::print::clean(&value.to_string()), VALUE_COLUMNS),
    }
}

fn pending_line(out: &Printer, step: &Value) -> String {
    let kind = text_or_dash(&step["kind"]);
    let what = match (kind.as_str(), text(&step["name"])) {
        ("sleep", _) => "sleeps".to_owned(),
        ("run" | "ai", _) => "is tried again".to_owned(),
        (_, Some(name)) => format!("waits for {name}"),
        (_, None) => "waits".to_owned(),
    };
    let due = &step["dueAt"];
    let until = local(due).map(|time| format!(" until {time} ({})", distance(due).unwrap_or_default())).unwrap_or_default();
    let sign = out.paint("…", Some(Tone::Busy));
    format!("{sign} {}  {}  {what}{until}", text_or_dash(&step["key"]), out.paint(&kind, Some(Tone::Dim)))
}

fn attempts(out: &Printer, step: &Value) -> Vec<Branch> {
    let line = |attempt: &Value| {
        let what = if attempt["error"].is_null() { "came too late".to_owned() } else { why(&attempt["error"]) };
        let took = attempt["durationMs"].as_u64().map(|ms| format!("{}, ", clock::span(ms))).unwrap_or_default();
        let wait = attempt["retryMs"].as_u64().map(|ms| format!(", again after {}", span(ms))).unwrap_or_default();
        let free = if attempt["free"] == true { ", spent no attempt" } else { "" };
        let sign = out.paint("✗", Some(Tone::Bad));
        Branch { text: format!("{sign} attempt {}: {took}{what}{wait}{free}", text_or_dash(&attempt["number"])), branches: Vec::new() }
    };
    step["attempts"].as_array().into_iter().flatten().map(line).collect()
}

/// The tree's lines, with its limbs.
fn draw(branches: &[Branch]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, branch) in branches.iter().enumerate() {
        let last = index + 1 == branches.len();
        let (limb, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        lines.push(format!("{limb}{}", branch.text.trim_end()));
        lines.extend(draw(&branch.branches).into_iter().map(|line| format!("{trunk}{line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Printer = Printer { json: false, color: false, width: None };

    #[test]
    fn what_hangs_on_a_branch_is_drawn_under_it() {
        let leaf = |text: &str| Branch { text: text.to_owned(), branches: Vec::new() };
        let tree =
            [Branch { text: "a".into(), branches: vec![leaf("a1"), Branch { text: "a2".into(), branches: vec![leaf("x")] }] }, leaf("b")];
        assert_eq!(draw(&tree), ["├─ a", "│  ├─ a1", "│  └─ a2", "│     └─ x", "└─ b"]);
    }

    #[test]
    fn a_step_says_how_it_ended_and_what_it_gave() {
        let step = json!({ "key": "charge#0", "kind": "run", "state": "ok", "value": { "id": "ch_1" }, "durationMs": 812, "attempts": [
            { "number": 1, "error": { "name": "Error", "message": "bank\u{1b} away" }, "durationMs": 5, "retryMs": 1000 }] });
        assert_eq!(step_line(&PLAIN, &step), r#"✓ charge#0  run  812 ms  {"id":"ch_1"}"#);
        assert_eq!(attempts(&PLAIN, &step)[0].text, "✗ attempt 1: 5 ms, Error: bank\\u{1b} away, again after 1.0 s");
        let failed = json!({ "key": "ship#0", "kind": "run", "state": "error", "error": { "name": "NoParcel", "message": "gone" } });
        assert_eq!(step_line(&PLAIN, &failed), "✗ ship#0  run  NoParcel: gone");
        let waiting = json!({ "key": "review#0", "kind": "signal", "name": "review", "dueAt": null });
        assert_eq!(pending_line(&PLAIN, &waiting), "… review#0  signal  waits for review");
    }
}
