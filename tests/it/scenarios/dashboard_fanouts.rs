//! Fanouts in the dashboard: made, their endpoints added, edited, paused and removed one by one, and what is said when somebody else was faster.

use serde_json::{Value, json};

use super::dashboard_dlq::{hidden, submit};
use crate::api::Api;
use crate::browser::{Browser, location};
use crate::host::{ALL, on};

async fn fanout(api: &Api, name: &str) -> Value {
    api.get(&format!("/v1/fanouts/{name}")).await.expect(200).json()
}

#[test]
fn a_fanout_is_made_and_one_of_its_name_is_not_overwritten() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-fanouts-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get("/dashboard/fanouts").await.expect(200).text.contains("No fanouts yet"));
        let typed = [("name", "orders"), ("urls", "https://a.example.com/1\r\n\r\n https://a.example.com/2"), ("workflows", "order-flow")];
        let made = browser.post("/dashboard/fanouts", &typed).await;
        assert_eq!((made.status, location(&made)), (303, "/dashboard/fanouts/orders"), "{made:?}");
        let page = browser.get("/dashboard/fanouts/orders").await.expect(200).text;
        assert!(page.contains("The fanout orders has 3 endpoints.") && page.contains("order-flow"), "{page}");
        assert!(browser.get("/dashboard/fanouts").await.expect(200).text.contains("3 endpoints"));

        let again = browser.post("/dashboard/fanouts", &[("name", "orders"), ("urls", "https://b.example.com/")]).await.expect(409).text;
        assert!(again.contains("There is a fanout orders already") && again.contains("https://b.example.com/</textarea>"), "{again}");
        let wrong =
            browser.post("/dashboard/fanouts", &[("name", "x"), ("urls", "https://a.example.com/\nnowhere")]).await.expect(400).text;
        assert!(wrong.contains("“nowhere”") && wrong.contains("value=\"x\""), "{wrong}");
        browser.post("/dashboard/fanouts", &[("urls", "https://b.example.com/")]).await.expect(400);
        assert_eq!(fanout(&api, "orders").await["endpoints"].as_array().unwrap().len(), 3);
        api.get("/v1/fanouts/x").await.expect(404);
    });
}

#[test]
fn an_endpoint_is_added_edited_paused_resumed_and_removed() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-endpoints-{:?}", d.host));
        let fields = json!({ "url": "https://a.example.com/", "backoff": { "type": "fixed", "initialSeconds": 7 } });
        api.put("/v1/fanouts/f", &json!({ "endpoints": [fields] })).await.expect(201);
        let (browser, home) = (Browser::signed_in(&api).await, "/dashboard/fanouts/f/endpoints");
        let form = browser.get(&format!("{home}/new")).await.expect(200);
        let typed = [("target", "url"), ("url", "https://b.example.com/"), ("headers", "x-team: b"), ("flowKey", "k"), ("rate", "5")];
        assert_eq!(submit(&browser, home, &hidden(&form, home), &typed).await.status, 303);
        let added = fanout(&api, "f").await["endpoints"][1].clone();
        assert_eq!(
            (added["headers"]["x-team"].as_str(), added["flowControl"]["rate"].as_i64(), added["paused"].as_bool()),
            (Some("b"), Some(5), Some(false))
        );

        let first = fanout(&api, "f").await["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let edit = format!("{home}/{first}/edit");
        let form = browser.get(&edit).await.expect(200);
        assert!(form.text.contains("value=\"https://a.example.com/\""), "{form:?}");
        let wrong = submit(
            &browser,
            &edit,
            &hidden(&form, &edit),
            &[("target", "url"), ("url", "https://a.example.com/"), ("maxAttempts", "many")],
        )
        .await
        .expect(400);
        assert!(wrong.text.contains("value=\"many\"") && wrong.text.contains("maxAttempts must be"), "{wrong:?}");
        let typed = [("target", "url"), ("url", "https://a.example.com/v2"), ("maxAttempts", "3")];
        assert_eq!(submit(&browser, &edit, &hidden(&wrong, &edit), &typed).await.status, 303);
        let edited = fanout(&api, "f").await["endpoints"][0].clone();
        assert_eq!(
            (edited["id"].as_str(), edited["url"].as_str(), edited["maxAttempts"].as_i64()),
            (Some(&*first), Some("https://a.example.com/v2"), Some(3))
        );
        assert_eq!(edited["backoff"]["initialSeconds"], 7, "what the form does not have stays: {edited:#}");

        for (verb, paused) in [("pause", true), ("resume", false)] {
            let path = format!("{home}/{first}/{verb}");
            let page = browser.get("/dashboard/fanouts/f").await.expect(200);
            assert_eq!(submit(&browser, &path, &hidden(&page, &path), &[]).await.status, 303);
            let mut expected = edited.clone();
            expected["paused"] = json!(paused);
            assert_eq!(fanout(&api, "f").await["endpoints"][0], expected, "and nothing else");
        }
        let remove = format!("{home}/{first}/delete");
        let asked = browser.get(&remove).await.expect(200);
        assert!(asked.text.contains("Remove this endpoint?") && asked.text.contains("https://a.example.com/v2"), "{asked:?}");
        assert_eq!(submit(&browser, &remove, &hidden(&asked, &remove), &[]).await.status, 303);
        assert_eq!(fanout(&api, "f").await["endpoints"].as_array().unwrap().len(), 1);
        browser.get(&edit).await.expect(404);
    });
}

