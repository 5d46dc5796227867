//! `/v1/publish/{destination}`: a message as bytes; method, content type and body pass through untouched. A third party's webhook can be
//! pointed at it: everything else, the API key too, can stand in the URL.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use tikku_domain::limits::BODY_BYTES_MAX;
use tikku_domain::problem::Problem;
use tikku_domain::raw_publish;
use tikku_domain::view::PublishAnswer;
use tikku_platform::Ctx;

use crate::auth::{self, Needs};
use crate::publish_shapes::{RawBody, RawOptions};
use crate::publishing;
use crate::reply::{ApiError, json};
use crate::request;

const PREFIX: &str = "/v1/publish/";

/// Puts the key of a raw publish's query into its Authorization header. This comes before all else: nothing that might log or count a
/// request sees a URI with a key in it.
pub async fn take_key(mut request: Request<Body>) -> Result<Request<Body>, ApiError> {
    let Some(query) = request.uri().query().filter(|_| request.uri().path().starts_with(PREFIX)) else { return Ok(request) };
    let (keys, rest) = raw_publish::take_keys(query);
    let key = match keys.as_slice() {
        [] => return Ok(request),
        [key] => HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| auth::unknown_key())?,
        _ => return Err(Problem::invalid_field("tikku-key", "tikku-key is given more than once").into()),
    };
    let path = request.uri().path();
    let text = rest.map_or_else(|| path.to_owned(), |rest| format!("{path}?{rest}"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(text.try_into().map_err(|_| Problem::invalid_field("destination", "destination is no path"))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Problem::invalid_field("destination", "destination is no path"))?;
    request.headers_mut().insert(header::AUTHORIZATION, key);
    Ok(request)
}

/// Publishes the request itself.
pub async fn publish(State(ctx): State<Arc<Ctx>>, request: Request<Body>) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = request::bytes_within(&head.headers, body, BODY_BYTES_MAX).await?;
    let hash = auth::key_hash(&head.headers)?;
    // The path as it was written: decoding it would change the destination.
    let destination = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let headers: Vec<(&str, &[u8])> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = raw_publish::Request { method: head.method.as_str(), destination, query: head.uri.query(), headers: &headers, body };
    let message = match raw_publish::parse(request, &publishing::rules(&ctx)) {
        Ok(message) => message,
        Err(errors) => {
            // A stranger learns that the key is wrong before what is wrong with the message.
            auth::caller(&ctx, &head.headers, Needs::Publish).await?;
            return Err(raw_publish::refusal(destination, errors).into());
        }
    };
    let answer = publishing::one(&ctx, &hash, message).await?.map_err(raw_publish::renamed)?;
    Ok(json(StatusCode::ACCEPTED, &answer))
}

/// The description of an operation; the methods differ in nothing else.
macro_rules! described {
    ($name:ident, $method:ident, $id:literal, with_body) => {
        described!($name, $method, $id; request_body(
            content = Option<RawBody>, content_type = "application/octet-stream", description = "Any bytes of any content type"
        ),);
    };
    ($name:ident, $method:ident, $id:literal; $($body:tt)*) => {
        /// Publishes the request itself: method, content type and body are pushed as they came, byte for byte, up to 4 MiB.
        ///
        /// The destination follows in the path as it is, not percent-encoded: `/v1/publish/https://example.com/hook?a=b`, or the name of a fanout, or
        /// `workflow:` and the name of a workflow, whose runs have the body as their input, which must be JSON then; no header is passed on to a run.
        /// Options are headers, or query parameters of the same name in lower case, such as `tikku-delay-seconds=60`; other query parameters
        /// belong to the destination. Content-Type and Content-Encoding are passed on, and the headers that `Tikku-Forward` names; a header
        /// `Tikku-Forward-X: y` is pushed as `X: y`. No other header is passed on.
        #[utoipa::path($method, path = "/v1/publish/{destination}", operation_id = $id, security(("key" = ["publish"]), ("keyInUrl" = ["publish"])), tag = "messages",
            params(("destination" = String, Path, description = "A URL as it is written, or the name of a fanout, or workflow: and the name of a workflow"), RawOptions),
            $($body)*
            responses(
                (status = 202, description = "Accepted: it is stored and will be pushed", body = PublishAnswer),
                (status = 422, description = "The idempotency key belongs to another payload", body = Problem, content_type = "application/problem+json"),
            ))]
        #[allow(dead_code, reason = "describes publish")]
        pub fn $name() {}
    };
}

/// The operations in the OpenAPI document, one for each method.
pub mod operations {
    use super::*;

    described!(raw_get, get, "publishRawGet";);
    described!(raw_head, head, "publishRawHead";);
    described!(raw_post, post, "publishRawPost", with_body);
    described!(raw_put, put, "publishRawPut", with_body);
    described!(raw_patch, patch, "publishRawPatch", with_body);
    described!(raw_delete, delete, "publishRawDelete", with_body);
}
