//! The bodies of the workflow protocol that the API reads and answers, as the OpenAPI document shows them. docs/protocol.md has all their
//! rules; unknown fields are ignored by both sides.

use utoipa::ToSchema;

/// What an endpoint has done since its last checkpoint.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what domain::workflow_reply reads")]
pub struct CheckpointRequest {
    /// The version of the protocol.
    #[schema(minimum = 1, maximum = 1)]
    v: i64,
    /// The highest seq that the endpoint has read; 0 for none.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    have: i64,
    /// Applied in order; each is an object with `op` and `key`. None of them may end the run.
    #[schema(max_items = 10_000)]
    ops: Vec<serde_json::Value>,
}

/// What a checkpoint is answered.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what domain::workflow_invoke writes")]
pub struct CheckpointAnswer {
    /// The version of the protocol.
    v: i64,
    /// All entries after `have`, the request's own included.
    journal: JournalStretch,
    /// Signals that nobody waits for.
    signals: Vec<BufferedSignal>,
    /// True when the endpoint should start no further step and reply.
    pause_requested: bool,
    /// Always false: a cancelled run answers 409.
    cancelled: bool,
    /// For how long the lease holds from now, in milliseconds.
    lease_ms: i64,
}

/// Signals of one name.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what domain::workflow_invoke writes")]
pub struct BufferedSignal {
    /// The name.
    name: String,
    /// How many.
    count: i64,
}

/// A stretch of a journal.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what domain::workflow_invoke writes")]
pub struct JournalStretch {
    /// In the order in which they were recorded.
    entries: Vec<JournalEntry>,
    /// The seq of the last one, or the one after which it begins.
    seq: i64,
    /// The cursor of the next page; null when there is none.
    next: Option<String>,
}

/// A page of a journal.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what domain::workflow_invoke writes")]
pub struct JournalPage {
    /// The version of the protocol.
    v: i64,
    /// In the order in which they were recorded.
    entries: Vec<JournalEntry>,
    /// The seq of the last one, or the one after which it begins.
    seq: i64,
    /// The cursor of the next page; null when there is none.
    next: Option<String>,
}

/// A finished step.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what domain::workflow_invoke writes")]
pub struct JournalEntry {
    /// From 1, in the order of recording.
    seq: i64,
    /// The step: its name, # and its occurrence from 0.
    key: String,
    /// run, ai, sleep, signal, event, child, approval, fetch or publish.
    kind: String,
    /// ok, error or timeout.
    state: String,
    /// The result; of state ok, unless `echo` is true.
    #[schema(required = false)]
    value: serde_json::Value,
    /// Name, message and more; of state error.
    #[schema(required = false)]
    error: serde_json::Value,
    /// The child whose end it tells.
    #[schema(required = false)]
    run: String,
    /// True for what this very request has recorded: its sender has the value.
    #[schema(required = false)]
    echo: bool,
}
