//! Publishing by SQL, in a transaction of the user's: what is committed arrives, what is rolled back never does.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, assert_signed, attempts};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, Deployment, Host, on};

/// Makes this database's own role publish for the deployment's account, beside the accounts of other scenarios.
async fn publish_as_first_account(d: &Deployment) {
    d.sql(&format!(
        "insert into tikku.database_role (role_name, account_id) select session_user, account_id from tikku.api_key where hash = sha256('{}')
         on conflict (role_name) do nothing",
        d.api.key
    ))
    .await;
}

/// Runs SQL and returns the one value of its last query.
async fn value(d: &Deployment, sql: &str) -> String {
    let mut rows = d.sql(sql).await;
    rows.pop().and_then(|mut row| row.pop()).flatten().unwrap_or_else(|| panic!("no value: {sql}"))
}

/// A status that tick brings about: asks for one when the host's own is up to a minute away.
async fn until(d: &Deployment, id: &str, status: &str) -> Value {
    d.tick().await;
    d.api.until(id, status, SOON).await
}

#[test]
fn a_committed_publish_arrives_as_given_and_signed_and_a_rolled_back_one_never_does() {
    on(ALL, async |d| {
        publish_as_first_account(d).await;
        let (endpoint, dropped) = (Endpoint::new(), Endpoint::new());
        let sql = format!(
            r#"begin; select tikku.publish('{0}', '{{"n": 1}}'); select tikku.publish_batch('[{{"url": "{0}"}}]'); rollback;
               begin; select tikku.publish('{0}', '{{"n": 2}}', idempotency_key => '{0}'); rollback"#,
            dropped.url()
        );
        d.sql(&sql).await;
        let sql = format!(
            r#"begin; select pg_sleep(3);
               select tikku.publish('{}/deep?q=%20', '{{"n":  1.10, "bb": "\u00e9", "a": null, "n": 1.20}}', method => 'PUT', headers => '{{"X-Mine": "yes"}}', labels => '{{sql}}');
               commit"#,
            endpoint.url()
        );
        d.sql(&sql).await;
        let push = {
            d.tick().await;
            endpoint.only(SOON).await
        };
        assert_signed(d, &push);
        assert_eq!((push.method.as_str(), push.rest.as_str(), push.header("x-mine")), ("PUT", "/deep?q=%20", Some("yes")));
        // What jsonb makes of it.
        assert_eq!(
            (push.header("content-type"), &push.body[..]),
            (Some("application/json"), r#"{"a": null, "n": 1.20, "bb": "é"}"#.as_bytes())
        );
        let id = push.header("webhook-id").unwrap();
        let kept = d.api.until(id, "delivered", SOON).await;
        assert_eq!((&kept["labels"], &kept["method"]), (&json!(["sql"]), &json!("PUT")));

        // The key of what was rolled back is free: HTTP and SQL share it.
        let by_http = d.api.publish(&json!({ "url": dropped.url(), "idempotencyKey": dropped.url(), "delaySeconds": 3600 })).await;
        let by_sql = value(d, &format!("select tikku.publish('{0}', idempotency_key => '{0}')", dropped.url())).await;
        assert_eq!(by_sql, by_http);
        d.tick().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((dropped.count(), endpoint.count()), (0, 1));
    });
}

#[test]
fn a_fanout_by_sql_reaches_every_endpoint_and_a_delay_is_kept() {
    on(ALL, async |d| {
        publish_as_first_account(d).await;
        let (first, second, later) = (Endpoint::new(), Endpoint::new(), Endpoint::new());
        let name = first.url().rsplit('/').next().unwrap().to_owned();
        let endpoints = json!({ "endpoints": [{ "url": first.url() }, { "url": second.url() }] });
        let made = d.api.put(&format!("/v1/fanouts/{name}"), &endpoints).await;
        assert!([200, 201].contains(&made.status), "{made:?}");
        let batch = format!(r#"[{{"fanout": "{name}", "body": 1}}, {{"url": "{}", "delay_seconds": 4}}]"#, later.url());
        let ids = value(d, &format!("select array_to_string(tikku.publish_batch('{batch}'), ' ')")).await;
        d.tick().await;
        for endpoint in [&first, &second] {
            assert_eq!(&endpoint.only(SOON).await.body[..], b"1");
        }
        let push = later.only(SOON).await;
        let id = ids.split(' ').nth(1).unwrap();
        assert_eq!(push.header("webhook-id"), Some(id));
        assert!(push.at_ms >= super::ms(&d.api.message(id).await["dueAt"]));
        assert_eq!(d.api.until(id, "delivered", SOON).await["attempts"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn what_sql_cannot_check_fails_at_the_push_with_its_reason() {
    on(ALL, async |d| {
        publish_as_first_account(d).await;
        let endpoint = Endpoint::scripted([Reply::status(200)]);
        let mut cases = vec![
            ("https://10.0.0.1/hook".to_owned(), "10.0.0.1 is not allowed"),
            ("https://metadata.google.internal/".to_owned(), "not a public name"),
            ("https://[::zz]/".to_owned(), "URL is not valid"),
            ("https://example.com:0/".to_owned(), "port 0 is not allowed"),
            (format!("https://example.com/{}", "é".repeat(2000)), "URL is too long"),
        ];
        if d.host != Host::Dev {
            cases.push(("https://192.168.0.1/".to_owned(), "192.168.0.1 is not allowed"));
        }
        let mut ids = Vec::new();
        for (url, _) in &cases {
            ids.push(value(d, &format!("select tikku.publish('{url}', '1', max_attempts => 1)")).await);
        }
        // A timeout beyond what the host can keep is cut to what it can.
        ids.push(value(d, &format!("select tikku.publish('{}', timeout_seconds => 840)", endpoint.url())).await);
        for (id, (url, reason)) in ids.iter().zip(&cases) {
            let kept = until(d, id, "failed").await;
            let error = attempts(&kept)[0]["error"].as_str().unwrap_or_default();
            assert!(error.contains(reason), "{url}: {error}");
        }
        until(d, ids.last().unwrap(), "delivered").await;
        endpoint.only(SOON).await;
    });
}
