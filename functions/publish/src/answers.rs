//! Completes the OpenAPI document: answers that operations have in common, and the headers of answers.
//!
//! Which answers an operation gets is read off it: whether it needs a key and of which role, has an id in its path, parameters, a body.
//! Out of scope: what a handler alone answers, which its own description says; rules of fields (`field_rules`), examples (`examples`).

use serde_json::{Map, Value, json};
use tikku_domain::problem::Kind;

use crate::{examples, field_rules};

/// The document with all that its operations share.
pub fn complete(mut document: Value) -> Value {
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in members(item) {
            operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .for_each(|one| field_rules::cursor(path, one));
            answer(path, operation);
        }
    }
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "key": { "type": "http", "scheme": "bearer", "description": "An API key: `tk_live_...`" },
        "fence": { "type": "http", "scheme": "bearer", "description": "The token of a dispatch: `fence.token` of the invoke request" },
        "resume": {
            "type": "apiKey", "in": "query", "name": "token",
            "description": "The token of a resume URL: whoever has it may send this one signal, or answer this one approval."
        },
        "keyInUrl": {
            "type": "apiKey", "in": "query", "name": "tikku-key",
            "description": "An API key in the URL, for third parties that know a URL and nothing else. It is not passed on. Give them a key of role publish of their own, so that it can be revoked."
        },
    });
    components["headers"] = headers();
    for (kind, name, description) in COMMON {
        components["responses"][name] = problem(kind, description);
    }
    field_rules::add(&mut components["schemas"]);
    examples::add(&mut components["schemas"]);
    document
}

/// What goes wrong in the same way on many routes.
const COMMON: [(Kind, &str, &str); 10] = [
    (Kind::InvalidRequest, "InvalidRequest", "Something is wrong with the request; `errors` says where"),
    (Kind::Unauthorized, "Unauthorized", "No key, or one that does not work"),
    (Kind::Forbidden, "Forbidden", "The key's role does not allow this"),
    (Kind::NotFound, "NotFound", "No such thing in this account"),
    (Kind::MethodNotAllowed, "MethodNotAllowed", "The route does not have this method"),
    (Kind::PreconditionFailed, "PreconditionFailed", "It is not at a revision that If-Match names; nothing was changed"),
    (Kind::TooLarge, "TooLarge", "The request is too large"),
    (Kind::RateLimited, "RateLimited", "The account's requests of this minute are used up; nothing was done"),
    (Kind::Internal, "Internal", "A fault of ours"),
    (Kind::Unavailable, "Unavailable", "The database did not answer in time; a write may have been stored all the same"),
];

/// Adds to an operation the answers that it has by its kind; those that it describes itself stay.
fn answer(path: &str, operation: &mut Value) {
    let role = operation["security"][0]["key"][0].as_str().unwrap_or("read").to_owned();
    let keyed = operation.get("security").is_none_or(|security| security[0].get("key").is_some());
    let secured = operation.get("security").is_none_or(|security| security[0] != json!({}));
    operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten().for_each(|one| field_rules::parameter(path, one));
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let has = |place: &str| parameters.iter().any(|parameter| parameter["in"] == place);
    let body = operation.get("requestBody").is_some();
    // utoipa says of an optional body that it may be null; it may be absent.
    for content in operation.get_mut("requestBody").map(|body| &mut body["content"]).into_iter().flat_map(members) {
        if content["schema"]["oneOf"][1]["type"] == "null" {
            content["schema"] = content["schema"]["oneOf"][0].take();
        }
    }
    let given = |kind: Kind| match kind {
        Kind::Unauthorized => keyed,
        Kind::Forbidden => keyed && role != "read",
        Kind::NotFound => has("path"),
        Kind::InvalidRequest => has("query") || has("header") || body,
        Kind::PreconditionFailed => parameters.iter().any(|parameter| parameter["name"] == "If-Match"),
        Kind::TooLarge => body,
        Kind::RateLimited => keyed,
        Kind::Unavailable | Kind::Internal => secured,
        _ => true,
    };
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (kind, name, _) in COMMON.iter().filter(|(kind, ..)| given(*kind)) {
        let status = kind.parts().2.to_string();
        responses.entry(status).or_insert_with(|| json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    for (status, response) in responses.iter_mut().filter(|(_, response)| response.get("$ref").is_none()) {
        let etag = response["headers"].get("ETag").is_some();
        add_headers(response, status);
        if keyed {
            refer(response, &RATE_LIMIT);
        }
        if etag {
            refer(response, &["ETag"]);
        }
    }
}

fn refer(response: &mut Value, names: &[&str]) {
    for name in names {
        response["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

/// The headers that every answer of this status has.
fn add_headers(response: &mut Value, status: &str) {
    match status {
        "401" => refer(response, &["WWW-Authenticate"]),
        "405" => refer(response, &["Allow"]),
        "429" => {
            refer(response, &["Retry-After"]);
            refer(response, &RATE_LIMIT);
        }
        "503" => refer(response, &["Retry-After"]),
        _ => {}
    }
}

const RATE_LIMIT: [&str; 5] = ["RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];

fn headers() -> Value {
    let always = |description: &str, kind: &str, example: Value| json!({ "description": description, "required": true, "schema": { "type": kind }, "example": example });
    // Not when the database was too slow to say how the account stands.
    let mostly = |description: &str, kind: &str, example: Value| json!({ "description": description, "schema": { "type": kind }, "example": example });
    json!({
        "Allow": always("The methods that the route has (RFC 9110, section 10.2.1).", "string", json!("GET,HEAD,POST")),
        "ETag": always("The revision in quotes, for If-Match (RFC 9110, section 8.8.3).", "string", json!("\"3\"")),
        "RateLimit": mostly("How many requests are left, and for how many seconds (draft-ietf-httpapi-ratelimit-headers).", "string", json!("\"requests\";r=59999;t=42")),
        "RateLimit-Policy": mostly("The account's limit and its window in seconds.", "string", json!("\"requests\";q=60000;w=60")),
        "RateLimit-Limit": mostly("Requests in a minute.", "integer", json!(60000)),
        "RateLimit-Remaining": mostly("Requests left of this minute.", "integer", json!(59999)),
        "RateLimit-Reset": mostly("Seconds until the minute ends.", "integer", json!(42)),
        "Retry-After": always("Seconds until it is worth another try (RFC 9110, section 10.2.3).", "integer", json!(2)),
        "WWW-Authenticate": always("`Bearer` (RFC 6750, section 3).", "string", json!("Bearer")),
    })
}

fn problem(kind: Kind, description: &str) -> Value {
    let (slug, title, status) = kind.parts();
    let example = json!({ "type": format!("urn:tikku:problem:{slug}"), "title": title, "status": status, "detail": description });
    let mut response = json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" }, "example": example } },
    });
    add_headers(&mut response, &status.to_string());
    response
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}
