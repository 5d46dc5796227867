//! One message in words: where it goes, what it carries, each attempt.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{destination, tries};
use crate::api::Doc;
use crate::clock::{self, distance, local, span};
use crate::json_text::pretty;
use crate::print::{Printer, Tone, clean, text, text_or_dash};

/// Lines of a body that are shown; `--json` has it whole.
const LINES_MAX: usize = 200;

/// Prints a message with its attempts.
pub fn print(out: &Printer, doc: &Doc) {
    let message = &doc.value;
    let due = |value: &Value| Some(format!("{} ({})", local(value)?, distance(value)?));
    let open = message["finishedAt"].is_null();
    let labels = message["labels"].as_array().filter(|labels| !labels.is_empty());
    out.facts(&[
        ("Message", text(&message["id"])),
        ("Status", Some(format!("{}, {} tries", out.status(&text_or_dash(&message["status"])), tries(message)))),
        ("Destination", Some(format!("{} {}", text_or_dash(&message["method"]), destination(message)))),
        ("Created", local(&message["createdAt"])),
        ("Due", due(&message["dueAt"]).filter(|_| open)),
        ("Waits for", text(&message["waitingFor"])),
        ("Over", local(&message["finishedAt"])),
        ("Labels", labels.map(|labels| labels.iter().map(text_or_dash).collect::<Vec<_>>().join(", "))),
        ("Fanout", text(&message["fanout"])),
        ("Schedule", text(&message["schedule"])),
        ("Run", text(&message["run"])),
        ("Flow", text(&message["flowControl"]["key"])),
        ("Key", text(&message["idempotencyKey"])),
        ("Copy of", text(&message["resentFrom"])),
        ("Callback of", text(&message["callbackOf"])),
    ]);
    headers(out, "Headers", &message["headers"]);
    if let Some(body) = raw_member(&doc.raw, "body").filter(|body| body.get() != "null") {
        title(out, "Body");
        block(out, &pretty(body.get()));
    } else if let Some(bytes) = message["bodyBytes"].as_u64().filter(|bytes| *bytes > 0) {
        title(out, &format!("Body: {bytes} bytes"));
        block(out, &text(&message["bodyBase64"]).unwrap_or_else(|| "not shown".to_owned()));
    }
    for attempt in message["attempts"].as_array().into_iter().flatten() {
        print_attempt(out, attempt);
    }
}

fn print_attempt(out: &Printer, attempt: &Value) {
    let answer = match (attempt["responseStatus"].as_u64(), text(&attempt["error"])) {
        (Some(status), None) => out.paint(&status.to_string(), Some(if (200..300).contains(&status) { Tone::Good } else { Tone::Bad })),
        (Some(status), Some(error)) => out.paint(&format!("{status}, {error}"), Some(Tone::Bad)),
        (None, error) => out.paint(&error.unwrap_or_else(|| "no answer".to_owned()), Some(Tone::Bad)),
    };
    title(out, &format!("Attempt {}", text_or_dash(&attempt["number"])));
    out.facts(&[
        ("  Answer", Some(answer)),
        ("  Began", local(&attempt["startedAt"])),
        ("  Took", attempt["durationMs"].as_u64().map(clock::span)),
        ("  Asked to wait", attempt["retryAfterMs"].as_u64().map(span)),
        ("  Worker", text(&attempt["worker"])),
    ]);
    if let Some(body) = attempt["responseBody"].as_str().filter(|body| !body.is_empty()) {
        let json: Option<Box<RawValue>> = serde_json::from_str(body).ok();
        block(out, &json.map_or_else(|| body.to_owned(), |json| pretty(json.get())));
    }
}

fn title(out: &Printer, text: &str) {
    out.say(&format!("\n{}", out.paint(&clean(text), Some(Tone::Bold))));
}

fn headers(out: &Printer, name: &str, headers: &Value) {
    let Some(headers) = headers.as_object().filter(|headers| !headers.is_empty()) else { return };
    title(out, name);
    for (name, value) in headers {
        out.say(&format!("  {}: {}", clean(name), text_or_dash(value)));
    }
}

/// Prints text of many lines, each cleaned and indented.
pub fn block(out: &Printer, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(LINES_MAX) {
        out.say(&format!("  {}", clean(line)));
    }
    if lines.len() > LINES_MAX {
        out.say(&out.paint(&format!("  … {} more lines; --json has them all", lines.len() - LINES_MAX), Some(Tone::Dim)));
    }
}

/// A member of a document as it was written.
pub fn raw_member(document: &RawValue, name: &str) -> Option<Box<RawValue>> {
    let mut members: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(document.get()).ok()?;
    members.remove(name)
}
