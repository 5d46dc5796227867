//! What endpoints are sent, field by field.

use serde_json::{Value, json};

use super::*;
use crate::ids::AccountId;

pub(crate) fn dispatch() -> Dispatch {
    Dispatch {
        id: RunId(uuid::Uuid::from_u128(0x0192_f3ab_0000_7000_8000_0000_0000_0001)),
        account: AccountId(uuid::Uuid::from_u128(1)),
        fence: 17,
        token: "17.ab".to_owned(),
        resume_key: "rk".to_owned(),
        app: "shop \"1\"".to_owned(),
        url: "https://example.com/".to_owned(),
        timeout_ms: 60_000,
        lease_ms: 30_000,
        workflow: "flow".to_owned(),
        version: "3".to_owned(),
        external_id: Some("order-1".to_owned()),
        created_at: "2026-11-21T10:00:00.000Z".to_owned(),
        attempt: 2,
        seed: "5f".to_owned(),
        accept_seq: 4,
        failures: 0,
        parent: Some((RunId(uuid::Uuid::from_u128(9)), "c#0".to_owned())),
        input: br#"{"a": 1.0}"#.to_vec(),
        journal: Journal { entries: vec![entry(1, "ok"), entry(2, "error"), entry(3, "timeout")], seq: 3, more: true },
        pending: r#"[{"key":"p#0"}]"#.to_owned(),
        now_ms: 0,
        secrets: Vec::new(),
    }
}

fn entry(seq: i32, state: &str) -> Entry {
    Entry {
        seq,
        key: "k#0".to_owned(),
        kind: "child".to_owned(),
        state: state.to_owned(),
        value: (state == "ok").then(|| b"1.50".to_vec()),
        error: (state == "error").then(|| r#"{"name":"E"}"#.to_owned()),
        child: (state == "ok").then(|| RunId(uuid::Uuid::from_u128(5))),
        echo: false,
    }
}

#[test]
fn an_invoke_has_every_field_of_the_protocol() {
    let body = body(&dispatch(), 55_000, "https://tikku.example");
    assert!(String::from_utf8_lossy(&body).contains(r#""input":{"a": 1.0},"#));
    let read: Value = serde_json::from_slice(&body).unwrap();
    let id = "run_0192f3ab000070008000000000000001";
    assert_eq!(
        read["run"],
        json!({ "id": id, "externalId": "order-1", "attempt": 2, "seed": "5f", "budgetMs": 55000, "createdAt": "2026-11-21T10:00:00.000Z",
            "parent": { "id": "run_00000000000000000000000000000009", "key": "c#0" }, "accept": 4 })
    );
    assert_eq!(
        read["journal"]["entries"][0],
        json!({ "seq": 1, "key": "k#0", "kind": "child", "state": "ok", "value": 1.5, "run": "run_00000000000000000000000000000005" })
    );
    assert_eq!(
        read["journal"]["entries"][1],
        json!({ "seq": 2, "key": "k#0", "kind": "child", "state": "error", "error": { "name": "E" } })
    );
    assert_eq!((&read["journal"]["seq"], &read["journal"]["next"], &read["pending"]), (&json!(3), &json!("3"), &json!([{ "key": "p#0" }])));
    assert_eq!((&read["lease"], &read["app"]), (&json!({ "ms": 30000, "renewMs": 10000 }), &json!("shop \"1\"")));
    assert_eq!(read["engine"]["journal"], format!("https://tikku.example/v1/runs/{id}/journal"));
    assert_eq!(read["limits"], json!({ "resultBytes": 4_194_304, "steps": 100_000, "inlineBytes": 196_608 }));
    assert_eq!((&read["fence"], &read["engine"]["resumeKey"]), (&json!({ "gen": 17, "token": "17.ab" }), &json!("rk")));
}

#[test]
fn the_answer_to_a_checkpoint_leaves_out_what_its_sender_has() {
    let mut page = Journal { entries: vec![entry(1, "ok")], seq: 1, more: false };
    page.entries[0].echo = true;
    let read: Value = serde_json::from_slice(&checkpoint_answer(&page, r#"[{"name":"s","count":1}]"#, true, 30_000)).unwrap();
    assert_eq!(read["journal"]["entries"][0]["echo"], true);
    assert!(read["journal"]["entries"][0]["value"].is_null() && read["journal"]["next"].is_null());
    assert_eq!(
        (&read["pauseRequested"], &read["cancelled"], &read["leaseMs"], &read["signals"][0]["count"]),
        (&json!(true), &json!(false), &json!(30_000), &json!(1))
    );
    assert_eq!(journal_page(&Journal { entries: Vec::new(), seq: 512, more: true }), br#"{"v":1,"entries":[],"seq":512,"next":"512"}"#);
    assert_eq!((parse_cursor("512"), parse_cursor("-1"), parse_cursor("x"), parse_cursor("")), (Some(512), None, None, None));
}

#[test]
fn a_budget_is_what_the_grace_leaves() {
    assert_eq!([60_000, 840_000, 8_000, 1_000].map(budget_ms), [55_000, 835_000, 4_000, 500]);
}
