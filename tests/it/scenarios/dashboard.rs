//! The dashboard from outside: the session, what it refuses, and the pages of messages. Expiry by the database's clock is in `dashboard_expiry`.

use serde_json::json;

use super::{SOON, message};
use crate::browser::{Browser, location, set_cookies};
use crate::endpoint::Endpoint;
use crate::host::{ALL, Deployment, Host, on};

const SIGN_IN: &str = "/dashboard/sign-in";

/// A browser with a new key of this role, and the key's id.
async fn with_role(d: &Deployment, role: &str) -> (Browser, String) {
    let made = d.api.post("/v1/keys", &json!({ "name": format!("dashboard {role}"), "role": role })).await.expect(201).json();
    let browser = Browser::signed_in(&d.api.with_key(made["key"].as_str().unwrap())).await;
    (browser, made["id"].as_str().unwrap().to_owned())
}

#[test]
fn one_signs_in_with_a_key_sees_messages_and_signs_out() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({ "labels": ["seen-in-the-dashboard"] }))).await;
        let browser = Browser::new(&d.api.url);
        for path in ["/", "/dashboard/"] {
            let answer = browser.get(path).await;
            assert_eq!((answer.status, location(&answer)), (303, "/dashboard"), "{path}");
        }
        let stranger = browser.get("/dashboard/messages?label=seen-in-the-dashboard").await;
        let back = "/dashboard/sign-in?return=%2Fdashboard%2Fmessages%3Flabel%3Dseen-in-the-dashboard";
        assert_eq!((stranger.status, location(&stranger)), (303, back), "{stranger:?}");
        assert!(browser.get(back).await.expect(200).text.contains("/dashboard/messages?label=seen-in-the-dashboard"));

        let wrong = browser.send("POST", SIGN_IN, &[], &[("key", "tk_live_wrong")]).await.expect(401);
        assert!(wrong.text.contains("does not exist or was revoked") && !wrong.text.contains("tk_live_wrong"), "{wrong:?}");
        let form = [("key", d.api.key.as_str()), ("return", "/dashboard/messages?label=seen-in-the-dashboard")];
        let entered = browser.send("POST", SIGN_IN, &[], &form).await;
        assert_eq!((entered.status, location(&entered)), (303, form[1].1), "{entered:?}");
        let cookies = set_cookies(&entered);
        assert!(cookies[0].starts_with("tikku_session=") && cookies[0].contains("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"));
        assert!(!cookies[0].contains("Secure") && !cookies[0].contains(&d.api.key), "plain HTTP on this machine: {cookies:?}");

        let list = browser.get(form[1].1).await.expect(200);
        assert!(list.text.contains(&id) && list.text.contains("seen-in-the-dashboard"), "{list:?}");
        assert_eq!(list.headers["cache-control"], "no-store");
        let elsewhere = browser.send("POST", SIGN_IN, &[], &[("key", &d.api.key), ("return", "//evil.example")]).await;
        assert_eq!(location(&elsewhere), "/dashboard");
        assert_eq!(location(&browser.post("/dashboard/sign-out", &[]).await), SIGN_IN);
        assert_eq!((browser.session(), browser.get("/dashboard/messages").await.status), (None, 303));
    });
}

#[test]
fn a_key_that_is_revoked_is_signed_out_at_once() {
    on(ALL, async |d| {
        let (browser, key) = with_role(d, "publish").await;
        browser.get("/dashboard/messages").await.expect(200);
        d.api.delete(&format!("/v1/keys/{key}")).await.expect(204);
        let out = browser.get("/dashboard/messages").await;
        assert!(out.status == 303 && location(&out).starts_with(SIGN_IN), "{out:?}");
        // A part of a page that refreshes itself sends its whole page there.
        let headers = [("hx-request", "true"), ("hx-current-url", "http://localhost/dashboard/messages?status=failed")];
        let part = browser.send("GET", "/dashboard/messages/live?v=1", &headers, &[]).await.expect(401);
        assert_eq!(part.headers["hx-redirect"], "/dashboard/sign-in?return=%2Fdashboard%2Fmessages%3Fstatus%3Dfailed");
    });
}

