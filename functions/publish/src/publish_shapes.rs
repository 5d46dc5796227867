//! The shapes of publish requests in the OpenAPI document: what `domain::publish`, `domain::batch` and `domain::raw_publish` read.

use std::collections::BTreeMap;

use tikku_domain::retry::BackoffKind;
use utoipa::{IntoParams, ToSchema};

use crate::shapes::{BackoffRequest, Method};

/// A message to publish, to a url, a fanout or a workflow: exactly one of them.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::publish reads")]
pub struct PublishRequest {
    /// Where to push: http or https (https only unless the host is configured otherwise), no user:password part, no private or special address.
    #[schema(min_length = 1, max_length = 2048, example = "https://example.com/hook")]
    url: Option<String>,
    /// The name of a fanout: a message for each of its endpoints that is not paused.
    #[schema(min_length = 1, max_length = 64)]
    fanout: Option<String>,
    /// The name of a workflow: a run of it is started, with the body as its input, and nothing is pushed. method and headers have no meaning then.
    workflow: Option<String>,
    /// Any JSON value; its bytes are pushed as written, at most 4 MiB. Without it the push has an empty body and no content-type, and a run the input null.
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
    /// The same key with the same url, fanout or workflow, method, headers and body is the same message, for as long as the message is kept. One key
    /// covers all messages of a fanout.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// Makes the idempotency key of url, fanout or workflow, method, headers and body. Excludes idempotencyKey.
    #[schema(default = false)]
    content_based_deduplication: Option<bool>,
    /// For filters; 1 to 64 characters each.
    #[schema(max_items = 10)]
    labels: Option<Vec<String>>,
    /// The flow whose limits it shares.
    flow_control: Option<FlowControlRequest>,
    /// Told when it is delivered, by a message of its own.
    #[schema(min_length = 1, max_length = 2048)]
    callback_url: Option<String>,
    /// Told when it has failed, by a message of its own.
    #[schema(min_length = 1, max_length = 2048)]
    failure_callback_url: Option<String>,
    /// Instead of callbackUrl: the workflow that is started, by a message of its own, when it is delivered.
    callback_workflow: Option<String>,
    /// Instead of failureCallbackUrl: the workflow that is started, by a message of its own, when it has failed.
    failure_callback_workflow: Option<String>,
}

/// A flow: messages with its key share its limits. Those of the last message that waits count, unless an operator pinned others.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::flow reads")]
pub struct FlowControlRequest {
    /// Which flow.
    #[schema(min_length = 1, max_length = 255)]
    key: String,
    /// Pushes at once; 1 keeps the order.
    #[schema(minimum = 1, maximum = 10_000)]
    parallelism: Option<i64>,
    /// Starts in a period.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate: Option<i64>,
    /// The period of the rate; only with one, then 1 by default.
    #[schema(minimum = 1, maximum = 2_592_000)]
    period_seconds: Option<i64>,
}

/// Messages to publish at once.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::batch reads")]
pub struct BatchRequest {
    /// Each is judged alone: what is no message is refused in its place among the results. The whole request has at most 5 MiB.
    #[schema(min_items = 1, max_items = 1000)]
    messages: Vec<PublishRequest>,
}

/// The bytes to push.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "describes what raw::publish reads")]
pub struct RawBody(Vec<u8>);

/// The options of a publish as bytes. Each can be a query parameter in lower case instead.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what domain::raw_publish reads")]
pub struct RawOptions {
    /// Names of headers of this request, with commas between them, that are pushed as they came, such as a third party's signature; those
    /// that it does not have are passed over. Names that HTTP or Tikku own are refused, and authorization.
    #[param(
        rename = "Tikku-Forward",
        pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+( ?, ?[A-Za-z0-9!#$%&'*+.^_`|~-]+){0,63}$",
        example = "x-github-event,x-hub-signature-256"
    )]
    forward: Option<String>,
    /// As delaySeconds.
    #[param(rename = "Tikku-Delay-Seconds", minimum = 0, maximum = 315_360_000)]
    delay_seconds: Option<i64>,
    /// As notBefore.
    #[param(rename = "Tikku-Not-Before", format = DateTime)]
    not_before: Option<String>,
    /// As maxAttempts.
    #[param(rename = "Tikku-Max-Attempts", minimum = 1, maximum = 100, default = 5)]
    max_attempts: Option<i64>,
    /// As timeoutSeconds.
    #[param(rename = "Tikku-Timeout-Seconds", minimum = 1, maximum = 840, default = 30)]
    timeout_seconds: Option<i64>,
    /// As idempotencyKey.
    #[param(rename = "Tikku-Idempotency-Key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// As contentBasedDeduplication.
    #[param(rename = "Tikku-Content-Based-Deduplication", default = false)]
    content_based_deduplication: Option<bool>,
    /// As labels, with commas between them.
    #[param(rename = "Tikku-Labels", pattern = "^[^, ]{1,64}(,[^, ]{1,64}){0,9}$")]
    labels: Option<String>,
    /// As callbackUrl.
    #[param(rename = "Tikku-Callback-Url", min_length = 1, max_length = 2048)]
    callback_url: Option<String>,
    /// As failureCallbackUrl.
    #[param(rename = "Tikku-Failure-Callback-Url", min_length = 1, max_length = 2048)]
    failure_callback_url: Option<String>,
    /// As callbackWorkflow.
    #[param(rename = "Tikku-Callback-Workflow")]
    callback_workflow: Option<String>,
    /// As failureCallbackWorkflow.
    #[param(rename = "Tikku-Failure-Callback-Workflow")]
    failure_callback_workflow: Option<String>,
    /// As flowControl.key.
    #[param(rename = "Tikku-Flow-Control-Key", min_length = 1, max_length = 255)]
    flow_control_key: Option<String>,
    /// As flowControl.parallelism.
    #[param(rename = "Tikku-Flow-Control-Parallelism", minimum = 1, maximum = 10_000)]
    flow_control_parallelism: Option<i64>,
    /// As flowControl.rate.
    #[param(rename = "Tikku-Flow-Control-Rate", minimum = 1, maximum = 1_000_000)]
    flow_control_rate: Option<i64>,
    /// As flowControl.periodSeconds.
    #[param(rename = "Tikku-Flow-Control-Period-Seconds", minimum = 1, maximum = 2_592_000)]
    flow_control_period_seconds: Option<i64>,
    /// As backoff.type: exponential, linear or fixed.
    #[param(rename = "Tikku-Backoff-Type", default = "exponential", inline)]
    backoff_type: Option<BackoffKind>,
    /// As backoff.initialSeconds.
    #[param(rename = "Tikku-Backoff-Initial-Seconds", minimum = 0, maximum = 31_536_000, default = 1)]
    backoff_initial_seconds: Option<i64>,
    /// As backoff.factor.
    #[param(rename = "Tikku-Backoff-Factor", minimum = 1, maximum = 100, default = 5)]
    backoff_factor: Option<f64>,
    /// As backoff.maxSeconds.
    #[param(rename = "Tikku-Backoff-Max-Seconds", minimum = 0, maximum = 31_536_000, default = 3600)]
    backoff_max_seconds: Option<i64>,
    /// As backoff.jitter.
    #[param(rename = "Tikku-Backoff-Jitter", default = true)]
    backoff_jitter: Option<bool>,
}
