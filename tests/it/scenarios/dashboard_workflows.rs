//! The dashboard's pages of apps, starts and events from outside.

use serde_json::json;

use crate::browser::{Browser, location};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{awaits_signal, completes, describes, run, until, waits};

#[test]
fn an_app_is_registered_synced_moved_and_deleted() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-apps-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        let empty = browser.get("/dashboard/workflows").await.expect(200).text;
        assert!(empty.contains("No app yet") && empty.contains("@tikku/sdk"), "{empty}");
        let endpoint = Endpoint::new();
        let url = endpoint.url();
        let served = json!([{ "name": "order", "version": "2", "triggers": [{ "event": "placed" }], "concurrency": { "limit": 10, "key": "input.c" } }]);
        endpoint.script([Reply::status(401), describes(&served)]);
        let form = [("name", "shop"), ("url", url.as_str()), ("timeoutSeconds", "45"), ("leaseSeconds", "")];
        let wrong = [("name", "shop"), ("url", "nonsense"), ("timeoutSeconds", "many")];
        let refused = browser.post("/dashboard/apps", &wrong).await.expect(400).text;
        assert!(
            refused.contains("This was not accepted.") && refused.contains("value=\"nonsense\"") && refused.contains("value=\"many\""),
            "{refused}"
        );
        assert_eq!(location(&browser.post("/dashboard/apps", &form).await.expect(303)), "/dashboard/workflows");
        let page = browser.get("/dashboard/workflows").await.expect(200).text;
        assert!(
            page.contains("could not be asked what it serves") && page.contains("signing secret?") && page.contains("dispatch 45 s"),
            "{page}"
        );
        browser.post("/dashboard/apps/shop/sync", &[]).await.expect(303);
        let page = browser.get("/dashboard/workflows").await.expect(200).text;
        for text in [
            "Synced shop: it serves 1 workflow.",
            "<b>order</b>",
            "event placed",
            "10 at a time per input.c",
            "/dashboard/workflows/order/start",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        let edit = browser.get("/dashboard/workflows?edit=shop").await.expect(200).text;
        assert!(edit.contains("value=\"45\"") && edit.contains(&format!("value=\"{url}\"")), "{edit}");
        assert!(browser.get("/dashboard/apps/shop/delete").await.expect(200).text.contains("Delete the app shop?"));
        browser.post("/dashboard/apps/shop/delete", &[]).await.expect(303);
        api.get("/v1/apps/shop").await.problem(404);
        browser.post("/dashboard/apps/shop/sync", &[]).await.expect(404);
        browser.get("/dashboard/workflows?edit=shop").await.expect(404);
    });
}

#[test]
fn a_run_is_started_by_a_form_and_what_was_typed_stays_when_it_is_refused() {
    on(ALL, async |d| {
        let flow = crate::workflow_endpoint::Flow::serve(&d.api, [completes(&json!("done"))]).await;
        let (browser, path) = (Browser::signed_in(&d.api).await, format!("/dashboard/workflows/{}/start", flow.name));
        assert!(browser.get(&path).await.expect(200).text.contains("new Tikku().start("));
        let refused = browser.post(&path, &[("input", "{\"order\": "), ("id", "o-1")]).await.expect(400).text;
        assert!(
            refused.contains("no JSON") && refused.contains("{&#34;order&#34;: </textarea>") && refused.contains("value=\"o-1\""),
            "{refused}"
        );
        let form = [("input", "{\"order\": 1.50}"), ("id", "o-1"), ("labels", "eu, vip"), ("delaySeconds", ""), ("version", "")];
        let started = browser.post(&path, &form).await.expect(303);
        let id = location(&started).strip_prefix("/dashboard/runs/").unwrap().to_owned();
        let done = until(&d.api, &id, "completed").await;
        assert_eq!(
            (&done["input"], &done["externalId"], &done["labels"]),
            (&json!({ "order": 1.5 }), &json!("o-1"), &json!(["eu", "vip"]))
        );
        assert_eq!(location(&browser.post(&path, &form).await.expect(303)), format!("/dashboard/runs/{id}"));
        assert!(browser.get(&format!("/dashboard/runs/{id}")).await.expect(200).text.contains("This run was there already"));
        let other = browser.post(&path, &[("input", "2"), ("id", "o-1")]).await.expect(422).text;
        assert!(other.contains("whose input differs; nothing was started"), "{other}");
        let version = browser.post(&path, &[("input", "2"), ("version", "99")]).await.expect(404).text;
        assert!(version.contains("the version 99") && version.contains("value=\"99\""), "{version}");
        browser.get("/dashboard/workflows/nope-nope/start").await.expect(404);
        assert_eq!(
            location(&browser.get(&format!("/dashboard/workflows/{}", flow.name)).await),
            format!("/dashboard/runs?workflow={}", flow.name)
        );
    });
}

#[test]
fn an_event_is_published_and_says_whom_it_started_and_woke() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-events-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get("/dashboard/events").await.expect(200).text.contains("No events yet"));
        let wait = waits(&json!([{ "op": "event", "key": "paid#0", "name": "order.paid" }]), &json!("paid#0"));
        let waiter = crate::workflow_endpoint::Flow::serve(&api, [wait, completes(&json!("paid"))]).await;
        let starter = crate::workflow_endpoint::Flow::serve_as(
            &api,
            &json!({ "triggers": [{ "event": "order.paid" }] }),
            [awaits_signal("go#0", "go")],
        )
        .await;
        let id = waiter.start(&json!({})).await;
        until(&api, &id, "waiting").await;
        let page = browser.get("/dashboard/events").await.expect(200).text;
        assert!(page.contains("1 run waits") && page.contains("publish=order.paid#publish"), "{page}");
        let form = |data: &'static str| [("name", "order.paid"), ("data", data), ("id", "o-7")];
        let refused = browser.post("/dashboard/events", &form("{")).await.expect(400).text;
        assert!(refused.contains("data is no JSON") && refused.contains("value=\"o-7\""), "{refused}");
        browser.post("/dashboard/events", &form("{\"cents\": 4.50}")).await.expect(303);
        assert_eq!(until(&api, &id, "completed").await["steps"][0]["value"]["data"], json!({ "cents": 4.5 }));
        let page = browser.get("/dashboard/events").await.expect(200).text;
        assert!(page.contains("Published: started 1 run, woke 1 run.") && page.contains("order.paid") && page.contains("o-7"), "{page}");
        let started = api.get(&format!("/v1/runs?workflow={}", starter.name)).await.expect(200).json()["data"][0]["id"].clone();
        assert!(page.contains(started.as_str().unwrap()), "{page}");
        assert_eq!(run(&api, started.as_str().unwrap()).await["startedHow"], "event");
        let event = api.get("/v1/events").await.expect(200).json()["data"][0]["id"].as_str().unwrap().to_owned();
        assert!(browser.get(&format!("/dashboard/events/{event}")).await.expect(200).text.contains("&#34;cents&#34;: 4.5"));
        assert!(browser.get("/dashboard/events?name=nothing").await.expect(200).text.contains("No event of this name"));
        let other = browser.post("/dashboard/events", &form("1")).await.expect(422).text;
        assert!(other.contains("whose name or data differ; nothing was published"), "{other}");
    });
}
