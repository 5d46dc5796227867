//! What the engine would refuse is an error where it stands in the code, and the run goes on: the edges are those of tests/vectors.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tikku::{AiUsage, Checkpoint, Failure, Message, Per, Serve, ServeError, Singleton, Step, StepError, Workflow};
use tikku_domain::json_schema::{SchemaError, validate};

use crate::engine::{Engine, SECRET, Script};
use crate::vectors::cases;

type Asked = BoxFuture<'static, tikku::Result<Value>>;

/// The ops of one dispatch of a workflow that asks for one thing, and gives back the name and the code of its error.
async fn ops(ask: impl Fn(Step) -> Option<Asked> + Send + Sync + 'static) -> Value {
    let flow = Workflow::new("flow", move |step: Step, _: Value| {
        let asked = ask(step).unwrap();
        async move { asked.await.or_else(|failure| Ok(json!([failure.name, failure.code]))) }
    });
    let engine = Engine::new(Vec::new());
    let reply = engine.dispatch(&engine.serve(flow, Checkpoint::Return), "flow", &Value::Null).await;
    reply["ops"].clone()
}

fn refused(name: &str, code: Option<&str>) -> Value {
    json!([{ "op": "done", "value": [name, code] }])
}

fn texts(list: &Value) -> Option<Vec<String>> {
    list.as_array().map_or(Some(Vec::new()), |list| list.iter().map(|one| one.as_str().map(str::to_owned)).collect())
}

/// Asks for the step that an op plans; none if these methods cannot say it.
fn plan(step: &Step, op: &Value) -> Option<Asked> {
    let text = |field: &str| if op[field].is_null() { Some(None) } else { op[field].as_str().map(|text| Some(text.to_owned())) };
    let millis = |field: &str| op[field].as_u64().map(Duration::from_millis);
    let (name, timeout) = (op["key"].as_str()?.strip_suffix("#0")?, millis("timeoutMs"));
    if !op["timeoutMs"].is_null() && timeout.is_none() {
        return None;
    }
    let named = text("name")?.unwrap_or_default();
    Some(match op["op"].as_str()? {
        "sleep" if op["forMs"].is_u64() == op["untilMs"].is_u64() => return None,
        "sleep" => {
            let sleep = match millis("forMs") {
                Some(span) => step.sleep(name, span),
                None => step.sleep_until(name, UNIX_EPOCH + millis("untilMs")?),
            };
            async move { sleep.await.map(|_| Value::Null) }.boxed()
        }
        "signal" => {
            let wait = step.wait_for_signal::<Value>(name).named(named);
            match timeout {
                Some(time) => wait_for(wait.timeout(time)),
                None => wait_for(wait),
            }
        }
        "event" => {
            let object = if op["match"].is_null() { Default::default() } else { op["match"].as_object()?.clone() };
            let wait =
                object.into_iter().fold(step.wait_for_event::<Value>(name, &named), |wait, (path, value)| wait.matching(path, value));
            wait_for(wait)
        }
        "child" => {
            let mut wait = step.invoke::<Value, Value>(name, text("workflow")?.unwrap_or_default(), op["input"].clone());
            wait = text("version")?.into_iter().fold(wait, tikku::Child::version);
            wait_for(text("id")?.into_iter().fold(wait, tikku::Child::id))
        }
        "approval" => {
            let (policy, title, detail) = (&op["policy"], text("title")?, text("detail")?);
            let known = ["roles", "keys", "notInitiator"];
            let sayable = policy.is_null() || policy.as_object()?.keys().all(|field| known.contains(&field.as_str()));
            let mut wait = step.approval(name);
            let (roles, keys) = (texts(&policy["roles"])?, texts(&policy["keys"])?);
            // An empty list, or a flag that is text, cannot be said.
            if !sayable
                || policy["roles"].is_string()
                || policy["notInitiator"].is_string()
                || (!policy.is_null() && roles.len() + keys.len() == 0)
            {
                return None;
            }
            wait = keys.into_iter().fold(roles.into_iter().fold(wait, tikku::Approval::role), tikku::Approval::api_key);
            if !op["schema"].is_null() {
                wait = wait.schema(op["schema"].clone());
            }
            wait_for(detail.into_iter().fold(title.into_iter().fold(wait, tikku::Approval::title), tikku::Approval::detail))
        }
        _ => return None,
    })
}

