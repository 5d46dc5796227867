//! What the engine would refuse, said where it stands in the code: by the engine's own rules, before anything is sent.
//!
//! In scope: plans of steps, the input of a next run, what a workflow says about itself. Out of scope: what the engine makes an error of the
//! step (`InvalidMessage`, `InvalidSchema`); results and errors of bodies (`body`, `failure`).

use serde::Serialize;
use serde_json::value::RawValue;
use tikku_domain::destination::UrlPolicy;
use tikku_domain::limits;
use tikku_domain::publish::Rules;
use tikku_domain::workflow::ProtocolError;
use tikku_domain::{workflow_describe, workflow_reply};

use crate::failure::Failure;
use crate::wire::{VERSION, raw};

/// A step that cannot be asked for in this way.
pub fn invalid_step(message: impl Into<String>) -> Failure {
    Failure::new("InvalidStep", message)
}

/// A value with more bytes than the engine takes.
pub fn too_large(message: impl Into<String>) -> Failure {
    Failure::new("TooLarge", message).with_code("TOO_LARGE")
}

/// A value that JSON has no place for, or would give back as another.
pub fn not_recordable(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new("NotRecordable", format!("{what} cannot be recorded: {error}")).with_code("NOT_RECORDABLE")
}

/// Whether the engine takes this plan of a step.
pub fn plan(key: &str, op: &RawValue) -> Result<(), Failure> {
    let body = request(op);
    if body.len() > limits::REQUEST_BYTES_MAX {
        let most = limits::REQUEST_BYTES_MAX;
        return Err(too_large(format!("what step {key} asks for has {} bytes of JSON; {most} are allowed", op.get().len())));
    }
    workflow_reply::parse_checkpoint(&body, &rules()).map(drop).map_err(|error| failure(&format!("step {key}"), error))
}

/// Whether the engine takes this last op of a run.
pub fn last(what: &str, op: &RawValue) -> Result<(), Failure> {
    workflow_reply::parse_reply(&request(op), &rules()).map(drop).map_err(|error| failure(what, error))
}

/// What is wrong with what a workflow says about itself: the place in it and the rule.
pub fn definition(workflow: &impl Serialize) -> Result<(), String> {
    let described = serde_json::json!({ "v": VERSION, "workflows": [workflow] });
    workflow_describe::parse_describe(described.to_string().as_bytes()).map(drop).map_err(|ProtocolError { pointer, detail, .. }| {
        let place = pointer.trim_start_matches("/workflows/0").trim_start_matches('/').replace('/', ".");
        format!("{place}: {detail}")
    })
}

fn request(op: &RawValue) -> Vec<u8> {
    format!(r#"{{"v":{VERSION},"have":0,"ops":[{}]}}"#, op.get()).into_bytes()
}

/// The widest rules: what a host of the engine refuses beyond them is its own to say.
fn rules() -> Rules<'static> {
    static POLICY: UrlPolicy = UrlPolicy { allow_http: true, allow_cidrs: Vec::new() };
    Rules { policy: &POLICY, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX }
}

fn failure(what: &str, error: ProtocolError) -> Failure {
    let message = format!("{what}: {}", error.detail);
    if error.too_large { too_large(message) } else { invalid_step(message) }
}

/// Writes what a workflow hands to the engine.
pub fn written(what: &str, value: &impl Serialize) -> Result<Box<RawValue>, Failure> {
    raw(value).map_err(|error| not_recordable(what, &error))
}
