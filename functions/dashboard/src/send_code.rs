//! A publish in other tongues: for a terminal, with the SDKs, and in SQL.
//!
//! Out of scope: whether it would be accepted (the API).

use std::fmt::Write as _;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::parts::{FieldError, shell};
use crate::payload;
use crate::typed::Document;

/// A longer body is not written out.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The same publish in other tongues, as `templates/parts/send_code.html` shows it.
pub struct SendCode {
    pub curl: String,
    pub typescript: String,
    pub rust: String,
    pub sql: String,
}

/// Of what was typed, or of what is wrong with it.
pub fn code(base: &str, hint: &str, typed: Result<Document, FieldError>) -> SendCode {
    let document = match typed {
        Ok(document) => document,
        Err(error) => {
            let (said, none) = (error.text, String::new);
            return SendCode { curl: format!("# {said}"), typescript: format!("// {said}"), rust: format!("// {said}"), sql: none() };
        }
    };
    if document.members().any(|(name, value)| name == "body" && value.get().len() > BODY_BYTES_MAX) {
        let (said, none) = ("The body is too long to be written out here.", String::new);
        return SendCode { curl: format!("# {said}"), typescript: format!("// {said}"), rust: format!("// {said}"), sql: none() };
    }
    SendCode { curl: curl(base, hint, &document), typescript: typescript(&document), rust: rust(&document), sql: sql(&document) }
}

fn curl(base: &str, hint: &str, document: &Document) -> String {
    let json = serde_json::to_string(document).unwrap_or_default();
    let (auth, kind, json) =
        (format!("'authorization: Bearer {hint}…'"), "'content-type: application/json'", shell(&payload::pretty(&json)));
    format!("curl {base}/v1/messages \\\n  -H {auth} \\\n  -H {kind} \\\n  -d {json}")
}

/// JSON is TypeScript, too.
fn typescript(document: &Document) -> String {
    let mut out = String::from(
        "import { Tikku } from \"@tikku/sdk\";\n\n// Set TIKKU_URL and TIKKU_API_KEY.\nconst tikku = new Tikku();\nawait tikku.publish({\n",
    );
    for (name, value) in document.members() {
        let _infallible = writeln!(out, "  {name}: {},", indented(&payload::pretty(value.get()), "  "));
    }
    out + "});"
}

fn rust(document: &Document) -> String {
    let mut calls = String::new();
    let (mut imports, mut uses_json) = ("use tikku::{Message, Tikku};", false);
    let mut first = String::new();
    for (name, raw) in document.members() {
        let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { continue };
        let is_plain = value.is_string() || name == "headers" || (value.is_number() && ["delaySeconds", "maxAttempts"].contains(&name));
        uses_json |= !is_plain;
        match (name, &value) {
            ("url", _) => first = format!("Message::to({})", literal(&value, 0)),
            ("fanout", _) => first = format!("Message::to_fanout({})", literal(&value, 0)),
            ("workflow", _) => first = literal(&value, 0),
            ("headers", Value::Object(headers)) => {
                for (name, value) in headers {
                    let _infallible = write!(calls, "\n    .header({name:?}, {})", literal(value, 0));
                }
            }
            ("delaySeconds", Value::Number(n)) => {
                imports = "use std::time::Duration;\n\nuse tikku::{Message, Tikku};";
                let _infallible = write!(calls, "\n    .delay(Duration::from_secs({n}))");
            }
            ("maxAttempts", Value::Number(n)) => calls.push_str(&format!("\n    .max_attempts({n})")),
            ("idempotencyKey", Value::String(_)) => calls.push_str(&format!("\n    .idempotency_key({})", literal(&value, 0))),
            ("body", _) => calls.push_str(&format!("\n    .body({})", argument(&value))),
            _ => calls.push_str(&format!("\n    .field({name:?}, {})", argument(&value))),
        }
    }
    if document.members().any(|(name, _)| name == "workflow") {
        return starting(document, &first);
    }
    let json = if uses_json { "use serde_json::json;\n" } else { "" };
    let imports = if json.is_empty() { imports.to_owned() } else { imports.replacen("use tikku::", &format!("{json}use tikku::"), 1) };
    format!(
        "{imports}\n\n// Set TIKKU_URL and TIKKU_API_KEY.\nlet tikku = Tikku::from_env()?;\nlet message = {first}{calls};\ntikku.publish(&message).await?;"
    )
}

