//! The list of messages: pages, filters, and counts that follow the filter.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, message};
use crate::api::Api;
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};

// Every id of a filtered list, page by page.
async fn all_pages(api: &Api, filter: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/messages?limit={limit}{filter}{cursor}")).await.expect(200).json();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit, "{} rows in a page of {limit}", data.len());
        ids.extend(data.iter().map(|m| m["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { return ids };
        assert!(!data.is_empty() && ids.len() < 1_000, "the list does not end");
        cursor = format!("&cursor={next}");
    }
}

// Ids are ordered by the millisecond of their making, and at random within it.
fn newest_first(ids: &mut [String]) {
    ids.sort_by(|a, b| b.cmp(a));
}

#[test]
fn pages_and_filters_show_each_message_once_newest_first_and_counts_follow() {
    on(ALL, async |d| {
        let api = d.new_account("listing");
        let (good, bad) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]));
        let mut published = Vec::new();
        for n in 0..4 {
            published.push(api.publish(&message(&good, json!({ "labels": ["good", format!("n{n}")] }))).await);
            published.push(api.publish(&message(&bad, json!({ "maxAttempts": 1, "labels": ["bad"] }))).await);
        }
        let scheduled = api.publish(&message(&good, json!({ "delaySeconds": 3600, "labels": ["good", "later"] }))).await;
        published.push(scheduled.clone());
        for id in &published[..8] {
            let end = if published.iter().position(|p| p == id).unwrap() % 2 == 0 { "delivered" } else { "failed" };
            api.until(id, end, SOON).await;
        }
        newest_first(&mut published);
        for limit in [1, 2, 4, 9, 200] {
            assert_eq!(all_pages(&api, "", limit).await, published, "limit {limit}");
        }
        let good_path = good.url_at("");
        for (filter, count) in [
            ("&status=delivered".to_owned(), 4),
            ("&status=failed".to_owned(), 4),
            ("&status=scheduled".to_owned(), 1),
            ("&status=cancelled".to_owned(), 0),
            ("&label=good".to_owned(), 5),
            ("&label=n2".to_owned(), 1),
            ("&label=n".to_owned(), 0),
            ("&label=good&status=delivered".to_owned(), 4),
            (format!("&url={good_path}"), 5),
            (format!("&url={}", good_path.to_uppercase()), 0),
            ("&url=%25".to_owned(), 0),
            ("&url=_".to_owned(), 0),
            ("&from=2020-01-01T00:00:00Z".to_owned(), 9),
            ("&to=2020-01-01T00:00:00Z".to_owned(), 0),
            ("&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z".to_owned(), 9),
        ] {
            assert_eq!(all_pages(&api, &filter, 3).await.len(), count, "{filter}");
        }
        let counts = async |filter: &str| api.get(&format!("/v1/messages?limit=1{filter}")).await.expect(200).json()["counts"].clone();
        let of = |counts: &Value, status: &str| counts[status].as_i64().unwrap_or(0);
        let all = counts("").await;
        assert_eq!((of(&all, "delivered"), of(&all, "failed"), of(&all, "scheduled"), of(&all, "queued")), (4, 4, 1, 0), "{all}");
        let bad_only = counts("&label=bad").await;
        assert_eq!((of(&bad_only, "delivered"), of(&bad_only, "failed"), of(&bad_only, "scheduled")), (0, 4, 0), "{bad_only}");
        assert_eq!(
            d.api.get(&format!("/v1/messages?label=later&url={good_path}")).await.expect(200).json()["data"],
            json!([]),
            "another account's"
        );
    });
}

#[test]
fn pages_do_not_skip_or_repeat_while_messages_are_published() {
    on(ALL, async |d| {
        let api = d.new_account("paging");
        let later = json!({ "url": "http://127.0.0.1:9/", "delaySeconds": 86_400 });
        let mut before = Vec::new();
        for _ in 0..30 {
            before.push(api.publish(&later).await);
        }
        newest_first(&mut before);
        let publishing = async {
            loop {
                api.publish(&later).await;
            }
        };
        let reading = async {
            let mut shown = Vec::new();
            for _ in 0..3 {
                shown = all_pages(&api, "", 7).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            shown
        };
        let shown = tokio::select! { shown = reading => shown, () = publishing => unreachable!() };
        let kept: Vec<&String> = shown.iter().filter(|id| before.contains(id)).collect();
        assert_eq!(kept, before.iter().collect::<Vec<_>>(), "each once, in order");
        let mut unique = shown.clone();
        newest_first(&mut unique);
        unique.dedup();
        assert_eq!(unique, shown, "no row twice, newest first");
    });
}

#[test]
fn a_wrong_query_is_refused_with_the_parameter_that_is_wrong() {
    on(ALL, async |d| {
        for query in [
            "limit=0",
            "limit=201",
            "limit=x",
            "limit=-1",
            "status=nope",
            "cursor=nope",
            "from=yesterday",
            "to=2020-13-01T00:00:00Z",
            "nope=1",
        ] {
            let problem = d.api.get(&format!("/v1/messages?{query}")).await.problem(400);
            assert!(problem["detail"].as_str().unwrap().contains(query.split('=').next().unwrap()), "{query}: {problem:#}");
        }
    });
}
