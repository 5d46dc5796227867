//! What people look at beside lists: counts, the overview, an expression in words, what became of a schedule's due times.

use serde_json::{Value, json};

use super::{SOON, message};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, run, until, waits};

#[test]
fn counts_and_the_overview_follow_what_happens() {
    on(ALL, async |d| {
        let api = d.new_account("looks");
        let (good, bad) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]));
        let delivered = api.publish(&message(&good, json!({ "labels": ["a"] }))).await;
        let failed = api.publish(&message(&bad, json!({ "maxAttempts": 1, "labels": ["b"] }))).await;
        api.publish(&message(&good, json!({ "delaySeconds": 3600 }))).await;
        api.until(&delivered, "delivered", SOON).await;
        let detail = api.until(&failed, "failed", SOON).await;
        assert_eq!((&detail["attemptsSpent"], &detail["throttledCount"], &detail["lostCount"]), (&json!(1), &json!(0), &json!(0)));
        let counts = async |query: &str| api.get(&format!("/v1/messages/counts{query}")).await.expect(200).json();
        let all = counts("").await;
        let one = json!({ "count": 1, "more": false });
        assert_eq!((&all["delivered"], &all["failed"], &all["scheduled"]), (&one, &one, &one), "{all:#}");
        assert_eq!(all.as_object().unwrap().len(), 7, "every status: {all:#}");
        assert_eq!(counts("?status=failed&label=b").await, json!({ "failed": one }));
        assert_eq!(counts("?label=a").await["failed"], json!({ "count": 0, "more": false }));
        for query in ["limit=1", "cursor=msg_00000000000000000000000000000000", "counts=true", "status=x"] {
            api.get(&format!("/v1/messages/counts?{query}")).await.problem(400);
        }
        assert_eq!(api.get("/v1/messages?counts=false").await.expect(200).json().get("counts"), None);
        let seen = api.get("/v1/overview?minutes=5").await.expect(200).json();
        let sum = |field: &str| seen["buckets"].as_array().unwrap().iter().map(|bucket| bucket[field].as_i64().unwrap()).sum::<i64>();
        assert_eq!(["published", "delivered", "failed", "failedAttempts"].map(sum), [3, 1, 1, 1], "{seen:#}");
        assert_eq!((&seen["successRate"], &seen["sampled"]), (&json!(0.5), &json!(false)));
        api.get("/v1/overview?minutes=0").await.problem(400);
    });
}

#[test]
fn runs_are_counted_and_an_approval_tells_when_it_was_asked() {
    on(ALL, async |d| {
        let api = d.new_account("looks-runs");
        let op = json!([{ "op": "approval", "key": "ok#0" }]);
        let flow = Flow::serve(&api, [waits(&op, &json!("ok#0")), crate::workflow_endpoint::completes(&json!(1))]).await;
        let id = flow.start(&json!({})).await;
        until(&api, &id, "waiting").await;
        let counts = async |query: &str| api.get(&format!("/v1/runs/counts{query}")).await.expect(200).json();
        let one = json!({ "count": 1, "more": false });
        assert_eq!(counts("").await["waiting"], one);
        assert_eq!(counts(&format!("?workflow={}&status=waiting", flow.name)).await, json!({ "waiting": one }));
        assert_eq!(counts("?workflow=another").await["waiting"]["count"], 0);
        api.get("/v1/runs/counts?limit=1").await.problem(400);
        let overview = api.get("/v1/overview").await.expect(200).json();
        assert_eq!((&overview["approvalsWaiting"]["count"], &overview["runs"]["waiting"]["count"]), (&json!(1), &json!(1)));
        api.post(&format!("/v1/runs/{id}/approvals/ok%230"), &json!({ "approve": true })).await.expect(200);
        until(&api, &id, "completed").await;
        let steps = run(&api, &id).await["steps"].clone();
        assert!(steps[0]["plannedAt"].as_str().unwrap() <= steps[0]["recordedAt"].as_str().unwrap(), "{steps:#}");
        assert_eq!(counts("").await["completed"], one);
    });
}

#[test]
fn an_expression_is_said_in_words_with_its_next_due_times_before_it_is_a_schedule() {
    on(ALL, async |d| {
        let preview = async |query: &str| d.api.get(&format!("/v1/schedule-preview?{query}")).await;
        let seen = preview("cron=30%202%20*%20*%20mon-fri&timezone=europe/berlin").await.expect(200).json();
        assert_eq!(seen["inWords"], "at 02:30 on Monday to Friday, Europe/Berlin time");
        assert!(seen["clockChange"].as_str().unwrap().starts_with("Clocks in Europe/Berlin next change on "), "{seen:#}");
        let next = seen["nextRunsAt"].as_array().unwrap();
        assert!(next.len() == 5 && next.is_sorted_by(|a, b| a.as_str() < b.as_str()), "{seen:#}");
        let every = preview("everySeconds=5400").await.expect(200).json();
        assert_eq!((&every["inWords"], &every["clockChange"]), (&json!("every 90 minutes, counted from when this was set"), &Value::Null));
        for (query, wrong) in [
            ("", "cron"),
            ("cron=0%200%2030%202%20*", "cron"),
            ("cron=x", "cron"),
            ("cron=*%20*%20*%20*%20*&timezone=Mars", "timezone"),
            ("everySeconds=0", "everySeconds"),
            ("everySeconds=x", "everySeconds"),
            ("timezone=UTC&everySeconds=1", "timezone"),
            ("cron=*%20*%20*%20*%20*&limit=1", "limit"),
        ] {
            let problem = preview(query).await.problem(400);
            assert!(problem["errors"].to_string().contains(&format!("\"{wrong}\"")), "{query}: {problem:#}");
        }
        let schedule = json!({ "name": "looks", "cron": "0 0 1 1 *", "url": "http://127.0.0.1:9/" });
        let made = d.api.post("/v1/schedules", &schedule).await.expect(201).json();
        assert_eq!(made["inWords"], "at 00:00 on day 1 of the month in January, UTC");
        assert_eq!((made["nextRunsAt"].as_array().unwrap().len(), &made["nextRunsAt"][0]), (5, &made["nextRunAt"]));
        let paused = d.api.act("/v1/schedules/looks/pause").await.expect(200).json();
        assert_eq!(paused["nextRunsAt"], json!([]));
    });
}

#[test]
fn what_became_of_due_times_is_listed_latest_first() {
    on(ALL, async |d| {
        let api = d.new_account("firings");
        let endpoint = Endpoint::new();
        let schedule = json!({ "name": "fired", "everySeconds": 86_400, "url": endpoint.url() });
        api.post("/v1/schedules", &schedule).await.expect(201);
        let mut asked = Vec::new();
        for _ in 0..3 {
            let ran = api.act("/v1/schedules/fired/run").await.expect(202).json();
            asked.insert(0, ran["messages"][0]["id"].clone());
        }
        let (mut shown, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/schedules/fired/firings?limit=2{cursor}")).await.expect(200).json();
            for firing in page["data"].as_array().unwrap() {
                assert_eq!((&firing["outcome"], &firing["asked"], &firing["messageCount"]), (&json!("fired"), &json!(true), &json!(1)));
                assert!(firing["messages"][0]["status"].is_string(), "{firing:#}");
                shown.push(firing["messages"][0]["id"].clone());
            }
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(shown, asked);
        for cursor in ["x", "-9223372036854775808", "9223372036854775807"] {
            let answer = api.get(&format!("/v1/schedules/fired/firings?cursor={cursor}")).await;
            assert!([200, 400].contains(&answer.status), "{cursor}: {answer:?}");
        }
    });
}
