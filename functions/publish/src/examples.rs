//! One request of each shape for the OpenAPI document; the tests send them all. Out of scope: answers.

use serde_json::{Value, json};

/// Adds the examples to the schemas of the document.
pub fn add(schemas: &mut Value) {
    for (name, example) in of_requests() {
        if let Some(schema) = schemas.get_mut(name) {
            schema["examples"] = json!([example]);
        }
    }
}

fn of_requests() -> [(&'static str, Value); 18] {
    let order = json!({ "order": 7, "total": "19.90" });
    [
        (
            "PublishRequest",
            json!({
                "url": "https://example.com/hook", "body": order, "headers": { "x-tenant": "t1" }, "delaySeconds": 60, "maxAttempts": 8,
                "backoff": { "type": "exponential", "initialSeconds": 5, "factor": 3, "maxSeconds": 3600 },
                "flowControl": { "key": "tenant-t1", "rate": 100, "periodSeconds": 60 }, "labels": ["orders"],
                "failureCallbackUrl": "https://example.com/failed",
            }),
        ),
        (
            "BatchRequest",
            json!({ "messages": [
                { "url": "https://example.com/hook", "body": order },
                { "url": "https://example.com/hook", "method": "DELETE", "notBefore": "2027-01-31T09:00:00Z" },
                { "workflow": "order-flow", "body": order, "callbackWorkflow": "audit" },
            ] }),
        ),
        ("BulkRequest", json!({ "filter": { "label": "orders", "from": "2027-01-31T00:00:00Z" } })),
        (
            "FanoutRequest",
            json!({ "endpoints": [
                { "url": "https://example.com/billing", "headers": { "x-team": "billing" } },
                { "url": "https://example.com/search", "maxAttempts": 3, "timeoutSeconds": 10, "paused": true },
                { "workflow": "order-flow" },
            ] }),
        ),
        ("EndpointRequest", json!({ "url": "https://example.com/shipping", "flowControl": { "key": "shipping", "parallelism": 1 } })),
        (
            "ScheduleRequest",
            json!({
                "name": "morning report", "cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin", "url": "https://example.com/report",
                "body": { "kind": "daily" }, "overlap": "skip", "catchUp": "latest",
            }),
        ),
        ("AppRequest", json!({ "url": "https://example.com/api/tikku", "timeoutSeconds": 60 })),
        ("StartRequest", json!({ "id": "order-7", "input": order, "labels": ["orders"] })),
        ("EventRequest", json!({ "name": "order.placed", "data": order, "id": "order-7-placed" })),
        ("ApprovalRequest", json!({ "approve": true, "data": { "limit": 500 }, "by": "Ada" })),
        ("ForkRequest", json!({ "fromStep": "ship", "results": { "charge": { "paid": true } } })),
        ("ResumeRequest", json!({ "accept": true })),
        ("RunBulkRequest", json!({ "filter": { "workflow": "order-flow", "status": "paused" } })),
        (
            "CheckpointRequest",
            json!({ "v": 1, "have": 0, "ops": [{ "op": "result", "key": "charge#0", "value": { "paid": true }, "ms": 812 }] }),
        ),
        ("FlowLimitsRequest", json!({ "parallelism": 10, "rate": 100, "periodSeconds": 60 })),
        ("AccountRequest", json!({ "retentionDays": 90, "breaker": { "minAttempts": 50, "openSeconds": 60 } })),
        ("NewKeyRequest", json!({ "name": "shop server", "role": "publish" })),
        ("RotateRequest", json!({ "overlapSeconds": 3600 })),
    ]
}
