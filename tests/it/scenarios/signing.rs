//! Signing secrets and their rotation, as a receiver sees it.

use std::time::Duration;

use serde_json::json;

use super::{SOON, message};
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};
use crate::signature::verify;

#[test]
fn two_rotations_in_a_row_break_no_receiver_that_knows_one_of_the_newest_secrets() {
    on(ALL, async |d| {
        let api = d.new_account("rotation");
        let first = api.get("/v1/signing-secret").await.expect(200).json();
        assert_eq!(first["previous"], json!([]));
        let secret = |shown: &serde_json::Value| shown["secret"].as_str().unwrap().to_owned();
        let second = api.post("/v1/signing-secret/rotate", &json!({})).await.expect(200).json();
        let third = api.post("/v1/signing-secret/rotate", &json!({ "overlapSeconds": 3600 })).await.expect(200).json();
        let known: Vec<&str> = third["previous"].as_array().unwrap().iter().map(|p| p["secret"].as_str().unwrap()).collect();
        assert!(known.contains(&secret(&first).as_str()) && known.contains(&secret(&second).as_str()), "{third:#}");
        assert_eq!(api.get("/v1/signing-secret").await.expect(200).json(), third);

        let endpoint = Endpoint::new();
        api.publish(&message(&endpoint, json!({ "body": { "a": 1 } }))).await;
        let push = endpoint.only(SOON).await;
        for shown in [&first, &second, &third] {
            assert_eq!(verify(&secret(shown), &push), Ok(()), "{push:#?}");
        }
        assert!(verify(&d.secret, &push).is_err(), "another account's secret signs nothing here");
    });
}

#[test]
fn after_the_overlap_only_the_new_secret_signs() {
    on(ALL, async |d| {
        let api = d.new_account("overlap");
        let old = api.get("/v1/signing-secret").await.expect(200).json();
        let new = api.post("/v1/signing-secret/rotate", &json!({ "overlapSeconds": 1 })).await.expect(200).json();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let endpoint = Endpoint::new();
        api.publish(&message(&endpoint, json!({}))).await;
        let push = endpoint.only(SOON).await;
        assert_eq!(verify(new["secret"].as_str().unwrap(), &push), Ok(()));
        assert!(verify(old["secret"].as_str().unwrap(), &push).is_err(), "the old secret still signs: {push:#?}");
        assert_eq!(api.get("/v1/signing-secret").await.expect(200).json()["previous"], json!([]));
        for wrong in [json!(-1), json!("1"), json!(1e12), json!(1.5)] {
            let problem = api.post("/v1/signing-secret/rotate", &json!({ "overlapSeconds": wrong })).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], "/overlapSeconds");
        }
    });
}
