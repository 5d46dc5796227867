//! `/healthz`: whether the database answers, which schema it has, when tick last looked. Needs no key and tells no more.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::view::Health;
use tikku_platform::Ctx;
use tikku_store::migrate;

use crate::reply::{ApiError, json};

/// Says whether the service works.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "service", security(()), responses(
    (status = 200, description = "It works", body = Health),
    (status = 503, description = "The database is away, or its schema is older than this code", body = Problem, content_type = "application/problem+json"),
))]
pub async fn healthz(State(ctx): State<Arc<Ctx>>) -> Result<Response, ApiError> {
    let pulse = ctx.store.pulse().await?;
    if pulse.schema_version < migrate::VERSION {
        let detail = format!("the schema has version {}, this code needs {}: run `tikku migrate`", pulse.schema_version, migrate::VERSION);
        return Err(Problem::new(Kind::Unavailable, detail).into());
    }
    let health = Health { status: "ok".to_owned(), schema_version: pulse.schema_version, last_tick_age_seconds: pulse.last_tick_age_s };
    Ok(json(StatusCode::OK, &health))
}