#[test]
fn a_post_needs_the_token_of_its_session_and_a_page_of_ours() {
    on(ALL, async |d| {
        let id = d.api.publish(&json!({ "url": "https://example.com/hook", "delaySeconds": 3600 })).await;
        let (browser, path) = (Browser::signed_in(&d.api).await, format!("/dashboard/messages/{id}/cancel"));
        let (token, other) = (browser.csrf().await, Browser::signed_in(&d.api).await.csrf().await);
        let right = [("csrf", token.as_str())];
        for (headers, fields) in [
            (vec![], vec![]),
            (vec![], vec![("csrf", other.as_str())]),
            (vec![("x-csrf-token", other.as_str())], vec![("csrf", token.as_str())]),
            (vec![("sec-fetch-site", "cross-site")], right.to_vec()),
            (vec![("origin", "https://evil.example")], right.to_vec()),
            (vec![("origin", "null")], right.to_vec()),
        ] {
            let answer = browser.send("POST", &path, &headers, &fields).await;
            assert_eq!(answer.status, 403, "{headers:?} {fields:?}");
        }
        assert_eq!(d.api.message(&id).await["status"], "scheduled");
        let foreign = [("key", d.api.key.as_str())];
        assert_eq!(browser.send("POST", SIGN_IN, &[("sec-fetch-site", "cross-site")], &foreign).await.status, 403);
        // htmx brings it along as a header.
        let answer = browser.send("POST", &path, &[("x-csrf-token", &token), ("sec-fetch-site", "same-origin")], &[]).await;
        assert_eq!((answer.status, d.api.message(&id).await["status"].clone()), (303, json!("cancelled")), "{answer:?}");
    });
}

#[test]
fn the_role_read_sees_and_does_nothing() {
    on(ALL, async |d| {
        let id = d.api.publish(&json!({ "url": "https://example.com/hook", "delaySeconds": 3600 })).await;
        let (browser, _) = with_role(d, "read").await;
        let page = browser.get(&format!("/dashboard/messages/{id}")).await.expect(200).text;
        assert!(page.contains("disabled") && !page.contains(&format!("/dashboard/messages/{id}/cancel")), "{page}");
        for verb in ["cancel", "resend"] {
            let answer = browser.post(&format!("/dashboard/messages/{id}/{verb}"), &[]).await.expect(403);
            assert!(answer.text.contains("This needs a key of role admin or publish."), "{answer:?}");
        }
        assert_eq!(d.api.message(&id).await["status"], "scheduled");
        d.api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200);
    });
}

#[test]
fn another_accounts_message_and_a_page_that_is_none_are_not_found() {
    on(ALL, async |d| {
        let id = d.api.publish(&json!({ "url": "https://example.com/hook", "delaySeconds": 3600 })).await;
        let other = Browser::signed_in(&d.new_account(&format!("dashboard-other-{:?}", d.host))).await;
        assert!(!other.get("/dashboard/messages").await.expect(200).text.contains(&id));
        let paths = ["", "/live", "/body", "/cancel"].map(|rest| format!("/dashboard/messages/{id}{rest}"));
        for path in
            paths.iter().map(String::as_str).chain(["/dashboard/messages/nope", "/dashboard/messages/..%2Faccount", "/dashboard/nope"])
        {
            let answer = other.get(path).await.expect(404);
            assert!(answer.text.contains("404") && answer.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        }
        other.post(&format!("/dashboard/messages/{id}/cancel"), &[]).await.expect(404);
        assert_eq!(d.api.message(&id).await["status"], "scheduled");
        d.api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200);
    });
}

