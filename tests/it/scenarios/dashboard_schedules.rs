//! Schedules in the dashboard: told in words while they are typed, made, edited without losing what the form does not have, run and deleted.

use serde_json::{Value, json};

use super::SOON;
use super::dashboard_dlq::{hidden, submit};
use crate::api::Api;
use crate::browser::{Browser, location};
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};

const PATH: &str = "/dashboard/schedules";

async fn schedule(api: &Api, id: &str) -> Value {
    api.get(&format!("/v1/schedules/{id}")).await.expect(200).json()
}

#[test]
fn a_rhythm_is_told_in_words_with_its_next_five_runs_while_it_is_typed() {
    on(ALL, async |d| {
        let browser = Browser::signed_in(&d.api).await;
        let explain = async |query: &str| browser.get(&format!("{PATH}/explain?{query}")).await.expect(200).text;
        let told = explain("rhythm=cron&cron=30+2+*+*+mon-fri&timezone=Europe%2FBerlin&every=9").await;
        assert!(told.contains("02:30") && told.contains("Monday") && told.contains("Europe/Berlin"), "{told}");
        assert!(told.matches("<li>").count() == 5 && told.contains(" 02:30 CE") && !told.contains("<html"), "{told}");
        assert!(told.contains("Clocks in Europe/Berlin next change on"), "{told}");
        assert_eq!(explain("rhythm=every&every=90&cron=nonsense").await.matches("<li>").count(), 5);
        for (query, expected) in [
            ("rhythm=cron&cron=61+*+*+*+*", "Cron"),
            ("rhythm=cron&cron=0+9+*+*+*&timezone=Mars%2FBase", "Timezone must be the name of an IANA time zone"),
            ("rhythm=every&every=0", "EverySeconds"),
            ("rhythm=cron", "appear here"),
        ] {
            let told = explain(query).await;
            assert!(told.contains(expected) && !told.contains("<li>"), "{query}: {told}");
        }
    });
}

#[test]
fn a_schedule_is_made_and_edited_and_keeps_what_the_form_does_not_have() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-schedules-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get(PATH).await.expect(200).text.contains("No schedules yet"));
        let typed = [
            ("name", "nightly"),
            ("rhythm", "cron"),
            ("cron", "30 2 * * *"),
            ("timezone", "Europe/Berlin"),
            ("target", "url"),
            ("url", "https://example.com/r"),
        ];
        let wrong = browser.post(PATH, &[&typed[..], &[("body", "{"), ("labels", "a, b")]].concat()).await.expect(400).text;
        assert!(wrong.contains("This is no JSON") && wrong.contains("value=\"a, b\"") && wrong.contains("02:30"), "{wrong}");
        let made =
            browser.post(PATH, &[&typed[..], &[("body", "{\"b\": 1.0,\r\n\"a\": 2}"), ("labels", "a, b"), ("paused", "1")]].concat()).await;
        assert_eq!(made.status, 303, "{made:?}");
        let id = location(&made).strip_prefix("/dashboard/schedules/").unwrap().to_owned();
        let page = browser.get(location(&made)).await.expect(200).text;
        assert!(page.contains("The schedule nightly is made.") && page.contains("None while it is paused."), "{page}");
        assert!(browser.post(PATH, &typed).await.expect(409).text.contains("value=\"nightly\""), "the name is taken");

        let mut whole = json!({ "name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "url": "https://example.com/r", "body": [1.0, "é"] });
        whole["backoff"] = json!({ "type": "fixed", "initialSeconds": 7, "factor": 2, "maxSeconds": 9, "jitter": false });
        whole["failureCallbackUrl"] = json!("https://example.com/failed");
        whole["flowControl"] = json!({ "key": "k", "parallelism": 2 });
        let before = api.put(&format!("/v1/schedules/{id}"), &whole).await.expect(200).json();
        let (edit, action) = (format!("{PATH}/{id}/edit"), format!("{PATH}/{id}"));
        let form = browser.get(&edit).await.expect(200);
        let typed = [("name", "nightly"), ("rhythm", "cron"), ("cron", "45 2 * * *"), ("timezone", "Europe/Berlin"), ("target", "url")];
        let rest = [("url", "https://example.com/r"), ("body", "[\r\n  1.0,\r\n  \"é\"\r\n]"), ("flowKey", "k"), ("paused", "1")];
        let typed = [&typed[..], &rest[..]].concat();
        assert_eq!(submit(&browser, &action, &hidden(&form, &action), &typed).await.status, 303);
        let after = schedule(&api, &id).await;
        assert_eq!(after["cron"], "45 2 * * *");
        for field in ["body", "backoff", "failureCallbackUrl", "flowControl", "status", "maxAttempts", "overlap"] {
            assert_eq!(after[field], before[field], "{field}");
        }
        let late = submit(&browser, &action, &hidden(&form, &action), &typed).await.expect(412);
        assert!(late.text.contains("Somebody else has changed this schedule meanwhile") && late.text.contains("45 2 * * *"), "{late:?}");
        assert_eq!(submit(&browser, &action, &hidden(&late, &action), &typed).await.status, 303);
    });
}

#[test]
fn a_schedule_is_run_by_hand_paused_resumed_and_deleted_and_its_firings_lead_to_messages() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-firings-{:?}", d.host));
        let (endpoint, browser) = (Endpoint::new(), Browser::signed_in(&api).await);
        let made =
            api.post("/v1/schedules", &json!({ "name": "rare", "everySeconds": 86_400, "url": endpoint.url() })).await.expect(201).json();
        let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
        let act = async |verb: &str| {
            let answer = browser.post(&format!("{path}/{verb}"), &[]).await;
            assert_eq!((answer.status, location(&answer)), (303, &*path), "{answer:?}");
            browser.get(&path).await.expect(200).text
        };
        assert!(browser.get(&path).await.expect(200).text.contains("It has not fired yet."));
        let page = act("run").await;
        let id = api.get("/v1/messages").await.expect(200).json()["data"][0]["id"].as_str().unwrap().to_owned();
        assert!(
            page.contains("It ran and published one message.") && page.matches(&format!("/dashboard/messages/{id}")).count() == 2,
            "{page}"
        );
        assert!(page.contains("run by hand"), "{page}");
        api.until(&id, "delivered", SOON).await;
        assert!(act("pause").await.contains("None while it is paused."));
        assert!(act("resume").await.contains("What it would have fired while it was paused is not made up for."));
        assert!(browser.get(PATH).await.expect(200).text.contains(">Fired<"));

        let key = api.post("/v1/keys", &json!({ "name": "r", "role": "read" })).await.expect(201).json();
        let reader = Browser::signed_in(&api.with_key(key["key"].as_str().unwrap())).await;
        assert!(reader.post(&format!("{path}/run"), &[]).await.expect(403).text.contains("This needs a key of role admin or publish."));
        let delete = format!("{path}/delete");
        let asked = browser.get(&delete).await.expect(200);
        assert!(asked.text.contains("Delete the schedule rare?"), "{asked:?}");
        let gone = submit(&browser, &delete, &hidden(&asked, &delete), &[]).await;
        assert_eq!((gone.status, location(&gone)), (303, PATH), "{gone:?}");
        browser.get(&path).await.expect(404);
        assert_eq!(endpoint.count(), 1);
    });
}
