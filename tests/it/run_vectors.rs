//! The vectors of the workflow protocol (tests/vectors) against the engine's own readers, and against the database where it decides.
//!
//! Out of scope: `replay.json`, which is about SDKs.

use std::path::Path;

use serde_json::{Value, json};
use tikku_domain::approval::{Person, Policy};
use tikku_domain::destination::UrlPolicy;
use tikku_domain::publish::Rules;
use tikku_domain::signing::{self, Secret, SignedHeaders};
use tikku_domain::workflow::{self, ProtocolError};
use tikku_domain::workflow_await::Tree;
use tikku_domain::{limits, workflow_describe, workflow_match, workflow_reply, workflow_resume};

use crate::world::World;

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases = serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{file}");
    cases
}

/// Holds a reader's verdict against a case; the place may be named more exactly than the case does.
fn judge(file: &str, case: &Value, read: Result<(), ProtocolError>, below: &str) {
    let shown: String = case.to_string().chars().take(300).collect();
    match (case["ok"].as_bool().unwrap(), read) {
        (true, Ok(())) => {}
        (false, Err(error)) => {
            let expected = format!("{below}{}", case["pointer"].as_str().unwrap_or_default());
            let within = error.pointer == expected || error.pointer.starts_with(&format!("{expected}/"));
            assert!(within, "{file}: {error} is not at {expected}: {shown}");
        }
        (expected, read) => panic!("{file}: ok is {expected}, but {read:?}: {shown}"),
    }
}

fn reply(json: &Value) -> Result<(), ProtocolError> {
    let policy = UrlPolicy::default();
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    workflow_reply::parse_reply(json.to_string().as_bytes(), &rules).map(|_| ())
}

fn generated(what: &Value) -> Value {
    let count = |name: &str| what[name].as_u64().map(|n| n as usize);
    let ops = (0..count("ops").unwrap_or(0)).map(|n| json!({ "op": "signal", "key": format!("s#{n}"), "name": "s" })).collect::<Vec<_>>();
    let mut reply = json!({ "v": 1, "have": 0, "ops": ops });
    if let Some(levels) = count("levels") {
        reply["await"] = (0..levels).fold(json!("s#0"), |tree, _| json!({ "all": [tree] }));
    }
    if let Some(leaves) = count("leaves") {
        reply["await"] = json!({ "any": vec!["s#0"; leaves] });
    }
    reply
}

#[test]
fn replies() {
    for case in cases("replies.json") {
        let generate = &case["generate"];
        judge("replies", &case, reply(&if generate.is_null() { case["reply"].clone() } else { generated(generate) }), "");
    }
}

#[test]
fn single_ops() {
    for case in cases("ops.json") {
        judge("ops", &case, reply(&json!({ "v": 1, "have": 0, "ops": [case["op"]] })), "/ops/0");
    }
}

#[test]
fn checkpoints() {
    let policy = UrlPolicy::default();
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    for case in cases("checkpoints.json") {
        let read = workflow_reply::parse_checkpoint(case["request"].to_string().as_bytes(), &rules).map(|_| ());
        judge("checkpoints", &case, read, "");
    }
}

#[test]
fn describes() {
    for case in cases("describe.json") {
        judge("describe", &case, workflow_describe::parse_describe(case["reply"].to_string().as_bytes()).map(|_| ()), "");
    }
}

#[test]
fn keys_and_names() {
    for case in cases("keys.json") {
        assert_eq!(workflow::check_key(case["key"].as_str().unwrap()).is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }
    for case in cases("workflow-names.json") {
        assert_eq!(workflow::check_name(case["workflow"].as_str().unwrap()).is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn resume_tokens() {
    for case in cases("resume.json") {
        let of = |name: &str| case[name].as_str().unwrap();
        assert_eq!(workflow_resume::resume_token(of("resumeKey"), of("name")), of("token"), "{case}");
        assert!(workflow_resume::verify_resume_token(of("resumeKey"), of("name"), of("token")));
    }
}

#[test]
fn signatures() {
    for case in cases("signatures.json") {
        let of = |name: &str| case[name].as_str().unwrap_or_default();
        let secret: Secret = of("secret").parse().unwrap();
        let headers = SignedHeaders { id: of("id"), timestamp: of("timestamp"), signature: of("signature") };
        let verified = signing::verify(&[secret], headers, of("body").as_bytes(), case["nowSeconds"].as_i64().unwrap(), 300);
        assert_eq!(verified.is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn policies_of_approvals() {
    for case in cases("policies.json") {
        let policy = Policy::stored(&case["policy"].to_string()).unwrap();
        let key = |value: &Value| value.as_str().map(|text| text.parse().unwrap());
        let allowed = match key(&case["by"]["key"]) {
            Some(key_of) => {
                let person = Person { role: case["by"]["role"].as_str().unwrap(), key: key_of, initiator: key(&case["startedBy"]) };
                policy.refusal(person).is_none()
            }
            None => policy.is_open(),
        };
        assert_eq!(allowed, case["allowed"].as_bool().unwrap(), "{case}");
    }
}

#[tokio::test]
async fn trees_resolve_alike_here_and_in_the_database() {
    let world = World::new("vectors_trees").await;
    let client = world.client().await;
    for case in cases("trees.json") {
        let run = uuid::Uuid::from_u128(rand(&case));
        let finished: Vec<&str> = case["finished"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        for (seq, key) in (1_i32..).zip(&finished) {
            let sql =
                "insert into tikku.entry (run_id, seq, key, kind, state, fence, at) values ($1, $2, $3, 'run', 'ok', 1, tikku.clock_now())";
            client.execute(sql, &[&run, &seq, key]).await.unwrap();
        }
        let tree = Tree::parse(&case["tree"].to_string()).unwrap();
        assert_eq!(tree.resolves(&|key| finished.contains(&key)), case["resolves"].as_bool().unwrap(), "{case}");
        let row = client.query_one("select tikku.awaits_met($1, $2::text::jsonb)", &[&run, &tree.to_json()]).await.unwrap();
        assert_eq!(row.get::<_, bool>(0), case["resolves"].as_bool().unwrap(), "{case}");
    }
}

/// A number of its own for each case.
fn rand(case: &Value) -> u128 {
    case.to_string().bytes().fold(1, |sum, byte| sum.wrapping_mul(31).wrapping_add(u128::from(byte)))
}

#[tokio::test]
async fn matches_are_read_here_and_decided_by_the_database() {
    let world = World::new("vectors_match").await;
    let client = world.client().await;
    for case in cases("match.json") {
        let matches = match workflow_match::normalise(&case["match"].to_string()).unwrap() {
            None => true,
            Some(matching) => {
                let sql = "select (tikku.event_matches(array[$1::text::json], convert_to($2, 'UTF8')))[1]";
                client.query_one(sql, &[&matching, &case["data"].to_string()]).await.unwrap().get(0)
            }
        };
        assert_eq!(matches, case["matches"].as_bool().unwrap(), "{case}");
    }
}

#[tokio::test]
async fn keys_of_policies_are_found_by_the_database() {
    let world = World::new("vectors_start_keys").await;
    let client = world.client().await;
    for case in cases("start-keys.json") {
        let sql = "select tikku.policy_key('w', $1, convert_to($2, 'UTF8')) = tikku.policy_key('w', 'input', convert_to($3, 'UTF8'))";
        let same = client.query_one(sql, &[&case["key"].as_str().unwrap(), &case["input"].to_string(), &case["value"].to_string()]).await;
        assert!(same.unwrap().get::<_, bool>(0), "{case}");
    }
}
