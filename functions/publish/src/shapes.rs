//! The request shapes of the OpenAPI document: what `domain` and the handlers read. Out of scope: the document itself (`openapi.rs`).

use tikku_domain::retry::BackoffKind;
use utoipa::{IntoParams, ToSchema};

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

/// The state that the message list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub struct StatusQuery {
    /// Only messages in this state; counts are of all states.
    #[param(inline)]
    status: Option<Status>,
}

/// Filters of messages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub struct MessageFilterQuery {
    /// A substring of the destination, as it is stored: in WHATWG form.
    #[param(min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// A label.
    #[param(min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// The fanout they were published to.
    #[param(min_length = 1, max_length = 2048)]
    fanout: Option<String>,
    /// The id of the schedule that fired them.
    #[param(pattern = "^sch_[0-9a-f]{32}$")]
    schedule: Option<String>,
    /// Created at or after this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Created before this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// Paging of lists of messages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::filter reads")]
pub struct MessagePageQuery {
    /// Whether the page comes with counts.
    #[param(default = true)]
    counts: Option<bool>,
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
