//! Reads one op of a reply or checkpoint (docs/protocol.md, "Ops").

use std::str::FromStr;

use crate::fields::{FieldError, Fields};
use crate::ids::KeyId;
use crate::json_schema::{self, SchemaError};
use crate::limits;
use crate::publish::{self, METHODS, NewMessage, Rules};
use crate::workflow::{self, Op, ProtocolError};
use crate::workflow_json::{Object, Path, Writer, is_fit};
use crate::workflow_match;

type Read<T> = Result<T, ProtocolError>;
type Raw<'a, 'p> = Object<'a, 'p>;

/// What an op says of the run as a whole.
pub(crate) enum Said {
    /// Nothing: it is about a step.
    Step(Op),
    /// The run is over.
    Over(Op),
    /// A person has to look: the reason, and what that person needs to know, as JSON.
    Pause(&'static str, String),
}

/// Reads an op.
pub(crate) fn read(raw: &Raw<'_, '_>, rules: &Rules<'_>) -> Read<Said> {
    let name = raw.required("op", 1, 40)?;
    Ok(match name.as_str() {
        "result" => Said::Step(result(raw)?),
        "error" => Said::Step(error(raw)?),
        "sleep" => Said::Step(sleep(raw)?),
        "signal" => Said::Step(signal(raw)?),
        "event" => Said::Step(event(raw)?),
        "child" => Said::Step(child(raw)?),
        "approval" => Said::Step(approval(raw)?),
        "fetch" => Said::Step(fetch(raw, rules)?),
        "publish" => Said::Step(publish(raw, rules)?),
        "done" => Said::Over(Op { op: "done", value: Some(value(raw, "value")?), ..Op::default() }),
        "fail" => Said::Over(Op { op: "fail", error: Some(fault(raw)?), ..Op::default() }),
        "continueAsNew" => Said::Over(continued(raw)?),
        "diverged" => Said::Pause("nonDeterminism", diverged(raw)?),
        "unserved" => Said::Pause("unserved", unserved(raw)?),
        _ => return Err(raw.broken("op", format!("{name:?} is not an op of protocol version {}", workflow::PROTOCOL))),
    })
}

fn step(raw: &Raw<'_, '_>, op: &'static str, kind: &'static str) -> Read<Op> {
    Ok(Op { op, key: Some(raw.checked("key", workflow::check_key)?), kind: Some(kind), ..Op::default() })
}

/// A user's value as it is written; null if absent.
fn value(raw: &Raw<'_, '_>, name: &str) -> Read<Vec<u8>> {
    let json = raw.raw(name).map_or("null", |value| value.get());
    if json.len() > limits::RESULT_BYTES_MAX {
        let most = limits::RESULT_BYTES_MAX;
        return Err(Path::Name(&raw.path, name).too_large(format!("{name} must have at most {most} bytes of JSON")));
    }
    Ok(json.as_bytes().to_vec())
}

fn fault(raw: &Raw<'_, '_>) -> Read<String> {
    let Some(json) = raw.raw("error") else { return Err(raw.broken("error", "is required")) };
    if json.get().len() > limits::ERROR_BYTES_MAX {
        let most = limits::ERROR_BYTES_MAX;
        return Err(Path::Name(&raw.path, "error").too_large(format!("error must have at most {most} bytes of JSON")));
    }
    raw.shallow("error", limits::ERROR_BYTES_MAX)?;
    let error = Object::of(json, Path::Name(&raw.path, "error"))?;
    error.required("name", 0, usize::MAX)?;
    error.required("message", 0, usize::MAX)?;
    Ok(json.get().to_owned())
}

/// What `result` and `error` say of the execution.
fn execution(raw: &Raw<'_, '_>, op: &'static str) -> Read<Op> {
    let kind = match raw.string("kind", 0, 40)?.as_deref() {
        None | Some("run") => "run",
        Some("ai") => "ai",
        Some(_) => return Err(raw.broken("kind", "must be run or ai")),
    };
    let step = step(raw, op, kind)?;
    let ai = raw.raw("ai").map(|ai| read_ai(&Object::of(ai, Path::Name(&raw.path, "ai"))?)).transpose()?;
    let attempt = raw.about("attempt", i64::from(i16::MAX))?.map(|n| n as i32);
    Ok(Op { ms: raw.about("ms", limits::STEP_WAIT_MS_MAX)?, attempt, ai, ..step })
}

fn read_ai(ai: &Raw<'_, '_>) -> Read<String> {
    const TOKENS_MAX: i64 = 1_000_000_000_000;
    let mut text = Writer::default();
    text.raw("{");
    if let Some(model) = ai.string("model", 0, 200)? {
        text.name("model").string(&model);
    }
    for name in ["inputTokens", "outputTokens"] {
        if let Some(tokens) = ai.about(name, TOKENS_MAX)? {
            text.name(name).number(tokens);
        }
    }
    if let Some(cost) = ai.raw("costUsd") {
        match serde_json::from_str::<f64>(cost.get()) {
            Ok(usd) if (0.0..=1e9).contains(&usd) => text.name("costUsd").raw(serde_json::json!(usd).to_string()),
            _ => return Err(ai.broken("costUsd", "must be a number from 0 to 1000000000")),
        };
    }
    text.raw("}");
    Ok(text.into_string())
}

fn result(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = execution(raw, "result")?;
    Ok(Op { value: Some(value(raw, "value")?), ..op })
}

fn error(raw: &Raw<'_, '_>) -> Read<Op> {
    let Some(retry) = raw.raw("retry") else {
        let op = execution(raw, "error")?;
        return Ok(Op { error: Some(fault(raw)?), ..op });
    };
    let op = execution(raw, "retry")?;
    let retry = Object::of(retry, Path::Name(&raw.path, "retry"))?;
    let after_ms = retry.integer("afterMs", 0, limits::STEP_RETRY_MS_MAX)?.ok_or_else(|| retry.broken("afterMs", "is required"))?;
    let free = retry.boolean("free")?.unwrap_or(false);
    let detail = Some(format!(r#"{{"afterMs":{after_ms},"free":{free}}}"#));
    Ok(Op { error: Some(fault(raw)?), detail, ..op })
}

fn sleep(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = step(raw, "sleep", "sleep")?;
    let for_ms = raw.integer("forMs", 0, limits::STEP_WAIT_MS_MAX)?;
    let until_ms = raw.integer("untilMs", 0, limits::STEP_UNTIL_MS_MAX)?;
    let detail = match (for_ms, until_ms) {
        (Some(ms), None) => format!(r#"{{"forMs":{ms}}}"#),
        (None, Some(ms)) => format!(r#"{{"untilMs":{ms}}}"#),
        (None, None) => return Err(raw.broken("forMs", "is required, or untilMs")),
        (Some(_), Some(_)) => return Err(raw.broken("untilMs", "and forMs exclude each other")),
    };
    Ok(Op { detail: Some(detail), ..op })
}

fn timeout(raw: &Raw<'_, '_>, detail: &mut Writer) -> Read<()> {
    if let Some(ms) = raw.integer("timeoutMs", 0, limits::STEP_WAIT_MS_MAX)? {
        detail.name("timeoutMs").number(ms);
    }
    detail.raw("}");
    Ok(())
}

fn signal(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = step(raw, "signal", "signal")?;
    let mut detail = Writer::default();
    detail.raw("{").name("name").string(&raw.checked("name", workflow::check_signal)?);
    timeout(raw, &mut detail)?;
    Ok(Op { detail: Some(detail.into_string()), ..op })
}

fn event(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = step(raw, "event", "event")?;
    let mut detail = Writer::default();
    detail.raw("{").name("name").string(&raw.checked("name", workflow::check_signal)?);
    if let Some(matching) = raw.raw("match")
        && let Some(matching) = workflow_match::read(Object::of(matching, Path::Name(&raw.path, "match"))?)?
    {
        if !is_fit(&matching) {
            return Ok(unfit(op, "match"));
        }
        detail.name("match").raw(matching);
    }
    timeout(raw, &mut detail)?;
    Ok(Op { detail: Some(detail.into_string()), ..op })
}

fn child(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = step(raw, "child", "child")?;
    let mut detail = Writer::default();
    detail.raw("{").name("workflow").string(&raw.checked("workflow", workflow::check_name)?);
    if let Some(version) = raw.checked_if_any("version", workflow::check_version)? {
        detail.name("version").string(&version);
    }
    if let Some(id) = raw.checked_if_any("id", workflow::check_external_id)? {
        detail.name("id").string(&id);
    }
    detail.raw("}");
    Ok(Op { value: Some(value(raw, "input")?), detail: Some(detail.into_string()), ..op })
}

fn continued(raw: &Raw<'_, '_>) -> Read<Op> {
    let mut detail = Writer::default();
    detail.raw("{");
    if let Some(version) = raw.checked_if_any("version", workflow::check_version)? {
        detail.name("version").string(&version);
    }
    detail.raw("}");
    Ok(Op { op: "continue", value: Some(value(raw, "input")?), detail: Some(detail.into_string()), ..Op::default() })
}

fn approval(raw: &Raw<'_, '_>) -> Read<Op> {
    let op = step(raw, "approval", "approval")?;
    let mut detail = Writer::default();
    detail.raw("{").name("policy");
    match raw.raw("policy") {
        None => detail.raw("{}"),
        Some(policy) => {
            // What is mistyped, or computed and empty, must not mean that anybody may answer.
            let given: serde_json::Value = serde_json::from_str(policy.get()).unwrap_or_default();
            let lists: Vec<usize> = ["roles", "keys"].iter().filter_map(|name| given[name].as_array().map(Vec::len)).collect();
            let unknown = given
                .as_object()
                .is_some_and(|members| members.keys().any(|name| !matches!(name.as_str(), "roles" | "keys" | "notInitiator")));
            if unknown || (!lists.is_empty() && lists.iter().all(|len| *len == 0)) {
                return Err(raw.broken(
                    "policy",
                    "must have roles, keys and notInitiator only, and not just empty lists: leave out what is not meant",
                ));
            }
            detail.raw(read_policy(&Object::of(policy, Path::Name(&raw.path, "policy"))?)?)
        }
    };
    if let Some(schema) = raw.shallow("schema", limits::APPROVAL_BYTES_MAX)? {
        if !matches!(schema.as_bytes().first(), Some(b'{' | b't' | b'f')) {
            return Err(raw.broken("schema", "must be a JSON Schema: an object, true or false"));
        }
        if !is_fit(schema) {
            return Ok(unfit(op, "schema"));
        }
        detail.name("schema").raw(schema);
        let given: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
        // Better than a question that nobody can ever answer.
        if let Err(SchemaError::Schema(why)) = json_schema::validate(&given, &serde_json::Value::Null) {
            let error =
                serde_json::json!({ "name": "InvalidSchema", "message": format!("the schema of this approval cannot be used: {why}") });
            return Ok(Op { op: "error", error: Some(error.to_string()), ..op });
        }
    }
    if let Some(title) = raw.string("title", 0, limits::APPROVAL_TITLE_CHARS_MAX)? {
        detail.name("title").string(&title);
    }
    if let Some(shown) = raw.shallow("detail", limits::APPROVAL_BYTES_MAX)? {
        if !is_fit(shown) {
            return Ok(unfit(op, "detail"));
        }
        detail.name("detail").raw(shown);
    }
    timeout(raw, &mut detail)?;
    Ok(Op { detail: Some(detail.into_string()), ..op })
}

/// A step that can never be planned: an error of its own, so that nothing else of its request is lost.
fn unfit(op: Op, name: &str) -> Op {
    let message = format!("{name} has a NUL or half of a surrogate pair, which cannot be compared or shown");
    let error = serde_json::json!({ "name": "InvalidStep", "message": message });
    Op { op: "error", error: Some(error.to_string()), ..op }
}

/// Who may answer; what allows everybody is left out.
fn read_policy(policy: &Raw<'_, '_>) -> Read<String> {
    let mut text = Writer::default();
    text.raw("{");
    let is_role = |text: &str| matches!(text, "admin" | "publish" | "read");
    let is_key = |text: &str| KeyId::from_str(text).is_ok();
    words(policy, "roles", is_role, "must be an array of admin, publish and read", &mut text)?;
    words(policy, "keys", is_key, "must be an array of at most 100 ids of API keys", &mut text)?;
    if policy.boolean("notInitiator")? == Some(true) {
        text.name("notInitiator").raw("true");
    }
    text.raw("}");
    Ok(text.into_string())
}

/// A list of words of which each is `known`; an empty one is left out.
fn words(policy: &Raw<'_, '_>, name: &str, known: fn(&str) -> bool, rule: &str, to: &mut Writer) -> Read<()> {
    let Some(list) = policy.raw(name) else { return Ok(()) };
    match serde_json::from_str::<Vec<String>>(list.get()) {
        Ok(words) if words.len() <= limits::MEMBERS_MAX && words.iter().all(|word| known(word)) => {
            if !words.is_empty() {
                to.name(name).raw(serde_json::json!(words).to_string());
            }
            Ok(())
        }
        _ => Err(policy.broken(name, rule)),
    }
}

fn publish(raw: &Raw<'_, '_>, rules: &Rules<'_>) -> Read<Op> {
    let op = step(raw, "publish", "publish")?;
    let Some(message) = raw.raw("message") else { return Err(raw.broken("message", "is required")) };
    Ok(match publish::parse(message.get().as_bytes(), rules).and_then(unkeyed) {
        Ok(mut message) => Op { value: message.body.take(), message: Some(Box::new(message)), ..op },
        Err(errors) => Op { op: "error", error: Some(invalid(&errors)), ..op },
    })
}

/// The step is what makes a publish of its own.
fn unkeyed(message: NewMessage) -> Result<NewMessage, Vec<FieldError>> {
    match message.idempotency {
        None => Ok(message),
        Some(_) => Err(vec![FieldError {
            pointer: "/idempotencyKey".to_owned(),
            detail: "idempotencyKey and contentBasedDeduplication must be absent: the step publishes once".to_owned(),
        }]),
    }
}

fn fetch(raw: &Raw<'_, '_>, rules: &Rules<'_>) -> Read<Op> {
    let op = step(raw, "fetch", "fetch")?;
    let Some(request) = raw.raw("request") else { return Err(raw.broken("request", "is required")) };
    Ok(match read_request(request.get(), rules) {
        Ok((detail, body)) => Op { value: body, detail: Some(detail), ..op },
        Err(errors) => Op { op: "error", error: Some(invalid(&errors)), ..op },
    })
}

fn read_request(json: &str, rules: &Rules<'_>) -> Result<(String, Option<Vec<u8>>), Vec<FieldError>> {
    let mut fields = Fields::parse(json.as_bytes()).map_err(|error| vec![error])?;
    if !fields.has("url") {
        fields.refuse("url", "is required");
    }
    let url = publish::url(&mut fields, "url", rules.policy).unwrap_or_default();
    let words = METHODS.map(|method| (method, method));
    let has_body = fields.has("body");
    let method = fields.word("method", &words).unwrap_or(if has_body { "POST" } else { "GET" });
    let headers = publish::headers(&mut fields);
    let body = if has_body { publish::body(&mut fields, method).map(|body| as_text(body, &headers)) } else { None };
    // A null stands for no body.
    fields.raw("body");
    let max_attempts = fields.integer("maxAttempts", 1..=limits::ATTEMPTS_MAX).unwrap_or(limits::ATTEMPTS_DEFAULT);
    let timeout_seconds = fields
        .integer("timeoutSeconds", 1..=rules.timeout_seconds_max)
        .unwrap_or(limits::TIMEOUT_SECONDS_DEFAULT.min(rules.timeout_seconds_max));
    fields.finish()?;
    let detail = serde_json::json!({
        "url": url, "method": method, "headers": headers, "timeoutMs": timeout_seconds * 1000, "maxAttempts": max_attempts,
    });
    Ok((detail.to_string(), body))
}

/// A string is its text where a header says that the body is no JSON.
fn as_text(body: Vec<u8>, headers: &[(String, String)]) -> Vec<u8> {
    let other =
        |(name, value): &(String, String)| name.eq_ignore_ascii_case("content-type") && !value.to_ascii_lowercase().contains("json");
    match serde_json::from_slice::<String>(&body) {
        Ok(text) if headers.iter().any(other) => text.into_bytes(),
        _ => body,
    }
}

/// The error of a step whose message can never be sent.
fn invalid(errors: &[FieldError]) -> String {
    let message = errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ");
    serde_json::json!({ "name": "InvalidMessage", "message": message, "data": errors }).to_string()
}

fn diverged(raw: &Raw<'_, '_>) -> Read<String> {
    let message = raw.string("message", 0, usize::MAX)?.unwrap_or_default();
    let mut detail = Writer::default();
    detail.raw("{").name("message").string(&message.chars().take(2_000).collect::<String>());
    if let Some(diff) = raw.shallow("diff", limits::ERROR_BYTES_MAX)? {
        detail.name("diff").raw(diff);
    }
    detail.raw("}");
    Ok(detail.into_string())
}

fn unserved(raw: &Raw<'_, '_>) -> Read<String> {
    let mut detail = Writer::default();
    detail.raw("{").name("message").string("the endpoint does not serve this version of the workflow");
    // A long list is of no use to a person.
    if let Ok(Some(serves)) = raw.shallow("serves", limits::ERROR_BYTES_MAX) {
        detail.name("serves").raw(serves);
    }
    detail.raw("}");
    Ok(detail.into_string())
}