#[test]
fn whoever_saw_an_older_revision_is_told_so_and_changes_nothing() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-overtaken-{:?}", d.host));
        let made = api.put("/v1/fanouts/f", &json!({ "endpoints": [{ "url": "https://a.example.com/" }] })).await.expect(201).json();
        let (browser, id) = (Browser::signed_in(&api).await, made["endpoints"][0]["id"].as_str().unwrap());
        let at = |rest: &str| format!("/dashboard/fanouts/f/endpoints/{id}/{rest}");
        let (form, page, asked) =
            (browser.get(&at("edit")).await, browser.get("/dashboard/fanouts/f").await, browser.get("/dashboard/fanouts/f/delete").await);
        api.post("/v1/fanouts/f/endpoints", &json!({ "url": "https://b.example.com/" })).await.expect(201);

        let late = submit(&browser, &at("pause"), &hidden(&page, &at("pause")), &[]).await.expect(412).text;
        assert!(late.contains("Somebody else has changed this fanout meanwhile.") && late.contains("https://b.example.com/"), "{late}");
        let late =
            submit(&browser, "/dashboard/fanouts/f/delete", &hidden(&asked, "/dashboard/fanouts/f/delete"), &[]).await.expect(412).text;
        assert!(late.contains("nothing was changed by you"), "{late}");
        let typed = [("target", "url"), ("url", "https://a.example.com/mine")];
        let late = submit(&browser, &at("edit"), &hidden(&form, &at("edit")), &typed).await.expect(412);
        assert!(late.text.contains("nothing was changed by you") && late.text.contains("https://a.example.com/mine"), "{late:?}");
        assert_eq!(fanout(&api, "f").await["endpoints"][0], made["endpoints"][0]);
        // Having seen it, one may still want it.
        assert_eq!(submit(&browser, &at("edit"), &hidden(&late, &at("edit")), &typed).await.status, 303);
        assert_eq!(fanout(&api, "f").await["endpoints"][0]["url"], "https://a.example.com/mine");

        let asked = browser.get("/dashboard/fanouts/f/delete").await.expect(200);
        assert!(asked.text.contains("It has 2 endpoints."), "{asked:?}");
        assert_eq!(submit(&browser, "/dashboard/fanouts/f/delete", &hidden(&asked, "/dashboard/fanouts/f/delete"), &[]).await.status, 303);
        api.get("/v1/fanouts/f").await.expect(404);
    });
}