#[test]
fn a_list_is_filtered_by_its_address_and_goes_on_by_cursor() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-pages-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get("/dashboard/messages").await.expect(200).text.contains("No messages yet"));
        let messages: Vec<_> = (0..51).map(|n| json!({ "url": format!("https://example.com/{n}"), "delaySeconds": 3600 })).collect();
        let batch = api.post("/v1/messages/batch", &json!({ "messages": messages })).await.expect(207).json();
        let (first, last) = (batch["results"][0]["id"].as_str().unwrap(), batch["results"][50]["id"].as_str().unwrap());
        let page = browser.get("/dashboard/messages?status=scheduled").await.expect(200).text;
        assert!(page.contains(last) && !page.contains(first) && page.contains("rel=\"next\""), "{page}");
        let (_, next) = page.split_once("href=\"/dashboard/messages?status=scheduled&#38;cursor=").expect("a next page");
        let next = format!("/dashboard/messages?status=scheduled&cursor={}", next.split('"').next().unwrap());
        let page = browser.get(&next).await.expect(200).text;
        assert!(page.contains(first) && !page.contains(last), "{page}");
        let found = browser.get("/dashboard/messages?url=example.com%2F50").await.expect(200).text;
        assert!(found.contains(last) && !found.contains(first), "{found}");
        let none = browser.get("/dashboard/messages?label=none&url=&from=2020-01-01T00%3A00&to=2020-01-02T00%3A00").await.expect(200).text;
        assert!(none.contains("Nothing matches"), "{none}");
        let wrong = browser.get("/dashboard/messages?from=yesterday").await.expect(400).text;
        assert!(wrong.contains("From must be an RFC 3339 time") && wrong.contains("name=\"url\""), "{wrong}");
    });
}

#[test]
fn a_live_part_answers_only_what_has_changed() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-live-{:?}", d.host));
        let id = api.publish(&json!({ "url": "https://example.com/hook", "delaySeconds": 3600 })).await;
        let browser = Browser::signed_in(&api).await;
        for path in ["/dashboard/messages".to_owned(), format!("/dashboard/messages/{id}")] {
            let page = browser.get(&path).await.expect(200).text;
            let (_, live) = page.split_once("hx-get=\"").expect("a live part");
            let live = live.split('"').next().unwrap().replace("&#38;", "&");
            assert_eq!(browser.get(&live).await.expect(204).text, "");
            api.publish(&json!({ "url": "https://example.com/other", "delaySeconds": 3600 })).await;
            if path.ends_with(&id) {
                browser.get(&live).await.expect(204);
                api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200);
            }
            let changed = browser.get(&live).await.expect(200);
            let tag = changed.headers["etag"].to_str().unwrap();
            browser.send("GET", &live, &[("if-none-match", tag)], &[]).await.expect(204);
            assert!(!changed.text.contains("<html"), "{changed:?}");
        }
    });
}

#[test]
fn a_message_is_cancelled_retried_and_sent_again() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let text = format!(r#"{{"url": "{}", "body": {{"b":1, "a":2.50}}, "delaySeconds": 3600}}"#, endpoint.url());
        let published = d.api.send("POST", "/v1/messages", Some(text.into_bytes())).await.expect(202).json();
        let id = published["id"].as_str().unwrap();
        let browser = Browser::signed_in(&d.api).await;
        let path = format!("/dashboard/messages/{id}");
        let page = browser.get(&path).await.expect(200).text;
        assert!(page.contains("  &#34;b&#34;: 1,\n  &#34;a&#34;: 2.50"), "as it was published: {page}");
        assert!(browser.get(&format!("{path}/cancel")).await.expect(200).text.contains("Cancel this message?"));
        assert_eq!(location(&browser.post(&format!("{path}/cancel"), &[]).await.expect(303)), path);
        assert!(browser.get(&path).await.expect(200).text.contains("Cancelled."));
        assert!(!browser.get(&path).await.expect(200).text.contains("<strong>Cancelled.</strong>"), "it is said once");
        browser.post(&format!("{path}/retry"), &[]).await.expect(303);
        d.api.until(id, "delivered", SOON).await;
        let refused = browser.post(&format!("{path}/cancel"), &[]).await.expect(409);
        assert!(
            refused.text.contains("A message that is delivered cannot be cancelled.") && refused.text.contains("Attempt 1"),
            "{refused:?}"
        );
        let copied = browser.post(&format!("{path}/resend"), &[]).await.expect(303);
        let copy = location(&copied).strip_prefix("/dashboard/messages/").unwrap();
        assert_eq!(d.api.until(copy, "delivered", SOON).await["resentFrom"], id);
        assert_eq!(endpoint.count(), 2);
        let body = browser.get(&format!("{path}/body")).await.expect(200);
        assert_eq!((body.json(), body.headers["content-type"].to_str().unwrap()), (json!({ "b": 1, "a": 2.5 }), "application/json"));
    });
}

