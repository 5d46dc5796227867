//! API keys and the signing secret in the dashboard: made, shown, revoked and rotated by those who may.

use serde_json::json;

use crate::browser::{Browser, location};
use crate::host::{ALL, on};

const KEYS: &str = "/dashboard/keys";
const SECRETS: &str = "/dashboard/secrets";

#[test]
fn a_key_is_shown_once_works_and_is_revoked() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-keys-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get(KEYS).await.expect(200).text.contains("this session"));
        let page = browser.post(KEYS, &[("name", "a <shop>"), ("role", "publish")]).await.expect(200);
        assert_eq!(page.headers["cache-control"], "no-store");
        let (_, rest) = page.text.split_once("id=\"made-key\" tabindex=\"0\">").unwrap_or_else(|| panic!("{page:?}"));
        let key = rest.split('<').next().unwrap().to_owned();
        assert!(page.text.contains("a &#60;shop&#62;") && key.starts_with("tk_"), "{page:?}");
        let listed = browser.get(KEYS).await.expect(200).text;
        assert!(listed.contains("a &#60;shop&#62;") && !listed.contains(&key), "it is shown once");

        let made = api.with_key(&key);
        let session = Browser::signed_in(&made).await;
        made.post("/v1/keys", &json!({})).await.problem(403);
        let keys = api.get("/v1/keys").await.expect(200).json();
        let id = keys["data"].as_array().unwrap().iter().find(|key| key["name"] == "a <shop>").unwrap()["id"].as_str().unwrap().to_owned();
        let revoke = format!("{KEYS}/{id}/revoke");
        let asked = browser.get(&revoke).await.expect(200).text;
        assert!(asked.contains("Revoke the key a &#60;shop&#62;?") && !asked.contains("you are signed out"), "{asked}");
        made.get("/v1/messages").await.expect(200);
        let done = browser.post(&revoke, &[]).await.expect(303);
        assert!(location(&done) == KEYS && browser.get(KEYS).await.expect(200).text.contains("Revoked"), "{done:?}");
        made.get("/v1/messages").await.problem(401);
        assert_eq!(session.get("/dashboard/messages").await.status, 303, "its session is over");

        let wrong = browser.post(KEYS, &[("name", "kept"), ("role", "owner")]).await.expect(400).text;
        assert!(wrong.contains("value=\"kept\"") && wrong.contains("role"), "{wrong}");
        let own = keys["data"].as_array().unwrap().iter().find(|key| key["name"] != "a <shop>").unwrap()["id"].as_str().unwrap();
        assert!(browser.get(&format!("{KEYS}/{own}/revoke")).await.expect(200).text.contains("you are signed out with it"));
        browser.get(&format!("{KEYS}/nope/revoke")).await.expect(404);
    });
}

#[test]
fn the_secret_is_shown_to_admins_and_rotated() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-secrets-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        let old = api.get("/v1/signing-secret").await.expect(200).json()["secret"].as_str().unwrap().to_owned();
        assert!(browser.get(SECRETS).await.expect(200).text.contains(&old));
        assert!(browser.get("/dashboard/secrets/rotate").await.expect(200).text.contains("Rotate the signing secret?"));
        let form = |overlap| [("overlapSeconds", overlap)];
        assert!(browser.post("/dashboard/secrets/rotate", &form("-1")).await.expect(400).text.contains("must be"));
        assert_eq!(location(&browser.post("/dashboard/secrets/rotate", &form("3600")).await.expect(303)), SECRETS);
        let page = browser.get(SECRETS).await.expect(200).text;
        let now = api.get("/v1/signing-secret").await.expect(200).json();
        let secret = now["secret"].as_str().unwrap();
        assert!(
            secret != old && page.contains(secret) && page.contains(&old) && page.contains("signs beside the new one for 1 h"),
            "{page}"
        );
    });
}

#[test]
fn the_role_read_sees_keys_and_neither_makes_nor_revokes_nor_sees_the_secret() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-keys-read-{:?}", d.host));
        let made = api.post("/v1/keys", &json!({ "name": "reader", "role": "read" })).await.expect(201).json();
        let reader = Browser::signed_in(&api.with_key(made["key"].as_str().unwrap())).await;
        let page = reader.get(KEYS).await.expect(200).text;
        assert!(page.contains("reader") && page.contains("takes a key of the role admin") && !page.contains("/revoke"), "{page}");
        assert!(reader.post(KEYS, &[("name", "x"), ("role", "admin")]).await.expect(403).text.contains("This needs a key of role admin"));
        let own = format!("{KEYS}/{}/revoke", made["id"].as_str().unwrap());
        assert!(reader.post(&own, &[]).await.expect(403).text.contains("This needs a key of role admin"));
        let secret = api.get("/v1/signing-secret").await.expect(200).json()["secret"].as_str().unwrap().to_owned();
        let page = reader.get(SECRETS).await.expect(200).text;
        assert!(page.contains("takes a key of the role admin") && !page.contains(&secret), "{page}");
        reader.post("/dashboard/secrets/rotate", &[("overlapSeconds", "0")]).await.expect(403);
        assert_eq!(api.get("/v1/signing-secret").await.expect(200).json()["secret"], secret);
        assert_eq!(api.get("/v1/keys").await.expect(200).json()["data"].as_array().unwrap().len(), 2);
    });
}
