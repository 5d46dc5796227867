//! Messages to a workflow: what starting the run came to, in the words of a push. Stage: deliver, in the place of the push. Out of scope:
//! starting it (store).

use serde_json::json;
use serde_json::value::RawValue;

use crate::ids::RunId;
use crate::message::{Answer, Failure, Reply};

/// What starting a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// There is a run: a new one, the one that this message started before, or the one that the workflow's policy says.
    Run {
        /// Which.
        id: RunId,
        /// Its state.
        state: String,
        /// To be handed to the queue after so many milliseconds.
        wait_ms: Option<u64>,
    },
    /// No app serves the workflow.
    Unserved,
    /// The message started a run before, with another input.
    Mismatch,
}

/// The input that a body is: its JSON, or null without one.
pub fn input(body: Option<&[u8]>) -> Result<&[u8], Reply> {
    let Some(body) = body else { return Ok(b"null") };
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => Ok(body),
        Err(error) => Err(Reply::failed(Failure::Invalid, format!("the body is the input of a run, and must be JSON: {error}"))),
    }
}

/// What the message's attempt records.
pub fn reply(workflow: &str, started: &Started) -> Reply {
    match started {
        Started::Run { id, state, .. } => {
            let body = json!({ "id": id.to_string(), "status": state }).to_string().into_bytes();
            Reply::Response(Answer { status: 202, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body })
        }
        Started::Unserved => {
            let detail = format!("no app serves the workflow {workflow}: register the app that does (PUT /v1/apps/{{name}})");
            Reply::failed(Failure::Unserved, detail)
        }
        Started::Mismatch => Reply::failed(Failure::Invalid, "a run with this message's idempotency key has another input"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_an_answer_and_an_unserved_workflow_is_none() {
        let id = RunId(uuid::Uuid::from_u128(7));
        let Reply::Response(answer) = reply("w", &Started::Run { id, state: "queued".to_owned(), wait_ms: Some(0) }) else { panic!() };
        let expected = br#"{"id":"run_00000000000000000000000000000007","status":"queued"}"#;
        assert_eq!((answer.status, answer.body.as_slice()), (202, &expected[..]));
        let Reply::Failed { kind, detail, .. } = reply("order-flow", &Started::Unserved) else { panic!() };
        assert!(kind == Failure::Unserved && detail.contains("the workflow order-flow"), "{detail}");
        assert!(matches!(reply("w", &Started::Mismatch), Reply::Failed { kind: Failure::Invalid, .. }));
    }

    #[test]
    fn the_body_is_the_input_and_none_is_null() {
        assert_eq!(input(None).unwrap(), b"null");
        for body in [&br#"{"a": 1,  "a": 2}"#[..], b"0", b" null\n", b"\"\\u0000\""] {
            assert_eq!(input(Some(body)).unwrap(), body);
        }
        for body in [&b""[..], b"a=b", b"{", b"\"\xff\"", b"1 2"] {
            assert!(matches!(input(Some(body)), Err(Reply::Failed { kind: Failure::Invalid, .. })), "{body:?}");
        }
    }
}
