//! Flow control in the dashboard: keys pinned, paused and resumed, and breakers reset by whom that is allowed.

use serde_json::json;

use super::dashboard_dlq::{hidden, submit};
use super::{SOON, message};
use crate::browser::{Browser, location};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};

const PATH: &str = "/dashboard/flows";

#[test]
fn a_key_is_paused_resumed_pinned_and_unpinned_whatever_stands_in_it() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-flows-{:?}", d.host));
        let (endpoint, browser) = (Endpoint::new(), Browser::signed_in(&api).await);
        assert!(browser.get(PATH).await.expect(200).text.contains("No key is in use"));
        let (key, in_path) = ("crm/eu 1?", "crm%2Feu%201%3F");
        let flow = async || api.get(&format!("/v1/flows/{in_path}")).await.expect(200).json();
        let typed = [("key", key), ("parallelism", "2"), ("rate", "100"), ("periodSeconds", "60")];
        let pinned = browser.post(PATH, &typed).await;
        assert_eq!((pinned.status, location(&pinned)), (303, PATH), "{pinned:?}");
        let page = browser.get(PATH).await.expect(200).text;
        assert!(page.contains("2 at a time, 100 per min") && page.contains("The limits of crm/eu 1? are pinned."), "{page}");

        assert_eq!(browser.post(&format!("{PATH}/{in_path}/pause"), &[]).await.status, 303);
        let id = api.publish(&message(&endpoint, json!({ "flowControl": { "key": key } }))).await;
        let page = browser.get(&format!("{PATH}?key={in_path}")).await.expect(200).text;
        assert!(page.contains(">Paused<") && page.contains("waiting\">1</td>"), "one waits: {page}");
        assert_eq!(location(&browser.get(&format!("{PATH}/{in_path}")).await), "/dashboard/flows?key=crm%2Feu+1%3F");
        assert_eq!(browser.post(&format!("{PATH}/{in_path}/resume"), &[]).await.status, 303);
        api.until(&id, "delivered", SOON).await;

        let form = browser.get(&format!("{PATH}/{in_path}/pin")).await.expect(200);
        assert!(form.text.contains("value=\"100\"") && form.text.contains("Limits of crm/eu 1?"), "{form:?}");
        assert_eq!(submit(&browser, PATH, &hidden(&form, PATH), &[("parallelism", "3")]).await.status, 303);
        assert_eq!((flow().await["parallelism"].as_i64(), flow().await["rate"].as_i64()), (Some(3), None));
        let late = submit(&browser, PATH, &hidden(&form, PATH), &[("parallelism", "4")]).await.expect(412);
        assert!(late.text.contains("Somebody else has changed this key meanwhile") && late.text.contains("value=\"4\""), "{late:?}");
        assert_eq!(submit(&browser, PATH, &hidden(&late, PATH), &[("parallelism", "4")]).await.status, 303);
        let wrong = browser.post(PATH, &[("key", key), ("periodSeconds", "5")]).await.expect(400).text;
        assert!(wrong.contains("there is no rate") && wrong.contains("value=\"5\""), "{wrong}");
        assert_eq!(browser.post(&format!("{PATH}/{in_path}/unpin"), &[]).await.status, 303);
        let gone = api.get(&format!("/v1/flows/{in_path}")).await;
        assert!(gone.status == 404 || gone.json()["pinned"] == false, "{gone:?}");
    });
}

#[test]
fn an_open_breaker_is_seen_and_reset_by_an_admin_only() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-breakers-{:?}", d.host));
        let settings = json!({ "breaker": { "minAttempts": 1, "failurePercent": 10, "openSeconds": 600 } });
        let set = api.send("PATCH", "/v1/account", Some(settings.to_string().into_bytes())).await;
        assert_eq!(set.status, 200, "{set:?}");
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let id = api.publish(&message(&endpoint, json!({ "maxAttempts": 2, "backoff": { "type": "fixed", "initialSeconds": 1 } }))).await;
        let browser = Browser::signed_in(&api).await;
        let begun = std::time::Instant::now();
        let page = loop {
            let page = browser.get(&format!("{PATH}?status=open")).await.expect(200).text;
            if page.contains("/reset") {
                break page;
            }
            assert!(begun.elapsed() < SOON, "it never opened: {page}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert!(page.contains(&endpoint.url()) && page.contains(">Open<"), "{page}");
        let (_, rest) = page.split_once("action=\"/dashboard/breakers/").expect("a form");
        let reset = format!("/dashboard/breakers/{}", rest.split('"').next().unwrap());
        let key = api.post("/v1/keys", &json!({ "name": "p", "role": "publish" })).await.expect(201).json();
        let publisher = Browser::signed_in(&api.with_key(key["key"].as_str().unwrap())).await;
        assert!(!publisher.get(PATH).await.expect(200).text.contains("/reset"), "no button that would be refused");
        assert!(publisher.post(&reset, &[]).await.expect(403).text.contains("This needs a key of role admin."));
        endpoint.script([Reply::status(200)]);
        assert_eq!(browser.post(&reset, &[]).await.status, 303);
        assert!(browser.get(PATH).await.expect(200).text.contains("is closed; what waited for it is pushed now."));
        api.until(&id, "delivered", SOON).await;
    });
}
