//! What a run waits for from outside, and the forms that answer it. Out of scope: taking the answers (`run_actions`).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tikku_domain::approval_view::ApprovalCursor;

use crate::link::{Query, segment};
use crate::parts::shell;
use crate::payload::pretty;
use crate::refusal::Refusal;
use crate::run_api::{Pending, Run};
use crate::visitor::Visitor;
use crate::when::When;

/// Approvals as the API answers them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    pub data: Vec<Approval>,
    pub next_cursor: Option<String>,
}

/// A question of a run to people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    pub run_id: String,
    pub key: String,
    pub workflow: String,
    pub title: Option<String>,
    pub detail: Option<Value>,
    pub schema: Option<Box<RawValue>>,
    pub policy: Option<Policy>,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub status: String,
    pub decided_at: Option<String>,
    pub decided_by: Option<String>,
    pub decided_name: Option<String>,
    pub data: Option<Box<RawValue>>,
}

/// Who may answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    pub roles: Vec<String>,
    pub keys: Vec<String>,
    pub not_initiator: bool,
}

/// A wait, with what its form needs.
#[derive(Default)]
pub struct Wait {
    pub kind: String,
    pub key: String,
    pub name: String,
    pub title: String,
    pub detail: String,
    pub expires: When,
    pub policy: String,
    pub schema: String,
    pub placeholder: String,
    pub allowed: bool,
    pub why_not: String,
    pub curl: String,
    pub publish_href: String,
}

/// The approvals of a run, those of finished steps too; no request when none is open.
pub async fn approvals(visitor: &Visitor, run: &Run) -> Result<Vec<Approval>, Refusal> {
    let asks = |kind: &str| kind == "approval";
    let count = run.steps.iter().filter(|step| asks(&step.kind)).count() + run.pending.iter().filter(|wait| asks(&wait.kind)).count();
    let Ok(id) = run.head.id.parse() else { return Ok(Vec::new()) };
    if !run.pending.iter().any(|wait| asks(&wait.kind)) {
        return Ok(Vec::new());
    }
    // The page that begins before the run's first one.
    let cursor = ApprovalCursor { run: id, key: String::new() }.to_string();
    let query = Query::default().with("status", "all").with("cursor", &cursor).with("limit", &count.min(200).to_string());
    let mut listed: Approvals = visitor.api.get(&query.on("/v1/approvals")).await?;
    listed.data.retain(|approval| approval.run_id == run.head.id);
    Ok(listed.data)
}

/// What people or other programs can answer, of what a run waits for. What was typed and refused stays in its field.
pub fn waits(visitor: &Visitor, run: &Run, approvals: &[Approval], typed: Option<(&str, &str)>) -> Vec<Wait> {
    let is_answered = |pending: &&Pending| ["signal", "event", "approval"].contains(&pending.kind.as_str());
    let wait = |pending: &Pending| {
        let asked = approvals.iter().find(|approval| approval.key == pending.key);
        let mut wait = match asked {
            Some(approval) => of_approval(visitor, approval, run.head.started_by.as_deref()),
            None => of_pending(visitor, &run.head.id, pending),
        };
        if let Some((_, text)) = typed.filter(|(key, _)| *key == wait.key || *key == wait.name) {
            text.clone_into(&mut wait.placeholder);
        }
        wait
    };
    run.pending.iter().filter(is_answered).map(wait).collect()
}

fn of_pending(visitor: &Visitor, run: &str, pending: &Pending) -> Wait {
    let is_signal = pending.kind == "signal";
    let name = pending.name.clone().unwrap_or_else(|| pending.key.clone());
    let url = format!("{}/v1/runs/{}/signals/{}", visitor.base, segment(run), segment(&name));
    let curl = format!("curl -X POST {} -H 'authorization: Bearer {}…' -d {}", shell(&url), visitor.key.hint, shell("{}"));
    Wait {
        kind: pending.kind.clone(),
        key: pending.key.clone(),
        expires: visitor.when(pending.due_at.as_deref()),
        placeholder: if is_signal { "{}".to_owned() } else { String::new() },
        allowed: visitor.key.role != "read",
        why_not: READ.to_owned(),
        curl: if is_signal { curl } else { String::new() },
        publish_href: if is_signal { String::new() } else { Query::default().with("publish", &name).on("/dashboard/events") + "#publish" },
        name,
        ..Wait::default()
    }
}

const READ: &str = "Your key has the role read: it changes nothing.";

