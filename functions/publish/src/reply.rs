//! Answers: JSON, or a problem document. The one place where an error becomes a response.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tikku_domain::fields::FieldError;
use tikku_domain::problem::{Kind, Problem};
use tikku_store::StoreError;

/// A request that ends in a problem.
#[derive(Debug)]
pub struct ApiError(Problem);

impl ApiError {
    /// What is answered.
    pub fn problem(&self) -> &Problem {
        &self.0
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self(Problem::invalid(errors))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(detail) => {
                tracing::warn!(detail, "the database is not available");
                Self(Problem::new(
                    Kind::Unavailable,
                    "the database did not answer; try again, with an idempotencyKey where a publish must not happen twice: the first may have been stored",
                ))
            }
            StoreError::Unmigrated(detail) => {
                tracing::error!(detail, "the schema does not fit");
                Self(Problem::new(Kind::Unavailable, "the database's schema is missing or older than this version: run `tikku migrate`"))
            }
            StoreError::Refused(detail) | StoreError::Failed(detail) => {
                tracing::error!(detail, "a statement failed");
                Self(Problem::new(Kind::Internal, "something went wrong on our side; nothing was stored"))
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = body(status, "application/problem+json", &self.0);
        let headers = response.headers_mut();
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    body(status, "application/json", value)
}

fn body(status: StatusCode, content_type: &'static str, value: &impl Serialize) -> Response {
    let (status, bytes) = match serde_json::to_vec(value) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
