//! STAGE 1: the HTTP API -> rows. One axum router for all three hosts.
//!
//! Out of scope: pushing anything; the dashboard.

mod account;
mod answers;
mod app_shapes;
mod approvals;
mod apps;
mod auth;
mod batch;
mod breakers;
mod checkpoint;
mod counts;
mod dlq;
mod etag;
mod events;
mod examples;
mod fanouts;
mod field_rules;
mod flows;
mod health;
mod keys;
mod limit;
mod messages;
mod openapi;
mod overview;
mod protocol_shapes;
mod publish_shapes;
mod publishing;
mod raw;
mod read_first;
mod reply;
mod request;
mod resume;
mod resume_page;
mod run_shapes;
mod run_verbs;
mod runs;
mod schedule_look;
mod schedule_shapes;
mod schedules;
mod secrets;
mod shapes;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use tikku_domain::problem::{Kind, Problem};
use tikku_platform::Ctx;

use reply::ApiError;

pub use auth::Principal;
pub use openapi::json as openapi_json;

/// The API's routes; each is described in the OpenAPI document, which a test compares with this list.
pub const ROUTES: [(&str, &str); 83] = [
    ("post", "/v1/messages"),
    ("get", "/v1/messages"),
    ("post", "/v1/messages/batch"),
    ("get", "/v1/publish/{destination}"),
    ("head", "/v1/publish/{destination}"),
    ("post", "/v1/publish/{destination}"),
    ("put", "/v1/publish/{destination}"),
    ("patch", "/v1/publish/{destination}"),
    ("delete", "/v1/publish/{destination}"),
    ("get", "/v1/messages/counts"),
    ("get", "/v1/messages/{id}"),
    ("post", "/v1/messages/{id}/cancel"),
    ("post", "/v1/messages/{id}/retry"),
    ("post", "/v1/messages/{id}/resend"),
    ("get", "/v1/fanouts"),
    ("get", "/v1/fanouts/{name}"),
    ("put", "/v1/fanouts/{name}"),
    ("delete", "/v1/fanouts/{name}"),
    ("post", "/v1/fanouts/{name}/endpoints"),
    ("put", "/v1/fanouts/{name}/endpoints/{id}"),
    ("delete", "/v1/fanouts/{name}/endpoints/{id}"),
    ("get", "/v1/flows"),
    ("get", "/v1/flows/{key}"),
    ("put", "/v1/flows/{key}"),
    ("delete", "/v1/flows/{key}"),
    ("post", "/v1/flows/{key}/pause"),
    ("post", "/v1/flows/{key}/resume"),
    ("get", "/v1/breakers"),
    ("get", "/v1/breakers/{id}"),
    ("post", "/v1/breakers/{id}/reset"),
    ("post", "/v1/messages/cancel"),
    ("get", "/v1/dlq"),
    ("post", "/v1/dlq/retry"),
    ("post", "/v1/dlq/delete"),
    ("get", "/v1/overview"),
    ("get", "/v1/account"),
    ("patch", "/v1/account"),
    ("get", "/v1/schedule-preview"),
    ("get", "/v1/schedules"),
    ("post", "/v1/schedules"),
    ("get", "/v1/schedules/{id}"),
    ("put", "/v1/schedules/{id}"),
    ("delete", "/v1/schedules/{id}"),
    ("get", "/v1/schedules/{id}/firings"),
    ("post", "/v1/schedules/{id}/pause"),
    ("post", "/v1/schedules/{id}/resume"),
    ("post", "/v1/schedules/{id}/run"),
    ("get", "/v1/keys"),
    ("post", "/v1/keys"),
    ("delete", "/v1/keys/{id}"),
    ("get", "/v1/signing-secret"),
    ("post", "/v1/signing-secret/rotate"),
    ("get", "/v1/apps"),
    ("get", "/v1/apps/{name}"),
    ("put", "/v1/apps/{name}"),
    ("delete", "/v1/apps/{name}"),
    ("post", "/v1/apps/{name}/describe"),
    ("get", "/v1/workflows"),
    ("get", "/v1/workflows/{name}"),
    ("post", "/v1/workflows/{name}/runs"),
    ("get", "/v1/runs"),
    ("get", "/v1/runs/counts"),
    ("post", "/v1/runs/cancel"),
    ("get", "/v1/runs/{id}"),
    ("get", "/v1/runs/{id}/steps"),
    ("post", "/v1/runs/{id}/signals/{name}"),
    ("post", "/v1/runs/{id}/cancel"),
    ("post", "/v1/runs/{id}/pause"),
    ("post", "/v1/runs/{id}/resume"),
    ("post", "/v1/runs/{id}/wake"),
    ("post", "/v1/runs/{id}/retry"),
    ("post", "/v1/runs/{id}/fork"),
    ("get", "/v1/approvals"),
    ("post", "/v1/runs/{id}/approvals/{key}"),
    ("post", "/v1/events"),
    ("get", "/v1/events"),
    ("get", "/v1/events/{id}"),
    ("post", "/v1/runs/{id}/checkpoint"),
    ("get", "/v1/runs/{id}/journal"),
    ("get", "/v1/runs/{id}/resume/{name}"),
    ("post", "/v1/runs/{id}/resume/{name}"),
    ("get", "/healthz"),
    ("get", "/openapi.json"),
];

