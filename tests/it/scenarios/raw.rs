//! A publish as bytes: what comes in goes out, and a third party needs to know nothing but a URL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tikku_domain::signing;

use super::{SOON, assert_signed, ms};
use crate::endpoint::{Endpoint, Received, Reply};
use crate::host::{ALL, Deployment, Host, on};
use crate::process::log_dir;

/// The route to this endpoint.
fn route(endpoint: &Endpoint, rest: &str) -> String {
    format!("/v1/publish/{}{rest}", endpoint.url())
}

/// What `webhook-signature` must say.
fn signature(d: &Deployment, push: &Received) -> String {
    let header = |name: &str| push.header(name).unwrap_or_else(|| panic!("no {name}: {push:#?}"));
    signing::sign(&[d.secret.parse().unwrap()], header("webhook-id"), header("webhook-timestamp").parse().unwrap(), &push.body)
}

#[test]
fn every_byte_with_its_content_type_and_method_arrives_untouched() {
    on(ALL, async |d| {
        let every: Vec<u8> = (0..=255).collect();
        let with_body = [
            ("POST", "application/octet-stream", every.clone()),
            ("PUT", "application/x-www-form-urlencoded", b"a=1&b=%20+".to_vec()),
            ("PATCH", "application/json", b" {\"a\": 1,  \"a\": 2}\n".to_vec()),
            ("DELETE", "text/plain; charset=latin1", b"caf\xe9".to_vec()),
        ];
        for (method, content_type, body) in with_body {
            let endpoint = Endpoint::new();
            let headers = [("content-type", content_type), ("x-not-passed", "1"), ("tikku-forward-x-passed", "a, b")];
            let answer = d.api.raw(method, &route(&endpoint, "/in"), &headers, body.clone()).await.expect(202).json();
            let push = endpoint.only(SOON).await;
            assert_eq!((push.method.as_str(), push.header("content-type"), push.rest.as_str()), (method, Some(content_type), "/in"));
            assert_eq!(push.body, body, "{method}");
            assert_eq!((push.header("x-passed"), push.header("x-not-passed"), push.header("authorization")), (Some("a, b"), None, None));
            match std::str::from_utf8(&body) {
                Ok(_) => assert_signed(d, &push),
                // The libraries of other languages read text only.
                Err(_) => assert_eq!(push.header("webhook-signature"), Some(signature(d, &push).as_str())),
            }
            let message = d.api.until(answer["id"].as_str().unwrap(), "delivered", SOON).await;
            match content_type {
                "application/json" => assert_eq!((&message["body"], message.get("bodyBase64")), (&json!({ "a": 2 }), None)),
                _ => assert_eq!((&message["body"], &message["bodyBase64"]), (&json!(null), &json!(STANDARD.encode(&body)))),
            }
        }
        let plain = Endpoint::new();
        d.api.raw("POST", &route(&plain, ""), &[], every.clone()).await.expect(202);
        let push = plain.only(SOON).await;
        assert_eq!((push.body.as_ref(), push.header("content-type")), (every.as_slice(), None), "nothing is added");
    });
}

#[test]
fn a_request_without_a_body_is_pushed_without_one() {
    on(ALL, async |d| {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let endpoint = Endpoint::new();
            let answer = d.api.raw(method, &route(&endpoint, "?a=1"), &[], Vec::new()).await.expect(202);
            let push = endpoint.only(SOON).await;
            assert_eq!((push.method.as_str(), push.rest.as_str(), push.body.len()), (method, "?a=1", 0));
            assert_eq!((push.header("content-type"), answer.text.is_empty()), (None, method == "HEAD"), "{method}");
        }
    });
}

