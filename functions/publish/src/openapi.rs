//! The OpenAPI 3.1 document, made from the handlers' own descriptions. A handler describes what only it answers and, as the scope of its
//! security, the smallest role that it needs; `answers` adds the rest. Out of scope: request shapes (`shapes.rs`), answers' shapes (`domain::view`).

use std::sync::OnceLock;

use axum::response::Response;
use http::{HeaderValue, header};
use utoipa::OpenApi;

use crate::answers;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tikku", description = include_str!("openapi.md")),
    security(("key" = ["read"])),
    tags(
        (name = "messages", description = "Publish messages, look at them, cancel, retry and resend them."),
        (name = "fanouts", description = "Named lists of endpoints: a publish to one makes a message for each endpoint."),
        (name = "flows", description = "Flow control and circuit breakers: what waits for what, limits, pauses."),
        (name = "schedules", description = "What is published again and again, by a cron expression or an interval."),
        (name = "apps", description = "Endpoints that serve workflows."),
        (name = "workflows", description = "What apps serve, and starts of runs."),
        (name = "runs", description = "Executions of workflows: look, signal, cancel, pause, resume, wake, retry, fork."),
        (name = "approvals", description = "Questions of runs to people."),
        (name = "events", description = "What has happened: events start workflows and wake runs that wait for them."),
        (name = "protocol", description = "What endpoints that serve workflows ask of the engine, with the token of a dispatch; and resume URLs."),
        (name = "dlq", description = "Dead letters: messages that were given up. Retry or delete many at once."),
        (name = "account", description = "Settings of the account that the key belongs to."),
        (name = "keys", description = "API keys and their roles."),
        (name = "signing", description = "The secrets that sign pushes (Standard Webhooks)."),
        (name = "service", description = "The service itself. These need no key."),
    ),
    components(schemas(tikku_domain::problem::Problem)),
    paths(
        crate::messages::publish, crate::batch::publish, crate::raw::operations::raw_get, crate::raw::operations::raw_head, crate::raw::operations::raw_post,
        crate::raw::operations::raw_put, crate::raw::operations::raw_patch, crate::raw::operations::raw_delete,
        crate::messages::list, crate::counts::messages, crate::messages::detail, crate::messages::cancel, crate::messages::retry,
        crate::messages::resend,
        crate::fanouts::list, crate::fanouts::show, crate::fanouts::put, crate::fanouts::delete, crate::fanouts::add,
        crate::fanouts::replace, crate::fanouts::remove,
        crate::flows::list, crate::flows::show, crate::flows::pin, crate::flows::unpin, crate::flows::pause, crate::flows::resume,
        crate::breakers::list, crate::breakers::show, crate::breakers::reset,
        crate::dlq::list, crate::dlq::retry, crate::dlq::delete, crate::dlq::cancel, crate::overview::show, crate::account::show, crate::account::change,
        crate::schedules::list, crate::schedules::create, crate::schedules::show, crate::schedules::put, crate::schedules::delete,
        crate::schedules::pause, crate::schedules::resume, crate::schedules::run, crate::schedule_look::preview, crate::schedule_look::firings,
        crate::apps::list, crate::apps::show, crate::apps::put, crate::apps::delete, crate::apps::describe,
        crate::workflows::list, crate::workflows::show, crate::workflows::start,
        crate::runs::list, crate::counts::runs, crate::runs::show, crate::runs::steps, crate::runs::signal,
        crate::run_verbs::cancel_many, crate::run_verbs::cancel, crate::run_verbs::pause, crate::run_verbs::resume, crate::run_verbs::wake,
        crate::run_verbs::retry, crate::run_verbs::fork, crate::approvals::list, crate::approvals::answer,
        crate::events::publish, crate::events::list, crate::events::show,
        crate::checkpoint::checkpoint, crate::checkpoint::journal, crate::resume::page, crate::resume::post,
        crate::keys::list, crate::keys::create, crate::keys::revoke,
        crate::secrets::show, crate::secrets::rotate,
        crate::health::healthz, document
    )
)]
struct Document;

/// The document as text, made once.
pub fn json() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    // invariant: the document is made of strings and numbers; a test reads it.
    TEXT.get_or_init(|| answers::complete(serde_json::to_value(Document::openapi()).unwrap_or_default()).to_string()).clone()
}

/// Answers this document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "service", security(()), responses(
    (status = 200, description = "This document", content_type = "application/json", body = serde_json::Value),
))]
pub async fn document() -> Response {
    let mut response = Response::new(json().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(&super::json()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone())))
            .collect();
        let routed: BTreeSet<(String, String)> = crate::ROUTES.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn the_committed_copy_is_this_document() {
        let committed: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
        let made: Value = serde_json::from_str(&super::json()).unwrap();
        assert!(committed == made, "docs/openapi.json is not what the code says: run `cargo xtask openapi`");
    }

    #[test]
    fn every_operation_is_documented() {
        let document: Value = serde_json::from_str(&super::json()).unwrap();
        let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
                assert!(tags.contains(&&operation["tags"][0]), "{method} {path}: its tag has no description");
                let body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
                if let Some(name) = body.and_then(|reference| reference.rsplit('/').next()) {
                    assert!(document["components"]["schemas"][name]["examples"][0].is_object(), "{method} {path}: {name} has no example");
                }
                let role = operation["security"][0]["key"][0].as_str().unwrap_or("read");
                assert!(["read", "publish", "admin"].contains(&role), "{method} {path}: role {role}");
            }
        }
    }
}
