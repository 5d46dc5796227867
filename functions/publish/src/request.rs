//! Reading requests: bounded bodies, query pairs, ids in paths.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use tikku_domain::limits::REQUEST_BYTES_MAX;
use tikku_domain::problem::{Kind, Problem};

use crate::reply::ApiError;

/// How much of a request that is too large is read.
const READ_BYTES_MAX: usize = 8 * REQUEST_BYTES_MAX;

/// The whole body, or 413.
pub async fn bytes(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    bytes_within(headers, body, REQUEST_BYTES_MAX).await
}

/// The whole body, or 413 when it has more than `bytes_max` bytes. What is too large is read to its end all the same: a client that is still
/// sending would miss the answer, and servers in between (workerd for one) give up a connection that was answered too early.
pub async fn bytes_within(headers: &HeaderMap, mut body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(bytes_max));
    let mut seen = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::new(Kind::InvalidRequest, "the request body broke off"))?;
        let data = frame.data_ref().map_or(&[][..], |data| data.as_ref());
        seen += data.len();
        if seen <= bytes_max {
            bytes.extend_from_slice(data);
        } else if seen > READ_BYTES_MAX {
            break;
        }
    }
    if seen > bytes_max {
        return Err(Problem::new(Kind::TooLarge, format!("a request may have at most {bytes_max} bytes here")));
    }
    Ok(bytes)
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

/// The two parameters of a path such as `{id}/signals/{name}`.
pub struct IdPair(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdPair {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((id, name))) => Ok(Self(id, name)),
            Err(_) => Err(Problem::not_found("thing").into()),
        }
    }
}
