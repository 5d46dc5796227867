//! What the form that sends a message asks for.

use super::*;

fn old() -> Message {
    let json = r#"{"id":"msg_1","status":"failed","url":"https://a.example/","workflow":null,"method":"PUT","headers":{"x-a":"1"},
        "body":{"b":1.0, "a":[2]},"bodyBase64":null,"bodyBytes":19,"delaySeconds":60,"notBefore":null,"maxAttempts":3,
        "backoff":{"type":"exponential","initialSeconds":2,"factor":4.5,"maxSeconds":90,"jitter":false},"timeoutSeconds":30,
        "idempotencyKey":"k","labels":["l","m"],"flowControl":{"key":"f","parallelism":2,"rate":null,"periodSeconds":null},
        "callbackUrl":null,"failureCallbackUrl":null,"callbackWorkflow":"audit","failureCallbackWorkflow":null,"callbackOf":null,
        "fanout":null,"publishId":null,"schedule":null,"run":null,"waitingFor":null,"createdAt":"","dueAt":"","finishedAt":null,
        "attemptCount":3,"cancelRequested":false,"resentFrom":null,"attempts":[]}"#;
    serde_json::from_str(json).unwrap()
}

fn text(form: &Query, old: Option<&Message>) -> String {
    serde_json::to_string(&document(form, old).unwrap()).unwrap()
}

#[test]
fn a_form_asks_for_what_was_typed_into_it_and_nothing_else() {
    let form = b"target=url&method=POST&url=+https://a.example/x+&fanout=&body={\"b\":1.0}&delaySeconds=60&labels=a,+b&flowKey=k&rate=5";
    let expected =
        r#"{"url":"https://a.example/x","body":{"b":1.0},"delaySeconds":60,"flowControl":{"key":"k","rate":5},"labels":["a","b"]}"#;
    assert_eq!(text(&Query::parse(form), None), expected);
    let form = Query::parse(b"target=fanout&fanout=orders&url=x&method=PUT&headers=x-a:+1&backoff=fixed&initialSeconds=5&maxAttempts=many");
    let expected = r#"{"fanout":"orders","headers":{"x-a":"1"},"maxAttempts":"many","backoff":{"type":"fixed","initialSeconds":5}}"#;
    assert_eq!(text(&form, None), expected, "the API says what is wrong with many");
    let form = Query::parse(b"target=workflow&workflow=w&headers=x-a:+1&body=1&callbackUrl=https://b.example/");
    assert_eq!(text(&form, None), r#"{"workflow":"w","body":1,"callbackUrl":"https://b.example/"}"#);
    assert_eq!(document(&Query::parse(b"url=x&body={"), None).unwrap_err().field, "body");
}

#[test]
fn a_form_that_was_filled_from_a_message_asks_for_it_again_but_for_its_key_and_its_delay() {
    let expected = r#"{"url":"https://a.example/","method":"PUT","body":{"b":1.0, "a":[2]},"headers":{"x-a":"1"},"maxAttempts":3,"backoff":{"type":"exponential","initialSeconds":2,"factor":4.5,"maxSeconds":90,"jitter":false},"timeoutSeconds":30,"flowControl":{"key":"f","parallelism":2},"callbackWorkflow":"audit","labels":["l","m"]}"#;
    let form = filled(&old());
    assert_eq!(text(&form, Some(&old())), expected);
    let edited = text(&form.with("initialSeconds", "9").with("body", "[1]"), Some(&old()));
    assert!(edited.contains(r#""body":[1]"#) && edited.contains(r#""backoff":{"type":"exponential","initialSeconds":9}"#), "{edited}");
}

#[test]
fn it_is_told_whether_anything_was_changed() {
    let form = filled(&old()).with("csrf", "x");
    let as_sent = form.with("body", &form.get("body").replace('\n', "\r\n"));
    assert!(is_same(&as_sent, &old()));
    assert!(is_same(&as_sent.without("workflow").with("fanout", "x"), &old()), "what is hidden is not asked for");
    for changed in [form.with("body", "{}"), form.with("delaySeconds", "5"), form.without("labels"), form.with("target", "fanout")] {
        assert!(!is_same(&changed, &old()), "{changed:?}");
    }
}

#[test]
fn bytes_are_sent_as_they_are_or_not_at_all() {
    let mut bytes = old();
    (bytes.body, bytes.body_base64) = (None, Some("/w==".to_owned()));
    let form = filled(&bytes);
    assert!(view(&form, Some(&bytes)).body_binary && is_same(&form, &bytes));
    assert!(document(&form.with("maxAttempts", "9"), Some(&bytes)).unwrap_err().text.contains("bytes"));
}