/// The SDK starts workflows by a call of its own.
fn starting(document: &Document, name: &str) -> String {
    let input = document.members().find(|(name, _)| *name == "body").and_then(|(_, raw)| serde_json::from_str(raw.get()).ok());
    let mut start = String::new();
    for (field, raw) in document.members() {
        let value = serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        match (field, &value) {
            ("delaySeconds", Value::Number(n)) => start.push_str(&format!("delay_seconds: Some({n}), ")),
            ("idempotencyKey", Value::String(_)) => start.push_str(&format!("idempotency_key: Some({}.to_owned()), ", literal(&value, 0))),
            _ => {}
        }
    }
    let start = if start.is_empty() { "Start::default()".to_owned() } else { format!("Start {{ {start}..Start::default() }}") };
    let input = format!("json!({})", literal(&input.unwrap_or(Value::Null), 0));
    format!(
        "use serde_json::{{Value, json}};\nuse tikku::{{Start, Tikku, WorkflowName}};\n\n// Set TIKKU_URL and TIKKU_API_KEY.\nlet tikku = Tikku::from_env()?;\nlet workflow = WorkflowName::<Value, Value>::new({name});\nlet run = tikku.start(workflow, &{input}, {start}).await?;"
    )
}

/// What `.body` and `.field` take.
fn argument(value: &Value) -> String {
    match value {
        Value::String(_) => literal(value, 1),
        _ => format!("json!({})", literal(value, 1)),
    }
}

/// JSON as Rust writes it in `json!`: its texts have other escapes.
fn literal(value: &Value, depth: usize) -> String {
    let pad = "    ".repeat(depth + 1);
    let (joined, end) = (format!(",\n{pad}"), format!("\n{}", "    ".repeat(depth)));
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<String> = items.iter().map(|item| literal(item, depth + 1)).collect();
            format!("[\n{pad}{}{end}]", items.join(&joined))
        }
        Value::Object(members) if !members.is_empty() => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}: {}", literal(value, depth + 1))).collect();
            format!("{{\n{pad}{}{end}}}", members.join(&joined))
        }
        _ => value.to_string(),
    }
}

fn sql(document: &Document) -> String {
    let argument = |(name, raw): (&'static str, &RawValue)| format!("  {} => {}", snake(name), sql_value(name, raw));
    let arguments: Vec<String> = document.members().map(argument).collect();
    format!("select tikku.publish(\n{}\n);", arguments.join(",\n"))
}

fn sql_value(name: &str, raw: &RawValue) -> String {
    match (name, serde_json::from_str::<Value>(raw.get())) {
        ("body", _) => format!("{}::jsonb", quoted(&payload::pretty(raw.get()))),
        ("backoff" | "flowControl", Ok(Value::Object(members))) => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{}\": {value}", snake(name))).collect();
            format!("{}::jsonb", quoted(&format!("{{{}}}", members.join(", "))))
        }
        ("labels", Ok(Value::Array(labels))) => {
            let labels: Vec<String> = labels.iter().filter_map(Value::as_str).map(quoted).collect();
            format!("array[{}]", labels.join(", "))
        }
        (_, Ok(Value::String(text))) => quoted(&text),
        (_, Ok(Value::Number(number))) => number.to_string(),
        _ => format!("{}::jsonb", quoted(raw.get())),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// "maxAttempts" as SQL has it: max_attempts.
fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

/// The lines after the first, further in.
fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

#[cfg(test)]
#[path = "send_code_tests.rs"]
mod tests;