fn wait_for<T: serde::Serialize + Send>(wait: impl Future<Output = tikku::Result<T>> + Send + 'static) -> Asked {
    async move { wait.await.map(|value| json!(value)) }.boxed()
}

#[tokio::test]
async fn every_plan_of_the_vectors_is_sent_or_refused_as_the_engine_would() {
    let (mut sent, mut held) = (0, 0);
    for case in cases("ops") {
        let (name, op) = (case["name"].clone(), case["op"].clone());
        let engine = Engine::new(Vec::new());
        let probe = Workflow::new("probe", {
            let op = op.clone();
            move |step: Step, _: Value| std::future::ready(Ok(plan(&step, &op).is_some()))
        });
        let reply = engine.dispatch(&engine.serve(probe, Checkpoint::Return), "probe", &Value::Null).await;
        if reply["ops"][0]["value"] != true {
            continue;
        }
        let got = ops(move |step| plan(&step, &op)).await;
        if case["ok"] == true {
            sent += 1;
            assert_eq!((&got[0]["op"], &got[0]["key"]), (&case["op"]["op"], &case["op"]["key"]), "{name}");
        } else {
            held += 1;
            assert_eq!(got, refused("InvalidStep", None), "{name}");
        }
    }
    assert!(sent >= 9 && held >= 25, "{sent} that are sent, {held} that are not");
}

#[tokio::test]
async fn what_no_request_takes_is_an_error_of_the_step() {
    let large = |bytes: usize| "x".repeat(bytes - 2);
    let input = move |bytes: usize| ops(move |step| Some(wait_for(step.invoke::<String, Value>("sub", "kid", large(bytes)))));
    assert_eq!(input(4_194_304).await[0]["op"], "child");
    assert_eq!(input(4_194_305).await, refused("TooLarge", Some("TOO_LARGE")));
    let message = move |step: Step| Some(wait_for(step.publish("mail", Message::to("https://example.com/").body(json!(large(5_300_000))))));
    assert_eq!(ops(message).await, refused("TooLarge", Some("TOO_LARGE")));
    let again = move |step: Step| Some(async move { step.continue_as_new(large(4_194_305)).await }.boxed());
    assert_eq!(ops(again).await, refused("TooLarge", Some("TOO_LARGE")));
    let version = |step: Step| Some(async move { step.continue_as_new_in("", 1).await }.boxed());
    assert_eq!(ops(version).await, refused("InvalidStep", None));
    let forever = |step: Step| Some(wait_for(step.wait_for_signal::<Value>("go").timeout(Duration::MAX)));
    assert_eq!(ops(forever).await, refused("InvalidStep", None));
}

#[tokio::test]
async fn what_is_only_shown_is_cleaned_instead_of_refused() {
    let usage = AiUsage { model: format!("m\0{}", "n".repeat(300)), input_tokens: 1, output_tokens: 2, cost_usd: Some(-1.0) };
    let call = async move |ctx: tikku::StepContext| {
        ctx.record_usage(usage.clone());
        Ok(1)
    };
    let got = ops(move |step| Some(wait_for(step.ai("llm", call.clone())))).await;
    let model = format!("m\u{fffd}{}", "n".repeat(198));
    assert_eq!(got[0]["ai"], json!({ "model": model, "inputTokens": 1, "outputTokens": 2 }));

    let deep = (0..200).fold(Value::Null, |below, _| json!([below]));
    let failure = Failure::new("E\0", "m\0").with_data(deep).with_cause(Failure::new("C", "c\0"));
    let body = async move |_| Err::<u64, _>(StepError::NonRetriable(failure.clone()));
    let got = ops(move |step| Some(wait_for(step.run("a", body.clone())))).await;
    assert_eq!(got[0]["error"], json!({ "name": "E\u{fffd}", "message": "m\u{fffd}", "cause": { "name": "C", "message": "c\u{fffd}" } }));
}

