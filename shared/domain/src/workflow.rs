//! Workflows as data: what endpoints report (ops), what is recorded (entries), what a dispatch carries, and the rules for names.
//!
//! Stage: step-invoke and the checkpoint route. Out of scope: reading requests (`workflow_reply`), writing them (`workflow_invoke`), and
//! what ops do, which the database decides under the run's lock (migrations/0015).

use crate::ids::{AccountId, RunId};
use crate::limits::{EXTERNAL_ID_CHARS_MAX, SIGNAL_NAME_CHARS_MAX, STEP_NAME_CHARS_MAX, VERSION_CHARS_MAX, WORKFLOW_NAME_CHARS_MAX};
use crate::publish::NewMessage;
use crate::signing::Secret;

/// The version of the protocol.
pub const PROTOCOL: i64 = 1;

/// An endpoint broke a rule of docs/protocol.md.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct ProtocolError {
    /// A value or the whole is beyond a size, and nothing else is wrong.
    pub too_large: bool,
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub detail: String,
}

/// One op, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Op {
    /// result, error, retry, sleep, signal, event, child, approval, fetch, publish, done, fail or continue.
    pub op: &'static str,
    /// The step; `None` for an op that ends the run.
    pub key: Option<String>,
    /// The kind that its entry has; `None` for an op that ends the run.
    pub kind: Option<&'static str>,
    /// JSON as it came: a result, an output, an input. The body of a publish or fetch.
    pub value: Option<Vec<u8>>,
    /// JSON as it came.
    pub error: Option<String>,
    /// How long the step's body took, by the endpoint's clock.
    pub ms: Option<i64>,
    /// Which execution of the step it was.
    pub attempt: Option<i32>,
    /// `{model, inputTokens, outputTokens, costUsd}`, each may be absent.
    pub ai: Option<String>,
    /// What else the op says, as JSON.
    pub detail: Option<String>,
    /// What a `publish` publishes.
    pub message: Option<Box<NewMessage>>,
}

/// An entry of a journal, as endpoints see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, in the order of recording.
    pub seq: i32,
    /// The step.
    pub key: String,
    /// run, ai, sleep, signal, event, child, approval, fetch or publish.
    pub kind: String,
    /// ok, error or timeout.
    pub state: String,
    /// JSON as it came.
    pub value: Option<Vec<u8>>,
    /// JSON.
    pub error: Option<String>,
    /// The child whose end it tells.
    pub child: Option<RunId>,
    /// Recorded by the very request that this answers: its sender has the value.
    pub echo: bool,
}

impl Entry {
    /// About how many bytes it takes in a request.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + self.error.as_ref().map_or(0, String::len) + 64
    }
}

/// A stretch of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// In order.
    pub entries: Vec<Entry>,
    /// The seq of the last one, or the one after which it begins.
    pub seq: i32,
    /// Whether others follow.
    pub more: bool,
}

/// A leased run, ready to be dispatched.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The run.
    pub id: RunId,
    /// Whose it is.
    pub account: AccountId,
    /// The dispatch's generation; what it leads to counts only under it.
    pub fence: i64,
    /// The bearer token of its checkpoints.
    pub token: String,
    /// The key of the run's resume URLs.
    pub resume_key: String,
    /// The app that serves the workflow.
    pub app: String,
    /// Where it is invoked.
    pub url: String,
    /// How long the reply may take.
    pub timeout_ms: u64,
    /// How long the endpoint may be silent.
    pub lease_ms: i64,
    /// The workflow.
    pub workflow: String,
    /// Its version.
    pub version: String,
    /// The starter's own id.
    pub external_id: Option<String>,
    /// When the run was accepted, RFC 3339.
    pub created_at: String,
    /// 1, and one more for each retry by a person.
    pub attempt: u32,
    /// 32 hex digits.
    pub seed: String,
    /// Entries up to this one may be left alone by new code; 0 for none.
    pub accept_seq: i32,
    /// Dispatches in a row that were not taken.
    pub failures: u32,
    /// The parent, and its step that waits.
    pub parent: Option<(RunId, String)>,
    /// JSON as it came.
    pub input: Vec<u8>,
    /// The entries that stand in the request.
    pub journal: Journal,
    /// Planned keys without an entry: a JSON array.
    pub pending: String,
    /// The database's time of the lease, in milliseconds since 1970.
    pub now_ms: i64,
    /// Every secret that signs now, newest first.
    pub secrets: Vec<Secret>,
}

