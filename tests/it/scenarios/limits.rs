//! Request limits and the settings of an account.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{SOON, message};
use crate::api::{Answer, Api};
use crate::endpoint::Endpoint;
use crate::host::{ALL, Host, on};

const FIELDS: [&str; 5] = ["ratelimit-policy", "ratelimit", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_str().unwrap()
}

fn number(answer: &Answer, name: &str) -> u64 {
    field(answer, name).parse().unwrap_or_else(|e| panic!("{name}: {e}: {answer:?}"))
}

#[test]
fn every_answer_to_a_key_says_how_much_of_the_minute_is_left() {
    on(ALL, async |d| {
        let api = d.new_account("limit-headers");
        let endpoint = Endpoint::new();
        let answers = [
            api.post("/v1/messages", &message(&endpoint, json!({}))).await.expect(202),
            api.post("/v1/messages", &json!({})).await.expect(400),
            api.get("/v1/messages").await.expect(200),
            api.get("/v1/messages/nope").await.expect(404),
            api.get("/v1/nope").await.expect(404),
            api.send("PATCH", "/v1/keys", None).await.expect(405),
            api.get("/v1/account").await.expect(200),
            api.get("/openapi.json").await.expect(200),
            api.with_key("").send("POST", &format!("/v1/publish/{}?tikku-key={}", endpoint.url(), api.key), None).await.expect(202),
        ];
        let limit = api.get("/v1/account").await.expect(200).json()["requestsPerMinute"].as_u64().unwrap();
        let mut left = Vec::new();
        for answer in &answers {
            let (remaining, reset) = (number(answer, "ratelimit-remaining"), number(answer, "ratelimit-reset"));
            assert_eq!(field(answer, "ratelimit-policy"), format!("\"requests\";q={limit};w=60"));
            assert_eq!(field(answer, "ratelimit"), format!("\"requests\";r={remaining};t={reset}"));
            assert_eq!(number(answer, "ratelimit-limit"), limit);
            assert!((1..=60).contains(&reset) && remaining < limit, "{answer:?}");
            left.push(remaining);
        }
        assert!(left.windows(2).any(|two| two[1] < two[0]), "{left:?}");
        for (key, path) in [("", "/healthz"), ("", "/openapi.json"), ("", "/v1/messages"), ("tk_live_nonsense", "/v1/messages")] {
            let answer = d.api.with_key(key).get(path).await;
            assert!(FIELDS.iter().all(|name| !answer.headers.contains_key(*name)), "{path}: {answer:?}");
        }
    });
}