#[test]
fn a_third_partys_webhook_needs_only_a_url_with_a_key_in_it() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let key = d.api.post("/v1/keys", &json!({ "name": "shop", "role": "publish" })).await.expect(201).json();
        let key = key["key"].as_str().unwrap();
        let path = route(
            &endpoint,
            &format!(
                "/orders?b=%2F+x&tikku-key={key}&a=&tikku-max-attempts=2&&a=1&tikku-labels=shop,%20webhook&Tikku-Forward-X-From=shop&c"
            ),
        );
        let stranger = d.api.with_key("");
        // Its own Authorization header is none of our business.
        let headers = [("content-type", "application/json"), ("authorization", "Basic c2hvcDpzaG9w")];
        let answer = stranger.raw("POST", &path, &headers, b"{\"order\": 7}".to_vec()).await.expect(202);
        let push = endpoint.only(SOON).await;
        assert_eq!(push.rest, "/orders?b=%2F+x&a=&&a=1&c", "the rest of the query, in its order and spelling");
        assert_eq!(
            (push.header("x-from"), push.header("content-type"), push.header("authorization")),
            (Some("shop"), Some("application/json"), None)
        );
        let message = d.api.until(answer.json()["id"].as_str().unwrap(), "delivered", SOON).await;
        assert_eq!(
            (&message["maxAttempts"], &message["labels"], &message["body"]),
            (&json!(2), &json!(["shop", "webhook"]), &json!({ "order": 7 }))
        );
        assert!(!message.to_string().contains(key) && !answer.text.contains(key), "the key is nowhere: {message:#}");

        let with = |key: &str| route(&endpoint, &format!("?tikku-key={key}"));
        stranger.raw("POST", &with("tk_live_none"), &[], Vec::new()).await.problem(401);
        stranger.raw("POST", &with(""), &[], Vec::new()).await.problem(401);
        stranger.raw("POST", &route(&endpoint, ""), &[], Vec::new()).await.problem(401);
        let reader = d.api.post("/v1/keys", &json!({ "name": "r", "role": "read" })).await.expect(201).json();
        stranger.raw("POST", &with(reader["key"].as_str().unwrap()), &[], Vec::new()).await.problem(403);
        let twice = stranger.raw("POST", &with(&format!("{key}&tikku-key={key}")), &[], Vec::new()).await.problem(400);
        assert_eq!((&twice["errors"][0]["pointer"], twice.to_string().contains(key)), (&json!("tikku-key"), false));
        assert_eq!(endpoint.count(), 1);
        // The access log of `wrangler dev` is not ours.
        for log in std::fs::read_dir(log_dir()).unwrap().flatten().filter(|_| d.host != Host::Workers) {
            let text = String::from_utf8_lossy(&std::fs::read(log.path()).unwrap()).into_owned();
            assert!(!text.contains(key) || log.file_name().to_string_lossy().contains("workers"), "{} has the key", log.path().display());
        }
    });
}

#[test]
fn headers_that_are_named_arrive_as_they_came() {
    on(ALL, async |d| {
        let gzip: Vec<u8> = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], b"not really, yet nobody may look inside\xff"].concat();
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", "sha256=0011aabb"),
            ("x-not-named", "1"),
        ];
        let names = "X-GitHub-Event,x-hub-signature-256,x-absent";
        for by_query in [true, false] {
            let endpoint = Endpoint::new();
            let rest = if by_query { format!("/in?a=1&tikku-forward={names}") } else { "/in?a=1".to_owned() };
            let option = [("tikku-forward", names)];
            let sent = [&headers[..], &option[usize::from(by_query)..]].concat();
            d.api.raw("POST", &route(&endpoint, &rest), &sent, gzip.clone()).await.expect(202);
            let push = endpoint.only(SOON).await;
            assert_eq!((push.rest.as_str(), push.body.as_ref()), ("/in?a=1", gzip.as_slice()));
            for (name, value) in headers {
                assert_eq!(push.header(name), (name != "x-not-named").then_some(value), "{name}");
            }
            assert_eq!((push.header("x-absent"), push.header("tikku-forward")), (None, None));
        }
        let endpoint = Endpoint::new();
        for owned in ["host", "authorization", "webhook-id", "tikku-key"] {
            let path = route(&endpoint, &format!("?tikku-forward=x-a,{owned}"));
            let problem = d.api.raw("POST", &path, &headers, Vec::new()).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], "Tikku-Forward", "{owned}: {problem:#}");
        }
        assert_eq!(endpoint.count(), 0);
    });
}

