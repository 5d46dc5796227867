//! What travels through the wake queue: ids and nothing else. A message that is lost, late or doubled changes nothing but timing.

use serde::{Deserialize, Serialize};
use tikku_domain::ids::MessageId;

/// An id to be looked at after a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The message.
    pub id: MessageId,
    /// Not before.
    pub delay_ms: u64,
}

/// The queue did not take everything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    ids: Vec<std::borrow::Cow<'a, str>>,
}

/// `{"ids": ["msg_...", ...]}`
pub fn encode_ids(ids: &[MessageId]) -> String {
    serde_json::json!({ "ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }).to_string()
}

/// The ids of a queue message; what is not an id is skipped, so that a stray message cannot stop its batch.
pub fn decode_ids(body: &str) -> Vec<MessageId> {
    match serde_json::from_str::<Body<'_>>(body) {
        Ok(body) => body.ids.iter().filter_map(|id| id.parse().ok()).collect(),
        Err(error) => {
            tracing::warn!(%error, "a queue message holds no ids");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_queue() {
        let id: MessageId = "msg_0192f3ab000070008000000000000001".parse().unwrap();
        assert_eq!(decode_ids(&encode_ids(&[id, id])), [id, id]);
        assert_eq!(decode_ids(r#"{"ids": ["nonsense"]}"#), []);
        assert_eq!(decode_ids("nonsense"), []);
    }
}
