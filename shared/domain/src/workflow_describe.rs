//! What an app serves: the question, and its answer checked and in one form. Out of scope: registering it (the database), and what the
//! policies do to runs.

use std::collections::HashSet;

use crate::limits;
use crate::message;
use crate::workflow::{self, PROTOCOL, ProtocolError};
use crate::workflow_json::{Object, Path, Writer};
use crate::workflow_match;

type Read<T> = Result<T, ProtocolError>;

/// What an endpoint said it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it speaks the protocol with.
    pub sdk: Option<String>,
    /// How it reports results: each, batched or return.
    pub checkpoint: &'static str,
    /// Its workflows; the first of a name is what new runs get.
    pub workflows: Vec<Served>,
}

/// A workflow in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The name runs are started by.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `{triggers, retry, concurrency, rateLimit, singleton, debounce, priority}` as JSON, each absent when it was not given.
    pub policy: String,
    /// Events that start a run.
    pub triggers: Vec<Trigger>,
}

/// An event that starts a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The event's name.
    pub event: String,
    /// Paths and the values they must have, as JSON; `None` for any event of the name.
    pub matching: Option<String>,
}

/// The body of the question.
pub fn describe_body(app: &str) -> Vec<u8> {
    serde_json::json!({ "v": PROTOCOL, "kind": "describe", "app": app }).to_string().into_bytes()
}

/// The `webhook-id` of the question; `id` is a new one.
pub fn webhook_id(id: uuid::Uuid) -> String {
    format!("dsc_{}", id.simple())
}

/// Judges the answer, of which one byte more than [`limits::DESCRIBE_BYTES_MAX`] was asked for.
///
/// # Errors
/// In words, why nothing can be registered.
pub fn judge(outcome: message::Outcome) -> Result<Described, String> {
    let answer = match outcome.result {
        message::Reply::Response(answer) => answer,
        message::Reply::Failed { detail, .. } => return Err(detail),
    };
    match answer.status {
        200 if answer.body.len() > limits::DESCRIBE_BYTES_MAX => {
            Err(format!("the answer has more than {} bytes", limits::DESCRIBE_BYTES_MAX))
        }
        200 => {
            parse_describe(&answer.body).map_err(|error| format!("the answer breaks the protocol at {:?}: {}", error.pointer, error.detail))
        }
        401 => Err("the endpoint answered 401: it does not know this account's signing secret".to_owned()),
        status => {
            Err(format!("the endpoint answered {status}{}", detail(&answer.body).map(|text| format!(": {text}")).unwrap_or_default()))
        }
    }
}

/// What a problem document (RFC 9457) says, shortened.
fn detail(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(problem["detail"].as_str()?.chars().take(500).collect())
}

/// Reads an answer.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_describe(json: &[u8]) -> Read<Described> {
    let object = Object::parse(json, Path::Root)?;
    if object.integer("v", i64::MIN, i64::MAX)? != Some(PROTOCOL) {
        return Err(object.broken("v", format!("must be {PROTOCOL}")));
    }
    let sdk = object.string("sdk", 0, 100)?;
    let checkpoint = match object.string("checkpoint", 0, 40)?.as_deref() {
        None | Some("return") => "return",
        Some("each") => "each",
        Some("batched") => "batched",
        Some(_) => return Err(object.broken("checkpoint", "must be each, batched or return")),
    };
    let list = Path::Name(&object.path, "workflows");
    let mut workflows = Vec::new();
    let mut seen = HashSet::new();
    for (index, raw) in object.required_array("workflows", limits::WORKFLOWS_MAX)?.into_iter().enumerate() {
        let one = Object::of(raw, Path::Index(&list, index))?;
        let served = served(&one)?;
        if !seen.insert((served.name.clone(), served.version.clone())) {
            return Err(one.broken("version", "stands here twice for this workflow"));
        }
        workflows.push(served);
    }
    Ok(Described { sdk, checkpoint, workflows })
}

