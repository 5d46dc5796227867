//! The OpenAPI 3.1 document, made from the handlers' own descriptions. The request shapes here describe what `domain` reads.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::response::Response;
use http::{HeaderValue, header};
use tikku_domain::retry::BackoffKind;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

/// A message to publish.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::publish reads")]
pub struct PublishRequest {
    /// Where to push: http or https (https only unless the host is configured otherwise), no user:password part, no private or special address.
    #[schema(min_length = 1, max_length = 2048, example = "https://example.com/hook")]
    url: String,
    /// Any JSON value; its bytes are pushed as written, at most 4 MiB. Without it the push has an empty body and no content-type.
    body: Option<serde_json::Value>,
    /// HTTP method.
    #[schema(default = "POST")]
    method: Option<Method>,
    /// Headers of the push, at most 64 and 32 KiB. Those that HTTP or Tikku own (webhook-*, tikku-*, proxy-*, host, content-length, ...) are refused.
    headers: Option<BTreeMap<String, String>>,
    /// Push not before so many seconds from now; up to 3,650 days. Excludes notBefore.
    #[schema(minimum = 0, maximum = 315_360_000)]
    delay_seconds: Option<i64>,
    /// Push not before this RFC 3339 time; at most 3,650 days ahead. A past time means now.
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// How often it may be tried. 429, and 503 with Retry-After, do not count; 200 of them end it all the same.
    #[schema(minimum = 1, maximum = 100, default = 5)]
    max_attempts: Option<i64>,
    /// The wait between attempts.
    backoff: Option<BackoffRequest>,
    /// How long one push may take. Hosts with a shorter limit of their own refuse more than that limit less 20 s.
    #[schema(minimum = 1, maximum = 840, default = 30)]
    timeout_seconds: Option<i64>,
    /// The same key with the same url, method, headers and body is the same message, for as long as the message is kept.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// For filters; 1 to 64 characters each.
    #[schema(max_items = 10)]
    labels: Option<Vec<String>>,
}

/// The methods of a push. GET and HEAD have no body.
#[derive(ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(dead_code, reason = "describes what domain::publish reads")]
pub enum Method {
    /// The default.
    Post,
    /// With a body.
    Put,
    /// With a body.
    Patch,
    /// With or without a body.
    Delete,
    /// Without a body.
    Get,
    /// Without a body.
    Head,
}

/// The wait before attempt n + 1: exponential initialSeconds * factor^(n-1), linear initialSeconds * n, fixed initialSeconds; at most
/// maxSeconds. With jitter it is spread evenly over its upper half.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::publish reads")]
pub struct BackoffRequest {
    /// How the wait grows.
    #[serde(rename = "type")]
    #[schema(default = "exponential")]
    kind: Option<BackoffKind>,
    /// The first wait.
    #[schema(minimum = 0, maximum = 31_536_000, default = 1)]
    initial_seconds: Option<i64>,
    /// Growth, for exponential.
    #[schema(minimum = 1, maximum = 100, default = 5)]
    factor: Option<f64>,
    /// The longest wait; not below initialSeconds.
    #[schema(minimum = 0, maximum = 31_536_000, default = 3600)]
    max_seconds: Option<i64>,
    /// Whether to spread it.
    #[schema(default = true)]
    jitter: Option<bool>,
}

/// A key to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what keys::create reads")]
pub struct NewKeyRequest {
    /// A note for its owner.
    #[schema(max_length = 64)]
    name: Option<String>,
    /// What it may do.
    #[schema(default = "publish")]
    role: Option<Role>,
}

/// What a key may do.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what keys::create reads")]
pub enum Role {
    /// Everything.
    Admin,
    /// Send and read.
    Publish,
    /// Read.
    Read,
}

/// A rotation.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what secrets::rotate reads")]
pub struct RotateRequest {
    /// How long the old secret goes on signing.
    #[schema(minimum = 0, maximum = 2_592_000, default = 86_400)]
    overlap_seconds: Option<i64>,
}

/// The states of a message.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub enum Status {
    /// Due later.
    Scheduled,
    /// Due.
    Queued,
    /// A push is under way.
    Delivering,
    /// Due again later.
    Retrying,
    /// Answered 2xx.
    Delivered,
    /// In the dead-letter queue.
    Failed,
    /// Cancelled.
    Cancelled,
}

/// Filters of the message list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub struct ListQuery {
    /// Only messages in this state; counts are of all states.
    #[param(inline)]
    status: Option<Status>,
    /// A substring of the destination, as it is stored: in WHATWG form.
    #[param(min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// A label.
    #[param(min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// Created at or after this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Created before this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Rows in the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The nextCursor of the page before.
    cursor: Option<String>,
}

/// Paging of a list without filters.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what keys::list reads")]
pub struct PageQuery {
    /// Rows in the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The nextCursor of the page before.
    cursor: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tikku", description = "Messages pushed to your endpoints, signed and retried, from your own Postgres."),
    modifiers(&BearerKey),
    security(("key" = [])),
    paths(
        crate::messages::publish, crate::messages::list, crate::messages::detail, crate::messages::cancel, crate::messages::retry,
        crate::messages::resend, crate::keys::list, crate::keys::create, crate::keys::revoke, crate::secrets::show, crate::secrets::rotate,
        crate::health::healthz, document
    )
)]
struct Document;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key: tk_live_...")).build();
        openapi.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The document as text, made once.
pub fn json() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    // invariant: the document is made of strings and numbers; a test reads it.
    TEXT.get_or_init(|| Document::openapi().to_json().unwrap_or_default()).clone()
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

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: serde_json::Value = serde_json::from_str(&super::json()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone())))
            .collect();
        let routed: BTreeSet<(String, String)> = crate::ROUTES.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
        assert_eq!(described, routed);
    }
}
