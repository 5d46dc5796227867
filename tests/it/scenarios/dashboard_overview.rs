//! The overview in the dashboard: what it says of an account, and how much a browser loads to see it.

use serde_json::json;

use super::{SOON, message};
use crate::browser::Browser;
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, Host, on};

const PATH: &str = "/dashboard";
const PACKED: [(&str, &str); 2] = [("accept-encoding", "gzip"), ("sec-fetch-site", "same-origin")];

#[test]
fn an_overview_teaches_first_and_then_says_what_became_of_messages() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-overview-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        let page = browser.get(PATH).await.expect(200).text;
        assert!(page.contains("Send your first message") && !page.contains("Success rate"), "{page}");

        let (well, ill) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]));
        let first = api.publish(&message(&well, json!({}))).await;
        let second = api.publish(&message(&ill, json!({ "maxAttempts": 1 }))).await;
        api.until(&first, "delivered", SOON).await;
        api.until(&second, "failed", SOON).await;
        let page = browser.get(PATH).await.expect(200).text;
        for said in [
            "Success rate",
            "<span class=\"v num\">50</span>",
            "1 message is a dead letter.",
            "The engine is well, but 50 of 100 messages failed for good.",
            "1 delivered, 1 failed, 2 accepted; at most 2 per minute.",
            well.url().as_str(),
            ill.url().as_str(),
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let (_, live) = page.split_once("hx-get=\"").expect("a live part");
        let live = live.split('"').next().unwrap().replace("&#38;", "&");
        let part = browser.get(&live).await;
        assert!(part.status == 204 || (part.status == 200 && !part.text.contains("<html")), "{part:?}");
        let week = browser.get("/dashboard?range=7d").await.expect(200).text;
        assert!(week.contains("Messages per 168 min") && week.contains("range=7d"), "{week}");

        let stranger = Browser::signed_in(&d.new_account(&format!("dashboard-overview-other-{:?}", d.host))).await;
        assert!(stranger.get(PATH).await.expect(200).text.contains("Send your first message"));
    });
}

#[test]
fn a_list_says_what_the_newest_attempt_was_answered() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-answers-{:?}", d.host));
        let ids = [200, 418].map(|status| (status, Endpoint::scripted([Reply::status(status)])));
        for (status, endpoint) in &ids {
            let id = api.publish(&message(endpoint, json!({ "maxAttempts": 1 }))).await;
            let message = api.until(&id, if *status == 200 { "delivered" } else { "failed" }, SOON).await;
            assert_eq!(message["lastStatus"], *status);
            assert_eq!(message["lastError"].is_null(), *status == 200, "{message}");
        }
        let waiting = api.publish(&json!({ "url": "https://example.com/hook", "delaySeconds": 3600 })).await;
        assert!(api.message(&waiting).await["lastStatus"].is_null());
        let page = Browser::signed_in(&api).await.get("/dashboard/messages?status=failed").await.expect(200).text;
        assert!(page.contains("418") && !page.contains("200 OK"), "{page}");
    });
}

#[test]
fn the_first_page_and_all_that_it_loads_are_below_100_kilobytes() {
    on(&[Host::Dev, Host::Lambda], async |d| {
        let browser = Browser::signed_in(&d.api).await;
        let page = browser.send("GET", PATH, &[], &[]).await.expect(200);
        let mut paths = vec![PATH.to_owned()];
        let files = page.text.split('"').filter(|text| text.starts_with("/dashboard/static/"));
        paths.extend(files.map(ToOwned::to_owned));
        paths.sort();
        paths.dedup();
        assert!(paths.len() >= 5, "the page, its style, two scripts, an icon: {paths:?}");
        let mut bytes = 0;
        for path in &paths {
            let answer = browser.send("GET", path, &PACKED, &[]).await.expect(200);
            assert_eq!(answer.headers["content-encoding"], "gzip", "{path}");
            let length: usize = answer.headers["content-length"].to_str().unwrap().parse().unwrap();
            eprintln!("{length:>7} bytes {path}");
            bytes += length;
        }
        eprintln!("{bytes:>7} bytes in all on {:?}", d.host);
        assert!(bytes < 100_000, "{bytes} bytes");
    });
}

#[test]
fn a_page_that_another_site_has_asked_for_is_not_packed() {
    on(&[Host::Dev, Host::Lambda], async |d| {
        let browser = Browser::signed_in(&d.api).await;
        for site in ["cross-site", "same-site"] {
            let answer = browser.send("GET", PATH, &[("accept-encoding", "gzip"), ("sec-fetch-site", site)], &[]).await.expect(200);
            assert!(answer.headers.get("content-encoding").is_none(), "{site}: its length would tell of the session's token");
        }
        let answer = browser.send("GET", PATH, &[("accept-encoding", "br"), ("sec-fetch-site", "none")], &[]).await.expect(200);
        assert!(answer.headers.get("content-encoding").is_none() && answer.text.contains("</html>"), "gzip was not asked for");
    });
}