#[tokio::test]
async fn a_code_that_is_a_number_is_read_as_text() {
    let journal =
        vec![json!({ "seq": 1, "key": "a#0", "kind": "run", "state": "error", "error": { "name": "E", "message": "m", "code": 42 } })];
    let flow = Workflow::new("flow", async |step: Step, _: Value| {
        let failed = step.run("a", async |_| Ok(1)).await;
        Ok(failed.unwrap_err().code.clone())
    });
    let engine = Engine::new(journal);
    let reply = engine.dispatch(&engine.serve(flow, Checkpoint::Return), "flow", &Value::Null).await;
    assert_eq!(reply["ops"][0]["value"], "42");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_all_that_it_may_have_fails_and_says_so() {
    let flow = Workflow::new("flow", async |step: Step, _: Value| step.run("a", async |_| Ok(1)).await);
    let engine = Engine::new(Vec::new());
    engine.state().script = vec![Script::Status(413)];
    let reply = engine.dispatch(&engine.serve(flow, Checkpoint::Each), "flow", &Value::Null).await;
    let error = json!({ "name": "TooLarge", "message": "the engine found it too large", "code": "TOO_LARGE" });
    assert_eq!(reply["ops"], json!([{ "op": "fail", "error": error }]));
}

#[test]
fn an_endpoint_says_what_a_policy_may_be() {
    let flow = || Workflow::new("flow", async |_, _: Value| Ok(()));
    let refusal = |workflow: Workflow| match Serve::builder().workflow(workflow).signing_secret(SECRET).build() {
        Err(ServeError::Policy(name, rule)) => format!("{name}, {rule}"),
        other => panic!("{:?}", other.map(|_| ())),
    };
    let cases = [
        (flow().concurrency(0, Per::Workflow), "concurrency.limit: limit must be an integer from 1 to 10000"),
        (
            flow().rate_limit(1, Duration::from_millis(900), Per::Workflow),
            "rateLimit.periodSeconds: periodSeconds must be an integer from 1 to 2592000",
        ),
        (
            flow().singleton(Singleton::Skip, Per::Key("event.id")),
            "singleton.key: key must be a path into the start, such as input or input.customer.id",
        ),
        (flow().debounce(Duration::ZERO, None, Per::Workflow), "debounce.seconds: seconds must be an integer from 1 to 604800"),
        (flow().priority(101), "priority: priority must be an integer from -100 to 100"),
        (flow().trigger(""), "triggers.0.event: event must have 1 to 128 characters, none of them a control character"),
    ];
    for (workflow, rule) in cases {
        assert_eq!(refusal(workflow), format!("flow 1, {rule}"));
    }
}

#[test]
fn every_schema_of_the_vectors_takes_and_refuses_what_it_must() {
    for case in cases("schemas") {
        let list = |field: &str| case[field].as_array().cloned().unwrap_or_default();
        let schema = &case["schema"];
        for value in list("takes") {
            assert_eq!(validate(schema, &value), Ok(()), "{schema} takes {value}");
        }
        for refusal in list("refuses") {
            let Err(SchemaError::Data(errors)) = validate(schema, &refusal["value"]) else { panic!("{schema} refuses {refusal}") };
            let pointers: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
            assert!(refusal["pointers"].is_null() || refusal["pointers"] == json!(pointers), "{schema}: {pointers:?}");
        }
        let unusable = [json!(1), json!("x"), json!({})].iter().any(|value| matches!(validate(schema, value), Err(SchemaError::Schema(_))));
        assert_eq!(unusable, case["unusable"] == true, "{schema}");
    }
}
