//! STAGE 1: the HTTP API -> rows. One axum router for all three hosts.
//!
//! Out of scope: pushing anything; the dashboard.

mod auth;
mod health;
mod keys;
mod messages;
mod openapi;
mod reply;
mod request;
mod secrets;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use tikku_domain::problem::{Kind, Problem};
use tikku_platform::Ctx;

use reply::ApiError;

/// The API's routes; each is described in the OpenAPI document, which a test compares with this list.
pub const ROUTES: [(&str, &str); 13] = [
    ("post", "/v1/messages"),
    ("get", "/v1/messages"),
    ("get", "/v1/messages/{id}"),
    ("post", "/v1/messages/{id}/cancel"),
    ("post", "/v1/messages/{id}/retry"),
    ("post", "/v1/messages/{id}/resend"),
    ("get", "/v1/keys"),
    ("post", "/v1/keys"),
    ("delete", "/v1/keys/{id}"),
    ("get", "/v1/signing-secret"),
    ("post", "/v1/signing-secret/rotate"),
    ("get", "/healthz"),
    ("get", "/openapi.json"),
];

/// The API as a tower service.
pub fn router(ctx: Arc<Ctx>) -> Router {
    Router::new()
        .route("/v1/messages", post(messages::publish).get(messages::list))
        .route("/v1/messages/{id}", get(messages::detail))
        .route("/v1/messages/{id}/cancel", post(messages::cancel))
        .route("/v1/messages/{id}/retry", post(messages::retry))
        .route("/v1/messages/{id}/resend", post(messages::resend))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/signing-secret", get(secrets::show))
        .route("/v1/signing-secret/rotate", post(secrets::rotate))
        .route("/healthz", get(health::healthz))
        .route("/openapi.json", get(openapi::document))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(ctx)
}

async fn no_route() -> ApiError {
    Problem::new(Kind::NotFound, "there is no such route; /openapi.json lists them all").into()
}

async fn no_method() -> ApiError {
    Problem::new(Kind::MethodNotAllowed, "this route does not have this method; the Allow header lists those it has").into()
}
