//! Schedules as people use them: made, fired, edited, paused, run by hand, deleted; by whom, and by whom not.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, assert_signed, ms};
use crate::api::{Answer, Api};
use crate::endpoint::{Endpoint, Received};
use crate::host::workers::quiet;
use crate::host::{ALL, Deployment, Host, on, on_calm};

/// A schedule of this endpoint with these further fields.
fn schedule(name: &str, endpoint: &Endpoint, fields: Value) -> Value {
    let mut schedule = json!({ "name": name, "url": endpoint.url() });
    schedule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    schedule
}

async fn make(api: &Api, schedule: &Value) -> Value {
    api.post("/v1/schedules", schedule).await.expect(201).json()
}

async fn get(api: &Api, id: &str) -> Value {
    api.get(&format!("/v1/schedules/{id}")).await.expect(200).json()
}

async fn delete(api: &Api, id: &str) {
    api.send("DELETE", &format!("/v1/schedules/{id}"), None).await.expect(204);
}

fn etag(answer: &Answer) -> String {
    answer.headers.get("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_str().unwrap().to_owned()
}

/// The due time of each push in milliseconds since 1970, by the message it is of.
async fn due(d: &Deployment, pushes: &[Received]) -> Vec<i64> {
    let mut times = Vec::new();
    for push in pushes {
        times.push(ms(&d.api.message(push.header("webhook-id").unwrap()).await["dueAt"]));
    }
    times
}

#[test]
fn an_interval_fires_on_time_and_its_messages_are_signed() {
    on_calm(ALL, async |d| {
        let _quiet = (d.host == Host::Workers).then(quiet);
        let endpoint = Endpoint::new();
        let fields = json!({ "everySeconds": 3, "body": { "a": 1 }, "headers": { "x-a": "b" }, "method": "PUT", "labels": ["l"] });
        let made = make(&d.api, &schedule("on time", &endpoint, fields)).await;
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with("sch_") && made["status"] == "active" && made["lastRunAt"].is_null(), "{made:#}");
        if d.host != Host::Dev {
            d.tick().await;
        }
        let pushes = endpoint.wait(3, SOON).await;
        let times = due(d, &pushes).await;
        for (push, due) in pushes.iter().zip(&times) {
            assert_signed(d, push);
            assert_eq!((push.method.as_str(), &push.body[..], push.header("x-a")), ("PUT", &br#"{"a":1}"#[..], Some("b")));
            assert!((0..=1_500).contains(&(push.at_ms - due)), "{} ms late", push.at_ms - due);
        }
        let first = ms(&made["nextRunAt"]);
        assert_eq!(times[..3], [first, first + 3_000, first + 6_000]);
        let shown = get(&d.api, id).await;
        assert!(ms(&shown["lastRunAt"]) >= first + 6_000 && ms(&shown["nextRunAt"]) > ms(&shown["lastRunAt"]), "{shown:#}");
        assert_eq!((shown["lastOutcome"].as_str(), shown["revision"].as_i64()), (Some("fired"), Some(1)));
        let last = d.api.message(shown["lastMessageIds"][0].as_str().unwrap()).await;
        assert_eq!((last["schedule"].as_str(), last["labels"][0].as_str()), (Some(id), Some("l")));
        delete(&d.api, id).await;
        let count = endpoint.count();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(endpoint.count() <= count + 1, "what was made ahead of a deleted schedule is not pushed");
    });
}

#[test]
fn a_schedule_is_made_shown_edited_paused_resumed_and_deleted() {
    on(ALL, async |d| {
        let api = d.new_account("schedules");
        let endpoint = Endpoint::new();
        let full = json!({
            "cron": "0 9 * * mon-fri", "timezone": "europe/berlin", "overlap": "skip", "catchUp": "all", "body": [1, null], "method": "POST",
            "headers": { "x-a": "b" }, "maxAttempts": 7, "timeoutSeconds": 9, "backoff": { "type": "fixed", "initialSeconds": 4, "jitter": false },
            "labels": ["a", "b"], "flowControl": { "key": "k", "rate": 5, "periodSeconds": 60 }, "callbackUrl": endpoint.url(),
            "failureCallbackUrl": endpoint.url()
        });
        let answer = api.post("/v1/schedules", &schedule("täglich um 9", &endpoint, full.clone())).await.expect(201);
        let (made, first) = (answer.json(), etag(&answer));
        let id = made["id"].as_str().unwrap().to_owned();
        for (field, value) in full.as_object().unwrap() {
            match field.as_str() {
                "timezone" => assert_eq!(made[field], "Europe/Berlin"),
                "backoff" => assert_eq!((&made[field]["type"], &made[field]["initialSeconds"]), (&value["type"], &value["initialSeconds"])),
                "flowControl" => assert_eq!((&made[field]["key"], &made[field]["periodSeconds"]), (&value["key"], &value["periodSeconds"])),
                _ => assert_eq!(&made[field], value, "{field}"),
            }
        }
        let next: jiff::Timestamp = made["nextRunAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(next.to_zoned(jiff::tz::TimeZone::get("Europe/Berlin").unwrap()).strftime("%H:%M:%S").to_string(), "09:00:00");
        // By its name too.
        assert_eq!(get(&api, "t%C3%A4glich%20um%209").await, made);
        assert_eq!(etag(&api.get(&format!("/v1/schedules/{id}")).await), first);

        // An edit replaces everything.
        let plain = schedule("plain", &endpoint, json!({ "everySeconds": 3600 }));
        let path = format!("/v1/schedules/{id}");
        api.send_with("PUT", &path, &[("if-match", "\"9\"")], Some(&plain)).await.problem(412);
        assert_eq!(get(&api, &id).await, made, "nothing changed");
        let edited = api.send_with("PUT", &path, &[("if-match", &first)], Some(&plain)).await.expect(200);
        let view = edited.json();
        assert_eq!((view["name"].as_str(), &view["cron"], view["everySeconds"].as_i64()), (Some("plain"), &Value::Null, Some(3600)));
        assert_eq!(
            (view["overlap"].as_str(), view["catchUp"].as_str(), view["maxAttempts"].as_i64()),
            (Some("allow"), Some("latest"), Some(5))
        );
        assert!(
            view["flowControl"].is_null() && view["body"].is_null() && view["id"] == id.as_str() && view["createdAt"] == made["createdAt"]
        );
        assert_ne!(etag(&edited), first);
        api.send_with("PUT", &path, &[("if-match", &first)], Some(&plain)).await.problem(412);
        api.get("/v1/schedules/t%C3%A4glich%20um%209").await.problem(404);

        // Paused and resumed; an edit leaves it as it is.
        let act = async |verb: &str| api.act(&format!("{path}/{verb}")).await.expect(200).json();
        let paused = act("pause").await;
        assert_eq!((paused["status"].as_str(), &paused["nextRunAt"], paused["revision"].as_i64()), (Some("paused"), &Value::Null, Some(3)));
        assert_eq!(act("pause").await["revision"], 3, "pausing twice is the same");
        let still = api.put(&path, &schedule("plain", &endpoint, json!({ "everySeconds": 7200 }))).await.expect(200).json();
        assert_eq!((still["status"].as_str(), &still["nextRunAt"]), (Some("paused"), &Value::Null));
        let resumed = act("resume").await;
        assert!(resumed["status"] == "active" && ms(&resumed["nextRunAt"]) > ms(&resumed["updatedAt"]), "{resumed:#}");

        api.send("DELETE", &path, None).await.expect(204);
        for (method, tail) in [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")] {
            api.send(method, &format!("{path}{tail}"), None).await.problem(404);
        }
        assert_eq!(api.get("/v1/schedules").await.expect(200).json()["data"], json!([]));
    });
}

#[test]
fn a_name_is_one_schedules_and_lists_show_each_once() {
    on(ALL, async |d| {
        let api = d.new_account("schedule-names");
        let endpoint = Endpoint::new();
        let plain = schedule("plain", &endpoint, json!({ "everySeconds": 3600, "body": 1 }));
        let first = make(&api, &plain).await;
        api.post("/v1/schedules", &plain).await.problem(409);
        let other = make(&api, &schedule("other", &endpoint, json!({ "cron": "* * * * *", "paused": true }))).await;
        assert_eq!((other["status"].as_str(), &other["nextRunAt"]), (Some("paused"), &Value::Null));
        api.put("/v1/schedules/other", &plain).await.problem(409);
        make(&d.api, &schedule("other", &endpoint, json!({ "everySeconds": 86400 }))).await;
        delete(&d.api, "other").await;

        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/schedules?limit=1{cursor}")).await.expect(200).json();
            assert!(page["data"].as_array().unwrap().len() <= 1 && page["data"][0]["body"].is_null());
            ids.extend(page["data"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(ids, [other["id"].as_str().unwrap(), first["id"].as_str().unwrap()]);
    });
}

#[test]
fn a_run_by_hand_publishes_now_and_moves_nothing() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let made = make(&d.api, &schedule("by hand", &endpoint, json!({ "cron": "0 0 1 1 *", "body": "now", "paused": true }))).await;
        let id = made["id"].as_str().unwrap();
        let ran = d.api.act("/v1/schedules/by%20hand/run").await.expect(202).json();
        let message = ran["messages"][0]["id"].as_str().unwrap();
        let push = endpoint.only(SOON).await;
        assert_signed(d, &push);
        assert_eq!((push.header("webhook-id"), &push.body[..]), (Some(message), &b"\"now\""[..]));
        let shown = get(&d.api, id).await;
        assert_eq!((&shown["lastMessageIds"][0], &shown["status"], &shown["revision"]), (&json!(message), &json!("paused"), &json!(1)));
        d.api.act(&format!("/v1/schedules/{id}/resume")).await.expect(200);
        let shown = get(&d.api, id).await;
        assert!(shown["nextRunAt"].as_str().unwrap().ends_with("-01-01T00:00:00.000Z"), "{shown:#}");
        delete(&d.api, id).await;
        d.api.until(message, "delivered", SOON).await;
    });
}

#[test]
fn a_schedule_of_a_fanout_publishes_to_each_endpoint() {
    on(ALL, async |d| {
        let (a, b) = (Endpoint::new(), Endpoint::new());
        let endpoints = json!({ "endpoints": [{ "url": a.url() }, { "url": b.url() }] });
        let name = "schedule-targets";
        let made = make(&d.api, &json!({ "name": "to all", "fanout": name, "everySeconds": 86400, "body": 5 })).await;
        d.api.act("/v1/schedules/to%20all/run").await.problem(409);
        d.api.put(&format!("/v1/fanouts/{name}"), &endpoints).await.expect(201);
        let ran = d.api.act("/v1/schedules/to%20all/run").await.expect(202).json();
        assert_eq!(ran["messages"].as_array().unwrap().len(), 2, "{ran:#}");
        a.only(SOON).await;
        b.only(SOON).await;
        assert_eq!(get(&d.api, made["id"].as_str().unwrap()).await["lastMessageIds"].as_array().unwrap().len(), 2);
        delete(&d.api, "to%20all").await;
    });
}

// Every second is due once; the body is edited all the time, before, while and after tick makes messages ahead.
#[test]
fn edits_while_a_tick_is_due_let_each_due_time_fire_once_old_or_new() {
    on_calm(&[Host::Dev], async |d| {
        let endpoint = Endpoint::new();
        let body = |n: u32| schedule("edited", &endpoint, json!({ "everySeconds": 1, "body": n }));
        let made = make(&d.api, &body(0)).await;
        let path = format!("/v1/schedules/{}", made["id"].as_str().unwrap());
        let begun = std::time::Instant::now();
        let mut edits = 0;
        while begun.elapsed() < Duration::from_secs(8) {
            edits += 1;
            d.api.put(&path, &body(edits)).await.expect(200);
            tokio::time::sleep(Duration::from_millis(u64::from(edits * 37 % 90))).await;
        }
        d.api.act(&format!("{path}/pause")).await.expect(200);
        // What was due before the pause is under way.
        let id = &made["id"].as_str().unwrap()[4..];
        let open = format!(
            "select m.id::text from tikku.message_content c join tikku.message m on m.id = c.message_id where c.schedule_id = '{id}' and m.finished_at is null"
        );
        let paused = std::time::Instant::now();
        while !d.sql(&open).await.is_empty() {
            assert!(paused.elapsed() < SOON, "not all that was due is over");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let sql = format!(
            "select round(date_part('epoch', f.due_at - s.anchor_at) * 1000)::text, convert_from(c.body, 'UTF8')
             from tikku.schedule_fire f join tikku.schedule s on s.id = f.schedule_id join tikku.message_content c on c.message_id = any(f.message_ids)
             join tikku.message m on m.id = c.message_id where s.id = '{id}' and m.state = 'delivered' order by f.due_at"
        );
        let rows = d.sql(&sql).await;
        let times: Vec<i64> = rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
        let expected: Vec<i64> = (1..=times.len() as i64).map(|n| n * 1_000).collect();
        assert!(times == expected && times.len() >= 7, "{edits} edits: {times:?}");
        assert_eq!(endpoint.count(), times.len(), "each is pushed once");
        let bodies: Vec<u32> = rows.iter().map(|row| row[1].as_ref().unwrap().parse().unwrap()).collect();
        assert!(bodies.is_sorted() && bodies.last() > bodies.first(), "first the old, then the new: {bodies:?}");
        delete(&d.api, "edited").await;
    });
}

#[test]
fn what_can_never_fire_or_is_wrong_is_refused_with_the_reason() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        for (fields, pointer) in [
            (json!({ "cron": "0 0 30 2 *" }), "/cron"),
            (json!({ "cron": "60 * * * *" }), "/cron"),
            (json!({ "cron": "* * * * * *" }), "/cron"),
            (json!({ "cron": "* * * * *", "timezone": "Europe/Nowhere" }), "/timezone"),
            (json!({ "everySeconds": 0 }), "/everySeconds"),
            (json!({ "everySeconds": 60, "cron": "* * * * *" }), "/everySeconds"),
            (json!({}), "/cron"),
            (json!({ "everySeconds": 60, "delaySeconds": 5 }), "/delaySeconds"),
            (json!({ "everySeconds": 60, "idempotencyKey": "k" }), "/idempotencyKey"),
            (json!({ "everySeconds": 60, "nope": 1 }), "/nope"),
        ] {
            let problem = d.api.post("/v1/schedules", &schedule("wrong", &endpoint, fields.clone())).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{fields} {problem:#}");
        }
        let year = make(&d.api, &schedule("a year", &endpoint, json!({ "everySeconds": 31_536_000 }))).await;
        let ahead_ms = ms(&year["nextRunAt"]) - ms(&year["createdAt"]);
        assert!((31_535_990_000..=31_536_000_000).contains(&ahead_ms), "{year:#}");
        delete(&d.api, "a%20year").await;
        for query in ["limit=0", "cursor=nope", "nope=1"] {
            d.api.get(&format!("/v1/schedules?{query}")).await.problem(400);
        }
    });
}

#[test]
fn another_account_sees_404_and_a_key_that_may_only_read_changes_nothing() {
    on(ALL, async |d| {
        let stranger = d.new_account("schedule-stranger");
        let endpoint = Endpoint::new();
        let made = make(&d.api, &schedule("ours", &endpoint, json!({ "everySeconds": 86_400 }))).await;
        let id = made["id"].as_str().unwrap();
        let read = d.api.post("/v1/keys", &json!({ "name": "r", "role": "read" })).await.expect(201).json();
        let read = d.api.with_key(read["key"].as_str().unwrap());
        let publish = d.api.post("/v1/keys", &json!({ "name": "p", "role": "publish" })).await.expect(201).json();
        let publish = d.api.with_key(publish["key"].as_str().unwrap());
        let again = schedule("ours", &endpoint, json!({ "everySeconds": 86_400 }));
        for name in [id, "ours"] {
            let path = format!("/v1/schedules/{name}");
            stranger.get(&path).await.problem(404);
            stranger.put(&path, &again).await.problem(404);
            read.put(&path, &again).await.problem(403);
            for (method, tail) in [("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")] {
                stranger.send(method, &format!("{path}{tail}"), None).await.problem(404);
                read.send(method, &format!("{path}{tail}"), None).await.problem(403);
            }
            assert_eq!(get(&read, name).await, made, "nothing changed");
        }
        read.post("/v1/schedules", &again).await.problem(403);
        assert_eq!(endpoint.count(), 0);
        publish.put(&format!("/v1/schedules/{id}"), &again).await.expect(200);
        publish.act("/v1/schedules/ours/pause").await.expect(200);
        delete(&publish, "ours").await;
    });
}
