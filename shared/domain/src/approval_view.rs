//! What the API answers of approvals: their JSON shapes, and the cursor of their list. Out of scope: who may answer one (`approval`).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::ids::RunId;

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

/// Where a page of approvals ends: `{run id}.{key}`, the key in base64url, because its # would end a URL's query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalCursor {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub key: String,
}

/// The text is no such cursor.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected the nextCursor of a page of approvals")]
pub struct ApprovalCursorError;

impl fmt::Display for ApprovalCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, URL_SAFE_NO_PAD.encode(&self.key))
    }
}

impl FromStr for ApprovalCursor {
    type Err = ApprovalCursorError;

    fn from_str(text: &str) -> Result<Self, ApprovalCursorError> {
        let (run, key) = text.split_once('.').ok_or(ApprovalCursorError)?;
        let key = URL_SAFE_NO_PAD.decode(key).ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|key| !key.contains('\0'));
        Ok(Self { run: run.parse().map_err(|_| ApprovalCursorError)?, key: key.ok_or(ApprovalCursorError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_in_a_query_as_it_is() {
        let cursor = ApprovalCursor { run: "run_0192f3ab000070008000000000000001".parse().unwrap(), key: "ok ä#0".to_owned() };
        let text = cursor.to_string();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{text}");
        assert_eq!(text.parse(), Ok(cursor));
        for text in [
            "",
            "run_0192f3ab000070008000000000000001",
            "run_0192f3ab000070008000000000000001.!",
            "run_0192f3ab000070008000000000000001.AA",
            "x.b2s",
        ] {
            assert_eq!(text.parse::<ApprovalCursor>(), Err(ApprovalCursorError), "{text}");
        }
    }
}
