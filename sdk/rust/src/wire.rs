//! The bodies of the workflow protocol, version 1, as an endpoint reads and writes them (docs/protocol.md).
//!
//! In scope: shapes. Out of scope: what they mean (`journal`, `drive`). Unknown fields are ignored.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::Failure;

/// The version of the protocol that is spoken here.
pub const VERSION: u32 = 1;
/// Most ops in a reply or checkpoint.
pub const OPS_MAX: usize = 10_000;
/// Most bytes of ops in a request of ours: the engine takes 5 MiB, and there is more in it than ops.
pub const OPS_BYTES_MAX: usize = 4_700_000;
/// Most leaves of an await tree.
pub const LEAVES_MAX: usize = 10_000;
/// Most levels of an await tree.
pub const LEVELS_MAX: usize = 32;

/// What every request begins with.
#[derive(Deserialize)]
pub struct Head {
    pub v: u32,
    pub kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoke {
    pub workflow: String,
    pub version: String,
    pub run: Run,
    pub fence: Fence,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    pub journal: Page,
    #[serde(default)]
    pub pending: Vec<Pending>,
    #[serde(default)]
    pub lease: Lease,
    pub engine: Engine,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: String,
    pub external_id: Option<String>,
    #[serde(default = "one")]
    pub attempt: u32,
    pub seed: String,
    #[serde(default = "budget_default_ms")]
    pub budget_ms: u64,
    #[serde(default)]
    pub created_at: String,
    /// The last `seq` up to which entries that nobody asks for are left alone.
    #[serde(default)]
    pub accept: u64,
    pub parent: Option<Parent>,
}

#[derive(Clone, Deserialize)]
pub struct Parent {
    pub id: String,
}

#[derive(Deserialize)]
pub struct Fence {
    pub token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    pub renew_ms: u64,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    pub checkpoint: String,
    pub journal: String,
    #[serde(default)]
    pub resume: String,
    #[serde(default)]
    pub resume_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    pub result_bytes: usize,
}

fn one() -> u32 {
    1
}

fn budget_default_ms() -> u64 {
    30_000
}

impl Default for Lease {
    fn default() -> Self {
        Self { renew_ms: 10_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { result_bytes: 4 * 1024 * 1024 }
    }
}

/// A stretch of the journal.
#[derive(Default, Deserialize)]
pub struct Page {
    #[serde(default)]
    pub entries: Vec<Entry>,
    #[serde(default)]
    pub seq: u64,
    #[serde(default)]
    pub next: Option<String>,
}

/// A finished step.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    pub seq: u64,
    pub key: String,
    pub kind: String,
    pub state: String,
    #[serde(default)]
    pub value: Option<Box<RawValue>>,
    #[serde(default)]
    pub error: Option<Failure>,
    /// Recorded by this very request: the value is left out.
    #[serde(default)]
    pub echo: bool,
}

/// A step that is planned and has no entry.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    pub key: String,
    pub kind: String,
    #[serde(default = "one")]
    pub attempt: u32,
    #[serde(default)]
    pub wait_ms: Option<u64>,
}

/// What a checkpoint is answered with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    #[serde(default)]
    pub journal: Page,
    #[serde(default)]
    pub pause_requested: bool,
    #[serde(default)]
    pub cancelled: bool,
    /// The request was sent more than once: entries of it may be older than this answer.
    #[serde(skip)]
    pub resent: bool,
}

/// A checkpoint, or a reply: the one has no `await`.
#[derive(Serialize)]
pub struct Report<'a> {
    pub v: u32,
    pub have: u64,
    pub ops: &'a [Box<RawValue>],
    #[serde(rename = "await", skip_serializing_if = "Option::is_none")]
    pub tree: Option<&'a Tree>,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Tree {
    Key(String),
    All { all: Vec<Tree> },
    Any { any: Vec<Tree> },
}

/// `retry` of the op `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryOp {
    pub after_ms: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
}

/// What a call of a model used; shown with the step and summed for the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AiUsage {
    /// The model that answered.
    pub model: String,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// An estimate of the cost in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// What happened in a step, or ends a run. Ops that plan a wait are serialized by `waits`.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Op<'a> {
    Result {
        key: &'a str,
        value: &'a RawValue,
        #[serde(flatten)]
        execution: Execution<'a>,
    },
    Error {
        key: &'a str,
        error: &'a Failure,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<RetryOp>,
        #[serde(flatten)]
        execution: Execution<'a>,
    },
    Done {
        value: &'a RawValue,
    },
    Fail {
        error: &'a Failure,
    },
    ContinueAsNew {
        input: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<&'a str>,
    },
    Diverged {
        diff: &'a Diff,
        message: &'a str,
    },
    Unserved {
        serves: Vec<Served<'a>>,
    },
}

/// How a step body ran.
#[derive(Serialize)]
pub struct Execution<'a> {
    pub ms: u64,
    pub attempt: u32,
    #[serde(skip_serializing_if = "is_run")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai: Option<&'a AiUsage>,
}

fn is_run(kind: &&'static str) -> bool {
    *kind == "run"
}

/// How the code and the journal differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub expected: Vec<KeyKind>,
    pub asked: Vec<KeyKind>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyKind {
    pub key: String,
    pub kind: String,
}

#[derive(Serialize)]
pub struct Served<'a> {
    pub name: &'a str,
    pub version: &'a str,
}

/// Writes JSON text; what cannot be written (a map with keys that are no text) is an error.
pub fn raw(value: &impl Serialize) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value)
}

/// JSON's null.
pub fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
