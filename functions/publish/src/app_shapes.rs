//! The requests of apps, starts, events and approvals as the OpenAPI document shows them: what `domain` reads.

use utoipa::ToSchema;

/// An endpoint that serves workflows.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::app reads")]
pub struct AppRequest {
    /// Where its workflows are invoked, with signed POSTs.
    #[schema(example = "https://example.com/api/tikku")]
    url: String,
    /// How long one dispatch of a run may take. Its endpoint gets 5 s less as its budget. The host may allow less.
    #[schema(minimum = 1, maximum = 840, default = 60)]
    timeout_seconds: Option<i64>,
    /// How long a dispatch may be silent before it counts as lost; of an endpoint that sends checkpoints.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    lease_seconds: Option<i64>,
}

/// A run to start. Without a body it has the input null.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::run_start reads")]
pub struct StartRequest {
    /// Any JSON value, at most 4 MiB; null when absent.
    input: Option<serde_json::Value>,
    /// Your own id of the run, unique per workflow across versions, for as long as the run is kept. A start with an id that is there answers that run.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    id: Option<String>,
    /// The version to start; the current one when absent.
    #[schema(min_length = 1, max_length = 64)]
    version: Option<String>,
    /// Unique within the account: a second start with it answers the first run.
    idempotency_key: Option<String>,
    /// When to begin.
    #[schema(minimum = 0, maximum = 315_360_000, default = 0)]
    delay_seconds: Option<i64>,
    /// For filters; 1 to 64 characters each.
    #[schema(max_items = 10)]
    labels: Option<Vec<String>>,
}

/// An event: something that has happened.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::event reads")]
pub struct EventRequest {
    /// What has happened, such as `order.placed`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    name: String,
    /// Any JSON value, at most 4 MiB; null when absent.
    data: Option<serde_json::Value>,
    /// Your own id of the event, unique within the account: a second event with it is the first.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    id: Option<String>,
}

/// An answer to an approval.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::approval reads")]
pub struct ApprovalRequest {
    /// Yes or no.
    approve: bool,
    /// What the step gets besides; it must fit the schema of the approval. Of a refusal it is checked only when it is there.
    data: Option<serde_json::Value>,
    /// Who answers, for the record: the person behind the key.
    #[schema(min_length = 1, max_length = 255)]
    by: Option<String>,
}