fn served(raw: &Object<'_, '_>) -> Read<Served> {
    let name = raw.checked("name", workflow::check_name)?;
    let version = raw.checked_if_any("version", workflow::check_version)?.unwrap_or_else(|| "1".to_owned());
    let triggers = triggers(raw)?;
    let mut policy = Writer::default();
    policy.raw("{");
    if !triggers.is_empty() {
        policy.name("triggers").raw("[");
        for (index, trigger) in triggers.iter().enumerate() {
            policy.raw(if index == 0 { "{" } else { ",{" }).name("event").string(&trigger.event);
            if let Some(matching) = &trigger.matching {
                policy.name("match").raw(matching);
            }
            policy.raw("}");
        }
        policy.raw("]");
    }
    if let Some(retry) = raw.shallow("retry", 4096)? {
        policy.name("retry").raw(retry);
    }
    concurrency(raw, &mut policy)?;
    rate_limit(raw, &mut policy)?;
    singleton(raw, &mut policy)?;
    debounce(raw, &mut policy)?;
    if let Some(priority) = raw.integer("priority", -limits::PRIORITY_MAX, limits::PRIORITY_MAX)? {
        policy.name("priority").number(priority);
    }
    policy.raw("}");
    Ok(Served { name, version, policy: policy.into_string(), triggers })
}

fn triggers(raw: &Object<'_, '_>) -> Read<Vec<Trigger>> {
    let list = Path::Name(&raw.path, "triggers");
    let one = |(index, trigger)| {
        let trigger = Object::of(trigger, Path::Index(&list, index))?;
        let event = trigger.checked("event", workflow::check_signal)?;
        let matching = match trigger.raw("match") {
            Some(matching) => workflow_match::read(Object::of(matching, Path::Name(&trigger.path, "match"))?)?,
            None => None,
        };
        Ok(Trigger { event, matching })
    };
    raw.array("triggers", limits::TRIGGERS_MAX)?.into_iter().enumerate().map(one).collect()
}

/// Reads a policy that is an object and writes it with its key, if it has one.
fn policy(raw: &Object<'_, '_>, name: &str, to: &mut Writer, read: impl FnOnce(&Object<'_, '_>, &mut Writer) -> Read<()>) -> Read<()> {
    let Some(json) = raw.raw(name) else { return Ok(()) };
    let object = Object::of(json, Path::Name(&raw.path, name))?;
    to.name(name).raw("{");
    read(&object, to)?;
    if let Some(key) = object.string("key", 1, limits::PATH_CHARS_MAX)? {
        if !workflow_match::is_path(&key, "input") {
            return Err(object.broken("key", "must be a path into the start, such as input or input.customer.id"));
        }
        to.name("key").string(&key);
    }
    to.raw("}");
    Ok(())
}

fn required(object: &Object<'_, '_>, name: &str, min: i64, max: i64) -> Read<i64> {
    object.integer(name, min, max)?.ok_or_else(|| object.broken(name, "is required"))
}

fn concurrency(raw: &Object<'_, '_>, to: &mut Writer) -> Read<()> {
    policy(raw, "concurrency", to, |object, to| {
        to.name("limit").number(required(object, "limit", 1, limits::FLOW_PARALLELISM_MAX)?);
        Ok(())
    })
}

fn rate_limit(raw: &Object<'_, '_>, to: &mut Writer) -> Read<()> {
    policy(raw, "rateLimit", to, |object, to| {
        let period = object.integer("periodSeconds", 1, limits::FLOW_PERIOD_SECONDS_MAX)?.unwrap_or(limits::FLOW_PERIOD_SECONDS_DEFAULT);
        to.name("limit").number(required(object, "limit", 1, limits::FLOW_RATE_MAX)?).name("periodSeconds").number(period);
        Ok(())
    })
}

fn singleton(raw: &Object<'_, '_>, to: &mut Writer) -> Read<()> {
    policy(raw, "singleton", to, |object, to| {
        let mode = object.string("mode", 0, 40)?.unwrap_or_else(|| "skip".to_owned());
        if !matches!(mode.as_str(), "skip" | "cancel") {
            return Err(object.broken("mode", "must be skip or cancel"));
        }
        to.name("mode").string(&mode);
        Ok(())
    })
}

fn debounce(raw: &Object<'_, '_>, to: &mut Writer) -> Read<()> {
    policy(raw, "debounce", to, |object, to| {
        let seconds = required(object, "seconds", 1, limits::DEBOUNCE_SECONDS_MAX)?;
        to.name("seconds").number(seconds);
        if let Some(most) = object.integer("maxSeconds", 1, limits::DEBOUNCE_SECONDS_MAX)? {
            if most < seconds {
                return Err(object.broken("maxSeconds", "must not be below seconds"));
            }
            to.name("maxSeconds").number(most);
        }
        Ok(())
    })
}

#[cfg(test)]
#[path = "workflow_describe_tests.rs"]
mod tests;
