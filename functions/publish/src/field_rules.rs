//! Rules of fields that a derived schema cannot say: what stands in a header, which fields exclude or need each other, which texts are times.
//!
//! Fields of the same name mean the same in every request, so their rules are written once. Out of scope: reading requests, which `domain` does.

use serde_json::{Map, Value, json};
use tikku_domain::filter::STATES;
use tikku_domain::header_rules::HEADERS_MAX;
use tikku_domain::limits;
use tikku_domain::publish::METHODS;
use tikku_domain::run_filter::RUN_STATES;

/// Adds the rules to the schemas of the document.
pub fn add(schemas: &mut Value) {
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        // Requests refuse unknown fields; answers may get new ones.
        let request = schema["additionalProperties"] == false;
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        if !request {
            times(properties);
            words(name, properties);
        } else if !name.ends_with("Selector") {
            // A selector's fields are searched for, not sent.
            for (field, rule) in of_fields() {
                if let Some(property) = properties.get_mut(field) {
                    merge(property, rule);
                }
            }
        }
        if name == "RunBulkRequest" {
            properties["ids"]["items"]["pattern"] = json!("^run_[0-9a-f]{32}$");
        }
        if name == "BatchRequest" {
            // Nothing in it is refused as a whole: what is no message has its own result.
            let items = &mut properties["messages"]["items"];
            *items = json!({ "anyOf": [items.take(), {}] });
        }
        let refused = refused(properties);
        // Of a selector's fields any may be there.
        if request && !refused.is_empty() && !name.ends_with("Selector") {
            schema["not"] = json!({ "anyOf": refused });
        }
    }
}

/// Adds the rules to a parameter: it is a text that cannot be null, and what is called like a field is like it.
pub fn parameter(path: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let schema = &mut parameter["schema"];
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(kinds) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind["type"] != "null");
        if let [only] = kinds.as_slice() {
            *schema = only.clone();
        }
    }
    // A generator that makes date objects of date-times refuses them in headers.
    if parameter["in"] == "header" && parameter["schema"]["format"] == "date-time" {
        parameter["schema"]["format"] = json!("rfc3339");
    }
    if name == "If-Match" {
        parameter["schema"] = if_match();
        return;
    }
    if let Some(rule) = of_path(path).filter(|_| parameter["in"] == "path" && name != "id") {
        merge(&mut parameter["schema"], rule);
        return;
    }
    // Tikku-Callback-Url is callbackUrl.
    let field = name.to_ascii_lowercase().replace("tikku-", "").replace('-', "");
    let rules = of_fields().into_iter().chain(of_parameters()).filter(|(rule, _)| rule.to_ascii_lowercase() == field);
    // In a query it would be a filter; a list is one text.
    let query = parameter["in"] == "query";
    for (_, rule) in rules.filter(|(_, rule)| !query && rule.get("items").is_none()) {
        merge(&mut parameter["schema"], rule);
    }
}

/// Adds what the cursor of the list at this path can be: what the page before ended with.
pub fn cursor(path: &str, parameter: &mut Value) {
    let id = |prefix: &str| json!({ "pattern": format!("^{prefix}_[0-9a-f]{{32}}$") });
    let rule = match path {
        _ if parameter["name"] != "cursor" => return,
        "/v1/messages" | "/v1/dlq" => id("msg"),
        "/v1/keys" => id("key"),
        "/v1/schedules" => id("sch"),
        "/v1/breakers" => id("brk"),
        "/v1/runs" => id("run"),
        "/v1/events" => id("evt"),
        "/v1/schedules/{id}/firings" => json!({ "pattern": "^[0-9]{1,18}$" }),
        "/v1/runs/{id}/steps" => json!({ "pattern": "^[0-9]{1,9}$" }),
        "/v1/approvals" => json!({ "pattern": "^run_[0-9a-f]{32}\\.[A-Za-z0-9_-]*$" }),
        "/v1/workflows" => workflow_name(),
        "/v1/apps" => fanout_name(),
        "/v1/fanouts" => fanout_name(),
        "/v1/flows" => json!({ "minLength": 1, "maxLength": limits::FLOW_KEY_CHARS_MAX, "pattern": "^[^\\u0000]+$" }),
        _ => return,
    };
    merge(&mut parameter["schema"], rule);
}

