//! Calls that the engine makes for a run (`step.fetch`), which travel as messages: when one is tried again, and what the run gets of it.
//! Stage: deliver's judgement (`message::settle`). Out of scope: planning one (`workflow`), and waking the run (store).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::limits::{FETCH_BODY_BYTES_MAX, RESULT_BYTES_MAX};
use crate::message::{Answer, Failure, Job, Verdict};
use crate::{retry, view};

/// A message that is such a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// The step waits for what comes of it.
    Awaited,
    /// It does not any more: the run is over.
    Abandoned,
}

/// What the step gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The last answer, as JSON: `{status, headers, body, bodyBase64?}`.
    Answer(Vec<u8>),
    /// An error, as JSON: there was no answer.
    Error(String),
    /// Nothing yet: the call is made again, unless somebody cancels it.
    Unfinished,
}

/// Judges a call: any answer ends it but those that say "not now", and no answer is tried again, while the budget lasts.
pub(crate) fn verdict(job: &Job, status: Option<u16>, failure: Option<Failure>, floor_ms: Option<u64>) -> Verdict {
    let spent = job.attempts + 1;
    match (failure, status) {
        (None, Some(408 | 425 | 429 | 500..)) | (Some(_), _) | (None, None) => {
            if failure == Some(Failure::Invalid) || spent >= job.max_attempts {
                return Verdict::Failed;
            }
            let wait_ms = retry::delay_ms(&job.backoff, spent, job.id.0.as_bytes());
            Verdict::Retrying { delay_ms: wait_ms.max(floor_ms.unwrap_or(0)) }
        }
        (None, Some(_)) => Verdict::Delivered,
    }
}

/// What the step gets of the last attempt: its answer, or why there was none.
pub(crate) fn fetched(answer: Option<&Answer>, error: Option<&str>) -> Fetched {
    let Some(answer) = answer else { return Fetched::Error(failed(error.unwrap_or("there was no answer")).to_string()) };
    let mut value = json!({ "status": answer.status, "headers": view::header_map(&answer.headers), "body": text(&answer.body) });
    let mut json = value.to_string();
    // Control characters take six bytes each.
    if value["body"].is_null() || json.len() > RESULT_BYTES_MAX {
        value["body"] = Value::Null;
        value["bodyBase64"] = STANDARD.encode(&answer.body).into();
        json = value.to_string();
    }
    Fetched::Answer(json.into_bytes())
}

fn failed(message: &str) -> Value {
    json!({ "name": "FetchError", "message": message })
}

/// The body as text; a character that the limit cut through is left out.
fn text(body: &[u8]) -> Option<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && body.len() >= FETCH_BODY_BYTES_MAX => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer {
        Answer { status, headers: vec![("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())], body: body.to_vec() }
    }

    fn value(fetched: Fetched) -> Value {
        match fetched {
            Fetched::Answer(json) => serde_json::from_slice(&json).unwrap(),
            Fetched::Error(json) => serde_json::from_str(&json).unwrap(),
            Fetched::Unfinished => panic!("unfinished"),
        }
    }

    #[test]
    fn the_step_gets_the_answer_as_text_or_in_base64() {
        let expected = json!({ "status": 404, "headers": { "x-a": "1, 2" }, "body": "n\u{0}e\u{301}" });
        assert_eq!(value(fetched(Some(&answer(404, "n\u{0}e\u{301}".as_bytes())), Some("ignored"))), expected);
        let bytes = value(fetched(Some(&answer(200, b"\xff\x00")), None));
        assert_eq!((&bytes["body"], &bytes["bodyBase64"]), (&Value::Null, &json!("/wA=")));
        assert_eq!(value(fetched(Some(&answer(204, b"")), None))["body"], "");
    }

    #[test]
    fn a_character_that_the_limit_cut_through_is_left_out() {
        let mut body = vec![b'x'; FETCH_BODY_BYTES_MAX - 1];
        body.extend(&"é".as_bytes()[..1]);
        assert_eq!(value(fetched(Some(&answer(200, &body)), None))["body"].as_str().unwrap().len(), FETCH_BODY_BYTES_MAX - 1);
        // A short body that ends so is no text.
        assert!(value(fetched(Some(&answer(200, "é".as_bytes().split_at(1).0)), None))["bodyBase64"].is_string());
    }

    #[test]
    fn a_body_that_would_be_too_long_as_text_is_base64() {
        let json = fetched(Some(&answer(200, &vec![1; FETCH_BODY_BYTES_MAX])), None);
        assert!(matches!(&json, Fetched::Answer(json) if json.len() < RESULT_BYTES_MAX));
        assert_eq!(value(json)["body"], Value::Null);
    }

    #[test]
    fn no_answer_is_an_error() {
        assert_eq!(value(fetched(None, Some("no connection"))), json!({ "name": "FetchError", "message": "no connection" }));
    }
}