#[test]
fn options_are_headers_or_query_parameters() {
    on(ALL, async |d| {
        let (endpoint, told) = (Endpoint::new(), Endpoint::new());
        let options = [
            ("Tikku-Delay-Seconds", "86400"),
            ("Tikku-Max-Attempts", "7"),
            ("Tikku-Timeout-Seconds", "9"),
            ("Tikku-Idempotency-Key", &endpoint.url()),
            ("Tikku-Labels", "a,b"),
            ("Tikku-Callback-Url", &told.url()),
            ("Tikku-Failure-Callback-Url", &told.url()),
            ("Tikku-Flow-Control-Key", "k"),
            ("Tikku-Flow-Control-Parallelism", "3"),
            ("Tikku-Flow-Control-Rate", "4"),
            ("Tikku-Flow-Control-Period-Seconds", "60"),
            ("Tikku-Backoff-Type", "linear"),
            ("Tikku-Backoff-Initial-Seconds", "2"),
            ("Tikku-Backoff-Factor", "1.5"),
            ("Tikku-Backoff-Max-Seconds", "8"),
            ("Tikku-Backoff-Jitter", "false"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let headers: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let by_header = d.api.raw("POST", &route(&endpoint, ""), &headers, b"x".to_vec()).await.expect(202).json();
        assert_eq!(by_header["status"], "scheduled");
        let mut encoded = reqwest::Url::parse("http://example.com").unwrap();
        encoded.query_pairs_mut().extend_pairs(options.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)));
        let query = encoded.query().unwrap();
        let by_query = d.api.raw("POST", &route(&endpoint, &format!("?{query}")), &[], b"x".to_vec()).await.expect(202).json();
        assert_eq!((&by_query["id"], by_query["deduplicated"].as_bool()), (&by_header["id"], Some(true)), "the same in every respect");
        let message = d.api.message(by_header["id"].as_str().unwrap()).await;
        let flow = json!({ "key": "k", "parallelism": 3, "rate": 4, "periodSeconds": 60 });
        let backoff = json!({ "type": "linear", "initialSeconds": 2, "factor": 1.5, "maxSeconds": 8, "jitter": false });
        let expected = json!({ "delaySeconds": 86_400, "maxAttempts": 7, "timeoutSeconds": 9, "idempotencyKey": endpoint.url(), "labels": ["a", "b"],
            "callbackUrl": told.url(), "failureCallbackUrl": told.url(), "flowControl": flow, "backoff": backoff, "waitingFor": null });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&message[field], value, "{field}");
        }
        let later =
            d.api.raw("POST", &route(&endpoint, ""), &[("tikku-not-before", "2030-01-31T09:00:00+01:00")], Vec::new()).await.expect(202);
        let later = d.api.message(later.json()["id"].as_str().unwrap()).await;
        assert_eq!(ms(&later["notBefore"]), 1_896_076_800_000);
        let same = [("tikku-content-based-deduplication", "true"), ("tikku-delay-seconds", "86400")];
        let first = d.api.raw("POST", &route(&endpoint, ""), &same, b"content".to_vec()).await.expect(202).json();
        let second = d.api.raw("POST", &route(&endpoint, ""), &same, b"content".to_vec()).await.expect(202).json();
        let other = d.api.raw("POST", &route(&endpoint, ""), &same, b"contents".to_vec()).await.expect(202).json();
        assert_eq!((&first["id"], second["deduplicated"].as_bool()), (&second["id"], Some(true)));
        assert_ne!(first["id"], other["id"]);
        assert_eq!(endpoint.count(), 0);
    });
}

