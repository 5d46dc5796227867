//! Reads small request bodies before their handlers do. A handler that refuses a request leaves its body unread; the connection must then be
//! closed, and a proxy that has sent the next request on it by then (as `wrangler dev` does) loses that one.
//!
//! Out of scope: large bodies, for which closing is right; what bodies mean.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header;
use tikku_domain::problem::{Kind, Problem};

use crate::reply::ApiError;

/// What is read at once.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// Hands on the request with its body in memory, if it is small.
pub async fn layer(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if !announced.is_some_and(|bytes| (1..=SMALL_BYTES_MAX).contains(&bytes)) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match to_bytes(body, SMALL_BYTES_MAX).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(_) => ApiError::from(Problem::new(Kind::InvalidRequest, "the request body broke off")).into_response(),
    }
}