/// Two kinds of text rather than one pattern: schemathesis makes headers that no pattern with such a choice in it allows.
fn if_match() -> Value {
    let tag = "(W/)?\"[!#-~]*\"";
    let list = format!("^{tag}( ?, ?{tag}){{0,{}}}$", limits::ETAGS_MAX - 1);
    json!({ "anyOf": [{ "type": "string", "enum": ["*"] }, { "type": "string", "minLength": 2, "pattern": list }] })
}

/// What stands in a path of runs or workflows beside the id.
fn of_path(path: &str) -> Option<Value> {
    let chars = |most: usize| json!({ "minLength": 1, "maxLength": most });
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "v1", "workflows", ..] => Some(workflow_name()),
        ["", "v1", "runs", "{id}", "signals", _] => Some(chars(limits::SIGNAL_NAME_CHARS_MAX)),
        ["", "v1", "runs", "{id}", "approvals" | "resume", _] => Some(chars(limits::STEP_KEY_CHARS_MAX)),
        _ => None,
    }
}

fn workflow_name() -> Value {
    json!({ "minLength": 1, "maxLength": limits::WORKFLOW_NAME_CHARS_MAX, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$" })
}

fn fanout_name() -> Value {
    json!({ "pattern": "^[A-Za-z0-9._-]{1,64}$", "not": { "enum": [".", ".."] } })
}

fn of_parameters() -> [(&'static str, Value); 2] {
    [("name", fanout_name()), ("key", json!({ "minLength": 1, "maxLength": limits::FLOW_KEY_CHARS_MAX }))]
}

/// Pairs of which a request has one at most.
const EXCLUSIVE: [(&str, &str); 5] = [
    ("delaySeconds", "notBefore"),
    ("idempotencyKey", "contentBasedDeduplication"),
    ("callbackUrl", "callbackWorkflow"),
    ("failureCallbackUrl", "failureCallbackWorkflow"),
    ("body", "input"),
];
/// Fields of which a request has exactly one.
const EITHER: [&[&str]; 3] = [&["url", "fanout", "workflow"], &["ids", "filter"], &["cron", "everySeconds"]];
/// Fields that need another.
const NEEDS: [(&str, &str); 3] = [("periodSeconds", "rate"), ("timezone", "cron"), ("input", "workflow")];

/// What a request with these fields must not be.
fn refused(properties: &Map<String, Value>) -> Vec<Value> {
    let has = |(a, b): &&(&str, &str)| properties.contains_key(*a) && properties.contains_key(*b);
    let mut all = Vec::new();
    for (a, b) in EXCLUSIVE.iter().filter(has) {
        all.push(json!({ "allOf": [given(a), given(b)] }));
    }
    for fields in EITHER.iter().map(|fields| fields.iter().filter(|field| properties.contains_key(**field)).collect::<Vec<_>>()) {
        for (index, a) in fields.iter().enumerate() {
            all.extend(fields[index + 1..].iter().map(|b| json!({ "allOf": [given(a), given(b)] })));
        }
        if fields.len() > 1 {
            all.push(json!({ "not": { "anyOf": fields.iter().map(|field| given(field)).collect::<Vec<_>>() } }));
        }
    }
    for (a, b) in NEEDS.iter().filter(has) {
        all.push(json!({ "allOf": [given(a), { "not": given(b) }] }));
    }
    if has(&&("method", "body")) {
        all.push(json!({ "required": ["method", "body"], "properties": { "method": { "enum": ["GET", "HEAD"] } } }));
    }
    if has(&&("workflow", "method")) {
        all.push(json!({ "allOf": [given("workflow"), { "required": ["method"], "properties": { "method": { "not": { "enum": ["POST", null] } } } }] }));
        all.push(json!({ "allOf": [given("workflow"), { "required": ["headers"], "properties": { "headers": { "type": "object", "minProperties": 1 } } }] }));
    }
    // `true` without a key; `false` is as good as absent.
    for rule in &mut all {
        if rule["allOf"][1]["required"][0] == "contentBasedDeduplication" {
            rule["allOf"][1]["properties"]["contentBasedDeduplication"] = json!({ "const": true });
        }
    }
    all
}

/// The field is there; `null` is as good as absent.
fn given(field: &str) -> Value {
    json!({ "required": [field], "properties": { field: { "not": { "type": "null" } } } })
}

fn of_fields() -> [(&'static str, Value); 13] {
    let url = json!({ "format": "uri", "minLength": 1, "maxLength": 2048 });
    let workflow = workflow_name();
    [
        ("workflow", workflow.clone()),
        ("callbackWorkflow", workflow.clone()),
        ("failureCallbackWorkflow", workflow),
        ("url", url.clone()),
        ("callbackUrl", url.clone()),
        ("failureCallbackUrl", url),
        (
            "headers",
            json!({
                "maxProperties": HEADERS_MAX,
                // RFC 9110, sections 5.6.2 (token) and 5.5 (field value).
                "propertyNames": { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
                "additionalProperties": { "pattern": "^([^\\x00-\\x20\\x7f]([^\\x00-\\x08\\x0a-\\x1f\\x7f]*[^\\x00-\\x20\\x7f])?)?$" },
            }),
        ),
        // A step's key or name.
        ("results", json!({ "maxProperties": limits::MEMBERS_MAX, "propertyNames": { "pattern": STEP } })),
        ("cron", json!({ "format": "cron" })),
        ("timezone", json!({ "format": "iana-time-zone" })),
        ("ids", json!({ "items": { "pattern": "^msg_[0-9a-f]{32}$" } })),
        ("labels", json!({ "items": { "minLength": 1, "maxLength": limits::LABEL_CHARS_MAX } })),
        ("idempotencyKey", json!({ "minLength": 1, "maxLength": limits::IDEMPOTENCY_KEY_CHARS_MAX })),
    ]
}

/// Answers tell times in fields that end in At or Until.
fn times(properties: &mut Map<String, Value>) {
    for (name, property) in properties {
        if name.ends_with("At") || name.ends_with("Until") {
            property["format"] = json!("date-time");
        }
    }
}

/// The words that a field of an answer can have.
fn words(schema: &str, properties: &mut Map<String, Value>) {
    let words: Vec<(&str, Vec<&str>)> = match schema {
        "MessageView" | "Accepted" | "FanoutMessage" => vec![("status", STATES.to_vec()), ("method", METHODS.to_vec())],
        "KeyView" => vec![("role", vec!["admin", "publish", "read"])],
        "StartAnswer" => vec![("status", RUN_STATES.to_vec())],
        "RunSummary" => vec![
            ("status", RUN_STATES.to_vec()),
            ("startedHow", vec!["api", "sql", "schedule", "message", "event", "child", "fork", "continue"]),
        ],
        "StepView" => vec![("kind", STEP_KINDS.to_vec()), ("state", vec!["ok", "error", "timeout"])],
        "PendingView" => vec![("kind", STEP_KINDS.to_vec())],
        "ApprovalView" => vec![("status", vec!["open", "approved", "rejected", "expired", "closed"])],
        "AppView" => vec![("checkpoint", vec!["each", "batched", "return"])],
        "BreakerView" => vec![("status", vec!["closed", "open", "half_open"])],
        "ScheduleView" => vec![
            ("status", vec!["active", "paused"]),
            ("method", METHODS.to_vec()),
            ("overlap", vec!["allow", "skip"]),
            ("catchUp", vec!["skip", "latest", "all"]),
        ],
        _ => return,
    };
    for (field, words) in words {
        if let Some(property) = properties.get_mut(field) {
            property["enum"] = json!(words);
        }
    }
}

/// A step's key or name.
const STEP: &str = r"^[^#\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]{0,199}$";
const STEP_KINDS: [&str; 9] = ["run", "ai", "sleep", "signal", "event", "child", "approval", "fetch", "publish"];

fn merge(target: &mut Value, more: Value) {
    match more {
        Value::Object(members) => {
            for (name, value) in members {
                merge(&mut target[name], value);
            }
        }
        value => *target = value,
    }
}