/// The API as a tower service.
pub fn router(ctx: Arc<Ctx>) -> Router {
    Router::new()
        .route("/v1/messages", post(messages::publish).get(messages::list))
        .route("/v1/messages/batch", post(batch::publish))
        // GET's handler answers HEAD too.
        .route(
            "/v1/publish/{*destination}",
            get(raw::publish).post(raw::publish).put(raw::publish).patch(raw::publish).delete(raw::publish),
        )
        .route("/v1/messages/{id}", get(messages::detail))
        .route("/v1/messages/{id}/cancel", post(messages::cancel))
        .route("/v1/messages/{id}/retry", post(messages::retry))
        .route("/v1/messages/{id}/resend", post(messages::resend))
        .route("/v1/fanouts", get(fanouts::list))
        .route("/v1/fanouts/{name}", get(fanouts::show).put(fanouts::put).delete(fanouts::delete))
        .route("/v1/fanouts/{name}/endpoints", post(fanouts::add))
        .route("/v1/fanouts/{name}/endpoints/{id}", put(fanouts::replace).delete(fanouts::remove))
        .route("/v1/flows", get(flows::list))
        .route("/v1/flows/{key}", get(flows::show).put(flows::pin).delete(flows::unpin))
        .route("/v1/flows/{key}/pause", post(flows::pause))
        .route("/v1/flows/{key}/resume", post(flows::resume))
        .route("/v1/breakers", get(breakers::list))
        .route("/v1/breakers/{id}", get(breakers::show))
        .route("/v1/breakers/{id}/reset", post(breakers::reset))
        .route("/v1/messages/cancel", post(dlq::cancel))
        .route("/v1/dlq", get(dlq::list))
        .route("/v1/dlq/retry", post(dlq::retry))
        .route("/v1/dlq/delete", post(dlq::delete))
        .route("/v1/account", get(account::show).patch(account::change))
        .route("/v1/schedules", get(schedules::list).post(schedules::create))
        .route("/v1/schedules/{id}", get(schedules::show).put(schedules::put).delete(schedules::delete))
        .route("/v1/schedules/{id}/pause", post(schedules::pause))
        .route("/v1/schedules/{id}/resume", post(schedules::resume))
        .route("/v1/schedules/{id}/run", post(schedules::run))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/signing-secret", get(secrets::show))
        .route("/v1/signing-secret/rotate", post(secrets::rotate))
        .route("/v1/apps", get(apps::list))
        .route("/v1/apps/{name}", get(apps::show).put(apps::put).delete(apps::delete))
        .route("/v1/apps/{name}/describe", post(apps::describe))
        .route("/v1/workflows", get(workflows::list))
        .route("/v1/workflows/{name}", get(workflows::show))
        .route("/v1/workflows/{name}/runs", post(workflows::start))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/cancel", post(run_verbs::cancel_many))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/steps", get(runs::steps))
        .route("/v1/runs/{id}/signals/{name}", post(runs::signal))
        .route("/v1/runs/{id}/cancel", post(run_verbs::cancel))
        .route("/v1/runs/{id}/pause", post(run_verbs::pause))
        .route("/v1/runs/{id}/resume", post(run_verbs::resume))
        .route("/v1/runs/{id}/wake", post(run_verbs::wake))
        .route("/v1/runs/{id}/retry", post(run_verbs::retry))
        .route("/v1/runs/{id}/fork", post(run_verbs::fork))
        .route("/v1/approvals", get(approvals::list))
        .route("/v1/runs/{id}/approvals/{key}", post(approvals::answer))
        .route("/v1/events", get(events::list).post(events::publish))
        .route("/v1/events/{id}", get(events::show))
        .route("/healthz", get(health::healthz))
        .route("/openapi.json", get(openapi::document))
        .merge(looks())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(ctx.clone(), limit::layer))
        .layer(middleware::from_fn(read_first::layer))
        .layer(middleware::map_request(raw::take_key))
        .layer(middleware::map_request(auth::take_principal))
        .merge(tokens())
        .with_state(ctx)
}

/// What people look at beside lists.
fn looks() -> Router<Arc<Ctx>> {
    Router::new()
        .route("/v1/messages/counts", get(counts::messages))
        .route("/v1/overview", get(overview::show))
        .route("/v1/schedule-preview", get(schedule_look::preview))
        .route("/v1/schedules/{id}/firings", get(schedule_look::firings))
        .route("/v1/runs/counts", get(counts::runs))
}

/// What is asked with a token instead of a key: checkpoints above all, which should cost one statement and nothing else.
fn tokens() -> Router<Arc<Ctx>> {
    Router::new()
        .route("/v1/runs/{id}/checkpoint", post(checkpoint::checkpoint))
        .route("/v1/runs/{id}/journal", get(checkpoint::journal))
        .route("/v1/runs/{id}/resume/{name}", get(resume::page).post(resume::post))
        .method_not_allowed_fallback(no_method)
}

async fn no_route() -> ApiError {
    Problem::new(Kind::NotFound, "there is no such route; /openapi.json lists them all").into()
}

async fn no_method() -> ApiError {
    Problem::new(Kind::MethodNotAllowed, "this route does not have this method; the Allow header lists those it has").into()
}
