//! What describe accepts, and the one form that its policies are stored in.

use super::*;

#[test]
fn policies_are_written_in_one_form() {
    let json = r#"{"v":1,"sdk":"x/1","checkpoint":"each","workflows":[{"name":"a","version":"3","x":1,
      "triggers":[{"event":"order.placed","match":{ "data.country" : "DE" }},{"event":"e","match":{}}],"retry":{"maxAttempts": 4},
      "concurrency":{"key":"input.id","limit":10},"rateLimit":{"limit":100},"singleton":{},"debounce":{"seconds":5,"maxSeconds":60,"key":"input"},
      "priority":-1},{"name":"a"}]}"#;
    let described = parse_describe(json.as_bytes()).unwrap();
    assert_eq!((described.sdk.as_deref(), described.checkpoint), (Some("x/1"), "each"));
    let policy = r#"{"triggers":[{"event":"order.placed","match":{"data.country":"DE"}},{"event":"e"}],"retry":{"maxAttempts": 4},"concurrency":{"limit":10,"key":"input.id"},"rateLimit":{"limit":100,"periodSeconds":1},"singleton":{"mode":"skip"},"debounce":{"seconds":5,"maxSeconds":60,"key":"input"},"priority":-1}"#;
    assert_eq!(described.workflows[0].policy, policy);
    assert_eq!(described.workflows[0].triggers[0].matching.as_deref(), Some(r#"{"data.country":"DE"}"#));
    assert_eq!((described.workflows[1].version.as_str(), described.workflows[1].policy.as_str()), ("1", "{}"));
}

#[test]
fn a_thousand_workflows_are_the_most() {
    let many = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!(r#"{{"name":"w{i}"}}"#)).collect();
        parse_describe(format!(r#"{{"v":1,"workflows":[{}]}}"#, list.join(",")).as_bytes())
    };
    assert_eq!(many(limits::WORKFLOWS_MAX).unwrap().workflows.len(), limits::WORKFLOWS_MAX);
    assert_eq!(many(limits::WORKFLOWS_MAX + 1).unwrap_err().pointer, "/workflows");
}

#[test]
fn an_answer_that_is_none_says_why() {
    let answer = |status, body: &str| {
        let answer = message::Answer { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        judge(message::Outcome { duration_ms: 1, result: message::Reply::Response(answer) })
    };
    assert!(answer(200, r#"{"v":1,"workflows":[]}"#).is_ok());
    assert!(answer(401, "").unwrap_err().contains("signing secret"));
    assert!(answer(404, "").unwrap_err().contains("404"));
    assert!(answer(200, r#"{"v":1,"workflows":[{}]}"#).unwrap_err().contains("/workflows/0/name"));
    assert!(answer(200, &" ".repeat(limits::DESCRIBE_BYTES_MAX + 1)).unwrap_err().contains("bytes"));
    assert_eq!(describe_body("shop"), br#"{"app":"shop","kind":"describe","v":1}"#);
}