/// An open approval. Who started its run is not known on every page; the API decides.
pub fn of_approval(visitor: &Visitor, approval: &Approval, started_by: Option<&str>) -> Wait {
    let none = Policy::default();
    let policy = approval.policy.as_ref().unwrap_or(&none);
    let (key, role) = (visitor.claim.key.to_string(), visitor.key.role.as_str());
    let why_not = match refusal(policy, &key, role, started_by) {
        Some(why) if role != "read" => why,
        _ => READ.to_owned(),
    };
    Wait {
        kind: "approval".to_owned(),
        key: approval.key.clone(),
        name: approval.key.split('#').next().unwrap_or_default().to_owned(),
        title: approval.title.clone().unwrap_or_default(),
        detail: approval.detail.as_ref().map(detail).unwrap_or_default(),
        expires: visitor.when(approval.expires_at.as_deref()),
        policy: words(policy),
        schema: approval.schema.as_ref().map(|schema| pretty(schema.get())).unwrap_or_default(),
        placeholder: approval.schema.as_ref().map(|schema| skeleton(schema.get())).unwrap_or_default(),
        allowed: role != "read" && refusal(policy, &key, role, started_by).is_none(),
        why_not,
        curl: String::new(),
        publish_href: String::new(),
    }
}

/// What a person needs to know to answer: a text as it is, else JSON.
pub fn detail(detail: &Value) -> String {
    detail.as_str().map_or_else(|| pretty(&detail.to_string()), ToOwned::to_owned)
}

fn refusal(policy: &Policy, key: &str, role: &str, started_by: Option<&str>) -> Option<String> {
    let is_named = policy.roles.iter().any(|r| r == role) || policy.keys.iter().any(|k| k == key);
    let is_for_all = policy.roles.is_empty() && policy.keys.is_empty();
    if !is_for_all && !is_named {
        return Some(format!("You may not answer this: {}.", words(policy)));
    }
    (policy.not_initiator && started_by == Some(key)).then(|| "Your key started this run; another one must answer.".to_owned())
}

/// A policy in words; "" when anybody may answer.
fn words(policy: &Policy) -> String {
    let mut who = Vec::new();
    if !policy.roles.is_empty() {
        who.push(format!("keys of role {}", policy.roles.join(" or ")));
    }
    if !policy.keys.is_empty() {
        who.push(policy.keys.join(" or "));
    }
    let who = who.join(", or ");
    match (who.is_empty(), policy.not_initiator) {
        (_, false) => who,
        (true, true) => "any key but the one that started the run".to_owned(),
        (false, true) => format!("{who}, but not the key that started the run"),
    }
}

/// A first draft of data that fits a schema: the fields that it names, empty.
fn skeleton(schema: &str) -> String {
    let Ok(Value::Object(schema)) = serde_json::from_str(schema) else { return String::new() };
    let Some(Value::Object(fields)) = schema.get("properties") else { return String::new() };
    let empty = |field: &Value| {
        let kind = match field.get("type") {
            Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
            kind => kind.and_then(Value::as_str),
        };
        field.get("default").cloned().unwrap_or(match kind {
            Some("string") => Value::from(""),
            Some("number" | "integer") => Value::from(0),
            Some("boolean") => Value::from(false),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => Value::Object(Map::new()),
            _ => Value::Null,
        })
    };
    let draft: Map<String, Value> = fields.iter().map(|(name, field)| (name.clone(), empty(field))).collect();
    pretty(&Value::Object(draft).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Policy {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_policy_says_who_may_answer() {
        for (json, expected, admin, publish) in [
            ("{}", "", true, true),
            (r#"{"roles":["admin"]}"#, "keys of role admin", true, false),
            (r#"{"roles":["admin"],"keys":["key_2"]}"#, "keys of role admin, or key_2", true, true),
            (r#"{"notInitiator":true}"#, "any key but the one that started the run", false, true),
            (r#"{"keys":["key_1"],"notInitiator":true}"#, "key_1, but not the key that started the run", false, false),
        ] {
            let policy = policy(json);
            let may = |key: &str, role: &str| refusal(&policy, key, role, Some("key_1")).is_none();
            assert_eq!((words(&policy).as_str(), may("key_1", "admin"), may("key_2", "publish")), (expected, admin, publish), "{json}");
        }
    }

    #[test]
    fn a_schema_gives_a_first_draft() {
        let schema = r#"{"type":"object","properties":{"limit":{"type":"number","default":500},"note":{"type":["string","null"]}}}"#;
        assert_eq!(skeleton(schema), "{\n  \"limit\": 500,\n  \"note\": \"\"\n}");
        assert_eq!((skeleton("true"), skeleton("{}")), (String::new(), String::new()));
    }
}
