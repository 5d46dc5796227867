//! Dead letters in the dashboard: found, selected, retried and deleted, in chunks where they are many.

use serde_json::json;

use super::SOON;
use super::dlq::{bury, dead};
use crate::api::Answer;
use crate::browser::{Browser, location};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};

const PATH: &str = "/dashboard/dlq";

/// The hidden fields of the form that posts to this action.
pub(super) fn hidden(page: &Answer, action: &str) -> Vec<(String, String)> {
    let (_, form) = page.text.split_once(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form for {action}: {}", page.text));
    let form = form.split("</form>").next().unwrap();
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").expect("a value");
        (name.to_owned(), unescaped(rest.split('"').next().unwrap()))
    });
    fields.filter(|(name, _)| name != "csrf").collect()
}

/// Posts a form with its hidden fields and these.
pub(super) async fn submit(browser: &Browser, action: &str, hidden: &[(String, String)], typed: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(typed.iter().copied()).collect();
    browser.post(action, &fields).await
}

fn unescaped(text: &str) -> String {
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn those_that_are_selected_are_retried_after_a_question_that_names_them() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-dlq-{:?}", d.host));
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let ids = dead(&api, &endpoint, 3, "a").await;
        let browser = Browser::signed_in(&api).await;
        let page = browser.get(PATH).await.expect(200).text;
        assert!(ids.iter().all(|id| page.contains(id)) && page.contains("<b>3</b> in all"), "{page}");
        assert!(browser.get("/dashboard/dlq?label=b").await.expect(200).text.contains("Nothing matches"));

        let fields = [("act", "retry"), ("label", "a"), ("id", ids[0].as_str()), ("id", ids[1].as_str())];
        let asked = browser.post("/dashboard/dlq/confirm", &fields).await.expect(200);
        assert!(asked.text.contains("Retry 2 dead letters?") && asked.text.contains(&ids[1]) && !asked.text.contains(&ids[2]), "{asked:?}");
        assert_eq!(api.message(&ids[0]).await["status"], "failed", "nothing is done before the answer");
        endpoint.script([Reply::status(200), Reply::status(200)]);
        let done = submit(&browser, "/dashboard/dlq/retry", &hidden(&asked, "/dashboard/dlq/retry"), &[]).await;
        assert_eq!((done.status, location(&done)), (303, "/dashboard/dlq?label=a"), "{done:?}");
        let page = browser.get("/dashboard/dlq?label=a").await.expect(200).text;
        assert!(page.contains("2 dead letters were retried.") && page.contains(&ids[2]) && !page.contains(&ids[0]), "{page}");
        api.until(&ids[0], "delivered", SOON).await;

        let nothing = browser.post("/dashboard/dlq/confirm", &[("act", "delete")]).await;
        assert_eq!((nothing.status, location(&nothing)), (303, PATH));
        browser.post("/dashboard/dlq/confirm", &[("act", "burn"), ("id", &ids[2])]).await.expect(404);
        for form in ["confirm", "retry", "delete"] {
            let answer = browser.get(&format!("/dashboard/dlq/{form}")).await;
            assert_eq!((answer.status, location(&answer)), (303, PATH), "an address that is typed leads to the list");
        }
    });
}

#[test]
fn all_that_match_are_deleted_a_thousand_at_a_time_and_what_fails_meanwhile_stays() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-dlq-many-{:?}", d.host));
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        bury(d, &api, &endpoint, 2_500).await;
        let browser = Browser::signed_in(&api).await;
        let asked = browser.post("/dashboard/dlq/confirm", &[("act", "delete"), ("all", "1"), ("url", &endpoint.url())]).await.expect(200);
        assert!(asked.text.contains("Delete 2,500 dead letters?") && asked.text.contains("pattern=\"delete\""), "{asked:?}");
        let mut fields = hidden(&asked, "/dashboard/dlq/delete");
        let later = dead(&api, &endpoint, 1, "later").await;

        for expected in ["1,000 of 2,500 deleted", "2,000 of 2,500 deleted"] {
            let chunk = submit(&browser, "/dashboard/dlq/delete", &fields, &[("typed", "delete")]).await.expect(200);
            assert!(chunk.text.contains(expected) && chunk.text.contains("hx-trigger=\"tikku:continue\""), "{chunk:?}");
            fields = hidden(&chunk, "/dashboard/dlq/delete");
        }
        let last = submit(&browser, "/dashboard/dlq/delete", &fields, &[]).await.expect(200).text;
        assert!(last.contains("2,500 dead letters were deleted.") && !last.contains("tikku:continue"), "{last}");
        let left = api.get("/v1/dlq").await.expect(200).json();
        let left: Vec<_> = left["data"].as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap()).collect();
        assert_eq!(left, later);
    });
}

#[test]
fn a_dead_letter_is_nobody_elses_and_the_role_read_does_nothing_to_it() {
    on(ALL, async |d| {
        let id = dead(&d.api, &Endpoint::scripted([Reply::status(500)]), 1, "mine").await.remove(0);
        let reader = d.api.post("/v1/keys", &json!({ "name": "dashboard dlq", "role": "read" })).await.expect(201).json();
        let reader = Browser::signed_in(&d.api.with_key(reader["key"].as_str().unwrap())).await;
        let page = reader.get("/dashboard/dlq?label=mine").await.expect(200).text;
        assert!(page.contains(&id) && page.contains("Your key has the role read"), "{page}");
        let stranger = Browser::signed_in(&d.new_account(&format!("dashboard-dlq-other-{:?}", d.host))).await;
        assert!(!stranger.get(PATH).await.expect(200).text.contains(&id));
        for act in ["retry", "delete"] {
            let path = format!("/dashboard/dlq/{act}");
            assert!(reader.post(&path, &[("id", &id)]).await.expect(403).text.contains("This needs a key of role admin or publish."));
            let elsewhere = stranger.post(&path, &[("id", &id), ("back", "//evil.example")]).await;
            assert_eq!((elsewhere.status, location(&elsewhere)), (303, PATH));
            assert!(stranger.get(PATH).await.expect(200).text.contains("none of them is a dead letter any more"));
        }
        assert_eq!(d.api.message(&id).await["status"], "failed");
    });
}