#[test]
fn a_request_beyond_the_limit_is_refused_and_does_nothing_until_the_operator_raises_it() {
    on(ALL, async |d| {
        let name = "limit-reached";
        let api = d.new_account(name);
        let limited = d.command(&["accounts", "limit", name, "--requests-per-minute", "5"]);
        assert_eq!((&limited["name"], &limited["requestsPerMinute"]), (&json!(name), &json!(5)));
        // A minute of the database's that ends while this runs would begin a new count.
        let seconds = d.sql("select ceil(60 - extract(second from clock_timestamp()))").await[0][0].clone().unwrap();
        if let Some(short) = seconds.parse::<u64>().ok().filter(|s| *s < 20) {
            tokio::time::sleep(Duration::from_secs(short)).await;
        }
        let endpoint = Endpoint::new();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..30 {
            let answer = api.post("/v1/messages", &message(&endpoint, json!({ "delaySeconds": 3600 }))).await;
            if answer.status == 202 {
                accepted += 1;
                continue;
            }
            refused += 1;
            let wait = number(&answer, "retry-after");
            assert_eq!((number(&answer, "ratelimit-remaining"), wait), (0, number(&answer, "ratelimit-reset")));
            let problem = answer.problem(429);
            assert_eq!(problem["type"], "urn:tikku:problem:rate-limited");
        }
        // Each process counts by itself for a second; of Lambda's there may be several.
        let most = if d.host == Host::Lambda { 15 } else { 5 };
        assert!((5..=most).contains(&accepted) && refused > 0, "{accepted} accepted, {refused} refused");

        d.command(&["accounts", "limit", name, "--requests-per-minute", "1000"]);
        let begun = Instant::now();
        let page = loop {
            let answer = api.get("/v1/messages?limit=1").await;
            // A minute that begins would let some through by the old limit too.
            if answer.status == 200 && number(&answer, "ratelimit-limit") == 1_000 {
                break answer.json();
            }
            assert!(answer.status == 429 || answer.status == 200, "{answer:?}");
            assert!(begun.elapsed() < SOON, "the new limit is not seen");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(page["counts"]["scheduled"], accepted, "what was refused is not stored");
    });
}

#[test]
fn one_accounts_limit_is_not_anothers() {
    on(ALL, async |d| {
        let (busy, calm) = (d.new_account("limit-busy"), d.new_account("limit-calm"));
        d.command(&["accounts", "limit", "limit-busy", "--requests-per-minute", "1"]);
        let key = busy.post("/v1/keys", &json!({ "name": "second" })).await.expect(201).json()["key"].as_str().unwrap().to_owned();
        let begun = Instant::now();
        // A second key of the account shares its minute.
        while busy.with_key(&key).get("/v1/messages").await.status != 429 {
            assert!(begun.elapsed() < SOON, "two requests a minute are one too many");
        }
        calm.get("/v1/messages").await.expect(200);
    });
}

#[test]
fn the_accounts_settings_are_shown_and_changed_under_their_etag() {
    on(ALL, async |d| {
        let api = d.new_account("settings");
        let patch = async |api: &Api, tag: Option<&str>, body: Value| {
            let headers: Vec<(&str, &str)> = tag.map(|tag| ("If-Match", tag)).into_iter().collect();
            api.send_with("PATCH", "/v1/account", &headers, Some(&body)).await
        };
        let first = api.get("/v1/account").await.expect(200);
        let account = first.json();
        assert!(account["id"].as_str().unwrap().starts_with("acc_") && account["name"] == "settings", "{account}");
        assert_eq!(
            (&account["retentionDays"], &account["breaker"]),
            (&json!(30), &json!({ "minAttempts": 100, "failurePercent": 90, "openSeconds": 30 }))
        );
        let tag = field(&first, "etag").to_owned();
        let change = json!({ "retentionDays": 7, "breaker": { "minAttempts": 5, "openSeconds": 1 } });
        let changed = patch(&api, Some(&tag), change.clone()).await.expect(200);
        assert_eq!(changed.json()["breaker"], json!({ "minAttempts": 5, "failurePercent": 90, "openSeconds": 1 }));
        assert_ne!(field(&changed, "etag"), tag);
        assert_eq!(
            patch(&api, Some(&tag), json!({ "retentionDays": 8 })).await.problem(412)["type"],
            "urn:tikku:problem:precondition-failed"
        );
        let now = api.get("/v1/account").await.expect(200);
        assert_eq!((now.json(), field(&now, "etag")), (changed.json(), field(&changed, "etag")), "nothing was changed");
        let latest = field(&now, "etag").to_owned();
        for tag in [Some(latest.as_str()), Some("*"), None] {
            patch(&api, tag, json!({})).await.expect(200);
        }
        for body in
            [json!({ "retentionDays": 0 }), json!({ "breaker": { "failurePercent": 102 } }), json!({ "requestsPerMinute": 9 }), json!([])]
        {
            patch(&api, None, body).await.problem(400);
        }
        patch(&api, Some("nonsense"), json!({})).await.problem(400);

        let listed = d.command(&["accounts", "list"]);
        let found = listed["data"].as_array().unwrap().iter().find(|a| a["name"] == "settings").unwrap_or_else(|| panic!("{listed}"));
        assert_eq!((&found["id"], &found["retentionDays"]), (&account["id"], &json!(7)));
    });
}