#[test]
fn what_is_wrong_is_called_by_the_options_name() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let here = |rest: &str| route(&endpoint, rest);
        let cases = [
            (here(""), ("tikku-delay-seconds", "soon"), "Tikku-Delay-Seconds"),
            (here("?tikku-max-attempts=101"), ("x", "1"), "Tikku-Max-Attempts"),
            (here("?tikku-max-attempts=1"), ("tikku-max-attempts", "1"), "Tikku-Max-Attempts"),
            (here("?tikku-nope=1"), ("x", "1"), "Tikku-Nope"),
            (here(""), ("tikku-nope", "1"), "Tikku-Nope"),
            (here(""), ("tikku-not-before", "2200-01-01T00:00:00Z"), "Tikku-Not-Before"),
            (here(""), ("tikku-callback-url", "ftp://example.com"), "Tikku-Callback-Url"),
            (here(""), ("tikku-forward-host", "example.com"), "Tikku-Forward-host"),
            ("/v1/publish/http://10.0.0.1/".to_owned(), ("x", "1"), "destination"),
            (format!("/v1/publish/{}", endpoint.url().replace(':', "%3A").replace('/', "%2F")), ("x", "1"), "destination"),
        ];
        for (path, header, pointer) in cases {
            let problem = d.api.raw("POST", &path, &[header], b"x".to_vec()).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{path} {header:?}: {problem:#}");
        }
        let problem = d.api.raw("GET", &here(""), &[], b"x".to_vec()).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], "body");
        for method in ["OPTIONS", "TRACE"] {
            let refused = d.api.raw(method, &here(""), &[], Vec::new()).await;
            assert_eq!(refused.status, 405, "{method}");
        }
        for path in ["", "no-such-fanout", &"f".repeat(65)] {
            let problem = d.api.raw("POST", &format!("/v1/publish/{path}"), &[], Vec::new()).await.problem(404);
            assert!(path.is_empty() || problem["detail"].as_str().unwrap().contains("https://"), "it says what a URL is: {problem:#}");
        }
        assert_eq!(endpoint.count(), 0);
    });
}

#[test]
fn four_mebibytes_are_published_and_one_byte_more_is_not() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let most: Vec<u8> = (0..4 * 1024 * 1024).map(|n: usize| (n % 251) as u8).collect();
        let headers = [("content-type", "application/octet-stream")];
        d.api.raw("POST", &route(&endpoint, ""), &headers, most.clone()).await.expect(202);
        assert!(endpoint.only(SOON).await.body == most, "the bytes differ");
        let problem = d.api.raw("POST", &route(&endpoint, ""), &headers, [most, vec![0]].concat()).await.problem(413);
        assert!(problem.to_string().contains("4194304"), "the limit is named: {problem:#}");
        assert_eq!(endpoint.count(), 1);
    });
}

#[test]
fn bytes_go_to_every_endpoint_of_a_fanout() {
    on(ALL, async |d| {
        let (dead, alive) = (Endpoint::scripted([Reply::status(500)]), Endpoint::new());
        let name = format!("raw-{}", alive.url().rsplit('/').next().unwrap());
        let endpoints = json!({ "endpoints": [{ "url": dead.url() }, { "url": alive.url() }] });
        let path = name.replace('-', "%2D");
        let made = d.api.send("PUT", &format!("/v1/fanouts/{name}"), Some(endpoints.to_string().into_bytes())).await;
        assert_eq!(made.status, 201, "{made:?}");
        let headers = [("content-type", "text/csv"), ("tikku-max-attempts", "1")];
        let answer = d.api.raw("PUT", &format!("/v1/publish/{path}"), &headers, b"a;b\xff".to_vec()).await.expect(202).json();
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(messages.iter().map(|m| m["url"].as_str().unwrap()).collect::<Vec<_>>(), [dead.url(), alive.url()]);
        let push = alive.only(SOON).await;
        assert_eq!(
            (push.method.as_str(), push.header("content-type"), push.body.as_ref()),
            ("PUT", Some("text/csv"), b"a;b\xff".as_slice())
        );
        d.api.until(messages[0]["id"].as_str().unwrap(), "failed", SOON).await;
        assert_eq!(d.api.message(messages[1]["id"].as_str().unwrap()).await["fanout"], json!(name));
        let stray = d.api.raw("PUT", &format!("/v1/publish/{path}?x=1"), &[], Vec::new()).await.problem(400);
        assert_eq!(stray["errors"][0]["pointer"], "x", "endpoints have their own queries");
    });
}
