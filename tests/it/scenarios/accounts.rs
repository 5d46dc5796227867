//! Roles, revoked keys, and what does not exist. `roles.rs` goes through every route.

use serde_json::json;

use super::{SOON, message};
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};

const NOBODY: &str = "00000000000000000000000000000000";

#[test]
fn a_role_allows_what_it_says_and_no_more() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&id, "delivered", SOON).await;
        let key = async |role: &str| {
            let made = d.api.post("/v1/keys", &json!({ "name": role, "role": role })).await.expect(201).json();
            d.api.with_key(made["key"].as_str().unwrap())
        };
        let (publish, read) = (key("publish").await, key("read").await);
        let body = message(&endpoint, json!({}));
        for api in [&publish, &read] {
            api.get("/v1/messages").await.expect(200);
            api.get(&format!("/v1/messages/{id}")).await.expect(200);
            api.get("/v1/keys").await.expect(200); // Which never shows a key.
            api.post("/v1/keys", &json!({ "name": "x", "role": "admin" })).await.problem(403);
            api.send("DELETE", &format!("/v1/keys/key_{NOBODY}"), None).await.problem(403);
            api.get("/v1/signing-secret").await.problem(403);
            api.act("/v1/signing-secret/rotate").await.problem(403);
        }
        publish.publish(&body).await;
        publish.act(&format!("/v1/messages/{id}/resend")).await.expect(202);
        read.post("/v1/messages", &body).await.problem(403);
        for verb in ["cancel", "retry", "resend"] {
            read.act(&format!("/v1/messages/{id}/{verb}")).await.problem(403);
        }
    });
}

#[test]
fn a_request_without_a_working_key_is_401() {
    on(ALL, async |d| {
        let made = d.api.post("/v1/keys", &json!({ "name": "short-lived", "role": "publish" })).await.expect(201).json();
        let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
        assert!(key.starts_with("tk_live_"), "{made:#}");
        let api = d.api.with_key(key);
        api.get("/v1/messages").await.expect(200);
        let listed = d.api.get("/v1/keys").await.expect(200);
        assert!(listed.text.contains(id) && !listed.text.contains(key), "a key is shown once");
        let revoked = d.api.send("DELETE", &format!("/v1/keys/{id}"), None).await;
        assert!([200, 204].contains(&revoked.status), "{revoked:?}");
        let endpoint = Endpoint::new();
        for key in [key, "", "tk_live_", "tk_live_nonsense", "x"] {
            let api = d.api.with_key(key);
            api.get("/v1/messages").await.problem(401);
            api.post("/v1/messages", &message(&endpoint, json!({}))).await.problem(401);
            api.get("/v1/signing-secret").await.problem(401);
        }
        assert_eq!(endpoint.count(), 0);
        d.api.with_key("").get("/healthz").await.expect(200);
    });
}

#[test]
fn what_does_not_exist_is_a_problem_document_too() {
    on(ALL, async |d| {
        d.api.get("/v1/nope").await.problem(404);
        d.api.get("/v1/messages/nope").await.problem(404);
        d.api.send("PATCH", "/v1/messages", None).await.problem(405);
        let openapi = d.api.with_key("").get("/openapi.json").await.expect(200).json();
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"), "{}", openapi["openapi"]);
        let health = d.api.with_key("").get("/healthz").await.expect(200).json();
        assert!(health["status"] == "ok" && health["schemaVersion"].as_i64() >= Some(1), "{health}");
    });
}
