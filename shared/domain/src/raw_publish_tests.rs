//! Tests of `raw_publish`.

use super::*;
use crate::destination::UrlPolicy;
use crate::limits;
use crate::publish::Target;

/// What `POST /v1/publish/{path}` with these headers and this body is read as.
fn read(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<NewMessage, Vec<FieldError>> {
    read_as("POST", path, headers, body)
}

fn read_as(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<NewMessage, Vec<FieldError>> {
    let policy = UrlPolicy::default();
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    let (destination, text) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    parse(Request { method, destination, query: text, headers: &headers, body: body.to_vec() }, &rules)
}

fn url(text: &str) -> Target {
    Target::Url(text.to_owned())
}

/// The pointers of what is wrong, in order.
fn pointers(read: Result<NewMessage, Vec<FieldError>>) -> Vec<String> {
    read.unwrap_err().into_iter().map(|error| error.pointer).collect()
}

#[test]
fn the_destination_is_taken_as_it_is_written() {
    let cases = [
        ("https://e.com/a/b", "https://e.com/a/b"),
        ("https:/e.com/a", "https://e.com/a"),
        ("HTTPS://e.com", "https://e.com/"),
        ("https://e.com/%2Fa%20b%3F?x=%26&y=a+b&&z", "https://e.com/%2Fa%20b%3F?x=%26&y=a+b&&z"),
        ("https://e.com/?b=2&tikku-labels=l&a=1&Tikku-Max-Attempts=5&b=%74", "https://e.com/?b=2&a=1&b=%74"),
        ("https://e.com/a?tikku-labels=l", "https://e.com/a"),
        ("https://e.com/a?%74ikku%2Dlabels=l", "https://e.com/a"),
        ("https://e.com/a?", "https://e.com/a?"),
        ("https://e.com/a?tikku=1", "https://e.com/a?tikku=1"),
        ("https://e.com//a", "https://e.com//a"),
        ("https://e.com:8443/a", "https://e.com:8443/a"),
        ("https://e.com/?q=https://f.com?tikku-x", "https://e.com/?q=https://f.com?tikku-x"),
    ];
    for (path, expected) in cases {
        assert_eq!(read(path, &[], b"").unwrap().target, url(expected), "{path}");
    }
    for (path, name) in
        [("orders", "orders"), ("my%20orders+1", "my orders+1"), ("a=b", "a=b"), ("https", "https"), ("caf%C3%A9", "café"), ("f?", "f")]
    {
        assert_eq!(read(path, &[], b"").unwrap().target, Target::Fanout(name.to_owned()), "{path}");
    }
}

#[test]
fn keys_are_taken_out_of_the_query() {
    let cases = [
        ("a=1&tikku-key=tk%5Flive&b=%2f", &["tk_live"][..], Some("a=1&b=%2f")),
        ("Tikku-Key=a&tikku-key=b", &["a", "b"], None),
        ("%74ikku%2Dkey=a&", &["a"], Some("")),
        ("tikku-key", &[""], None),
        ("a&&b", &[], Some("a&&b")),
        ("", &[], Some("")),
    ];
    for (query, keys, rest) in cases {
        let (taken, left) = take_keys(query);
        assert_eq!((taken.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), left.as_deref()), (keys, rest), "{query}");
    }
}

#[test]
fn the_body_and_its_content_type_pass_and_nothing_else() {
    let every: Vec<u8> = (0..=255).collect();
    let headers =
        [("content-type", "image/png"), ("accept", "*/*"), ("cookie", "a=b"), ("tikku-forward-x-own", "v"), ("tikku-attempt", "1")];
    let message = read_as("PUT", "https://e.com", &headers, &every).unwrap();
    assert_eq!((message.body, message.raw, message.method.as_str()), (Some(every), true, "PUT"));
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    assert_eq!(message.headers, pairs(&[("x-own", "v"), ("content-type", "image/png")]));
    let message = read("https://e.com", &[("content-type", "a/b"), ("tikku-forward-content-type", "c/d")], b"").unwrap();
    assert_eq!((message.headers, message.body), (pairs(&[("content-type", "c/d")]), None));
}

#[test]
fn headers_that_are_named_pass_as_they_came() {
    let came = [
        ("content-encoding", "gzip"),
        ("x-event", "push"),
        ("x-list", "a, b"),
        ("x-list", "c"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-other", "1"),
        ("x-set", "came"),
        ("tikku-forward-x-set", "set"),
    ];
    let list = "X-Event, x-list,cookie,x-absent,x-event,x-set,content-encoding";
    let by_query = read(&format!("https://e.com?tikku-forward={}", list.replace(' ', "%20")), &came, b"x").unwrap();
    let by_header = read("https://e.com", &[&came[..], &[("tikku-forward", list)]].concat(), b"x").unwrap();
    let expected = [("x-set", "set"), ("content-encoding", "gzip"), ("x-event", "push"), ("x-list", "a, b, c"), ("cookie", "a=1; b=2")];
    assert_eq!(by_query.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(by_query, NewMessage { target: by_query.target.clone(), ..by_header });
}

#[test]
fn names_that_cannot_pass_are_refused() {
    for list in ["", "x-a,,x-b", "x a", "Host", "webhook-id", "tikku-key", "Authorization", "proxy-authorization", "content-length"] {
        assert_eq!(pointers(read("https://e.com", &[("tikku-forward", list)], b"")), ["Tikku-Forward"], "{list}");
    }
    let twice = read("https://e.com?tikku-forward=x-a", &[("tikku-forward", "x-b")], b"");
    assert_eq!(pointers(twice), ["Tikku-Forward"]);
    let many = |n: usize| (0..n).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(",");
    assert!(read("https://e.com", &[("tikku-forward", &many(64))], b"").is_ok());
    assert_eq!(pointers(read("https://e.com", &[("tikku-forward", &many(65))], b"")), ["Tikku-Forward"]);
    let long = "é".repeat(1000);
    let detail = read("https://e.com", &[("tikku-forward", &long)], b"").unwrap_err().remove(0).detail;
    assert!(detail.starts_with("Tikku-Forward names \"é") && detail.len() < 1000, "{detail}");
}

#[test]
fn a_path_that_names_nothing_is_not_found() {
    let status = |path: &str, headers: &[(&str, &str)]| refusal(path, read(path, headers, b"").unwrap_err()).status;
    let long = "f".repeat(65);
    let cases = [(long.as_str(), 404), ("a%00b", 404), ("https://10.0.0.1", 400), ("https%3A%2F%2Fe.com", 400), ("https:e.com", 400)];
    for (path, expected) in cases {
        assert_eq!(status(path, &[]), expected, "{path}");
    }
    assert_eq!(status(&long, &[("tikku-nope", "1")]), 400);
    let problem = renamed(Problem::invalid_field("/fanout", "there is no such fanout in this account"));
    assert!(problem.status == 404 && problem.detail.contains("https://"), "{problem:?}");
    assert_eq!(renamed(Problem::invalid_field("/notBefore", "notBefore is too late")).errors[0].pointer, "Tikku-Not-Before");
}

#[test]
fn every_option_is_a_header_or_a_query_parameter() {
    let options = [
        ("Tikku-Not-Before", "2030-01-01T00:00:00Z"),
        ("Tikku-Max-Attempts", "7"),
        ("Tikku-Timeout-Seconds", "9"),
        ("Tikku-Idempotency-Key", "12"),
        ("Tikku-Labels", "a, b"),
        ("Tikku-Callback-Url", "https://e.com/done"),
        ("Tikku-Failure-Callback-Workflow", "failed"),
        ("Tikku-Flow-Control-Key", "5"),
        ("Tikku-Flow-Control-Parallelism", "3"),
        ("Tikku-Flow-Control-Rate", "4"),
        ("Tikku-Flow-Control-Period-Seconds", "60"),
        ("Tikku-Backoff-Type", "linear"),
        ("Tikku-Backoff-Initial-Seconds", "2"),
        ("Tikku-Backoff-Factor", "1.5"),
        ("Tikku-Backoff-Max-Seconds", "8"),
        ("Tikku-Backoff-Jitter", "false"),
        ("Tikku-Forward-X-A", "b"),
    ];
    let lower: Vec<(String, &str)> = options.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let headers: Vec<(&str, &str)> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let by_header = read("https://e.com/", &headers, b"x").unwrap();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(options).finish();
    let by_query = read(&format!("https://e.com/?{query}"), &[], b"x").unwrap();
    assert_eq!(by_header, by_query);
    let json =
        br#"{"url": "https://e.com", "notBefore": "2030-01-01T00:00:00Z", "maxAttempts": 7, "timeoutSeconds": 9, "idempotencyKey": "12",
        "labels": ["a", "b"], "callbackUrl": "https://e.com/done", "failureCallbackWorkflow": "failed", "headers": {"x-a": "b"},
        "flowControl": {"key": "5", "parallelism": 3, "rate": 4, "periodSeconds": 60},
        "backoff": {"type": "linear", "initialSeconds": 2, "factor": 1.5, "maxSeconds": 8, "jitter": false}}"#;
    let policy = UrlPolicy::default();
    let as_json = publish::parse(json, &Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX }).unwrap();
    let same = NewMessage { body: by_header.body.clone(), raw: true, idempotency: by_header.idempotency.clone(), ..as_json };
    assert_eq!(by_header, same);
    assert_eq!(read("https://e.com", &[("tikku-delay-seconds", "5")], b"").unwrap().delay_ms, Some(5000));
    let (key, hash) = read("https://e.com", &[("tikku-content-based-deduplication", "true")], b"x").unwrap().idempotency.unwrap();
    assert_eq!((key.len(), hash.len()), ("content:".len() + 64, 32));
}

#[test]
fn what_is_wrong_is_called_by_the_options_name() {
    let cases = [
        ("https://e.com", ("tikku-delay-seconds", "soon"), "Tikku-Delay-Seconds"),
        ("https://e.com", ("tikku-delay-seconds", ""), "Tikku-Delay-Seconds"),
        ("https://e.com", ("tikku-delay-seconds", "315360001"), "Tikku-Delay-Seconds"),
        ("https://e.com", ("tikku-not-before", "tomorrow"), "Tikku-Not-Before"),
        ("https://e.com", ("tikku-max-attempts", "101"), "Tikku-Max-Attempts"),
        ("https://e.com", ("tikku-idempotency-key", ""), "Tikku-Idempotency-Key"),
        ("https://e.com", ("tikku-labels", "a,,b"), "Tikku-Labels"),
        ("https://e.com", ("tikku-labels", "1,2,3,4,5,6,7,8,9,0,1"), "Tikku-Labels"),
        ("https://e.com", ("tikku-callback-url", "ftp://e.com"), "Tikku-Callback-Url"),
        ("https://e.com", ("tikku-flow-control-rate", "5"), "Tikku-Flow-Control-Key"),
        ("https://e.com", ("tikku-backoff-type", "cubic"), "Tikku-Backoff-Type"),
        ("https://e.com", ("tikku-backoff-jitter", "1"), "Tikku-Backoff-Jitter"),
        ("https://e.com", ("tikku-nope", "1"), "Tikku-Nope"),
        ("https://e.com", ("tikku-key", "tk_live_1"), "Tikku-Key"),
        ("https://e.com", ("tikku-", "1"), "Tikku-"),
        ("https://e.com", ("tikku-forward-host", "e.com"), "Tikku-Forward-host"),
        ("https://e.com", ("tikku-forward-", "e.com"), "Tikku-Forward-"),
        ("https://e.com?tikku-forward-x=1", ("tikku-forward-x", "1"), "Tikku-Forward-x"),
        ("https://e.com?tikku-max-attempts=1", ("tikku-max-attempts", "1"), "Tikku-Max-Attempts"),
        ("https://e.com?tikku-backoff-type=fixed&Tikku-Backoff-Type=fixed", ("x", ""), "Tikku-Backoff-Type"),
        ("https://10.0.0.1", ("x", ""), "destination"),
        ("https:e.com", ("x", ""), "destination"),
        ("https:///e.com", ("x", ""), "destination"),
        ("http://e.com", ("x", ""), "destination"),
        ("https%3A%2F%2Fe.com", ("x", ""), "destination"),
        ("orders?a%20b=1", ("x", ""), "a b"),
    ];
    for (path, header, pointer) in cases {
        assert_eq!(pointers(read(path, &[header], b"x")), [pointer], "{path} {header:?}");
    }
    assert_eq!(pointers(read(&"f".repeat(65), &[], b"")), ["destination"]);
    assert_eq!(pointers(read_as("GET", "https://e.com", &[], b"x")), ["body"]);
    let many: Vec<String> = (0..30).map(|n| format!("tikku-x{n}=")).collect();
    assert_eq!(pointers(read(&format!("https://e.com?{}", many.join("&")), &[], b"")).len(), limits::ERRORS_MAX);
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_options() {
    let detail = |path: &str| read(path, &[], b"").unwrap_err().remove(0).detail;
    let cases = [
        ("https://e.com?tikku-max-attempts=x", "Tikku-Max-Attempts must be an integer from 1 to 100"),
        (
            "https://e.com?tikku-delay-seconds=1&tikku-not-before=2030-01-01T00:00:00Z",
            "Tikku-Not-Before and Tikku-Delay-Seconds exclude each other",
        ),
        (
            "https://e.com?tikku-backoff-initial-seconds=9&tikku-backoff-max-seconds=8",
            "Tikku-Backoff-Max-Seconds must not be below Tikku-Backoff-Initial-Seconds",
        ),
        ("https://e.com?tikku-labels=1,2,3,4,5,6,7,8,9,0,1", "Tikku-Labels must have at most 10 entries"),
        ("https://e.com?tikku-flow-control-rate=1", "Tikku-Flow-Control-Key is required"),
        ("https://e.com?tikku-nope=secret", "Tikku-Nope is not an option of a publish"),
    ];
    for (path, expected) in cases {
        assert_eq!(detail(path), expected);
    }
    let name = format!("https://e.com?tikku-{}=", "é".repeat(1000));
    assert!(detail(&name).len() < 1000);
}

#[test]
fn a_workflow_takes_json_and_nothing_that_is_pushed() {
    let came = [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip"), ("tikku-callback-workflow", "done")];
    for path in ["workflow:order-flow", "workflow%3Aorder-flow?tikku-labels=l"] {
        let message = read_as("PUT", path, &came, br#"{"a": 1}"#).unwrap();
        assert_eq!((&message.target, message.method.as_str(), message.headers.len()), (&url("workflow:order-flow"), "POST", 0), "{path}");
        assert_eq!((message.body.as_deref(), message.callback_url.as_deref()), (Some(&br#"{"a": 1}"#[..]), Some("workflow:done")));
    }
    assert_eq!(read_as("GET", "workflow:w", &[], b"").unwrap().body, None);
    assert_eq!(pointers(read("workflow:w", &[], b"a=b")), ["body"]);
    assert_eq!(pointers(read("workflow:w", &[("tikku-forward", "x-a")], b"")), ["Tikku-Forward"]);
    assert_eq!(pointers(read("workflow:w", &[("tikku-forward-x-a", "b")], b"")), ["Tikku-Forward"]);
    assert_eq!(pointers(read("workflow:w?a=1", &[], b"")), ["a"]);
    assert_eq!(pointers(read("workflow:.w", &[], b"")), ["destination"]);
    assert_eq!(refusal("workflow:.w", read("workflow:.w", &[], b"").unwrap_err()).status, 400);
}