#[test]
fn messages_are_cancelled_by_hand_or_by_filter() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-bulk-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        let publish =
            async |label: &str| api.publish(&json!({ "url": "https://example.com/x", "delaySeconds": 3600, "labels": [label] })).await;
        let (one, two, three) = (publish("a").await, publish("b").await, publish("b").await);
        let status = async |id: &str| api.message(id).await["status"].as_str().unwrap().to_owned();
        let asked = browser.post("/dashboard/messages/confirm", &[("op", "cancel"), ("id", &one)]).await.expect(200).text;
        assert!(asked.contains("Cancel 1 message?") && asked.contains(&one), "{asked}");
        assert_eq!(status(&one).await, "scheduled");
        browser.post("/dashboard/messages/cancel", &[("id", &one)]).await.expect(303);
        assert_eq!((status(&one).await, status(&two).await), ("cancelled".to_owned(), "scheduled".to_owned()));
        let filters = [("status", "scheduled"), ("label", "b"), ("all", "1")];
        let asked = browser.post("/dashboard/messages/confirm", &filters).await.expect(200).text;
        assert!(asked.contains("that are scheduled and match the other filters?"), "{asked}");
        let kept = publish("c").await;
        browser.post("/dashboard/messages/cancel", &filters).await.expect(303);
        let left = [status(&two).await, status(&three).await, status(&kept).await];
        assert_eq!(left, ["cancelled", "cancelled", "scheduled"]);
        browser.post("/dashboard/messages/cancel", &[("all", "1")]).await.expect(303);
        assert_eq!(status(&kept).await, "cancelled");
    });
}

#[test]
fn pages_allow_no_foreign_code_and_static_files_are_kept() {
    on(ALL, async |d| {
        let browser = Browser::signed_in(&d.api).await;
        let page = browser.get("/dashboard/messages").await.expect(200);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && page.headers["x-content-type-options"] == "nosniff");
        assert!(!page.text.contains("<style") && !page.text.contains(" style=") && !page.text.contains("onclick"), "nothing inline");
        let scripts = page.text.matches("<script").count();
        assert_eq!(scripts, page.text.matches("<script src=\"/dashboard/static/").count());
        for (name, content_type) in [("tikku.css", "text/css; charset=utf-8"), ("tikku.js", "text/javascript; charset=utf-8")] {
            let (before, _) = page.text.split_once(&format!("/{name}\"")).expect("the page names it");
            let path = format!("{}/{name}", before.rsplit('"').next().unwrap());
            let plain = browser.get(&path).await.expect(200);
            let packed = browser.send("GET", &path, &[("accept-encoding", "gzip")], &[]).await.expect(200);
            assert_eq!(plain.headers["content-type"], content_type);
            assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
            // Cloudflare packs by itself, or not.
            if d.host != Host::Workers {
                assert!(packed.headers["content-encoding"] == "gzip" && plain.headers.get("content-encoding").is_none());
            }
        }
        browser.get("/dashboard/static/0000000000000000/nope.js").await.expect(404);
    });
}

#[test]
fn a_principal_does_not_come_from_outside() {
    on(ALL, async |d| {
        let hash = d.sql("select encode(hash, 'hex') from tikku.api_key where revoked_at is null limit 1").await[0][0].clone().unwrap();
        for path in ["/v1/messages", "/v1/account"] {
            let answer = d.api.with_key("").raw("GET", path, &[("tikku-principal", &hash)], Vec::new()).await;
            answer.problem(401);
        }
    });
}
