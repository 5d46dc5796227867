//! The vectors of `tests/vectors/`, which the SDKs and the conformance kit read too, against the rules here.
//!
//! Out of scope: matches and the keys of starts, which the database evaluates; replay, which is the endpoint's.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::approval::{Person, Policy};
use crate::destination::UrlPolicy;
use crate::ids::KeyId;
use crate::publish::Rules;
use crate::signing::{self, Secret, SignedHeaders};
use crate::workflow::{self, ProtocolError};
use crate::workflow_await::Tree;
use crate::workflow_describe::parse_describe;
use crate::workflow_reply::{parse_checkpoint, parse_reply};
use crate::workflow_resume::{resume_token, verify_resume_token};

#[derive(Deserialize)]
struct File {
    cases: Vec<Value>,
}

fn cases(text: &str) -> Vec<Value> {
    let cases = serde_json::from_str::<File>(text).unwrap().cases;
    assert!(!cases.is_empty());
    cases
}

macro_rules! vectors {
    ($name:literal) => {
        cases(include_str!(concat!("../../../tests/vectors/", $name, ".json")))
    };
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} of {case}"))
}

/// What a verdict has against the case's: allowed, or refused at the place that it names or within it. `above` is put before that place.
fn against<T>(case: &Value, above: &str, verdict: Result<T, ProtocolError>) -> Option<String> {
    let ok = case["ok"] == true;
    match verdict {
        Ok(_) => (!ok).then(|| format!("was allowed: {case}")),
        Err(error) if ok => Some(format!("was refused at {:?}, {}: {case}", error.pointer, error.detail)),
        Err(error) => {
            let place = format!("{above}{}", text(case, "pointer"));
            (!error.pointer.starts_with(&place)).then(|| format!("at {:?} instead of {place:?}: {case}", error.pointer))
        }
    }
}

/// Holds the rules against all cases, and shows every difference at once.
fn hold(cases: &[Value], judge: impl Fn(&Value, &Rules<'_>) -> Option<String>) {
    let policy = UrlPolicy::default();
    let rules = Rules { policy: &policy, timeout_seconds_max: 840 };
    let differences: Vec<_> = cases.iter().filter_map(|case| judge(case, &rules)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn ops_are_allowed_or_refused() {
    hold(&vectors!("ops"), |case, rules| {
        let reply = json!({ "v": 1, "have": 0, "ops": [case["op"]] }).to_string();
        against(case, "/ops/0", parse_reply(reply.as_bytes(), rules))
    });
}

/// A reply that is too long to be written in a vector.
fn generated(of: &Value) -> Value {
    let keys = |n: &Value| (0..n.as_u64().unwrap_or(0)).map(|i| format!("s#{i}")).collect::<Vec<_>>();
    let ops: Vec<_> = keys(&of["ops"]).into_iter().map(|key| json!({ "op": "signal", "key": key, "name": "s" })).collect();
    let mut reply = json!({ "v": 1, "have": 0, "ops": ops });
    if let Some(levels) = of["levels"].as_u64() {
        reply["await"] = (0..levels).fold(json!("s#0"), |tree, _| json!({ "all": [tree] }));
    }
    if of["leaves"].is_u64() {
        reply["await"] = json!({ "any": keys(&of["leaves"]) });
    }
    reply
}

#[test]
fn replies_are_allowed_or_refused() {
    hold(&vectors!("replies"), |case, rules| {
        let reply = case.get("reply").cloned().unwrap_or_else(|| generated(&case["generate"]));
        against(case, "", parse_reply(reply.to_string().as_bytes(), rules))
    });
}

#[test]
fn checkpoints_are_allowed_or_refused() {
    hold(&vectors!("checkpoints"), |case, rules| against(case, "", parse_checkpoint(case["request"].to_string().as_bytes(), rules)));
}

#[test]
fn describe_replies_are_allowed_or_refused() {
    hold(&vectors!("describe"), |case, _| against(case, "", parse_describe(case["reply"].to_string().as_bytes())));
}

#[test]
fn await_trees_resolve() {
    for case in vectors!("trees") {
        let tree = Tree::parse(&case["tree"].to_string()).unwrap();
        let finished = case["finished"].as_array().unwrap();
        let resolves = tree.resolves(&|key| finished.iter().any(|one| one == key));
        assert_eq!(json!(resolves), case["resolves"], "{case}");
    }
}

#[test]
fn keys_and_names_are_allowed_or_refused() {
    for case in vectors!("keys") {
        assert_eq!(json!(workflow::check_key(text(&case, "key")).is_ok()), case["ok"], "{case}");
    }
    for case in vectors!("workflow-names") {
        assert_eq!(json!(workflow::check_name(text(&case, "workflow")).is_ok()), case["ok"], "{case}");
    }
}

#[test]
fn policies_say_who_may_answer() {
    for case in vectors!("policies") {
        let policy = Policy::stored(&case["policy"].to_string()).unwrap();
        let allowed = match case["by"]["key"].as_str() {
            None => policy.is_open(),
            Some(key) => {
                let initiator = case["startedBy"].as_str().map(|key| key.parse::<KeyId>().unwrap());
                policy.refusal(Person { role: text(&case["by"], "role"), key: key.parse().unwrap(), initiator }).is_none()
            }
        };
        assert_eq!(json!(allowed), case["allowed"], "{case}");
    }
}

#[test]
fn resume_tokens_are_those_of_the_vectors() {
    for case in vectors!("resume") {
        let (key, name, token) = (text(&case, "resumeKey"), text(&case, "name"), text(&case, "token"));
        assert_eq!(resume_token(key, name), token, "{case}");
        assert!(verify_resume_token(key, name, token) && !verify_resume_token(key, &format!("{name}x"), token));
    }
}

#[test]
fn signatures_are_taken_or_refused() {
    for case in vectors!("signatures") {
        let secret: Secret = text(&case, "secret").parse().unwrap();
        let headers = SignedHeaders { id: text(&case, "id"), timestamp: text(&case, "timestamp"), signature: text(&case, "signature") };
        let verdict = signing::verify(&[secret], headers, text(&case, "body").as_bytes(), case["nowSeconds"].as_i64().unwrap(), 300);
        assert_eq!(json!(verdict.is_ok()), case["ok"], "{verdict:?}: {case}");
    }
}
