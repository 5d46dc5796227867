//! What the API answers of approvals: their JSON shapes, and the cursor of their list. Out of scope: who may answer one (`approval`).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::ids::{IdError, RunId};

/// A question of a run to people.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    /// The run that asks.
    pub run_id: String,
    /// Its step.
    pub key: String,
    /// The workflow of the run.
    pub workflow: String,
    /// The question.
    pub title: Option<String>,
    /// What a person needs to know to answer.
    #[schema(value_type = Option<serde_json::Value>)]
    pub detail: Option<Box<RawValue>>,
    /// JSON Schema of the data of an answer.
    #[schema(value_type = Option<serde_json::Value>)]
    pub schema: Option<Box<RawValue>>,
    /// Who may answer: `{roles, keys, notInitiator}`, each may be absent.
    #[schema(value_type = serde_json::Value)]
    pub policy: Box<RawValue>,
    /// When it was asked, RFC 3339.
    pub created_at: String,
    /// When the run goes on without an answer, RFC 3339.
    pub expires_at: Option<String>,
    /// open, approved, rejected, expired, or closed when the run ended before.
    pub status: String,
    /// RFC 3339.
    pub decided_at: Option<String>,
    /// The API key that answered, `key_` and 32 hex digits; null for a resume URL.
    pub decided_by: Option<String>,
    /// The name of that key then, or who the answer said it was.
    pub decided_name: Option<String>,
    /// What the answer brought.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Box<RawValue>>,
}

/// A page of approvals.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalPage {
    /// Those of the newest runs first.
    pub data: Vec<ApprovalView>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// Where a page of approvals ends: `{run id}.{key}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalCursor {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub key: String,
}

impl fmt::Display for ApprovalCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.key)
    }
}

impl FromStr for ApprovalCursor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (run, key) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { run: run.parse()?, key: key.to_owned() })
    }
}