/// What becomes of a dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint replied by the protocol.
    Reply,
    /// It did not take the dispatch: again after the wait.
    Refused {
        /// How long to wait.
        retry_ms: u64,
        /// `{message, status}` as JSON.
        error: String,
    },
    /// Nobody knows whether it took it: the lease runs on.
    Lost {
        /// `{message, status}` as JSON.
        error: String,
    },
    /// A person has to look at it. The ops are applied all the same.
    Pause {
        /// nonDeterminism, unserved or protocolError.
        reason: &'static str,
        /// What that person needs to know, as JSON.
        detail: String,
    },
}

/// The end of a dispatch, as it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The run.
    pub id: RunId,
    /// The dispatch it ends.
    pub fence: i64,
    /// Entries up to this one are known to the caller; later ones are answered if the run goes on.
    pub have: i32,
    /// What came of it.
    pub outcome: Outcome,
    /// What the run waits for, as JSON.
    pub awaits: Option<String>,
    /// Whether the caller has time to dispatch it again at once.
    pub again: bool,
    /// What the endpoint reported, in order.
    pub ops: Vec<Op>,
}

impl Settlement {
    /// About how many bytes recording it takes.
    pub fn bytes(&self) -> usize {
        let op = |op: &Op| 64 + op.value.as_ref().map_or(0, Vec::len) + op.error.as_ref().map_or(0, String::len);
        self.ops.iter().map(op).sum()
    }

    /// The same end with nothing that the endpoint sent, for a reply of which the database refuses a value: a person has to look at it.
    pub fn unrecordable(&self, why: &str) -> Self {
        let message = format!("the reply holds something that cannot be recorded: {why}");
        let detail = serde_json::json!({ "message": message }).to_string();
        let outcome = Outcome::Pause { reason: "protocolError", detail };
        Self { outcome, awaits: None, again: false, ops: Vec::new(), ..*self }
    }
}

/// Checks a workflow's name.
///
/// # Errors
/// What is allowed, to follow the field's name.
pub fn check_name(text: &str) -> Result<(), &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=WORKFLOW_NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(known) && !text.starts_with('.');
    if fits { Ok(()) } else { Err("must have 1 to 128 characters of A-Z a-z 0-9 . _ -, the first no full stop") }
}

/// Checks a workflow's version.
///
/// # Errors
/// What is allowed, to follow the field's name.
pub fn check_version(text: &str) -> Result<(), &'static str> {
    if is_plain(text, VERSION_CHARS_MAX) { Ok(()) } else { Err("must have 1 to 64 characters, none of them a control character") }
}

/// Checks a step's key: name, `#`, occurrence from 0.
///
/// # Errors
/// What is allowed, to follow the field's name.
pub fn check_key(text: &str) -> Result<(), &'static str> {
    const RULE: &str =
        "must be a step's name of 1 to 200 characters, none of them a control character, # and its occurrence from 0, as in charge#0";
    let (name, occurrence) = text.rsplit_once('#').ok_or(RULE)?;
    let canonical = occurrence == "0" || !occurrence.starts_with('0');
    let number = (1..=9).contains(&occurrence.len()) && occurrence.bytes().all(|b| b.is_ascii_digit());
    if is_plain(name, STEP_NAME_CHARS_MAX) && canonical && number { Ok(()) } else { Err(RULE) }
}

/// Checks the name of a signal or an event.
///
/// # Errors
/// What is allowed, to follow the field's name.
pub fn check_signal(text: &str) -> Result<(), &'static str> {
    if is_plain(text, SIGNAL_NAME_CHARS_MAX) { Ok(()) } else { Err("must have 1 to 128 characters, none of them a control character") }
}

/// Checks the starter's own id of a run.
///
/// # Errors
/// What is allowed, to follow the field's name.
pub fn check_external_id(text: &str) -> Result<(), &'static str> {
    if is_plain(text, EXTERNAL_ID_CHARS_MAX) { Ok(()) } else { Err("must have 1 to 255 characters, none of them a control character") }
}

fn is_plain(text: &str, most: usize) -> bool {
    let count = text.chars().take(most + 1).count();
    (1..=most).contains(&count) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_name_and_an_occurrence() {
        let long = |n: usize| format!("{}#0", "ä".repeat(n));
        for good in ["charge#0", "a#b#12", "#0#0", "name with spaces#999999999", " #1", &long(200)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in
            ["", "charge", "#0", "charge#", "charge#01", "charge#-1", "charge#+1", "charge#1000000000", "a\nb#0", "charge#0 ", &long(201)]
        {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_workflows_name_is_plain_ascii() {
        let long = |n: usize| "a".repeat(n);
        for good in ["order-flow", "A.b_c-1", "-", &long(128)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".hidden", "a b", "ä", "a/b", "a#0", &long(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_version("2026-11-21 beta").is_ok() && check_version(&long(65)).is_err() && check_version("").is_err());
    }
}
