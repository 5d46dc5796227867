//! Reading requests: bounded bodies, query pairs, ids in paths.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use tikku_domain::limits::REQUEST_BYTES_MAX;
use tikku_domain::problem::{Kind, Problem};

use crate::reply::ApiError;

/// The whole body, or 413.
pub async fn bytes(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    bytes_within(headers, body, REQUEST_BYTES_MAX).await
}

/// The whole body, or 413 when it has more than `bytes_max` bytes.
pub async fn bytes_within(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("a request may have at most {bytes_max} bytes here"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|n| n > bytes_max as u64) {
        return Err(too_large());
    }
    match to_bytes(body, bytes_max).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if is_limit(&error) => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::InvalidRequest, "the request body broke off")),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().contains("length limit") {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Decoded query parameters in order.
pub fn query(uri: &Uri) -> Vec<(String, String)> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The `{id}` of a path. One that is not UTF-8 names nothing either.
pub struct IdText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Problem::not_found("thing").into()),
        }
    }
}

/// An id in a path. Text that is no id names nothing: 404, like an id of another account.
pub fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}
